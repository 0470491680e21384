//! Names of secrets. MARS documents `AzBackup-<machine>-<vault>` but not what becomes of the dots
//! that Key Vault forbids, so a name is found or configured once and then stored with the machine;
//! it is never computed again.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use thiserror::Error;

use super::{machine::Fqdn, recovery_services_vault::RecoveryServicesVaultId};

const MAXIMUM_LENGTH: usize = 127;
const PREFIX: &str = "AzBackup-";
const ESCROW_PREFIX: &str = "AzBackupPending-";
/// What fits behind that.
const ESCROW_ROOM: usize = MAXIMUM_LENGTH - ESCROW_PREFIX.len();
/// Of a long name's SHA-256, in hexadecimal.
const FINGERPRINT_DIGITS: usize = 16;

/// A name that Key Vault accepts: `[0-9a-zA-Z-]{1,127}`. Key Vault compares without case.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct SecretName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSecretName {
    #[error("a secret name has only letters a-z and A-Z, digits and hyphens")]
    Characters,
    #[error(
        "a secret name has 1 to {MAXIMUM_LENGTH} characters; choose a shorter one as secretName"
    )]
    Length,
    #[error(
        "a secret name of a machine begins with {PREFIX}, and {ESCROW_PREFIX} is this service's own"
    )]
    Prefix,
}

/// How the dots of a machine's name become part of a secret's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretNameStyle {
    /// `srv-web01.corp.contoso.com` becomes `srv-web01-corp-contoso-com`.
    #[default]
    Dash,
    /// `srv-web01corpcontosocom`.
    Strip,
    /// `srv-web01`.
    Host,
}

impl SecretNameStyle {
    const ALL: [Self; 3] = [Self::Dash, Self::Strip, Self::Host];

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "dash" => Some(Self::Dash),
            "strip" => Some(Self::Strip),
            "host" => Some(Self::Host),
            _ => None,
        }
    }
}

