//! The script is killed after each of its steps, and the broker around each of its calls. The passphrase that the server
//! uses can be retrieved at every moment, and the next run ends well.

use std::time::Duration;

use azsim::{Effect, Fault};

use super::{
    broker,
    server::{Run, Server},
    start,
};
use crate::harness::{Broker, Setup, azure, free_port};

/// How many steps a rotation has that nobody disturbs.
async fn undisturbed(broker: &Broker, environment: &[(&'static str, &str)], mars: &str) -> usize {
    let server = Server::set_up(broker).await;
    server.write("mars", mars);
    let run = server.run_with(broker, &["sh"], environment).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    server.assert_settled(broker, "undisturbed").await;
    server.steps()
}

/// Kills the script after each step; the next run has its state, or nothing when it is forgetful.
async fn killed_after_each_step(
    environment: &[(&'static str, &str)],
    mars: &str,
    forgetful: bool,
) -> usize {
    let broker = broker().await;
    let steps = undisturbed(broker, environment, mars).await;
    assert!(steps >= 9, "{steps}");
    for step in 1..=steps {
        let server = Server::set_up(broker).await;
        server.write("mars", mars);
        server.plan(&format!("{step} script"));
        let killed = server.run_with(broker, &["sh"], environment).await;
        let context = format!("step {step}, forgetful: {forgetful}, {}", server.read("steps"));
        assert_eq!(killed.status, None, "{context}: {}", killed.told);
        server.assert_retrievable(broker, &context).await;
        if forgetful {
            drop(std::fs::remove_dir_all(server.directory.join("state")));
        }
        server.plan("");
        let run = server.run_with(broker, &["sh"], environment).await;
        assert_eq!(run.status, Some(0), "{context}: {}", run.told);
        assert_ne!(server.applied(), server.machine.field("passphrase"), "{context}");
        server.assert_settled(broker, &context).await;
        assert!(!server.files().contains(&server.applied()), "{context}");
    }
    steps
}

#[tokio::test]
async fn killed_after_any_step_the_next_run_goes_on() {
    let steps = killed_after_each_step(&[], "", false).await;
    println!("killed after each of {steps} steps: 0 passphrases lost");
}

#[tokio::test]
async fn killed_after_any_step_the_next_run_goes_on_without_its_state() {
    let steps = killed_after_each_step(&[], "", true).await;
    println!("killed after each of {steps} steps, its state lost: 0 passphrases lost");
}

#[tokio::test]
async fn killed_after_any_step_the_next_run_goes_on_when_mars_saves() {
    let steps = killed_after_each_step(&[("ROTATION_WRITER", "agent")], "saves", false).await;
    println!("killed after each of {steps} steps, MARS saves: 0 passphrases lost");
}

#[tokio::test]
async fn a_rotation_that_expired_while_the_script_was_dead_is_followed_by_another() {
    let broker = broker().await;
    let server = Server::set_up(broker).await;
    let steps = undisturbed(broker, &[], "").await;
    // The last ones are: MARS began, MARS applied, the state, the confirmation, the state's end.
    server.plan(&format!("{} script", steps - 3));
    assert_eq!(server.rotate(broker).await.status, None);
    assert_ne!(server.applied(), server.machine.field("passphrase"));
    server.expire(broker).await;
    server.plan("");
    let lost = server.applied();
    let run = server.obey(broker).await;
    assert_eq!(run.status, Some(0), "{}", run.told);
    assert_ne!(server.applied(), lost);
    server.assert_settled(broker, "expired").await;
}

/// The broker again, on the same port and the same database.
async fn revive(dead: &Broker) -> Broker {
    // What was interrupted counts as such after half a minute. Once it is back, what goes on may be its own work.
    let long_ago = "requested_at = requested_at - interval '31 seconds' where state = 'requested'";
    dead.database.execute(&format!("update rotations set {long_ago}")).await;
    let address = dead.url.trim_start_matches("http://").to_owned();
    Broker::start(Setup {
        database: Some(dead.database.clone()),
        environment: [("LISTEN_ADDRESS", address)].into(),
        replica_of: Some((dead.key_vault.clone(), dead.tenant.clone())),
        ..Setup::default()
    })
    .await
}

/// Runs the script, and starts the broker again whenever it is dead.
async fn rotate_reviving(server: &Server, mut broker: Broker) -> (Run, Broker, usize) {
    let environment = server.environment(&broker);
    let run = server.run_in(&environment);
    tokio::pin!(run);
    let mut deaths = 0;
    let run = loop {
        tokio::select! {
            run = &mut run => break run,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        if broker.has_ended() {
            broker = revive(&broker).await;
            server.write("broker", &broker.process_id().to_string());
            deaths += 1;
        }
    };
    if broker.has_ended() {
        broker = revive(&broker).await;
        deaths += 1;
    }
    (run, broker, deaths)
}

#[tokio::test]
async fn a_broker_that_dies_around_any_call_is_waited_for() {
    let mut broker = start(Some(format!("127.0.0.1:{}", free_port()))).await;
    // Long enough to die in.
    let slow = Fault::new("key_vault.", Effect::DelayReply { milliseconds: 300 });
    let _slow = azure().inject(slow.key_vault(&broker.key_vault));
    let mut all_deaths = 0;
    for (call, moment) in (1..=4).flat_map(|call| ["during", "after"].map(|moment| (call, moment)))
    {
        let server = Server::set_up(&broker).await;
        server.plan(&format!("{call} {moment}"));
        let (run, revived, deaths) = rotate_reviving(&server, broker).await;
        broker = revived;
        all_deaths += deaths;
        let context = format!("call {call}, {moment}: {}", run.told);
        assert_eq!(run.status, Some(0), "{context}");
        assert_ne!(server.applied(), server.machine.field("passphrase"), "{context}");
        server.assert_settled(&broker, &context).await;
    }
    assert_eq!(all_deaths, 8);
    println!("the broker died {all_deaths} times, around 4 calls: 0 passphrases lost");
}
