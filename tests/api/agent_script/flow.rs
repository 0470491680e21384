//! What the script does in every situation of the broker and of MARS, and what it says about it.

use std::{os::unix::fs::PermissionsExt, process::Command};

use azsim::SecretSpec;
use serde_json::json;

use super::{broker, server::Server};
use crate::harness::azure;

#[tokio::test]
async fn it_collects_what_a_portal_prepared_applies_it_and_confirms() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let idle = server.obey(broker).await;
    assert_eq!(idle.status, Some(0), "{}", idle.told);
    assert!(idle.told.contains("nothing to do"));
    let prepared = broker.portal().rotate(server.machine.id()).await;
    let run = server.obey(broker).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    assert!(run.told.contains(prepared.id()), "{}", run.told);
    assert_ne!(server.applied(), server.machine.field("passphrase"));
    server.assert_settled(broker, "collected").await;
}

#[tokio::test]
async fn it_rotates_when_the_policy_says_so_and_not_before() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let since = "current_version_since = now() - interval '31 days'";
    let statement = format!("update machines set {since} where id = '{}'", server.machine.id());
    broker.database.execute(&statement).await;
    let run = server.obey(broker).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    assert_ne!(server.applied(), server.machine.field("passphrase"));
    server.assert_settled(broker, "due").await;
    assert!(server.obey(broker).await.told.contains("nothing to do"));
}

#[tokio::test]
async fn it_runs_in_every_shell_that_is_here() {
    let broker = broker().await;
    let shells: [&[&str]; 4] = [&["dash"], &["bash"], &["bash", "--posix"], &["busybox", "sh"]];
    let mut ran = 0;
    for shell in shells {
        if Command::new(shell[0]).args(["-c", ":"]).output().is_err() {
            continue;
        }
        let server = Server::set_up(broker).await;
        let run = server.run_with(broker, shell, &[]).await;
        assert_eq!(run.status, Some(0), "{shell:?}: {}", run.told);
        server.assert_settled(broker, shell[0]).await;
        ran += 1;
    }
    assert!(ran > 0);
}

#[tokio::test]
async fn a_virtual_machine_gets_its_token_from_imds() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let changes = [("TOKEN_SOURCE", "imds"), ("IMDS_URL", &server.imds_url())];
    let run = server.run_with(broker, &["sh"], &changes).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    server.assert_settled(broker, "imds").await;
}

#[tokio::test]
async fn the_passphrase_is_in_no_argument_environment_file_or_trace() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    // Exported by a careless caller, under the names of our variables.
    let changes = [("passphrase", "x"), ("body", "x"), ("token", "x"), ("answer", "x")];
    let run = server.run_with(broker, &["sh", "-x"], &changes).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    let passphrase = server.applied();
    assert_eq!(passphrase.len(), 53);
    assert!(!run.told.contains(&passphrase));
    assert!(!server.files().contains(&passphrase));
    let arguments = server.read("arguments");
    assert!(arguments.lines().count() > 5 && !arguments.contains("Bearer"), "{arguments}");
    let mode = |path: &str| server.directory.join(path).metadata().unwrap().permissions().mode();
    assert_eq!((mode("state") & 0o777, mode("state/lock") & 0o777), (0o700, 0o600));
}

#[tokio::test]
async fn a_failure_of_mars_is_reported_with_its_code_and_the_old_passphrase_stays() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    server.write("mars", "fails");
    let run = server.rotate(broker).await;
    assert_eq!(run.status, Some(7), "{}", run.told);
    assert!(run.told.contains("100130"), "{}", run.told);
    let path = format!("/v1/machines/{}/rotations", server.machine.id());
    let rotation = broker.portal().get(&path).await.body["items"][0].clone();
    assert_eq!(
        (&rotation["state"], &rotation["marsErrorCode"]),
        (&json!("failed"), &json!("100130"))
    );
    assert_eq!(server.applied(), server.machine.field("passphrase"));
    assert_eq!(server.shown(broker).await[0], server.applied());
    assert!(!server.state_file().exists());
    server.write("mars", "");
    assert_eq!(server.rotate(broker).await.status, Some(0));
    server.assert_settled(broker, "after the failure").await;
}

#[tokio::test]
async fn when_mars_is_killed_nobody_knows_and_the_next_run_applies_it_again() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    server.write("mars", "killed");
    let run = server.rotate(broker).await;
    assert_eq!(run.status, Some(75), "{}", run.told);
    server.assert_retrievable(broker, "killed").await;
    server.write("mars", "");
    let run = server.obey(broker).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    server.assert_settled(broker, "applied again").await;
}

#[tokio::test]
async fn a_command_that_is_not_there_applies_nothing_and_is_told() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let run = server.run_with(broker, &["sh"], &[("MARS_COMMAND", "no-such-program")]).await;
    assert_eq!(run.status, Some(2), "{}", run.told);
    assert_eq!(server.obey(broker).await.status, Some(0));
    server.assert_settled(broker, "with the right command").await;
}

#[tokio::test]
async fn mars_saves_the_passphrase_itself_and_the_confirmation_finds_it() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    server.write("mars", "saves");
    let run = server.run_with(broker, &["sh"], &[("ROTATION_WRITER", "agent")]).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    server.assert_settled(broker, "saved by MARS").await;
    let versions = broker.versions(server.machine.field("secretName"));
    assert_eq!((versions.len(), &versions[1].value), (2, &server.applied()));
}

