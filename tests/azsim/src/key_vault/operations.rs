//! What each operation does to the store, and the body it answers. Permission has been checked before.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    KeyVault, backup,
    error::ServiceError,
    paging::page,
    route::{Operation, Target, is_secret_name},
    store::Store,
    wire::{BackupResponse, Bundle, RestoreRequest, SetRequest, UpdateRequest},
};
use crate::{http::Answer, world::Settings};

/// An answer, and the version it is about for the request log.
pub(super) struct Done {
    pub(super) answer: Answer,
    pub(super) version: Option<String>,
}

impl Done {
    fn body(body: &impl Serialize) -> Self {
        Self { answer: Answer::json(200, body), version: None }
    }

    fn about(self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self }
    }
}

pub(super) struct Room<'a> {
    pub(super) key_vault: &'a KeyVault,
    pub(super) settings: &'a Settings,
    pub(super) store: &'a mut Store,
}

impl Room<'_> {
    pub(super) fn perform(self, target: &Target, body: &[u8]) -> Result<Done, ServiceError> {
        match target.operation {
            Operation::SetSecret => self.set(target, body),
            Operation::GetSecret => self.get(target),
            Operation::UpdateSecret => self.update(target, body),
            Operation::ListSecrets => self.list(target),
            Operation::ListVersions => self.list_versions(target),
            Operation::DeleteSecret => self.delete(target),
            Operation::GetDeletedSecret => self.get_deleted(target),
            Operation::ListDeletedSecrets => self.list_deleted(target),
            Operation::RecoverSecret => self.recover(target),
            Operation::PurgeSecret => self.purge(target),
            Operation::BackupSecret => self.backup(target),
            Operation::RestoreSecret => self.restore(body),
            Operation::Unknown => Err(ServiceError::method_not_allowed(target.method.as_str())),
        }
    }

    fn base(&self) -> String {
        format!("https://{}", self.key_vault.host())
    }

    fn lag(&self) -> Duration {
        Duration::from_millis(self.settings.lag_milliseconds)
    }

    fn set(self, target: &Target, body: &[u8]) -> Result<Done, ServiceError> {
        let version = parsed::<SetRequest>(body)?.version()?;
        let base = self.base();
        let secret = self.store.set(&target.name, version)?;
        let version = secret.version("")?;
        let mut bundle = Bundle::version(&base, &secret.name, version, self.settings);
        bundle.value = Some(version.value.clone());
        Ok(Done::body(&bundle).about(&version.id))
    }

    fn get(self, target: &Target) -> Result<Done, ServiceError> {
        let secret = self.store.secret(&target.name, &target.version)?;
        let version = secret.version(&target.version)?;
        if !version.enabled {
            return Err(ServiceError::disabled());
        }
        let mut bundle = Bundle::version(&self.base(), &secret.name, version, self.settings);
        bundle.value = Some(version.value.clone());
        Ok(Done::body(&bundle).about(&version.id))
    }

    fn update(self, target: &Target, body: &[u8]) -> Result<Done, ServiceError> {
        let request = parsed::<UpdateRequest>(body)?;
        let base = self.base();
        let secret = self.store.secret_mut(&target.name, &target.version)?;
        let name = secret.name.clone();
        let version = secret.version_mut(&target.version)?;
        request.apply(version)?;
        version.updated = crate::azure::epoch_seconds();
        Ok(Done::body(&Bundle::version(&base, &name, version, self.settings)).about(&version.id))
    }

    fn list(self, target: &Target) -> Result<Done, ServiceError> {
        let (base, host, settings) = (self.base(), self.key_vault.host(), self.settings);
        let items = self.store.secrets();
        let empty = settings.empty_pages;
        let page = page(target, host, "/secrets", empty, items, |secret| {
            Bundle::item(&base, secret, settings)
        })?;
        Ok(Done::body(&page))
    }

    fn list_versions(self, target: &Target) -> Result<Done, ServiceError> {
        let (base, host, settings) = (self.base(), self.key_vault.host(), self.settings);
        let secret = self.store.secret(&target.name, "").ok();
        let name = secret.map_or(&target.name, |secret| &secret.name);
        let items = secret.into_iter().flat_map(|secret| &secret.versions);
        let path = format!("/secrets/{name}/versions");
        let page = page(target, host, &path, settings.empty_pages, items, |version| {
            Some(Bundle::version(&base, name, version, settings))
        })?;
        Ok(Done::body(&page))
    }

    fn delete(self, target: &Target) -> Result<Done, ServiceError> {
        let (base, lag) = (self.base(), self.lag());
        let deleted = self.store.delete(&target.name, lag)?;
        let latest = deleted.secret.version("")?;
        let bundle = Bundle::version(&base, &deleted.secret.name, latest, self.settings);
        Ok(Done::body(&bundle.deleted(&base, deleted, self.settings)).about(&latest.id))
    }

    fn get_deleted(self, target: &Target) -> Result<Done, ServiceError> {
        let base = self.base();
        let deleted = self.store.deleted(&target.name)?;
        let latest = deleted.secret.version("")?;
        if !latest.enabled {
            return Err(ServiceError::disabled());
        }
        let bundle = Bundle::version(&base, &deleted.secret.name, latest, self.settings);
        Ok(Done::body(&bundle.deleted(&base, deleted, self.settings)).about(&latest.id))
    }

    fn list_deleted(self, target: &Target) -> Result<Done, ServiceError> {
        let (base, host, settings) = (self.base(), self.key_vault.host(), self.settings);
        let items = self.store.all_deleted();
        let empty = settings.empty_pages;
        let page = page(target, host, "/deletedsecrets", empty, items, |deleted| {
            let item = Bundle::item(&base, &deleted.secret, settings)?;
            Some(item.deleted(&base, deleted, settings))
        })?;
        Ok(Done::body(&page))
    }

    fn recover(self, target: &Target) -> Result<Done, ServiceError> {
        let (base, lag) = (self.base(), self.lag());
        let secret = self.store.recover(&target.name, lag)?;
        let latest = secret.version("")?;
        let bundle = Bundle::version(&base, &secret.name, latest, self.settings);
        Ok(Done::body(&bundle).about(&latest.id))
    }

    fn purge(self, target: &Target) -> Result<Done, ServiceError> {
        if self.settings.purge_protection {
            let spec = &self.key_vault.spec;
            return Err(ServiceError::purge_protected(&spec.name, &spec.location));
        }
        let lag = self.lag();
        self.store.purge(&target.name, lag)?;
        Ok(Done { answer: Answer::empty(204), version: None })
    }

    fn backup(self, target: &Target) -> Result<Done, ServiceError> {
        let secret = self.store.secret(&target.name, "")?;
        Ok(Done::body(&BackupResponse { value: backup::blob(secret)? }))
    }

    fn restore(self, body: &[u8]) -> Result<Done, ServiceError> {
        let secret = backup::read(&parsed::<RestoreRequest>(body)?.value)?;
        if !is_secret_name(&secret.name) {
            return Err(ServiceError::malformed_backup());
        }
        let base = self.base();
        let secret = self.store.restore(secret)?;
        let latest = secret.version("")?;
        let bundle = Bundle::version(&base, &secret.name, latest, self.settings);
        Ok(Done::body(&bundle).about(&latest.id))
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(body).map_err(|_| {
        ServiceError::bad_parameter("The request body is not valid JSON of the expected shape.")
    })
}
