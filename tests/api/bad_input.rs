//! Bad input: each a clear 4xx problem, with nothing written anywhere and nothing given back.
//!
//! These tests share a room whose broker is sent nothing else, so that "nothing written" can be counted.
//! Paths, queries and headers are in `bad_parameters`; how a body is sent, and passphrases in the wrong
//! place, in `bad_bodies`.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::harness::{Actor, Answer, Broker, RSV, Setup, azure};

/// What was there before any bad input came.
pub struct Room {
    pub broker: Broker,
    pub machine: Answer,
    pub other: Answer,
    /// Prepared, of `machine`.
    pub rotation: Answer,
    before: (i64, usize),
}

static ROOM: OnceCell<Room> = OnceCell::const_new();

impl Room {
    pub async fn open() -> &'static Self {
        ROOM.get_or_init(|| async {
            let broker = Broker::start(Setup::default()).await;
            let portal = broker.portal();
            let (machine, other) = (portal.register().await, portal.register().await);
            let rotation = portal.rotate(machine.id()).await;
            let mut room = Self { broker, machine, other, rotation, before: (0, 0) };
            room.before = room.written().await;
            room
        })
        .await
    }

    /// Rows, and requests to Key Vault.
    async fn written(&self) -> (i64, usize) {
        let query = "select (select count(*) from machines) + (select count(*) from rotations)
            + (select count(*) from idempotency_keys)
            + (select count(*) from audit_events where outcome in ('intended', 'succeeded', 'released'))";
        let rows = self.broker.database.count(query).await;
        // The probe of /readyz lists; nothing else of Key Vault is asked for bad input.
        let seen = azure().requests(&self.broker.key_vault).unwrap();
        (rows, seen.iter().filter(|request| request.operation != "key_vault.list_secrets").count())
    }

    /// Nothing has been written since the room was opened.
    pub async fn is_unchanged(&self) {
        assert_eq!(self.written().await, self.before);
    }

    pub async fn refused(&self, label: &str, answer: &Answer, expected: (u16, &str)) {
        assert_eq!(answer.problem(), expected, "{label}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{label}");
        self.is_unchanged().await;
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/v1/machines/{}{rest}", self.machine.id())
    }
}

const INVALID: (u16, &str) = (400, "invalid-request");

fn with(member: &str, value: Value) -> Value {
    let mut body = Actor::registration(&json!({"source": "generated"}));
    body[member] = value;
    body
}

#[tokio::test]
async fn names_that_are_no_machine_names_are_refused() {
    let room = Room::open().await;
    let long = "x".repeat(300);
    for name in [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a/b",
        "a\\b",
        "..",
        "../../etc",
        "a b",
        "a\u{0}b",
        "a\nb",
        "a\u{1b}[2J",
        "schön.de",
        "a%2e",
        "{}",
        "'; drop table machines",
        &long,
    ] {
        let answer = room.broker.portal().post("/v1/machines", with("fqdn", json!(name))).await;
        room.refused(name, &answer, INVALID).await;
        assert_eq!(answer.body["errors"][0]["pointer"], "/fqdn");
        assert!(name.len() < 6 || !answer.text.contains(name), "{}", answer.text);
    }
}

