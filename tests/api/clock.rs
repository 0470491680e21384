//! Goal B9: a replica whose clock is wrong says so, and what replicas decide together does not depend on it.
//!
//! The replica's time of day is really another one: a library of a few lines is preloaded into it.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use azsim::TokenSpec;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{AUDIENCE, Actor, Answer, Broker, Setup, azure};

fn library() -> &'static PathBuf {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let name = format!("shift-{}.so", std::process::id());
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg("tests/api/clock/shift.c")
            .status();
        assert!(built.unwrap().success());
        library
    });
    &LIBRARY
}

/// A replica whose clock is ahead by as much.
async fn ahead(broker: &Broker, seconds: i64) -> Broker {
    let environment = [
        ("LD_PRELOAD", library().display().to_string()),
        ("SHIFT_SECONDS", seconds.to_string()),
        ("RECONCILE_SECONDS", "1".to_owned()),
    ];
    let setup = Setup {
        database: Some(broker.database.clone()),
        replica_of: Some((broker.key_vault.clone(), broker.tenant.clone())),
        environment: environment.into(),
        unready: true,
        ..Setup::default()
    };
    Broker::start(setup).await
}

/// `/readyz` when everything else is there.
async fn clock_of(broker: &Broker) -> Answer {
    loop {
        let answer = broker.nobody().get("/readyz").await;
        let others = ["database", "auditLog", "keyVault", "identityKeys"];
        if others.iter().all(|other| answer.body[other] == "ok") {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn metric(broker: &Broker) -> f64 {
    let metrics = broker.nobody().get("/metrics").await.text;
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("passphrase_broker_clock_ahead_seconds "));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_replica_whose_clock_is_more_than_a_minute_off_is_unready_and_tells_by_how_much() {
    let broker = Broker::shared().await;
    for (shift, ready) in [(-3600, false), (75, false), (30, true), (3600, false)] {
        let replica = ahead(broker, shift).await;
        let told = clock_of(&replica).await;
        let expected = if ready { (200, "ok") } else { (503, "skewed") };
        assert_eq!((told.status, told.field("clock")), expected, "{shift}: {}", told.text);
        let measured = metric(&replica).await;
        #[expect(clippy::cast_precision_loss, reason = "an hour is few seconds")]
        let off = (measured - shift as f64).abs();
        assert!(off < 5.0, "{shift}: {measured}");
    }
}

/// An agent or a portal whose token every one of these clocks believes.
fn timeless(broker: &Broker, actor: &Actor, roles: &[&str]) -> Actor {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let spec = TokenSpec::application(AUDIENCE, &actor.object_id)
        .in_tenant(&broker.tenant)
        .roles(roles)
        .claim("nbf", now - 7_200)
        .claim("iat", now - 7_200)
        .claim("exp", now + 7_200);
    actor.bearing(azure().mint(&spec).unwrap())
}

fn moment(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

#[tokio::test]
async fn the_order_and_the_time_of_events_are_postgresqls() {
    let broker = Broker::start(Setup::default()).await;
    let (late, early) = tokio::join!(ahead(&broker, -3600), ahead(&broker, 3600));
    let portal = timeless(&broker, &broker.portal(), &["Machines.Read", "Machines.Register"]);
    let before = OffsetDateTime::now_utc();
    for at in [&late, &broker, &early, &late, &early, &broker] {
        portal.at(at).register().await;
    }
    let events = broker.auditor().events("action=register_machine").await;
    assert_eq!(events.len(), 12);
    let recorded: Vec<_> = events.iter().rev().map(|event| moment(&event["recordedAt"])).collect();
    assert!(recorded.is_sorted(), "{recorded:?}");
    let second = time::Duration::seconds(1);
    assert!(recorded[0] >= before - second && recorded[11] <= OffsetDateTime::now_utc() + second);
}

#[tokio::test]
async fn no_replicas_clock_ends_a_rotation_that_another_one_began() {
    let broker = Broker::start(Setup::default()).await;
    let (late, early) = tokio::join!(ahead(&broker, -7_000), ahead(&broker, 7_000));
    let agent = broker.agent();
    let machine = broker.portal().register_for(&agent).await;
    let agent = timeless(&broker, &agent, &["Agent"]);
    let rotation = agent.rotate(machine.id()).await;
    let collected = agent.at(&early).settle(machine.id(), rotation.id(), "collect").await;
    assert_eq!(collected.status, 200, "{}", collected.text);
    let confirmed = agent.at(&late).settle(machine.id(), rotation.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    for at in [&early, &late] {
        let rotation = agent.at(at).rotate(machine.id()).await;
        assert_eq!(rotation.status, 201, "{}", rotation.text);
        let lasts = moment(&rotation.body["expiresAt"]) - OffsetDateTime::now_utc();
        assert!((55..=60).contains(&lasts.whole_minutes()), "{lasts}");
        let failed = agent.settle(machine.id(), rotation.id(), "fail").await;
        assert_eq!(failed.field("state"), "failed", "{}", failed.text);
    }
    let closed = "select count(*) from audit_events where action = 'expire_rotation'";
    assert_eq!(broker.database.count(closed).await, 0);
}
