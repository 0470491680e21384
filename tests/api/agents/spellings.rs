//! Ways to say another machine: in the path, in the rotation's id, and past the path.

use serde_json::{Value, json};
use uuid::Uuid;

pub struct Attempt {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    /// Whether it is passed over: the answer is about the agent's own machine.
    pub ignored: bool,
}

/// What is tried with: the agent's own machine and another, both with a rotation.
pub struct Pair<'a> {
    pub own: &'a str,
    pub own_rotation: &'a str,
    pub other: &'a str,
    pub other_rotation: &'a str,
    pub other_agent: &'a str,
}

pub fn table(pair: &Pair<'_>) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let rotation = pair.other_rotation;
    for spelling in paths(pair.own, pair.other) {
        let machine = format!("/v1/machines/{spelling}");
        attempts.push(refused("GET", machine.clone()));
        attempts.push(refused("GET", format!("{machine}/rotations")));
        attempts.push(refused("GET", format!("{machine}/rotations/{rotation}")));
        attempts.push(refused("POST", format!("{machine}/rotations/{rotation}/collect")));
        let body = Some(json!({"passphrase": {"source": "generated"}}));
        attempts.push(Attempt { body, ..refused("POST", format!("{machine}/rotations")) });
    }
    for spelling in paths(pair.own_rotation, rotation) {
        let rotation = format!("/v1/machines/{}/rotations/{spelling}", pair.own);
        attempts.push(refused("GET", rotation.clone()));
        attempts.push(refused("POST", format!("{rotation}/collect")));
        attempts.push(refused("POST", format!("{rotation}/confirm")));
    }
    attempts.extend(headers(pair));
    attempts.extend(queries_and_bodies(pair));
    attempts
}

fn refused(method: &'static str, target: String) -> Attempt {
    Attempt { method, target, headers: Vec::new(), body: None, ignored: false }
}

fn paths(own: &str, other: &str) -> Vec<String> {
    let id = Uuid::parse_str(other).unwrap();
    let encode = |text: &str| -> String {
        text.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect()
    };
    let alternating: String = (0..)
        .zip(other.chars())
        .map(|(place, letter)| if place % 2 == 0 { letter.to_ascii_uppercase() } else { letter })
        .collect();
    let full_width: String = other
        .chars()
        .map(|letter| match letter {
            '0'..='9' => char::from_u32(u32::from(letter) - 0x30 + 0xff10).unwrap(),
            other => other,
        })
        .collect();
    let mut paths = vec![
        other.to_owned(),
        other.to_uppercase(),
        alternating,
        id.simple().to_string(),
        id.simple().to_string().to_uppercase(),
        id.urn().to_string(),
        id.urn().to_string().to_uppercase(),
        id.braced().to_string(),
        format!("%7B{other}%7D"),
        format!("%7b{}%7d", other.to_uppercase()),
        encode(other),
        encode(&id.braced().to_string()),
        encode(&id.urn().to_string()),
        encode(&full_width),
        format!("{}{}", encode(&other[..1]), &other[1..]),
        other.replace('-', "%2D"),
        other.replace('-', "%2d"),
        other.replace('-', "_"),
        other.replace('-', "%E2%80%90"),
        format!("0x{}", id.simple()),
        id.as_u128().to_string(),
    ];
    for around in [
        "%20@",
        "@%20",
        "@+",
        "+@",
        "@%09",
        "@%0A",
        "@%0D%0A",
        "@%00",
        "@%00.json",
        "@.",
        "@.json",
        "@;",
        "@;v=1",
        "@,#",
        "#,@",
        "@%2C#",
        "@&#",
        "#&@",
        "#&machineId=@",
        "@|#",
        "'@'",
        "%22@%22",
        "(@)",
        "@*",
        "@%",
        "@%2",
        "@%2F",
        "@/",
        "/@",
        "//@",
        "./@",
        "@/.",
        "@/..",
        "#/../@",
        "#/..;/@",
        "#/%2e%2e/@",
        "#/%2E%2E/@",
        "#/.%2e/@",
        "#/..%2F@",
        "#%2F..%2F@",
        "#%2f%2e%2e%2f@",
        "#\\..\\@",
        "#%5C..%5C@",
        "#%252F..%252F@",
        "#%c0%af..%c0%af@",
        "#/machines/@",
        "#%23@",
        "#%3F@",
        "@%23",
        "@%3F",
        "@?",
        "@?x=1",
    ] {
        paths.push(around.replace('#', own).replace('@', other));
    }
    paths
}

/// The own machine in the path, another in a header that some proxy or framework would believe.
fn headers(pair: &Pair<'_>) -> Vec<Attempt> {
    let elsewhere = format!("/v1/machines/{}", pair.other);
    let url = format!("http://localhost{elsewhere}");
    let mut headers = Vec::new();
    for name in [
        "x-original-url",
        "x-rewrite-url",
        "x-original-uri",
        "x-forwarded-uri",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-forwarded-url",
        "x-envoy-original-path",
        "x-http-destinationurl",
        "x-proxy-url",
        "referer",
        "origin",
        "content-location",
        "location",
        "destination",
    ] {
        headers.push((name, elsewhere.clone()));
        headers.push((name, url.clone()));
    }
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        headers.push((name, "PATCH".to_owned()));
    }
    for name in ["x-machine-id", "machineid", "x-forwarded-host", "x-forwarded-server"] {
        headers.push((name, pair.other.to_owned()));
    }
    for name in [
        "x-ms-client-principal-id",
        "x-ms-client-principal-name",
        "x-forwarded-user",
        "x-user",
        "x-remote-user",
        "remote-user",
        "x-object-id",
        "x-authenticated-userid",
        "from",
        "x-forwarded-for",
        "forwarded",
    ] {
        headers.push((name, pair.other_agent.to_owned()));
    }
    let target = format!("/v1/machines/{}", pair.own);
    let attempt = |header: (&'static str, String)| {
        [target.clone(), format!("{target}/rotations"), "/v1/agent/tasks".to_owned()].map(
            |target| Attempt {
                headers: vec![header.clone()],
                ignored: true,
                ..refused("GET", target)
            },
        )
    };
    headers.into_iter().flat_map(attempt).collect()
}

fn queries_and_bodies(pair: &Pair<'_>) -> Vec<Attempt> {
    let own = format!("/v1/machines/{}", pair.own);
    let mut attempts = Vec::new();
    for (name, value) in [
        ("machineId", pair.other),
        ("id", pair.other),
        ("machine", pair.other),
        ("agentObjectId", pair.other_agent),
        ("oid", pair.other_agent),
        ("rotationId", pair.other_rotation),
        ("_method", "PATCH"),
    ] {
        for target in [own.clone(), "/v1/agent/tasks".to_owned()] {
            let target = format!("{target}?{name}={value}");
            attempts.push(Attempt { ignored: true, ..refused("GET", target) });
        }
        attempts.push(refused("GET", format!("{own}/rotations?{name}={value}")));
        let mut body = json!({"passphrase": {"source": "generated"}});
        body[name] = json!(value);
        let target = format!("{own}/rotations");
        attempts.push(Attempt { body: Some(body), ..refused("POST", target) });
        let target = format!("{own}/rotations/{}/confirm", pair.own_rotation);
        let body = Some(json!({(name): value}));
        attempts.push(Attempt { body, ..refused("POST", target) });
    }
    attempts
}
