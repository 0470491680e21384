//! What a request asks for: the operation, the names in its path, its decoded query.

use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::error::ServiceError;

const API_VERSIONS: [&str; 8] =
    ["7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    SetSecret,
    GetSecret,
    UpdateSecret,
    ListSecrets,
    ListVersions,
    DeleteSecret,
    GetDeletedSecret,
    ListDeletedSecrets,
    RecoverSecret,
    PurgeSecret,
    BackupSecret,
    RestoreSecret,
    /// No such resource, or not with this method.
    Unknown,
}

impl Operation {
    /// Its name in faults and request logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SetSecret => "key_vault.set_secret",
            Self::GetSecret => "key_vault.get_secret",
            Self::UpdateSecret => "key_vault.update_secret",
            Self::ListSecrets => "key_vault.list_secrets",
            Self::ListVersions => "key_vault.list_versions",
            Self::DeleteSecret => "key_vault.delete_secret",
            Self::GetDeletedSecret => "key_vault.get_deleted_secret",
            Self::ListDeletedSecrets => "key_vault.list_deleted_secrets",
            Self::RecoverSecret => "key_vault.recover_secret",
            Self::PurgeSecret => "key_vault.purge_secret",
            Self::BackupSecret => "key_vault.backup_secret",
            Self::RestoreSecret => "key_vault.restore_secret",
            Self::Unknown => "key_vault.unknown",
        }
    }

    /// The RBAC data action below `Microsoft.KeyVault/vaults/secrets/`.
    pub(super) const fn data_action(self) -> &'static str {
        match self {
            Self::SetSecret => "setSecret/action",
            Self::GetSecret => "getSecret/action",
            Self::UpdateSecret => "update/action",
            Self::ListSecrets
            | Self::ListVersions
            | Self::ListDeletedSecrets
            | Self::GetDeletedSecret => "readMetadata/action",
            Self::DeleteSecret => "delete",
            Self::RecoverSecret => "recover/action",
            Self::PurgeSecret => "purge/action",
            Self::BackupSecret => "backup/action",
            Self::RestoreSecret => "restore/action",
            Self::Unknown => "",
        }
    }

    /// The access-policy word.
    pub(super) const fn permission(self) -> &'static str {
        match self {
            Self::SetSecret | Self::UpdateSecret => "set",
            Self::GetSecret | Self::GetDeletedSecret => "get",
            Self::ListSecrets | Self::ListVersions | Self::ListDeletedSecrets => "list",
            Self::DeleteSecret => "delete",
            Self::RecoverSecret => "recover",
            Self::PurgeSecret => "purge",
            Self::BackupSecret => "backup",
            Self::RestoreSecret => "restore",
            Self::Unknown => "",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// As the client wrote it; empty for operations on the whole Key Vault.
    pub(super) name: String,
    /// Empty: the latest.
    pub(super) version: String,
    pub(super) api_version: String,
    pub(super) max_results: Option<String>,
    pub(super) skip_token: Option<String>,
}

impl Target {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let mut target = Self {
            operation: Operation::Unknown,
            method: method.clone(),
            name: String::new(),
            version: String::new(),
            api_version: String::new(),
            max_results: None,
            skip_token: None,
        };
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "api-version" => target.api_version = value.into_owned(),
                "maxresults" => target.max_results = Some(value.into_owned()),
                "$skiptoken" => target.skip_token = Some(value.into_owned()),
                _ => {}
            }
        }
        let decoded: Vec<String> = uri
            .path()
            .split('/')
            .skip(1)
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into())
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        target.route(method.as_str(), &parts);
        target
    }

    fn route(&mut self, method: &str, parts: &[&str]) {
        let (operation, name, version) = match (method, parts) {
            ("GET", ["secrets"] | ["secrets", ""]) => (Operation::ListSecrets, "", ""),
            ("GET", ["deletedsecrets"] | ["deletedsecrets", ""]) => {
                (Operation::ListDeletedSecrets, "", "")
            }
            ("POST", ["secrets", "restore"]) => (Operation::RestoreSecret, "", ""),
            ("POST", ["secrets", name, "backup"]) => (Operation::BackupSecret, *name, ""),
            ("POST", ["deletedsecrets", name, "recover"]) => (Operation::RecoverSecret, *name, ""),
            ("GET", ["secrets", name, "versions"]) => (Operation::ListVersions, *name, ""),
            ("GET", ["secrets", name]) => (Operation::GetSecret, *name, ""),
            ("GET", ["secrets", name, version]) => (Operation::GetSecret, *name, *version),
            ("PATCH", ["secrets", name]) if !name.is_empty() => {
                (Operation::UpdateSecret, *name, "")
            }
            ("PATCH", ["secrets", name, version]) => (Operation::UpdateSecret, *name, *version),
            ("PUT", ["secrets", name] | ["secrets", name, ""]) if !name.is_empty() => {
                (Operation::SetSecret, *name, "")
            }
            ("DELETE", ["secrets", name] | ["secrets", name, ""]) if !name.is_empty() => {
                (Operation::DeleteSecret, *name, "")
            }
            ("GET", ["deletedsecrets", name] | ["deletedsecrets", name, ""]) => {
                (Operation::GetDeletedSecret, *name, "")
            }
            ("DELETE", ["deletedsecrets", name]) if !name.is_empty() => {
                (Operation::PurgeSecret, *name, "")
            }
            _ => (Operation::Unknown, "", ""),
        };
        self.operation = operation;
        name.clone_into(&mut self.name);
        version.clone_into(&mut self.version);
    }

    pub(super) fn check(&self) -> Result<(), ServiceError> {
        if self.operation == Operation::Unknown {
            return Err(ServiceError::method_not_allowed(self.method.as_str()));
        }
        if self.api_version.is_empty() {
            return Err(ServiceError::bad_parameter("api-version must be specified"));
        }
        if !API_VERSIONS.contains(&self.api_version.as_str()) {
            let message = format!("The api-version '{}' is not supported.", self.api_version);
            return Err(ServiceError::bad_parameter(message));
        }
        let on_the_key_vault = matches!(
            self.operation,
            Operation::ListSecrets | Operation::ListDeletedSecrets | Operation::RestoreSecret
        );
        if !on_the_key_vault && !is_secret_name(&self.name) {
            return Err(ServiceError::invalid_name(&self.name));
        }
        Ok(())
    }
}

pub(super) fn is_secret_name(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
