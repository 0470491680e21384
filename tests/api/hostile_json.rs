//! Bodies that are no JSON, or JSON that two readers may understand differently (reliability goal D6). Each is refused,
//! quickly, and by the broker's own words.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Broker};

/// Parted by lines: `@` stands for a registration without its braces, and every line is one body.
const BODIES: &str = r#"
{
}
[
]
{{@}}
{@
{@}}
{@}{@}
{@},
{@}x
{@} null
[{@}]
[]
{}
""
"x"
null
true
1
-0
1e999
-1e999
1E400000000
NaN
Infinity
-Infinity
nan
undefined
None
'x'
{'fqdn':'x'}
{fqdn:"x"}
{@,}
{,@}
{@,,"tags":{}}
{"tags":{},}
{"tags":{"a":"b",}}
{@ /* comment */}
{@} // comment
# comment
{@,"fqdn":"other.example"}
{"fqdn":"other.example",@}
{@,"passphrase":{"source":"none"}}
{@,"tags":{"a":"1","a":"2"}}
{@,"tags":{"a":"1","\u0061":"2"}}
{@,"\u0066qdn":"other.example"}
{@,"Fqdn":"other.example"}
{@,"FQDN":"other.example"}
{@,"fqdn ":"other.example"}
{@,"":""}
{@,"__proto__":{"admin":true}}
{@,"constructor":{"prototype":{}}}
{@,"$schema":"x"}
{@,"agentVersion":1}
{@,"agentVersion":["2.0"]}
{@,"agentVersion":{"$gt":""}}
{@,"agentVersion":1e1000}
{@,"agentVersion":"\ud800"}
{@,"agentVersion":"\udc00\ud800"}
{@,"agentVersion":"\u00"}
{@,"agentVersion":"\x41"}
{@,"agentVersion":"2.0\u0000"}
{@,"agentVersion":"2.0"x}
{@,"agentVersion":.5}
{@,"agentVersion":5.}
{@,"agentVersion":05}
{@,"agentVersion":+5}
{@,"agentVersion":0x5}
{@,"agentVersion":1_000}
{@,"agentVersion":tru}
{@,"agentVersion":TRUE}
{@,"agentVersion"}
{@,"agentVersion":}
{@,:"2.0"}
{@ "agentVersion":"2.0"}
{@;"agentVersion":"2.0"}
{@,"agentVersion"="2.0"}
{@,"agentObjectId":0}
{@,"agentObjectId":99999999999999999999999999999999999999}
{@,"agentObjectId":"{00000000-0000-0000-0000-00000000000}"}
{@,"tags":[]}
{@,"tags":{"a":null}}
{@,"tags":{"a":{"b":"c"}}}
{@,"tags":{"a\u0000":"b"}}
{@,"tags":{"a":"\u0000"}}
{@,"secretName":"../../keys/x"}
{@,"secretName":"a/b?c#d"}
"#;

/// Those that no line can hold.
fn more(members: &str) -> Vec<Vec<u8>> {
    let object = format!("{{{members}}}");
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{{{members},\"tags\":{}{}}}", open.repeat(depth), close.repeat(depth))
    };
    let texts = [
        format!("\u{feff}{object}"),
        format!("\0{object}"),
        format!("{object}\0"),
        format!("{{{members},\"agentVersion\":\"2\n0\"}}"),
        format!("{{{members},\"agentVersion\":\"2\0\"}}"),
        nested("[", "]", 127),
        nested("[", "]", 30_000),
        nested("{\"a\":", "}", 5_000),
        "[".repeat(60_000),
        "{\"a\":".repeat(10_000),
        format!("{{{members},\"{}\":1}}", "k".repeat(60_000)),
        format!("{{{members},\"agentVersion\":\"{}\"}}", "2.".repeat(30_000)),
        format!("{{{members},\"agentVersion\":{}}}", "9".repeat(60_000)),
        format!("{{{members},\"agentVersion\":1e{}}}", "9".repeat(60_000)),
        format!("{{{members},\"agentVersion\":\"{}\"}}", "\\u0041".repeat(10_000)),
        format!("{{{members}{}}}", ",\"a\":1".repeat(9_000)),
        format!("{{{members},\"tags\":{{{}\"z\":\"\"}}}}", "\"a\":\"\",".repeat(7_000)),
        format!("{object}{}", " ".repeat(70_000)),
        String::new(),
        " ".to_owned(),
    ];
    let mut bodies: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    let wide = |bytes: fn(u16) -> [u8; 2]| object.encode_utf16().flat_map(bytes).collect();
    bodies.push(wide(u16::to_le_bytes));
    bodies.push(wide(u16::to_be_bytes));
    bodies.push(object.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect());
    for broken in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"] {
        bodies.push([b"{\"fqdn\":\"", broken, b"\"}"].concat());
    }
    bodies.push(b"\x1f\x8b\x08\0\0\0\0\0".to_vec());
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_json_is_refused_quickly_and_in_our_own_words() {
    let broker = Broker::shared().await;
    let portal = broker.portal();
    let registration = Actor::registration(&json!({"source": "none"}));
    let object = registration.to_string();
    let members = &object[1..object.len() - 1];
    let lines = BODIES.lines().filter(|line| !line.is_empty());
    let mut bodies: Vec<Vec<u8>> = lines.map(|line| line.replace('@', members).into()).collect();
    bodies.extend(more(members));
    let mut slowest = Duration::ZERO;
    for body in &bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
        let request = portal.request(Method::POST, "/v1/machines");
        let started = Instant::now();
        let request = request.header("content-type", "application/json").body(body.clone());
        let answer = Answer::of(request).await;
        slowest = slowest.max(started.elapsed());
        assert!((400..500).contains(&answer.status), "{shown}: {} {}", answer.status, answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{shown}");
    }
    // Not one of them was understood as a registration.
    let fqdn = registration["fqdn"].as_str().unwrap();
    let found = portal.get(&format!("/v1/machines?q={fqdn}")).await;
    assert_eq!(found.body["items"], Value::Array(Vec::new()));
    assert_eq!(portal.post("/v1/machines", registration).await.status, 201);
    assert!(bodies.len() >= 80 && slowest < Duration::from_secs(2), "{slowest:?}");
    println!(
        "0 of {} hostile bodies taken, 0 answers of 5xx; the slowest took {slowest:?}",
        bodies.len()
    );
}
