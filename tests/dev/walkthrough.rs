//! The main job, once, in the open: register, retrieve, rotate, confirm, retrieve, audit, verify.
//!
//! Each answer is checked: a step that does not do what it should ends everything.

use std::{path::Path, process::Command};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    calls::Calls,
    directory::{AUDIT_CHECKPOINT, AUDIT_PUBLIC_KEY, Directory},
    samples, say,
    world::{AGENT, World},
};

pub(crate) const MACHINE: &str = "/v1/machines/$SAMPLE_MACHINE_ID";
pub(crate) const RETRIEVAL: &str = r#"{"reason": "alternateLocationRestore", "ticket": "INC0012345",
"justification": "Server lost, restoring D: to srv-web02"}"#;
pub(crate) const ROTATION: &str = r#"{"passphrase": {"source": "generated"}}"#;
pub(crate) const CONFIRMATION: &str = r#"{"agentVersion": "2.0.9262.0"}"#;

/// Answers the id of the machine.
pub(crate) async fn walk(
    world: &World,
    directory: &Directory,
    program: &Path,
    mut calls: Calls,
) -> anyhow::Result<String> {
    title(
        "1. The portal registers a machine. Its passphrase is generated, and answered this once.",
    );
    let body = registration("srv-web01.corp.contoso.com", Some(AGENT));
    let machine = calls.post("TOKEN_PORTAL", "/v1/machines", &body, 201).await?;
    machine.has("/state", &json!("active"))?;
    calls.variables.insert("SAMPLE_MACHINE_ID", machine.text("/id")?.to_owned());

    title(
        "2. The help desk retrieves it: with a reason, and an event in the log before the answer.",
    );
    let retrievals = format!("{MACHINE}/retrievals");
    let first = calls.post("TOKEN_HELPDESK", &retrievals, RETRIEVAL, 201).await?;
    first.has("/passphrase", &json!(machine.text("/passphrase")?))?;

    title("3. The machine's agent rotates it. The new one is in Key Vault before it is answered.");
    let rotations = format!("{MACHINE}/rotations");
    let rotation = calls.post("TOKEN_AGENT", &rotations, ROTATION, 201).await?;
    let new = json!(rotation.text("/passphrase")?);
    ensure!(new != machine.text("/passphrase")?, "the new passphrase is the old one");

    title(
        "4. The agent gives it to MARS (Set-OBMachineSetting), and confirms: now it is in force.",
    );
    let confirm = format!("{rotations}/{}/confirm", rotation.text("/id")?);
    let confirmed = calls.post("TOKEN_AGENT", &confirm, CONFIRMATION, 200).await?;
    confirmed.has("/state", &json!("confirmed"))?;

    title("5. The help desk retrieves again.");
    let second = calls.post("TOKEN_HELPDESK", &retrievals, RETRIEVAL, 201).await?;
    second.has("/passphrase", &new)?;
    second.has("/status", &json!("current"))?;
    ensure!(second.text("/version")? != first.text("/version")?, "the version is the old one");

    title("6. The auditor reads the log: the last event in full, then all of this machine's.");
    let events = "/v1/audit/events?machineId=$SAMPLE_MACHINE_ID";
    let last = format!("{events}&outcome=released&pageSize=1");
    let last = calls.get("TOKEN_AUDITOR", &last).await?;
    last.has("/items/0/id", &json!(second.text("/auditEvent/id")?))?;
    let all = calls.get_unseen("TOKEN_AUDITOR", events).await?;
    let released = all.items()?.iter().filter(|event| event["outcome"] == "released").count();
    ensure!(released == 4, "{released} events of a release instead of 4");
    say(table(all.items()?)?);
    ensure_escrowed(world, &new)?;

    title(
        "7. The auditor takes a signed checkpoint, and the program alone says whether the log is what it was.",
    );
    let checkpoint = directory.file(AUDIT_CHECKPOINT);
    calls.get_into("TOKEN_AUDITOR", "/v1/audit/checkpoint", &checkpoint).await?;
    verify(world, directory, program, &checkpoint)?;

    title(
        "8. Another Recovery Services vault is to save to this Key Vault. Preflight says what MARS would meet, and what mends it.",
    );
    let body = preflight("rsv-no-permission");
    let report = calls.post_for_text("TOKEN_PORTAL", "/v1/preflight", &body).await?;
    ensure!(report.contains("(MARS: 391225)"), "the error is not named");
    ensure!(report.contains("az role assignment create"), "the command is missing");
    Ok(machine.text("/id")?.to_owned())
}

