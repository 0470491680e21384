//! Fail points are for tests: a release build does not contain them. `make release-check` proves it of the
//! program that is shipped; in the usual build this proves that the search would find them.

const MARKS: [&str; 3] = ["a fail point was reached", "FAIL_POINT", "put.after "];

fn contains(program: &[u8], mark: &str) -> bool {
    program.windows(mark.len()).any(|bytes| bytes == mark.as_bytes())
}

#[test]
fn only_a_build_with_debug_assertions_contains_fail_points() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_passphrase-broker")).unwrap();
    for mark in MARKS {
        assert_eq!(contains(&program, mark), cfg!(debug_assertions), "{mark}");
    }
}

#[test]
fn a_release_build_has_no_debug_assertions() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let (_, release) = manifest.split_once("[profile.release]").unwrap();
    let release = release.split("\n[").next().unwrap();
    assert!(!release.contains("debug-assertions"), "{release}");
    let image = std::fs::read_to_string("Dockerfile").unwrap();
    assert!(image.contains("cargo build --release --locked --bin passphrase-broker"));
}