#[tokio::test]
async fn what_mars_saves_late_is_waited_for_and_asked_for_again_by_the_next_run() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let changes = [("ROTATION_WRITER", "agent"), ("RETRY_FOR_SECONDS", "1")];
    let run = server.run_with(broker, &["sh"], &changes).await;
    assert_eq!(run.status, Some(75), "{}", run.told);
    server.assert_retrievable(broker, "not saved yet").await;
    let secret = SecretSpec::new(server.machine.field("secretName"), server.applied());
    azure().put_secret(&broker.key_vault, secret).unwrap();
    let steps = server.read("steps").matches("mars").count();
    let run = server.obey(broker).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    assert_eq!(server.read("steps").matches("mars").count(), steps, "applied again");
    server.assert_settled(broker, "saved late").await;
}

#[tokio::test]
async fn what_mars_never_saved_is_applied_again_by_each_next_run() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let changes = [("ROTATION_WRITER", "agent"), ("RETRY_FOR_SECONDS", "1")];
    let mut passphrases = Vec::new();
    for saves in ["", "", "saves"] {
        server.plan("");
        server.write("mars", saves);
        let run = server.run_with(broker, &["sh"], &changes).await;
        let status = if saves.is_empty() { 75 } else { 0 };
        assert_eq!(run.status, Some(status), "{}", run.told);
        assert_eq!(server.read("steps").matches("mars").count(), 2, "{}", run.told);
        assert!(!server.files().contains(&server.applied()));
        passphrases.push(server.applied());
    }
    passphrases.dedup();
    assert_eq!(passphrases.len(), 1, "it was another passphrase");
    assert_eq!(server.states(broker).await, ["confirmed"]);
    server.assert_settled(broker, "saved in the end").await;
}

#[tokio::test]
async fn what_mars_never_saved_is_followed_by_another_rotation_when_it_expired() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let changes = [("ROTATION_WRITER", "agent"), ("RETRY_FOR_SECONDS", "1")];
    let run = server.run_with(broker, &["sh"], &changes).await;
    assert_eq!(run.status, Some(75), "{}", run.told);
    let lost = server.applied();
    server.expire(broker).await;
    server.write("mars", "saves");
    let run = server.run_with(broker, &["sh"], &changes).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    assert_ne!(server.applied(), lost);
    assert_eq!(server.states(broker).await, ["confirmed", "indeterminate"]);
    server.assert_settled(broker, "followed by another").await;
}

#[tokio::test]
async fn when_mars_saves_another_passphrase_both_are_kept_until_it_is_settled() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    server.write("mars", "saves-other");
    let run = server.run_with(broker, &["sh"], &[("ROTATION_WRITER", "agent")]).await;
    assert_eq!(run.status, Some(6), "{}", run.told);
    assert_eq!(server.shown(broker).await.len(), 3);
    server.assert_retrievable(broker, "another one saved").await;
    let secret = SecretSpec::new(server.machine.field("secretName"), server.applied());
    azure().put_secret(&broker.key_vault, secret).unwrap();
    assert_eq!(server.obey(broker).await.status, Some(0));
    server.assert_settled(broker, "settled").await;
}

#[tokio::test]
async fn an_identity_without_a_machine_is_told_so() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let path = format!("/v1/machines/{}", server.machine.id());
    let shown = broker.portal().get(&path).await;
    let unbound = json!({"agentObjectId": null});
    assert_eq!(broker.portal().patch(&path, shown.header("etag"), unbound).await.status, 200);
    let run = server.rotate(broker).await;
    assert_eq!(run.status, Some(4), "{}", run.told);
    assert!(run.told.contains("bound no machine"), "{}", run.told);
}

#[tokio::test]
async fn a_wrong_setting_is_told_before_anything_is_called() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    for change in [
        ("BROKER_URL", "http://broker.example"),
        ("BROKER_URL", "https://broker.example/\"x"),
        ("BROKER_URL", ""),
        ("MARS_COMMAND", ""),
        ("ROTATION_WRITER", "me"),
        ("ARC_ENDPOINT", "http://localhost:40342@evil.example/token"),
        ("ARC_ENDPOINT", "https://evil.example/token"),
        ("RETRY_DELAY_SECONDS", "0"),
    ] {
        let run = server.run_with(broker, &["sh"], &[change]).await;
        assert_eq!(run.status, Some(2), "{change:?}: {}", run.told);
    }
    assert_eq!(server.read("arguments"), "");
}

#[tokio::test]
async fn a_second_run_at_the_same_time_leaves_it_to_the_first() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let slow = format!("sleep 2; {}", server.directory.join("bin/mars.sh").display());
    let command = [("MARS_COMMAND", slow.as_str())];
    let first = server.run_with(broker, &["sh"], &command);
    let second = async {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !server.state_file().exists() {
            assert!(std::time::Instant::now() < deadline);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        server.rotate(broker).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(
        (first.status, second.status),
        (Some(0), Some(75)),
        "{} {}",
        first.told,
        second.told
    );
    server.assert_settled(broker, "one after the other").await;
}
