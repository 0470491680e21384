//! The secrets of one Key Vault: versions, soft delete, and the time each takes to become visible.
//!
//! Knows nothing of HTTP, tokens or permissions. Names are looked up without case and keep the case they were born with.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::error::ServiceError;
use crate::azure::epoch_seconds;

#[derive(Clone)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) value: String,
    pub(super) content_type: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) enabled: bool,
    pub(super) not_before: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) created: i64,
    pub(super) updated: i64,
}

impl Version {
    pub(super) fn new(value: String) -> Self {
        let now = epoch_seconds();
        Self {
            id: Uuid::new_v4().simple().to_string(),
            value,
            content_type: None,
            tags: None,
            enabled: true,
            not_before: None,
            expires: None,
            created: now,
            updated: now,
        }
    }
}

#[derive(Clone)]
pub(super) struct Secret {
    pub(super) name: String,
    /// By id, the order in which the service lists them.
    pub(super) versions: BTreeMap<String, Version>,
    /// Ids by age, oldest first.
    pub(super) history: Vec<String>,
    visible_from: Instant,
}

impl Secret {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            versions: BTreeMap::new(),
            history: Vec::new(),
            visible_from: Instant::now(),
        }
    }

    pub(super) fn push(&mut self, version: Version) {
        self.history.push(version.id.clone());
        self.versions.insert(version.id.clone(), version);
    }

    pub(super) fn latest_id(&self) -> &str {
        self.history.last().map_or("", String::as_str)
    }

    pub(super) fn version(&self, id: &str) -> Result<&Version, ServiceError> {
        let wanted = if id.is_empty() { self.latest_id() } else { id };
        self.versions.get(wanted).ok_or_else(|| ServiceError::not_found(&joined(&self.name, id)))
    }

    pub(super) fn version_mut(&mut self, id: &str) -> Result<&mut Version, ServiceError> {
        let wanted = if id.is_empty() { self.latest_id().to_owned() } else { id.to_owned() };
        let missing = ServiceError::not_found(&joined(&self.name, id));
        self.versions.get_mut(&wanted).ok_or(missing)
    }
}

pub(super) struct Deleted {
    pub(super) secret: Secret,
    pub(super) since: i64,
    visible_from: Instant,
}

#[derive(Default)]
pub(super) struct Store {
    secrets: BTreeMap<String, Secret>,
    deleted: BTreeMap<String, Deleted>,
    purging: HashMap<String, Instant>,
}

impl Store {
    pub(super) fn secret(&self, name: &str, version: &str) -> Result<&Secret, ServiceError> {
        let found = self.secrets.get(&key(name)).filter(|secret| visible(secret.visible_from));
        found.ok_or_else(|| ServiceError::not_found(&joined(name, version)))
    }

    pub(super) fn secret_mut(
        &mut self,
        name: &str,
        version: &str,
    ) -> Result<&mut Secret, ServiceError> {
        let found = self.secrets.get_mut(&key(name)).filter(|secret| visible(secret.visible_from));
        found.ok_or_else(|| ServiceError::not_found(&joined(name, version)))
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = (&String, &Secret)> {
        self.secrets.iter().filter(|(_, secret)| visible(secret.visible_from))
    }

    pub(super) fn deleted(&self, name: &str) -> Result<&Deleted, ServiceError> {
        let found = self.deleted.get(&key(name)).filter(|deleted| visible(deleted.visible_from));
        found.ok_or_else(|| ServiceError::deleted_not_found(name))
    }

    pub(super) fn all_deleted(&self) -> impl Iterator<Item = (&String, &Deleted)> {
        self.deleted.iter().filter(|(_, deleted)| visible(deleted.visible_from))
    }

    /// Whatever is there under this name, however hidden; the Rust and control APIs look here.
    pub(super) fn peek(&self, name: &str) -> Option<(&Secret, bool)> {
        let living = self.secrets.get(&key(name)).map(|secret| (secret, false));
        living.or_else(|| self.deleted.get(&key(name)).map(|deleted| (&deleted.secret, true)))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let deleted = self.deleted.values().map(|deleted| &deleted.secret);
        self.secrets.values().chain(deleted).map(|secret| secret.name.as_str())
    }

    /// Adds a version. Answers the secret with it.
    pub(super) fn set(&mut self, name: &str, version: Version) -> Result<&Secret, ServiceError> {
        self.check_free(name)?;
        let secret = self.secrets.entry(key(name)).or_insert_with(|| Secret::new(name));
        if !visible(secret.visible_from) {
            return Err(ServiceError::being_recovered(name));
        }
        secret.push(version);
        Ok(secret)
    }

    pub(super) fn delete(&mut self, name: &str, lag: Duration) -> Result<&Deleted, ServiceError> {
        self.secret(name, "")?;
        let secret =
            self.secrets.remove(&key(name)).ok_or_else(|| ServiceError::not_found(name))?;
        let deleted =
            Deleted { secret, since: epoch_seconds(), visible_from: Instant::now() + lag };
        Ok(self.deleted.entry(key(name)).insert_entry(deleted).into_mut())
    }

    pub(super) fn recover(&mut self, name: &str, lag: Duration) -> Result<&Secret, ServiceError> {
        let deleted = self.take_deleted(name, || ServiceError::not_found(name))?;
        let mut secret = deleted.secret;
        secret.visible_from = Instant::now() + lag;
        Ok(self.secrets.entry(key(name)).insert_entry(secret).into_mut())
    }

    pub(super) fn purge(&mut self, name: &str, lag: Duration) -> Result<(), ServiceError> {
        self.take_deleted(name, || ServiceError::deleted_not_found(name))?;
        self.purging.insert(key(name), Instant::now() + lag);
        Ok(())
    }

    pub(super) fn restore(&mut self, mut secret: Secret) -> Result<&Secret, ServiceError> {
        self.check_free(&secret.name)?;
        let key = key(&secret.name);
        if self.secrets.contains_key(&key) {
            return Err(ServiceError::already_exists(&secret.name));
        }
        secret.visible_from = Instant::now();
        Ok(self.secrets.entry(key).insert_entry(secret).into_mut())
    }

    fn check_free(&self, name: &str) -> Result<(), ServiceError> {
        match self.deleted.get(&key(name)) {
            Some(deleted) if visible(deleted.visible_from) => {
                return Err(ServiceError::deleted_but_recoverable(&deleted.secret.name));
            }
            Some(_) => return Err(ServiceError::being_deleted_cannot_be_recreated(name)),
            None => {}
        }
        match self.purging.get(&key(name)) {
            Some(until) if !visible(*until) => {
                Err(ServiceError::being_deleted_cannot_be_recreated(name))
            }
            _ => Ok(()),
        }
    }

    fn take_deleted(
        &mut self,
        name: &str,
        missing: impl FnOnce() -> ServiceError,
    ) -> Result<Deleted, ServiceError> {
        if self.deleted.get(&key(name)).is_some_and(|deleted| !visible(deleted.visible_from)) {
            return Err(ServiceError::being_deleted());
        }
        self.deleted.remove(&key(name)).ok_or_else(missing)
    }
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn visible(from: Instant) -> bool {
    from <= Instant::now()
}

fn joined(name: &str, version: &str) -> String {
    if version.is_empty() { name.to_owned() } else { format!("{name}/{version}") }
}
