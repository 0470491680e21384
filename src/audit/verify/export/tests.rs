//! Exports that somebody has changed a little, or made up.

use proptest::prelude::*;

use super::*;
use crate::audit::export::format::written;

/// Of 13 events from sequence 3 on, without a checkpoint.
fn whole() -> String {
    let mut tree = Frontier::default();
    let body =
        |sequence: u64| format!(r#"{{"action":"x","id":{sequence},"why":"\u20ac \" \\ 😀"}}"#);
    let leaf = |sequence| leaf_hash(body(sequence).as_bytes());
    for sequence in 0..3 {
        tree.append(leaf(sequence));
    }
    let beginning =
        Beginning { format: FORMAT.into(), start: 3, end: 16, frontier: written(tree.subtrees()) };
    let mut lines = vec![serde_json::to_string(&beginning).unwrap()];
    for sequence in 3..16_u64 {
        let time = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let base64 = |bytes: &[u8]| Some(STANDARD.encode(bytes).into());
        let leaf = leaf(sequence);
        let nodes = tree.append(leaf).concat();
        let line = EventLine {
            sequence,
            leaf: STANDARD.encode(leaf).into(),
            nodes: STANDARD.encode(nodes).into(),
            fingerprint: base64(&fingerprint(sequence, time.into(), &leaf)),
            recorded_at: Some(moment(time).into()),
            body: Some(body(sequence).into()),
            body_base64: None,
        };
        lines.push(serde_json::to_string(&line).unwrap());
    }
    let frontier = Some(written(tree.subtrees()));
    let ending =
        Ending { events: 13, size: 16, frontier, checkpoint: None, consistency: Vec::new() };
    lines.push(serde_json::to_string(&ending).unwrap());
    lines.join("\n") + "\n"
}

fn is_good(text: &[u8]) -> bool {
    let report = export(text, Evidence::default(), None, |_, _| ());
    report.is_ok_and(|report| report.is_good())
}

#[test]
fn a_whole_one_is_good() {
    assert!(is_good(whole().as_bytes()));
}

#[test]
fn an_event_without_what_belongs_to_it_is_not_one_of_another_tenant() {
    for (from, to) in [(",\"body\":", ",\"other\":"), (",\"recordedAt\":", ",\"other\":")] {
        assert!(!is_good(whole().replacen(from, to, 1).as_bytes()), "{from}");
    }
}

#[test]
fn numbers_that_no_log_has_are_refused() {
    let most = u64::MAX.to_string();
    let text = whole();
    for (from, to) in [
        ("\"start\":3,\"end\":16", format!("\"start\":{most},\"end\":{most}")),
        ("\"end\":16", format!("\"end\":{most}")),
        ("\"sequence\":5", format!("\"sequence\":{most}")),
        ("\"sequence\":5", "\"sequence\":9223372036854775807".to_owned()),
        ("\"size\":16", format!("\"size\":{most}")),
        ("\"events\":13", format!("\"events\":{most}")),
    ] {
        assert!(!is_good(text.replacen(from, &to, 1).as_bytes()), "{to}");
    }
}

proptest! {
    /// Whatever is changed: the file as it was is the only one that is good.
    #[test]
    fn one_other_character_anywhere_is_found(at: prop::sample::Index, other in "[ -~]") {
        let text = whole();
        let at = at.index(text.len());
        prop_assume!(text.is_char_boundary(at) && text.is_char_boundary(at + 1) && text[at..=at] != other);
        let altered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        // But for the name of a member that may be absent.
        let harmless = !altered.contains("\"checkpoint\":null");
        prop_assert!(harmless || !is_good(altered.as_bytes()), "{}", altered);
    }

    #[test]
    fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..300), at: prop::sample::Index) {
        let text = whole();
        let (start, end) = text.as_bytes().split_at(at.index(text.len()));
        prop_assert!(bytes.is_empty() || !is_good(&[start, &bytes, end].concat()) || bytes.iter().all(u8::is_ascii_whitespace));
    }
}
