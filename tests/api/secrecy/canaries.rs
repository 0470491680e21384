//! Marked passphrases, and the search for them in every spelling in which one could leak.

use std::{collections::HashMap, fmt::Write as _, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::bytes::{Regex, RegexBuilder};
use uuid::Uuid;

/// Legal for MARS, illegal as nearly everything else, and different in each spelling.
pub(super) fn mint(label: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("Canary{label}-{} \"q\\<&%+/=!?", &random[..16])
}

/// The ways to spell a canary that are searched for.
pub(super) const SPELLINGS: [&str; 9] =
    ["raw", "base64", "base64+1", "base64+2", "hex", "URL", "JSON", "reversed", "first 10"];

pub(super) fn spelled(canary: &str) -> [String; 9] {
    let hex = canary.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let url: String = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
    let json = serde_json::to_string(canary).unwrap();
    [
        canary.to_owned(),
        base64_at(canary, 0),
        base64_at(canary, 1),
        base64_at(canary, 2),
        hex,
        url.replace('+', "%20"),
        json.trim_matches('"').to_owned(),
        canary.chars().rev().collect(),
        canary[..10].to_owned(),
    ]
}

/// What does not depend on the neighbours, behind `offset` other bytes.
fn base64_at(canary: &str, offset: usize) -> String {
    let encoded = STANDARD.encode([&vec![b'x'; offset], canary.as_bytes()].concat());
    let first = (offset * 8).div_ceil(6);
    let last = (offset + canary.len()) * 8 / 6;
    encoded[first..last].to_owned()
}

/// Finds many canaries in one pass.
pub(super) struct Search {
    regex: Regex,
    names: HashMap<String, String>,
    pub(super) canaries: usize,
}

impl Search {
    pub(super) fn new(canaries: &[(String, String)]) -> Self {
        let mut names = HashMap::new();
        let mut spellings = Vec::new();
        for (label, canary) in canaries {
            for (spelling, text) in SPELLINGS.iter().zip(spelled(canary)) {
                spellings.push(regex::escape(&text));
                names.entry(text).or_insert_with(|| format!("{label} ({spelling})"));
            }
        }
        // The longest first: the beginning of a canary is a spelling too.
        spellings.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let regex =
            RegexBuilder::new(&spellings.join("|")).size_limit(1 << 28).unicode(false).build();
        Self { regex: regex.unwrap(), names, canaries: canaries.len() }
    }

    /// What was found, by name, each once.
    pub(super) fn hits(&self, bytes: &[u8]) -> Vec<String> {
        let found = self.regex.find_iter(bytes);
        let mut names: Vec<String> = found
            .map(|hit| self.names[&String::from_utf8_lossy(hit.as_bytes()).into_owned()].clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// All files below, but for pages of nothing.
pub(super) fn files(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return all };
    for entry in entries.map_while(Result::ok) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        } else if let Ok(bytes) = fs::read(entry.path()) {
            let written = bytes.chunks(8192).filter(|page| **page != [0; 8192][..page.len()]);
            written.for_each(|page| all.extend_from_slice(page));
        }
    }
    all
}

#[test]
fn every_spelling_is_found_between_other_text() {
    let canary = mint("Self");
    let search = Search::new(&[("self".to_owned(), canary.clone())]);
    for (spelling, text) in SPELLINGS.iter().zip(spelled(&canary)) {
        assert_eq!(search.hits(format!("before{text}after").as_bytes()).len(), 1, "{spelling}");
    }
    for offset in 0..3 {
        let encoded = STANDARD.encode(format!("{}{canary}tail", &"abc"[..offset]));
        assert_eq!(search.hits(encoded.as_bytes()).len(), 1, "{offset}");
    }
    assert!(search.hits(b"CanaryOther-0123456789abcdef").is_empty());
}
