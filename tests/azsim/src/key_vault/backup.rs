//! The backup blob: opaque to clients, here base64url of JSON behind a mark. It is not protected in any way.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    error::ServiceError,
    store::{Secret, Version},
};

const MARK: &str = "azsim-backup-1";
/// The service refuses to back up a secret with more versions than this.
const MOST_VERSIONS: usize = 500;

type Row =
    (String, String, Option<String>, Option<std::collections::BTreeMap<String, String>>, bool);
type Times = (Option<i64>, Option<i64>, i64, i64);
type Blob = (String, String, Vec<(Row, Times)>);

pub(super) fn blob(secret: &Secret) -> Result<String, ServiceError> {
    if secret.versions.len() > MOST_VERSIONS {
        return Err(ServiceError::bad_parameter("The secret has more than 500 versions."));
    }
    let rows = secret.history.iter().filter_map(|id| secret.versions.get(id)).cloned();
    let rows = rows.map(|version| {
        let times = (version.not_before, version.expires, version.created, version.updated);
        ((version.id, version.value, version.content_type, version.tags, version.enabled), times)
    });
    let blob: Blob = (MARK.to_owned(), secret.name.clone(), rows.collect());
    let json = serde_json::to_vec(&blob).map_err(|_| ServiceError::malformed_backup())?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
}

pub(super) fn read(text: &str) -> Result<Secret, ServiceError> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| ServiceError::malformed_backup())?;
    let (mark, name, rows): Blob =
        serde_json::from_slice(&json).map_err(|_| ServiceError::malformed_backup())?;
    if mark != MARK || rows.is_empty() {
        return Err(ServiceError::malformed_backup());
    }
    let mut secret = Secret::new(&name);
    for ((id, value, content_type, tags, enabled), (not_before, expires, created, updated)) in rows
    {
        secret.push(Version {
            id,
            value,
            content_type,
            tags,
            enabled,
            not_before,
            expires,
            created,
            updated,
        });
    }
    Ok(secret)
}
