//! What tests and the control API see of a Key Vault, past tokens and permissions.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::store::{Secret, Version};

/// One request as the service saw it: the second witness next to a client's own records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestSeen {
    /// `key_vault.set_secret` and so on.
    pub operation: String,
    pub secret_name: String,
    /// The version asked for or made.
    pub version: Option<String>,
    pub client_request_id: Option<String>,
    /// Absent when the token did not hold.
    pub caller_oid: Option<String>,
    /// 0: dropped before taking effect, never answered.
    pub status: u16,
    /// The fault that struck, if any.
    pub fault: Option<String>,
    pub at: i64,
}

/// A secret with all its versions, oldest first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretView {
    pub name: String,
    pub deleted: bool,
    pub versions: Vec<VersionView>,
}

impl SecretView {
    pub fn latest(&self) -> Option<&VersionView> {
        self.versions.last()
    }

    pub fn version(&self, id: &str) -> Option<&VersionView> {
        self.versions.iter().find(|version| version.id == id)
    }

    pub(super) fn of(secret: &Secret, deleted: bool) -> Self {
        let versions = secret.history.iter().filter_map(|id| secret.versions.get(id));
        let versions = versions.map(VersionView::of).collect();
        Self { name: secret.name.clone(), deleted, versions }
    }
}

#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    pub id: String,
    pub value: String,
    pub enabled: bool,
    pub content_type: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub not_before: Option<i64>,
    pub expires: Option<i64>,
    pub created: i64,
    pub updated: i64,
}

impl VersionView {
    fn of(version: &Version) -> Self {
        Self {
            id: version.id.clone(),
            value: version.value.clone(),
            enabled: version.enabled,
            content_type: version.content_type.clone(),
            tags: version.tags.clone().unwrap_or_default(),
            not_before: version.not_before,
            expires: version.expires,
            created: version.created,
            updated: version.updated,
        }
    }
}

impl fmt::Debug for VersionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionView")
            .field("id", &self.id)
            .field("enabled", &self.enabled)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}