#[tokio::test]
async fn each_member_of_a_registration_is_checked() {
    let room = Room::open().await;
    let tags = |count: usize| -> Value {
        (0..count)
            .map(|tag| (tag.to_string(), json!("v")))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    for (member, value) in [
        ("recoveryServicesVaultId", json!("/subscriptions/x")),
        ("recoveryServicesVaultId", json!(format!("{RSV}/backupFabrics/x"))),
        ("recoveryServicesVaultId", json!(RSV.replace("RecoveryServices", "KeyVault"))),
        ("recoveryServicesVaultId", json!(format!("{}../x", RSV))),
        ("secretName", json!("AzBackup-a/b")),
        ("secretName", json!(format!("AzBackup-{}", "x".repeat(119)))),
        ("agentVersion", json!("latest")),
        ("agentVersion", json!(2)),
        ("agentObjectId", json!("me")),
        ("tags", tags(16)),
        ("tags", json!({"": "v"})),
        ("tags", json!({"n": "x".repeat(257)})),
        ("tags", json!({"n": "a\u{1b}[2J"})),
        ("tags", json!({"n": 1})),
        ("tags", json!([])),
        ("passphrase", json!({"source": "invented"})),
        ("passphrase", json!({"source": "generated", "value": "sixteen-letters!"})),
        ("passphrase", json!({"source": "generated", "version": "0".repeat(32)})),
        ("passphrase", json!({"source": "provided"})),
        ("passphrase", json!({"source": "adopted", "version": "latest"})),
        ("passphrase", json!({})),
        ("passphrase", Value::Null),
    ] {
        let label = format!("{member} {value}");
        let answer = room.broker.portal().post("/v1/machines", with(member, value)).await;
        room.refused(&label, &answer, INVALID).await;
    }
}

#[tokio::test]
async fn passphrases_that_mars_would_refuse_are_refused_and_not_echoed() {
    let room = Room::open().await;
    let long = "q".repeat(257);
    for value in [
        "",
        "fifteen-letters",
        "schön-und-lang-genug",
        "a-tab\tinside-of-the-text",
        " leading-space-is-lost",
        "trailing-space-is-lost ",
        "a\u{0}nul-in-a-passphrase",
        "smart\u{2019}quote-passphrase",
        &long,
    ] {
        let source = json!({"source": "provided", "value": value});
        let registered =
            room.broker.portal().post("/v1/machines", with("passphrase", source.clone())).await;
        let path = format!("/v1/machines/{}/rotations", room.other.id());
        let rotated = room.broker.portal().post(&path, json!({"passphrase": source})).await;
        for answer in [registered, rotated] {
            room.refused(value, &answer, (422, "passphrase-policy-violation")).await;
            assert!(value.is_empty() || !answer.text.contains(value), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn versions_of_the_wrong_shape_are_refused() {
    let room = Room::open().await;
    for version in
        ["", "newest", &"a".repeat(31), &"a".repeat(33), &"g".repeat(32), "../../secrets/x"]
    {
        let answer = room.broker.helpdesk().retrieve_version(room.machine.id(), version).await;
        room.refused(version, &answer, INVALID).await;
        assert_eq!(answer.body["errors"][0]["pointer"], "/version");
    }
}

#[tokio::test]
async fn a_retrieval_without_a_good_reason_is_refused() {
    let room = Room::open().await;
    let drill =
        |justification: &str| json!({"reason": "restoreDrill", "justification": justification});
    for (body, expected) in [
        (json!({}), (422, "reason-required")),
        (json!({"justification": "the yearly restore drill"}), (422, "reason-required")),
        (json!({"reason": "restoreDrill"}), (422, "reason-required")),
        (drill("too short"), (422, "reason-required")),
        (drill("   too short   "), (422, "reason-required")),
        (drill(&"x".repeat(501)), (422, "reason-required")),
        (drill("an escape \u{1b}[2J sequence"), (422, "reason-required")),
        (drill("text that \u{202e}runs backwards"), (422, "reason-required")),
        (
            json!({"reason": "other", "justification": "nineteen characters"}),
            (422, "reason-required"),
        ),
        (json!({"reason": "curiosity", "justification": "the yearly drill"}), INVALID),
    ] {
        let answer = room.broker.helpdesk().post(&room.path("/retrievals"), body.clone()).await;
        room.refused(&body.to_string(), &answer, expected).await;
    }
}

#[tokio::test]
async fn rotations_are_asked_for_confirmed_and_failed_with_legal_members_only() {
    let room = Room::open().await;
    let portal = room.broker.portal();
    let rotations = format!("/v1/machines/{}/rotations", room.other.id());
    for body in [
        json!({}),
        json!({"passphrase": {"source": "adopted"}}),
        json!({"passphrase": {"source": "generated", "value": "sixteen-letters!"}}),
        json!({"passphrase": {"source": "provided"}}),
        json!({"passphrase": {"source": "generated"}, "writer": "me"}),
        json!({"passphrase": {"source": "generated"}, "expiresInSeconds": 59}),
        json!({"passphrase": {"source": "generated"}, "expiresInSeconds": 604_801}),
        json!({"passphrase": {"source": "generated"}, "expiresInSeconds": -1}),
        json!({"passphrase": {"source": "generated"}, "expiresInSeconds": 60.5}),
        json!({"passphrase": {"source": "generated"}, "expiresInSeconds": "60"}),
    ] {
        let answer = portal.post(&rotations, body.clone()).await;
        room.refused(&body.to_string(), &answer, INVALID).await;
    }
    let rotation = room.path(&format!("/rotations/{}", room.rotation.id()));
    for (how, body) in [
        ("confirm", json!({"agentVersion": "latest"})),
        ("confirm", json!({"secretIdentifier": "https://kv.vault.azure.net/secrets/a/b"})),
        ("fail", json!({"marsErrorCode": "100130; drop"})),
        ("fail", json!({"marsErrorCode": "1".repeat(17)})),
        ("fail", json!({"message": "x".repeat(501)})),
        ("fail", json!({"message": "an escape \u{1b}[2J"})),
    ] {
        let answer = portal.post(&format!("{rotation}/{how}"), body.clone()).await;
        room.refused(&body.to_string(), &answer, INVALID).await;
    }
}
