//! The Azure Arc agent: it hands tokens only to those who can read a file that it has just written.
//!
//! A key file is good for one token and is taken away with it.

use std::{
    collections::HashMap,
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use hyper::Method;
use serde::Serialize;
use uuid::Uuid;

use super::{Ask, PATH, not_found};
use crate::{access_control::new_guid, azure::locked, http::Answer};

const MOST_KEYS: usize = 1_000;

/// The key files that are waiting to be shown, by contents. They go when this goes.
pub(crate) struct KeyFiles {
    directory: PathBuf,
    is_own: bool,
    waiting: Mutex<HashMap<String, PathBuf>>,
}

impl KeyFiles {
    /// A directory in the system's temporary one when none is given.
    pub(crate) fn new(directory: Option<&Path>) -> Self {
        let is_own = directory.is_none();
        let own = || std::env::temp_dir().join(format!("azsim-{}", Uuid::new_v4().simple()));
        let directory = directory.map_or_else(own, Path::to_path_buf);
        Self { directory, is_own, waiting: Mutex::default() }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn write(&self) -> std::io::Result<PathBuf> {
        fs::create_dir_all(&self.directory)?;
        let path = self.directory.join(format!("{}.key", new_guid()));
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let key = new_guid() + &new_guid();
        file.write_all(key.as_bytes())?;
        let mut waiting = locked(&self.waiting);
        if waiting.len() >= MOST_KEYS {
            for (_, old) in waiting.drain() {
                forget(&old);
            }
        }
        waiting.insert(key, path.clone());
        Ok(path)
    }

    fn take(&self, key: &str) -> bool {
        let path = locked(&self.waiting).remove(key);
        path.inspect(|path| forget(path)).is_some()
    }
}

impl Drop for KeyFiles {
    fn drop(&mut self) {
        for path in locked(&self.waiting).values() {
            forget(path);
        }
        if self.is_own {
            // It may never have been made.
            drop(fs::remove_dir(&self.directory));
        }
    }
}

/// Somebody may have taken it away before.
fn forget(path: &Path) {
    drop(fs::remove_file(path));
}

#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    expires_in: String,
    expires_on: String,
    not_before: String,
    resource: String,
    token_type: &'static str,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    msi_res_id: Option<String>,
}

#[derive(Serialize)]
struct ErrorResponse {
    error: &'static str,
    error_description: &'static str,
}

pub(super) fn answer(ask: &Ask<'_>, path: &str) -> Answer {
    if path != PATH {
        return not_found();
    }
    if *ask.request.method() != Method::GET {
        return Answer::empty(405);
    }
    if ask.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
        return refused(400, "Required metadata header not specified");
    }
    let known = ["2019-11-01", "2020-06-01", "2021-02-01"];
    if ask.parameter("api-version").is_none_or(|version| !known.contains(&version.as_str())) {
        return refused(400, "The api-version is not supported");
    }
    let Some(key) = ask.header("authorization") else {
        return challenge(ask);
    };
    let key = key.strip_prefix("Basic ").unwrap_or_default().trim();
    if !ask.azure.key_files.take(key) {
        return refused(403, "The key is not valid");
    }
    issue(ask)
}

fn challenge(ask: &Ask<'_>) -> Answer {
    let Ok(path) = ask.azure.key_files.write() else {
        return refused(500, "The key file cannot be written");
    };
    let realm = format!("Basic realm={}", path.display());
    refused(401, "Authorization is required").with("WWW-Authenticate", &realm)
}

/// Only `msi_res_id` names a user-assigned identity; the other names are not looked at. Such an answer names it too.
fn issue(ask: &Ask<'_>) -> Answer {
    let Some(resource) = ask.parameter("resource") else {
        return refused(400, "Required query variable 'resource' is missing");
    };
    let machine = ask.machine.as_ref();
    let asked = ask.parameter("msi_res_id");
    let identity = match &asked {
        None => machine.and_then(|machine| machine.system_assigned.clone()),
        Some(id) => machine.and_then(|machine| {
            let mut all = machine.user_assigned.iter();
            all.find(|identity| identity.resource_id.eq_ignore_ascii_case(id)).cloned()
        }),
    };
    let Some(issued) = identity.and_then(|identity| ask.issue(identity, &resource)) else {
        return refused(400, "Identity not found");
    };
    let lifetime = issued.identity.token_lifetime_seconds;
    let body = TokenResponse {
        access_token: issued.access_token,
        expires_in: lifetime.to_string(),
        expires_on: (issued.now + lifetime).to_string(),
        not_before: issued.now.to_string(),
        resource,
        token_type: "Bearer",
        client_id: issued.identity.client_id,
        msi_res_id: asked.map(|_| issued.identity.resource_id),
    };
    Answer::json(200, &body)
}

fn refused(status: u16, error_description: &'static str) -> Answer {
    Answer::json(status, &ErrorResponse { error: "invalid_request", error_description })
}