impl SecretName {
    /// Any name that Key Vault accepts; what its own answers are read with.
    pub fn parse(text: &str) -> Result<Self, InvalidSecretName> {
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(InvalidSecretName::Characters);
        }
        if !(1..=MAXIMUM_LENGTH).contains(&text.len()) {
            return Err(InvalidSecretName::Length);
        }
        Ok(Self(text.to_owned()))
    }

    /// A name that a caller chose for a machine. Without the prefix rule, somebody who may register
    /// machines could point one at any other secret of the Key Vault and read it.
    pub fn parse_for_machine(text: &str) -> Result<Self, InvalidSecretName> {
        let name = Self::parse(text)?;
        let has = |prefix: &str| {
            text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if has(PREFIX) && text.len() > PREFIX.len() {
            Ok(name)
        } else {
            Err(InvalidSecretName::Prefix)
        }
    }

    /// The name that this service gives a secret which it creates.
    pub fn for_machine(
        fqdn: &Fqdn,
        recovery_services_vault: &RecoveryServicesVaultId,
        style: SecretNameStyle,
    ) -> Result<Self, InvalidSecretName> {
        let machine = match style {
            SecretNameStyle::Dash => fqdn.as_str().replace('.', "-"),
            SecretNameStyle::Strip => fqdn.as_str().replace('.', ""),
            SecretNameStyle::Host => fqdn.host().to_owned(),
        };
        Self::parse(&format!("{PREFIX}{machine}-{}", recovery_services_vault.name()))
    }

    /// Names under which MARS may have saved the passphrase, likeliest first: to *find* a secret.
    pub fn candidates(fqdn: &Fqdn, recovery_services_vault: &RecoveryServicesVaultId) -> Vec<Self> {
        let mut names: Vec<Self> = Vec::new();
        for style in SecretNameStyle::ALL {
            if let Ok(name) = Self::for_machine(fqdn, recovery_services_vault, style)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// What a machine's name may have become in a secret's, in lower case: its dots hyphens, left out, or the
    /// first label only; what else Key Vault forbids is a hyphen.
    pub fn written_forms(machine: &str) -> [String; 3] {
        let legal = |text: &str| -> String {
            let kept =
                |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
            text.chars().map(kept).collect()
        };
        let host = machine.split('.').next().unwrap_or_default();
        [legal(machine), legal(&machine.replace('.', "")), legal(host)]
    }

    /// What stands behind `AzBackup-`, in whatever case that is written; none for every other kind of
    /// secret. It is a machine and a Recovery Services vault with a hyphen between them, and both may have
    /// hyphens of their own.
    pub fn behind_prefix(&self) -> Option<&str> {
        let start = self.0.get(..PREFIX.len())?;
        self.0.get(PREFIX.len()..).filter(|_| start.eq_ignore_ascii_case(PREFIX))
    }

    /// The escrow secret beside this one: it holds passphrases that no machine has confirmed yet.
    /// The unversioned `AzBackup-...` keeps meaning "the passphrase in force" for people in the portal. The
    /// escrow's prefix is the longer one: of a name that it leaves no room for, the end is a fingerprint
    /// instead. Nothing leads back from there; whose a version is its tags say.
    pub fn escrow(&self) -> Result<Self, InvalidSecretName> {
        let rest = self.0.get(PREFIX.len()..).ok_or(InvalidSecretName::Prefix)?;
        if rest.len() < ESCROW_ROOM || (rest.len() == ESCROW_ROOM && !is_shortened(rest)) {
            return Self::parse(&format!("{ESCROW_PREFIX}{rest}"));
        }
        let end = fingerprint(&self.0);
        let kept = rest.get(..ESCROW_ROOM - end.len()).unwrap_or_default();
        Self::parse(&format!("{ESCROW_PREFIX}{kept}{end}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The same for all ways to write a name: Key Vault compares without case.
fn fingerprint(name: &str) -> String {
    let hash = digest(&SHA256, name.to_ascii_lowercase().as_bytes());
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    format!("-{:0FINGERPRINT_DIGITS$x}", u64::from_be_bytes(first))
}

/// One that fits and ends like a fingerprint could be another one's shortened name: it gets its own.
fn is_shortened(rest: &str) -> bool {
    let end = rest.rsplit('-').next().unwrap_or_default();
    end.len() == FINGERPRINT_DIGITS && end.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl PartialEq for SecretName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for SecretName {}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (Fqdn, RecoveryServicesVaultId) {
        let id = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg\
                  /providers/Microsoft.RecoveryServices/vaults/rsv-prod";
        let fqdn = Fqdn::parse("srv-web01.corp.contoso.com").unwrap();
        (fqdn, RecoveryServicesVaultId::parse(id).unwrap())
    }

    #[test]
    fn candidates_are_in_the_order_of_likelihood() {
        let (fqdn, rsv) = machine();
        let names: Vec<String> =
            SecretName::candidates(&fqdn, &rsv).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "AzBackup-srv-web01-corp-contoso-com-rsv-prod",
                "AzBackup-srv-web01corpcontosocom-rsv-prod",
                "AzBackup-srv-web01-rsv-prod",
            ]
        );
    }

    #[test]
    fn names_are_compared_as_key_vault_does() {
        assert_eq!(
            SecretName::parse("AzBackup-A").unwrap(),
            SecretName::parse("azbackup-a").unwrap()
        );
    }

    #[test]
    fn a_chosen_name_cannot_point_at_another_kind_of_secret() {
        let verdict = |text: &str| SecretName::parse_for_machine(text).map(drop).err();
        assert_eq!(verdict("AzBackup-web01"), None);
        assert_eq!(verdict("sql-admin-password"), Some(InvalidSecretName::Prefix));
        assert_eq!(verdict("AzBackup-"), Some(InvalidSecretName::Prefix));
        assert_eq!(verdict("AzBackupPending-web01"), Some(InvalidSecretName::Prefix));
        assert_eq!(verdict("AzBackup-a/../b"), Some(InvalidSecretName::Characters));
        assert_eq!(verdict("AzBackup-a.b"), Some(InvalidSecretName::Characters));
        assert_eq!(
            verdict(&format!("AzBackup-{}", "x".repeat(119))),
            Some(InvalidSecretName::Length)
        );
    }

    #[test]
    fn a_machines_name_is_written_in_each_way() {
        assert_eq!(SecretName::written_forms("Web_01.a.b"), ["web-01-a-b", "web-01ab", "web-01"]);
        assert_eq!(SecretName::written_forms("web01"), ["web01", "web01", "web01"]);
    }

    #[test]
    fn only_what_mars_may_have_saved_has_something_behind_the_prefix() {
        let behind =
            |text: &str| SecretName::parse(text).unwrap().behind_prefix().map(str::to_owned);
        assert_eq!(behind("AZBACKUP-Web01-rsv").as_deref(), Some("Web01-rsv"));
        assert_eq!(behind("AzBackup-").as_deref(), Some(""));
        for other in ["AzBackupPending-web01-rsv", "AzBackup", "sql-admin", "x"] {
            assert_eq!(behind(other), None, "{other}");
        }
    }

    #[test]
    fn the_escrow_secret_stands_beside_the_secret() {
        let name = SecretName::parse_for_machine("AzBackup-web01-rsv").unwrap();
        assert_eq!(name.escrow().unwrap().as_str(), "AzBackupPending-web01-rsv");
        let longest_that_fits = format!("AzBackup-{}", "x".repeat(111));
        let name = SecretName::parse_for_machine(&longest_that_fits).unwrap();
        assert_eq!(name.escrow().unwrap().as_str(), format!("AzBackupPending-{}", "x".repeat(111)));
    }

    #[test]
    fn a_long_name_has_an_escrow_name_of_its_own_whatever_its_case() {
        let escrow = |behind: &str| {
            let name = SecretName::parse_for_machine(&format!("AzBackup-{behind}")).unwrap();
            name.escrow().unwrap().to_string()
        };
        for length in 112..=118 {
            let long = format!("{}-rsv", "a".repeat(length - 4));
            let short = escrow(&long);
            let (kept, end) = short.rsplit_once('-').unwrap();
            assert_eq!((short.len(), kept.len(), end.len()), (127, 110, 16));
            assert!(short.starts_with(&format!("AzBackupPending-{}", "a".repeat(94))), "{short}");
            assert!(end.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{end}");
            assert!(escrow(&long.to_uppercase()).eq_ignore_ascii_case(&short));
            assert_ne!(escrow(&long.replace("rsv", "rsw")), short);
            // Nor can somebody choose a name whose escrow is another one's.
            let behind = short.trim_start_matches("AzBackupPending-");
            assert_ne!(escrow(behind), short);
            assert_ne!(escrow(&behind.to_uppercase()).to_lowercase(), short.to_lowercase());
        }
    }
}
