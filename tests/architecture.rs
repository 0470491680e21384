//! The map of `src/lib.rs` as a test: which room may use which, which libraries belong to one room only,
//! how long files are and what they are called. It reads the source; nothing is compiled for it.

#![expect(clippy::unwrap_used, reason = "in a test, what cannot be is a failure")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Each room and the rooms it may use. `server` puts everything together and `main` starts it.
const ARROWS: [(&str, &[&str]); 13] = [
    ("fail_point", &[]),
    ("domain", &[]),
    ("telemetry", &[]),
    ("process", &[]),
    ("audit", &["domain"]),
    ("store", &["domain"]),
    ("azure", &["domain"]),
    ("broker", &["audit", "store", "azure", "domain"]),
    ("http", &["broker", "domain"]),
    ("siem", &["audit", "domain"]),
    ("config", &["domain"]),
    ("listener", &[]),
    ("server", &["*"]),
];

/// Single names that cross where no arrow is, and why. One that nobody uses any more fails as well.
const EXCEPTIONS: [(&str, &str, &str); 17] = [
    ("azure", "audit::ReadId", "a sealed passphrase knows which reading it came from"),
    ("azure", "audit::Release", "what opens a seal is asked for together with its event"),
    ("azure", "audit::ReleaseReceipt", "a seal opens with the receipt of its own event only"),
    (
        "config",
        "audit::note::SigningKeys",
        "a signing key is parsed where it is read, and held by nothing else",
    ),
    ("config", "telemetry::check_filter", "LOG_LEVEL is what the log accepts"),
    ("http", "audit::ConsistencyProof", "a proof is shown as it is"),
    ("http", "audit::EventFilter", "a query of the log, in the log's own words"),
    ("http", "audit::Export", "an export is sent as it is made"),
    ("http", "audit::ExportFilter", "which part of the log, in the log's own words"),
    ("http", "audit::InclusionProof", "a proof is shown as it is"),
    ("http", "audit::StoredCheckpoint", "a proof is shown with the note that it is of"),
    ("http", "audit::StoredEvent", "an event is shown as it is stored"),
    ("http", "audit::TlogProof", "a receipt is a text of its own format"),
    ("http", "azure::KeyVaultError", "each kind of Key Vault's refusal has its status"),
    ("http", "azure::KeyVaultFacts", "a problem names Key Vault's codes and request id"),
    ("http", "store::machines::MachineFilter", "a search is the store's own question"),
    ("listener", "config::Config", "its limits are settings"),
];

/// A library, the rooms that may name it, and why there.
const LIBRARIES: [(&str, &[&str], &str); 6] = [
    (
        "axum",
        &["http", "listener", "server"],
        "the listener hands requests to a router, the server builds it",
    ),
    ("utoipa", &["http"], "the document is made from the handlers"),
    (
        "reqwest",
        &["azure", "siem"],
        "azure makes all clients, with the CA and no redirects; a webhook is sent by one of them",
    ),
    ("azure_core", &["azure"], "tokens"),
    ("azure_identity", &["azure"], "tokens"),
    (
        "sqlx",
        &["store", "audit", "server"],
        "statements lie beside their table; the server makes the pools",
    ),
];

const LONGEST_FILE: usize = 300;

struct File {
    path: PathBuf,
    text: String,
    /// The text without comments and without what is inside quotes.
    code: String,
}

impl File {
    /// `http` for `src/http/machines/mod.rs` and for `src/http.rs`.
    fn room(&self) -> String {
        let inside = self.path.strip_prefix("src").unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    }

    fn is_test(&self) -> bool {
        self.path.file_name().is_some_and(|name| name == "tests.rs")
    }
}

fn sources(directory: &str) -> Vec<File> {
    let (mut found, mut left) = (Vec::new(), vec![PathBuf::from(directory)]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = code_of(&text);
            found.push(File { path, text, code });
        }
    }
    assert!(!found.is_empty(), "{directory}");
    found
}

/// Blanks comments and the insides of literals.
fn code_of(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = literal(rest);
        let taken = length.max(first.len_utf8());
        code.push(if length > 0 { ' ' } else { first });
        rest = &rest[taken..];
    }
    code
}

/// The length of the comment or literal that `text` begins with; 0 for code.
fn literal(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    for raw in ["r#\"", "r\""] {
        if let Some(inside) = text.strip_prefix(raw) {
            let end = if raw.len() == 3 { "\"#" } else { "\"" };
            return inside.find(end).map_or(text.len(), |at| raw.len() + at + end.len());
        }
    }
    for character in ["'\"'", "'\\''", "'\\\"'", "'\\\\'"] {
        if text.starts_with(character) {
            return character.len();
        }
    }
    if !text.starts_with('"') {
        return 0;
    }
    let mut escaped = true;
    let end = text.char_indices().find(|(_, character)| {
        let closes = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character| !is_word(character)).filter(|word| !word.is_empty())
}

/// Every path that begins with `crate::` in this code, groups in braces written out.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        expand("", &code[at + "crate::".len()..], &mut paths);
    }
    paths
}

