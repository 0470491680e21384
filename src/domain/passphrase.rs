//! The passphrase of a machine: the one value this service exists to keep.
//!
//! It has no `Display`, `Serialize`, `Clone` or `PartialEq`, and `Debug` says nothing. Its text
//! leaves through [`Passphrase::expose`] only, which `.clippy.toml` forbids everywhere but in the
//! body of a Key Vault request and in the answer that releases it.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// MARS refuses shorter ones.
pub const MINIMUM_LENGTH: usize = 16;
/// MARS documents no maximum; this keeps a pasted file out.
pub const MAXIMUM_LENGTH: usize = 256;

/// What a generated passphrase is made of: one letter of each group that sounds alike on the
/// telephone (b/c/d/e/g/p/t/v, a/h/j/k/8, i/y/5/9, m/n, f/s, q/u), nothing that looks alike
/// (0/o, 1/l/i, 2/z, 5/s, 8/b), one case, and nothing that PowerShell or cmd would want quoted.
const ALPHABET: &[u8; 14] = b"24679fhkmrtwxy";
const GROUPS: usize = 9;
const GROUP_LENGTH: usize = 5;

/// A MARS encryption passphrase. What can be done with one, and below what cannot:
///
/// ```
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// let passphrase = Passphrase::generate().unwrap();
/// tracing::info!(?passphrase);
/// assert_eq!(format!("{passphrase:?}"), "Passphrase([REDACTED])");
/// assert!(!passphrase.same_as(&Passphrase::generate().unwrap()));
/// assert!(serde_json::to_string("what the tests below name is there").is_ok());
/// ```
/// ```compile_fail,E0277
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// println!("{}", Passphrase::generate().unwrap());
/// ```
/// ```compile_fail,E0599
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// let copy = Passphrase::generate().unwrap().clone();
/// ```
/// ```compile_fail,E0277
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// serde_json::to_string(&Passphrase::generate().unwrap());
/// ```
/// ```compile_fail,E0277
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// let text: String = Passphrase::generate().unwrap().into();
/// ```
/// ```compile_fail,E0369
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// Passphrase::generate().unwrap() == Passphrase::generate().unwrap();
/// ```
/// ```compile_fail,E0277
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// tracing::info!(passphrase = %Passphrase::generate().unwrap());
/// ```
/// ```compile_fail,E0277
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// tracing::info!(passphrase = Passphrase::generate().unwrap());
/// ```
/// ```compile_fail,E0599
/// # use passphrase_broker::domain::passphrase::Passphrase;
/// let bytes: &[u8] = Passphrase::generate().unwrap().as_ref();
/// ```
pub struct Passphrase(SecretString);

/// Why a provided passphrase is refused. Says which rule, never which character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PolicyViolation {
    #[error("a passphrase has at least {MINIMUM_LENGTH} characters")]
    TooShort,
    #[error("a passphrase has at most {MAXIMUM_LENGTH} characters")]
    TooLong,
    #[error("a passphrase is printable ASCII: letters, digits, punctuation and inner spaces")]
    NotPrintableAscii,
    #[error(
        "a passphrase does not begin or end with a space: such a space is lost when it is copied"
    )]
    OuterSpace,
}

/// The operating system gave no randomness; nothing may be generated then.
#[derive(Debug, Error)]
#[error("the operating system's random number generator failed")]
pub struct NoRandomness;

impl Passphrase {
    /// Makes a passphrase of 45 random characters, 171 bits, in nine groups for reading aloud.
    pub fn generate() -> Result<Self, NoRandomness> {
        let random = SystemRandom::new();
        // Exact capacity: growing would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(GROUPS * (GROUP_LENGTH + 1)));
        let mut pool = Zeroizing::new([0_u8; 256]);
        let (mut written, mut used) = (0, pool.len());
        while written < GROUPS * GROUP_LENGTH {
            if used == pool.len() {
                random.fill(pool.as_mut_slice()).map_err(|_unspecified| NoRandomness)?;
                used = 0;
            }
            let byte = pool[used];
            used += 1;
            // Bytes past the last whole multiple would favour the first letters.
            let limit = 256 / ALPHABET.len() * ALPHABET.len();
            if usize::from(byte) >= limit {
                continue;
            }
            if written > 0 && written % GROUP_LENGTH == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
            written += 1;
        }
        Ok(Self(SecretString::from(std::mem::take(&mut *text))))
    }

