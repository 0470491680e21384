// Checks our checkpoints and inclusion proofs with @sigstore/verify's own, and our bytes of events with canonicalize.
// It verifies no consistency proofs.

import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import canonicalize from "canonicalize";

const require = createRequire(import.meta.url);
const { verifyCheckpoint } = require("@sigstore/verify/dist/tlog/checkpoint.js");
const { verifyMerkleInclusion } = require("@sigstore/verify/dist/tlog/merkle.js");

const samples = JSON.parse(readFileSync(process.argv[2], "utf8"));
let passed = 0;
let failed = 0;

function check(right, what) {
  if (right) {
    passed += 1;
  } else {
    failed += 1;
    console.log("WRONG:", what);
  }
}

function accepted(verify) {
  try {
    return verify();
  } catch (error) {
    if (error.name !== "VerificationError") throw error;
    return null;
  }
}

function flipped(bytes, at) {
  const other = Buffer.from(bytes);
  other[at % other.length] ^= 1;
  return other;
}

const [name, id, ...rest] = samples.key.split("+");
const raw = Buffer.from(rest.join("+"), "base64").subarray(1);
const jwk = { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") };
const tlogs = [
  { logID: Buffer.from(id, "hex"), baseURL: `https://${name}`, publicKey: createPublicKey({ key: jwk, format: "jwk" }) },
];
const open = (note) => accepted(() => verifyCheckpoint({ inclusionProof: { checkpoint: { envelope: note } } }, tlogs));

const trees = samples.checkpoints.map((note, number) => {
  const tree = open(note);
  check(tree, `checkpoint ${number}`);
  check(!open(note.replace("\n", "\n1")), `checkpoint ${number}, another size`);
  const at = note.lastIndexOf(" ") + 1;
  const signature = Buffer.from(note.slice(at), "base64");
  const other = Buffer.concat([signature.subarray(0, 4), flipped(signature.subarray(4), number)]);
  check(!open(`${note.slice(0, at)}${other.toString("base64")}\n`), `checkpoint ${number}, another signature`);
  return tree;
});

const includes = (logIndex, hashes, body, checkpoint) =>
  accepted(() => {
    verifyMerkleInclusion({ inclusionProof: { logIndex, hashes }, canonicalizedBody: body }, checkpoint);
    return true;
  });

samples.inclusions.forEach((it, number) => {
  let hashes = it.hashes.map((hash) => Buffer.from(hash, "base64"));
  let body = Buffer.from(it.body);
  let index = it.index;
  let { logSize, logHash } = trees[it.checkpoint];
  check(includes(index, hashes, body, { logSize, logHash }), `inclusion ${number}`);
  if (number % 4 === 0 || logSize === 1n) {
    body = Buffer.from(`${it.body} `);
  } else if (number % 4 === 1) {
    logHash = flipped(logHash, number);
  } else if (number % 4 === 2) {
    index = (index + 1) % Number(logSize);
  } else if (hashes.length > 0 && number % 8 === 3) {
    hashes = [...hashes.slice(0, -1), flipped(hashes.at(-1), number)];
  } else {
    hashes = [...hashes, Buffer.alloc(32)];
  }
  check(!includes(index, hashes, body, { logSize, logHash }), `inclusion ${number}, altered`);
});
console.log(`${trees.length} checkpoints, ${samples.inclusions.length} inclusion proofs, and each altered`);

samples.bodies.forEach((body, number) => {
  check(canonicalize(JSON.parse(body)) === body, `the bytes of event ${number}`);
});
console.log(`${samples.bodies.length} events have the bytes that canonicalize gives them`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