/// Reads one tree of paths; answers what comes after it.
fn expand<'a>(prefix: &str, text: &'a str, paths: &mut BTreeSet<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            rest = expand(prefix, rest, paths);
        }
    }
    let end = text.find(|character| !is_word(character)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    assert!(end > 0 || rest.starts_with('*'), "{prefix}: {}", &text[..text.len().min(40)]);
    let rest = rest.strip_prefix('*').unwrap_or(rest);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(deeper) = rest.strip_prefix("::").filter(|deeper| !deeper.starts_with('<')) {
        return expand(&path, deeper, paths);
    }
    paths.insert(path);
    let renamed = rest.trim_start().strip_prefix("as ");
    renamed.map_or(rest, |alias| alias.trim_start().trim_start_matches(is_word))
}

#[test]
fn rooms_use_each_other_only_along_the_arrows() {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for file in sources("src") {
        let room = file.room();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            assert!(["lib", "main"].contains(&room.as_str()), "{room} is no room of the map");
            continue;
        };
        for path in crate_paths(&file.code) {
            let target = path.split("::").next().unwrap();
            if target == room || allowed.contains(&target) || allowed.contains(&"*") {
                continue;
            }
            let except =
                |(name, only, _): &&(&str, &str, &str)| *name == room && path.starts_with(only);
            match EXCEPTIONS.iter().filter(except).max_by_key(|(_, only, _)| only.len()) {
                Some((name, only, _)) => drop(used.insert((*name, *only))),
                None => wrong.push(format!("{}: {path}", file.path.display())),
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    let listed: BTreeSet<_> = EXCEPTIONS.iter().map(|(room, only, _)| (*room, *only)).collect();
    assert_eq!(listed, used, "exceptions that nobody uses any more");
}

#[test]
fn no_path_climbs_two_rooms() {
    for file in sources("src").iter().chain(&sources("tests/api")) {
        assert!(!file.code.contains("super::super"), "{}", file.path.display());
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        for (library, rooms, _) in LIBRARIES {
            let named = file.code.match_indices(library).any(|(at, _)| {
                let before = file.code[..at].chars().next_back().unwrap_or(' ');
                !is_word(before)
                    && before != ':'
                    && file.code[at + library.len()..].starts_with("::")
            });
            if named && !rooms.contains(&file.room().as_str()) {
                wrong.push(format!("{}: {library}", file.path.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn only_the_configuration_reads_the_environment() {
    for file in sources("src") {
        let reads = file.code.contains("env::") && !file.code.contains("env!(");
        assert!(!reads || file.room() == "config", "{}", file.path.display());
    }
}

#[test]
fn a_file_says_what_it_is_and_is_not_long() {
    for file in sources("src").iter().chain(&sources("tests/api")) {
        let (path, lines) = (file.path.display(), file.text.lines().count());
        assert!(file.text.starts_with("//! "), "{path} does not say what it is");
        assert!(lines <= LONGEST_FILE, "{path} has {lines} lines: it is asking to be two");
    }
}

/// Azure has two kinds of vault, and confusing them is how passphrases are lost.
#[test]
fn no_name_says_vault_without_saying_which() {
    let which = ["keyvault", "recoveryservicesvault"];
    for file in sources("src") {
        for word in words(&file.code) {
            let folded = word.to_lowercase().replace('_', "");
            let bare = which.iter().fold(folded, |rest, kind| rest.replace(kind, ""));
            assert!(!bare.contains("vault"), "{}: {word}", file.path.display());
        }
    }
}

#[test]
fn tests_are_where_they_are_looked_for() {
    for file in sources("src") {
        let inside = file.code.contains("#[cfg(test)]");
        assert!(
            !file.is_test() || !inside,
            "{}: a file of tests needs no gate",
            file.path.display()
        );
    }
    for room in ARROWS.iter().map(|(room, _)| room) {
        let exists = Path::new("src").join(room).is_dir()
            || Path::new("src").join(format!("{room}.rs")).exists();
        assert!(exists, "{room} is in the table and not in src");
    }
}

#[test]
fn this_reader_of_source_reads_it_rightly() {
    let code = code_of(
        "use crate::{a::{B, c as d}, e}; // crate::no\nlet x = \"crate::no \\\" crate::no\"; crate::f::g();",
    );
    let found: Vec<String> = crate_paths(&code).into_iter().collect();
    assert_eq!(found, ["a::B", "a::c", "e", "f::g"]);
}