    /// Whether this is of the form of those that are generated here: pasted where a name belongs, it must not be taken
    /// for one.
    pub fn looks_generated(text: &str) -> bool {
        let is_of_ours = |byte: u8| ALPHABET.contains(&byte.to_ascii_lowercase());
        let is_group = |group: &str| group.len() == GROUP_LENGTH && group.bytes().all(is_of_ours);
        text.split('-').count() == GROUPS && text.split('-').all(is_group)
    }

    /// Takes a passphrase that somebody chose, if MARS would take it and it survives copying.
    pub fn parse(mut text: String) -> Result<Self, PolicyViolation> {
        let verdict = Self::check(&text);
        if verdict.is_err() {
            text.zeroize();
        }
        verdict.map(|()| Self(SecretString::from(text)))
    }

    fn check(text: &str) -> Result<(), PolicyViolation> {
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(PolicyViolation::NotPrintableAscii);
        }
        match text.len() {
            ..MINIMUM_LENGTH => Err(PolicyViolation::TooShort),
            length if length > MAXIMUM_LENGTH => Err(PolicyViolation::TooLong),
            _ if text.starts_with(' ') || text.ends_with(' ') => Err(PolicyViolation::OuterSpace),
            _ => Ok(()),
        }
    }

    /// What Key Vault holds is released as it is: MARS may have chosen it under other rules.
    pub fn from_key_vault(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    pub fn same_as(&self, other: &Self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "compared here, seen by nobody")]
        let (mine, theirs) = (self.0.expose_secret(), other.0.expose_secret());
        mine.as_bytes().ct_eq(theirs.as_bytes()).into()
    }

    /// The text. `.clippy.toml` lists who may call this.
    pub fn expose(&self) -> &str {
        #[expect(
            clippy::disallowed_methods,
            reason = "callers are listed by the lint on this method"
        )]
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_passphrase_has_more_than_160_bits() {
        let symbols = u32::try_from(ALPHABET.len()).unwrap();
        let characters = f64::from(u32::try_from(GROUPS * GROUP_LENGTH).unwrap());
        assert!(characters * f64::from(symbols).log2() > 160.0);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test looks at a value of its own")]
    fn a_generated_passphrase_can_be_read_aloud_and_needs_no_quotes() {
        let passphrase = Passphrase::generate().unwrap();
        let text = passphrase.expose();
        assert_eq!(text.len(), 53);
        assert!(text.split('-').all(|group| group.len() == GROUP_LENGTH
            && group.bytes().all(|byte| ALPHABET.contains(&byte))));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test looks at a value of its own")]
    fn a_generated_passphrase_is_known_by_its_form() {
        let text = Passphrase::generate().unwrap().expose().to_owned();
        assert!(Passphrase::looks_generated(&text));
        assert!(Passphrase::looks_generated(&text.to_uppercase()));
        for other in ["srv-web01", &text[6..], &text.replace('-', "_"), &format!("{text}-24679")] {
            assert!(!Passphrase::looks_generated(other), "{other}");
        }
    }

    #[test]
    fn two_generated_passphrases_differ() {
        assert!(!Passphrase::generate().unwrap().same_as(&Passphrase::generate().unwrap()));
    }

    #[test]
    fn mars_rules_hold_for_a_provided_passphrase() {
        let verdict = |text: &str| Passphrase::parse(text.to_owned()).map(drop).err();
        assert_eq!(verdict("fifteen-letters"), Some(PolicyViolation::TooShort));
        assert_eq!(verdict("sixteen-letters!"), None);
        assert_eq!(verdict("with an inner space is fine"), None);
        assert_eq!(verdict(" leading-space-is-lost"), Some(PolicyViolation::OuterSpace));
        assert_eq!(verdict("trailing-space-is-lost "), Some(PolicyViolation::OuterSpace));
        assert_eq!(verdict("sch\u{f6}n-und-lang-genug"), Some(PolicyViolation::NotPrintableAscii));
        assert_eq!(verdict("a-tab\tinside-of-the-text"), Some(PolicyViolation::NotPrintableAscii));
        assert_eq!(verdict(&"x".repeat(257)), Some(PolicyViolation::TooLong));
    }

    #[test]
    fn debug_shows_nothing() {
        let passphrase = Passphrase::parse("made-up-for-this-test".to_owned()).unwrap();
        assert_eq!(format!("{passphrase:?}"), "Passphrase([REDACTED])");
    }
}
