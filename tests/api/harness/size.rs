//! How large a test is: in `make test` as large as shows the fact, in `make attack` as large as the goal says.

/// `full` when the environment says `FULL_SIZE`, else `usual`.
pub fn full_size_or<T>(full: T, usual: T) -> T {
    #[expect(clippy::disallowed_methods, reason = "a test's size is no setting of the service")]
    let wanted = std::env::var_os("FULL_SIZE").is_some();
    if wanted { full } else { usual }
}
