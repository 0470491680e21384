//! An event of the log as API Activity (class 6003) of the Open Cybersecurity Schema Framework, version 1.3.0. What the
//! schema has no attribute for is in `unmapped`, which is the stored event.

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::audit::OutboxEvent;

const VERSION: &str = "1.3.0";
const PRODUCT: &str = "passphrase-broker";
const CLASS: u32 = 6003;

pub(super) fn api_activity(stored: &OutboxEvent) -> Value {
    let event: Value = serde_json::from_slice(&stored.body).unwrap_or_default();
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let (action, outcome) = (text("/action").unwrap_or_default(), text("/outcome"));
    let activity = activity(action);
    let (status, severity) = status_and_severity(outcome);
    let happened = text("/time").and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok());
    let source = match text("/sourceAddress") {
        Some(address) => json!({"ip": address}),
        None => json!({"name": PRODUCT}),
    };
    present([
        ("category_uid", json!(6)),
        ("class_uid", json!(CLASS)),
        ("activity_id", json!(activity)),
        ("type_uid", json!(CLASS * 100 + activity)),
        ("severity_id", json!(severity)),
        ("status_id", json!(status)),
        ("status_detail", json!(text("/problem"))),
        ("time", json!(milliseconds(happened.unwrap_or(stored.recorded_at)))),
        ("message", json!(format!("{action} {}", outcome.unwrap_or_default()))),
        (
            "metadata",
            present([
                ("version", json!(VERSION)),
                (
                    "product",
                    json!({"name": PRODUCT, "vendor_name": PRODUCT, "version": env!("CARGO_PKG_VERSION")}),
                ),
                ("uid", json!(text("/id"))),
                ("sequence", json!(stored.sequence)),
                ("correlation_uid", json!(text("/operationId"))),
                ("logged_time", json!(milliseconds(stored.recorded_at))),
            ]),
        ),
        ("actor", actor(&event)),
        (
            "api",
            present([
                ("operation", json!(action)),
                ("service", json!({"name": PRODUCT})),
                ("request", text("/requestId").map_or(Value::Null, |id| json!({"uid": id}))),
            ]),
        ),
        ("src_endpoint", source),
        ("resources", resources(&event)),
        (
            "unmapped",
            json!({"event": event, "recordedAt": stored.recorded_at.format(&Rfc3339).ok()}),
        ),
    ])
}

/// Create, read, update: nothing is ever deleted.
fn activity(action: &str) -> u32 {
    let begins = |verbs: &[&str]| verbs.iter().any(|verb| action.starts_with(verb));
    if begins(&["register_", "request_", "accept_"]) {
        1
    } else if begins(&[
        "retrieve_",
        "collect_",
        "list_",
        "get_",
        "show_",
        "check_",
        "scan_",
        "run_",
        "export_",
        "prove_",
    ]) {
        2
    } else {
        3
    }
}

/// Success 1, failure 2, not known yet 0; informational 1, low 2, medium 3.
fn status_and_severity(outcome: Option<&str>) -> (u32, u32) {
    match outcome {
        Some("succeeded" | "released") => (1, 1),
        Some("intended") => (0, 1),
        Some("denied" | "failed") => (2, 2),
        _ => (0, 3),
    }
}

fn actor(event: &Value) -> Value {
    let text = |name: &str| event["actor"][name].as_str();
    let type_id = match text("kind") {
        Some("user") => 1,
        Some("application") => 4,
        Some("system") => return json!({"app_name": PRODUCT}),
        _ => return json!({"user": {"name": "anonymous", "type_id": 0}}),
    };
    let organization = text("tenantId").map_or(Value::Null, |id| json!({"uid": id}));
    let user = present([
        ("uid", json!(text("objectId"))),
        ("type_id", json!(type_id)),
        ("org", organization),
    ]);
    present([("user", user), ("app_uid", json!(text("clientId")))])
}

fn resources(event: &Value) -> Value {
    let machine = event["machineId"].as_str().map(|id| json!({"type": "machine", "uid": id}));
    let secrets = event["secrets"].as_array().into_iter().flatten().map(
        |secret| json!({"type": "secretVersion", "name": secret["name"], "uid": secret["version"]}),
    );
    let all: Vec<Value> = machine.into_iter().chain(secrets).collect();
    if all.is_empty() { Value::Null } else { Value::Array(all) }
}

/// Without what there is not.
fn present<const N: usize>(attributes: [(&str, Value); N]) -> Value {
    let there = attributes.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000 + i64::from(time.millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &Value) -> Value {
        let recorded_at = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        api_activity(&OutboxEvent { sequence: 7, recorded_at, body: body.to_string().into_bytes() })
    }

    #[test]
    fn a_retrieval_has_what_the_class_requires() {
        let event = of(
            &json!({"action": "retrieve_passphrase", "outcome": "released", "id": "e", "operationId": "o",
            "requestId": "r", "time": "2027-01-15T07:59:59.25Z", "machineId": "m", "sourceAddress": "192.0.2.1",
            "actor": {"kind": "user", "objectId": "u", "tenantId": "t", "clientId": "c"},
            "secrets": [{"name": "AzBackup-x", "version": "v"}]}),
        );
        for (pointer, expected) in [
            ("/class_uid", json!(6003)),
            ("/category_uid", json!(6)),
            ("/type_uid", json!(600_302)),
            ("/activity_id", json!(2)),
            ("/severity_id", json!(1)),
            ("/status_id", json!(1)),
            ("/time", json!(1_799_999_999_250_i64)),
            ("/metadata/version", json!("1.3.0")),
            ("/metadata/sequence", json!(7)),
            ("/metadata/product/vendor_name", json!("passphrase-broker")),
            ("/actor/user", json!({"uid": "u", "type_id": 1, "org": {"uid": "t"}})),
            ("/api/operation", json!("retrieve_passphrase")),
            ("/src_endpoint", json!({"ip": "192.0.2.1"})),
            ("/resources/0", json!({"type": "machine", "uid": "m"})),
            ("/resources/1/uid", json!("v")),
        ] {
            assert_eq!(event.pointer(pointer), Some(&expected), "{pointer} in {event}");
        }
    }

    #[test]
    fn an_event_of_nobody_in_particular_has_an_actor_and_a_source() {
        let event = of(
            &json!({"action": "expire_rotation", "outcome": "succeeded", "actor": {"kind": "system"}}),
        );
        assert_eq!(event["actor"], json!({"app_name": "passphrase-broker"}));
        assert_eq!(event["src_endpoint"], json!({"name": "passphrase-broker"}));
        let denied = of(
            &json!({"action": "list_machines", "outcome": "denied", "problem": "unauthenticated",
            "actor": {"kind": "anonymous"}}),
        );
        assert_eq!(denied["actor"]["user"]["name"], "anonymous");
        assert_eq!(
            (&denied["status_id"], &denied["status_detail"]),
            (&json!(2), &json!("unauthenticated"))
        );
    }
}
