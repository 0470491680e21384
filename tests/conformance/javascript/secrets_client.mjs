// @azure/keyvault-secrets with @azure/identity, unmodified: every operation on secrets.
//
// The Key Vault takes a moment to delete and recover, and puts an empty page before every page of a list.

import assert from "node:assert/strict";
import { ManagedIdentityCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";

const vault = "https://kv-conformance.vault.azure.net";
const client = new SecretClient(vault, new ManagedIdentityCredential());
const checks = [];
const check = (name, run) => checks.push({ name, run });

async function refused(promise, statusCode, text) {
  const error = await promise.then(() => assert.fail("it was not refused"), (error) => error);
  assert.equal(error.statusCode, statusCode, error.message);
  assert.match(error.message, text);
}

async function all(iterator) {
  const items = [];
  for await (const item of iterator) items.push(item);
  return items;
}

// Repeats what the service refuses while it is busy.
async function until(call, statusCode) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (error.statusCode !== statusCode || Date.now() > deadline) throw error;
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

check("set answers the version it made", async () => {
  const expiresOn = new Date("2036-01-02T03:04:05Z");
  const secret = await client.setSecret("js-set", "grün", { contentType: "text/plain", tags: { a: "b" }, expiresOn });
  assert.equal(secret.value, "grün");
  assert.equal(secret.properties.contentType, "text/plain");
  assert.deepEqual({ ...secret.properties.tags }, { a: "b" });
  assert.deepEqual(secret.properties.expiresOn, expiresOn);
  assert.equal(secret.properties.id, `${vault}/secrets/js-set/${secret.properties.version}`);
  assert.equal(secret.properties.recoveryLevel, "Recoverable+Purgeable");
  assert.equal(secret.properties.recoverableDays, 90);
});

check("get answers the latest or the version asked for, in any case", async () => {
  const first = await client.setSecret("js-get", "one");
  await client.setSecret("js-get", "two");
  assert.equal((await client.getSecret("js-get")).value, "two");
  assert.equal((await client.getSecret("js-get", { version: first.properties.version })).value, "one");
  assert.equal((await client.getSecret("JS-GET")).value, "two");
});

check("an empty value is a value", async () => {
  await client.setSecret("js-empty", "");
  assert.equal((await client.getSecret("js-empty")).value, "");
});

check("sixty versions come in the order of their ids", async () => {
  const made = [];
  for (let n = 0; n < 60; n += 1) made.push((await client.setSecret("js-versions", `${n}`)).properties.version);
  const listed = await all(client.listPropertiesOfSecretVersions("js-versions"));
  assert.deepEqual(listed.map((item) => item.version), made.sort());
  const pages = await all(client.listPropertiesOfSecretVersions("js-versions").byPage({ maxPageSize: 25 }));
  assert.deepEqual(pages.map((page) => page.length).filter((size) => size > 0), [25, 25, 10]);
});

check("versions of an unknown name are none", async () => {
  assert.deepEqual(await all(client.listPropertiesOfSecretVersions("js-never")), []);
});

check("thirty secrets come in pages", async () => {
  for (let n = 0; n < 30; n += 1) await client.setSecret(`js-list-${n}`, "v");
  const names = (await all(client.listPropertiesOfSecrets())).map((item) => item.name);
  assert.equal(names.filter((name) => name.startsWith("js-list-")).length, 30);
  assert.equal(new Set(names).size, names.length);
});

check("update changes attributes and answers no value", async () => {
  const made = await client.setSecret("js-update", "v");
  const updated = await client.updateSecretProperties("js-update", made.properties.version, { tags: { c: "d" } });
  assert.equal(updated.version, made.properties.version);
  assert.deepEqual({ ...updated.tags }, { c: "d" });
  assert.equal((await client.getSecret("js-update")).value, "v");
});

check("a disabled secret is not read", async () => {
  const made = await client.setSecret("js-disabled", "v");
  const version = made.properties.version;
  assert.equal((await client.updateSecretProperties("js-disabled", version, { enabled: false })).enabled, false);
  await refused(client.getSecret("js-disabled"), 403, /^Operation get is not allowed on a disabled secret\.$/);
});

check("delete waits until the secret is deleted", async () => {
  const made = await client.setSecret("js-delete", "v");
  const poller = await client.beginDeleteSecret("js-delete", { intervalInMs: 300 });
  assert.equal(poller.isDone(), false);
  await refused(client.purgeDeletedSecret("js-delete"), 409, /currently being deleted/);
  await poller.pollUntilDone();
  const deleted = await client.getDeletedSecret("js-delete");
  assert.equal(deleted.properties.id, made.properties.id);
  assert.equal(deleted.recoveryId, `${vault}/deletedsecrets/js-delete`);
  assert.equal(deleted.scheduledPurgeDate - deleted.deletedOn, 90 * 86_400_000);
  const listed = await all(client.listDeletedSecrets());
  assert.ok(listed.some((item) => item.name === "js-delete"));
  await refused(client.setSecret("js-delete", "w"), 409, /deleted but recoverable state/);
});

check("recover waits until the secret is back", async () => {
  const made = await client.setSecret("js-recover", "v");
  await (await client.beginDeleteSecret("js-recover", { intervalInMs: 300 })).pollUntilDone();
  const poller = await client.beginRecoverDeletedSecret("js-recover", { intervalInMs: 300 });
  await refused(client.getSecret("js-recover"), 404, /was not found in this key vault/);
  assert.equal((await poller.pollUntilDone()).version, made.properties.version);
  assert.equal((await client.getSecret("js-recover")).value, "v");
});

check("a purge and a backup bring every version back", async () => {
  const first = await client.setSecret("js-backup", "one");
  await client.setSecret("js-backup", "two");
  const backup = await client.backupSecret("js-backup");
  await (await client.beginDeleteSecret("js-backup", { intervalInMs: 300 })).pollUntilDone();
  await client.purgeDeletedSecret("js-backup");
  await refused(client.getDeletedSecret("js-backup"), 404, /^Deleted Secret not found: js-backup$/);
  await refused(client.restoreSecretBackup(backup), 409, /retry later/);
  await until(() => client.restoreSecretBackup(backup), 409);
  assert.equal((await client.getSecret("js-backup", { version: first.properties.version })).value, "one");
  assert.equal((await client.getSecret("js-backup")).value, "two");
});

check("refusals come with their status", async () => {
  await refused(client.getSecret("js-never"), 404, /^A secret with \(name\/id\) js-never was not found/);
  await refused(client.beginRecoverDeletedSecret("js-never"), 404, /js-never was not found/);
  await refused(client.backupSecret("js-never"), 404, /js-never was not found/);
  await refused(client.setSecret("js-long", "v".repeat(25_601)), 400, /25600/);
  await refused(client.restoreSecretBackup(new Uint8Array(100)), 400, /corrupt version/);
});

let failed = 0;
for (const { name, run } of checks) {
  try {
    await run();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}`, error);
  }
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 || checks.length === 0 ? 1 : 0);
