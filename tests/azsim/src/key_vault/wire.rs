//! Bodies of the secrets data plane. Member order is the service's; absent members are absent, never null.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    error::ServiceError,
    store::{Deleted, Secret, Version},
};
use crate::world::Settings;

const LONGEST_VALUE: usize = 25_600;
const LONGEST_CONTENT_TYPE: usize = 255;
const LONGEST_TAG: usize = 512;
const MOST_TAGS: usize = 15;
const SECONDS_A_DAY: i64 = 86_400;

#[derive(Deserialize)]
pub(super) struct SetRequest {
    value: Option<String>,
    #[serde(flatten)]
    properties: UpdateRequest,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UpdateRequest {
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    attributes: Option<RequestedAttributes>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestedAttributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

impl SetRequest {
    pub(super) fn version(self) -> Result<Version, ServiceError> {
        let value = self
            .value
            .ok_or_else(|| ServiceError::bad_parameter("The parameter value is missing."))?;
        if value.len() > LONGEST_VALUE {
            return Err(ServiceError::bad_parameter(
                "Secret is beyond the maximum permitted length of 25600 characters.",
            ));
        }
        let mut version = Version::new(value);
        self.properties.apply(&mut version)?;
        Ok(version)
    }
}

impl UpdateRequest {
    pub(super) fn apply(self, version: &mut Version) -> Result<(), ServiceError> {
        self.check()?;
        version.content_type = self.content_type.or_else(|| version.content_type.take());
        version.tags = self.tags.or_else(|| version.tags.take());
        let attributes = self.attributes.unwrap_or_default();
        version.enabled = attributes.enabled.unwrap_or(version.enabled);
        version.not_before = attributes.nbf.or(version.not_before);
        version.expires = attributes.exp.or(version.expires);
        Ok(())
    }

    fn check(&self) -> Result<(), ServiceError> {
        let refused = |message: &str| Err(ServiceError::bad_parameter(message));
        let length = |text: &String| text.chars().count();
        if self.content_type.as_ref().is_some_and(|text| length(text) > LONGEST_CONTENT_TYPE) {
            return refused("The contentType is longer than 255 characters.");
        }
        let Some(tags) = &self.tags else {
            return Ok(());
        };
        if tags.len() > MOST_TAGS {
            return refused("The number of tags exceeds the maximum of 15.");
        }
        if tags.iter().any(|(name, value)| length(name).max(length(value)) > LONGEST_TAG) {
            return refused("A tag name or value is longer than 512 characters.");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
pub(super) struct RestoreRequest {
    pub(super) value: String,
}

#[derive(Serialize)]
pub(super) struct BackupResponse {
    pub(super) value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attributes {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    created: i64,
    updated: i64,
    recovery_level: &'static str,
    recoverable_days: u32,
}

impl Attributes {
    fn of(version: &Version, settings: &Settings) -> Self {
        let days = settings.soft_delete_retention_days;
        Self {
            enabled: version.enabled,
            nbf: version.not_before,
            exp: version.expires,
            created: version.created,
            updated: version.updated,
            recovery_level: match (days < 90, settings.purge_protection) {
                (false, false) => "Recoverable+Purgeable",
                (false, true) => "Recoverable",
                (true, false) => "CustomizedRecoverable+Purgeable",
                (true, true) => "CustomizedRecoverable",
            },
            recoverable_days: days,
        }
    }
}

/// A secret or an item of a list: what is not set does not appear.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_date: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_purge_date: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    id: String,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<String, String>>,
}

impl Bundle {
    pub(super) fn version(base: &str, name: &str, version: &Version, settings: &Settings) -> Self {
        Self {
            value: None,
            recovery_id: None,
            deleted_date: None,
            scheduled_purge_date: None,
            content_type: version.content_type.clone(),
            id: format!("{base}/secrets/{name}/{}", version.id),
            attributes: Attributes::of(version, settings),
            tags: version.tags.clone(),
        }
    }

    /// The latest version under an id without version, as in `GET /secrets`.
    pub(super) fn item(base: &str, secret: &Secret, settings: &Settings) -> Option<Self> {
        let latest = secret.version("").ok()?;
        let id = format!("{base}/secrets/{}", secret.name);
        Some(Self { id, ..Self::version(base, &secret.name, latest, settings) })
    }

    pub(super) fn deleted(self, base: &str, deleted: &Deleted, settings: &Settings) -> Self {
        let retention = i64::from(settings.soft_delete_retention_days) * SECONDS_A_DAY;
        Self {
            recovery_id: Some(format!("{base}/deletedsecrets/{}", deleted.secret.name)),
            deleted_date: Some(deleted.since),
            scheduled_purge_date: Some(deleted.since + retention),
            ..self
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) value: Vec<Bundle>,
    pub(super) next_link: Option<String>,
}