/// A registration's body.
pub(crate) fn registration(fqdn: &str, agent: Option<&str>) -> String {
    let vault = samples::recovery_services_vault_id();
    let agent = agent.map(|id| format!("\n\"agentObjectId\": \"{id}\",")).unwrap_or_default();
    format!(
        r#"{{"fqdn": "{fqdn}",
"recoveryServicesVaultId": "{vault}",{agent}
"agentVersion": "2.0.9262.0", "tags": {{"owner": "team-a"}},
"passphrase": {{"source": "generated"}}}}"#
    )
}

/// A preflight's body.
pub(crate) fn preflight(vault: &str) -> String {
    let vault = samples::recovery_services_vault_id().replace("rsv-prod", vault);
    format!(
        r#"{{"keyVaultUri": "https://kv-mars.vault.azure.net/",
"recoveryServicesVaultId": "{vault}"}}"#
    )
}

/// Without the service: with the database, the checkpoint and the public key.
fn verify(
    world: &World,
    directory: &Directory,
    program: &Path,
    checkpoint: &Path,
) -> anyhow::Result<()> {
    say(format!("\n$ {}", verification(program, directory)));
    let mut command = Command::new(program);
    command.args(["audit", "verify", "--database-url", &world.service_url]);
    command.arg("--checkpoint").arg(checkpoint).arg("--public-key");
    let output = command.arg(directory.file(AUDIT_PUBLIC_KEY)).output()?;
    let verdict = String::from_utf8_lossy(&output.stdout);
    say(verdict.trim_end());
    let complete = verdict.contains("integrity     ok") && verdict.contains("completeness  ok");
    ensure!(output.status.success() && complete, "the log is not what the checkpoint says");
    Ok(())
}

/// A line to paste.
pub(crate) fn verification(program: &Path, directory: &Directory) -> String {
    format!(
        "{} audit verify --database-url \"$DATABASE_URL\" --checkpoint {} --public-key \"$AUDIT_PUBLIC_KEY_FILE\"",
        program.display(),
        directory.file(AUDIT_CHECKPOINT).display()
    )
}

fn title(text: &str) {
    say(format!("\n== {text}"));
}

/// One line for each event, oldest first.
fn table(events: &[Value]) -> anyhow::Result<String> {
    let row = |sequence: &str, [time, action, outcome, actor]: [&str; 4]| {
        format!("{sequence:>8}  {time:<28}  {action:<22}  {outcome:<9}  {actor}")
    };
    let head = row("sequence", ["recordedAt", "action", "outcome", "actor"]);
    let rows = events.iter().rev().map(|event| {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let pointers = ["/recordedAt", "/action", "/outcome", "/actor/objectId"];
        let fields = pointers.map(|pointer| text(pointer).unwrap_or("-"));
        Ok(row(
            &event["sequence"].as_i64().context("an event without sequence")?.to_string(),
            fields,
        ))
    });
    let rows: Vec<String> = rows.collect::<anyhow::Result<_>>()?;
    Ok(format!("{head}\n{}", rows.join("\n")))
}

/// What Key Vault itself has to say.
fn ensure_escrowed(world: &World, passphrase: &Value) -> anyhow::Result<()> {
    let name = "AzBackup-srv-web01-corp-contoso-com-rsv-prod";
    let secret = world.azsim.secret("kv-mars", name)?.context("Key Vault has no such secret")?;
    let newest = secret.versions.last().context("the secret has no version")?;
    ensure!(*passphrase == newest.value, "Key Vault has another passphrase");
    Ok(())
}
