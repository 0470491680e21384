//! What can be done to the secrets of a Key Vault, in the words of its two kinds of permission.

/// An operation on secrets that somebody may or may not be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretAction {
    Get,
    /// Secrets and their versions, without values: `readMetadata` in RBAC.
    List,
    Set,
    /// Attributes and tags of a version.
    Update,
    Delete,
    Recover,
    Purge,
    Backup,
    Restore,
}

impl SecretAction {
    pub const ALL: [Self; 9] = [
        Self::Get,
        Self::List,
        Self::Set,
        Self::Update,
        Self::Delete,
        Self::Recover,
        Self::Purge,
        Self::Backup,
        Self::Restore,
    ];

    /// As roles and deny assignments name it.
    pub fn data_action(self) -> &'static str {
        match self {
            Self::Get => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            Self::List => "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            Self::Set => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            Self::Update => "Microsoft.KeyVault/vaults/secrets/update/action",
            Self::Delete => "Microsoft.KeyVault/vaults/secrets/delete",
            Self::Recover => "Microsoft.KeyVault/vaults/secrets/recover/action",
            Self::Purge => "Microsoft.KeyVault/vaults/secrets/purge/action",
            Self::Backup => "Microsoft.KeyVault/vaults/secrets/backup/action",
            Self::Restore => "Microsoft.KeyVault/vaults/secrets/restore/action",
        }
    }

    /// As access policies name it. Changing attributes has no word of its own: it is part of `set`.
    pub fn policy_word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Set | Self::Update => "set",
            Self::Delete => "delete",
            Self::Recover => "recover",
            Self::Purge => "purge",
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}
