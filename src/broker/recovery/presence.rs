//! What Key Vault shows of a machine's two secrets, without reading a value.

use futures_util::future::try_join;

use super::{Asked, Asks};
use crate::{
    azure::{KeyVaultError, VersionProperties},
    broker::{Broker, Error},
    domain::{
        audit_event::AuditEvent, key_vault_id::KeyVaultUri, machine::Machine,
        secret_name::SecretName,
    },
};

/// An event has a largest size.
const MOST_VERSIONS_NAMED: usize = 20;

pub(super) enum Presence {
    There(Vec<VersionProperties>),
    Deleted,
    /// Neither: it never was, or Key Vault is deleting or recovering it at this moment.
    Absent,
}

/// The machine's own secret, and the escrow secret beside it, which need not exist.
pub(super) struct Secrets {
    own: (SecretName, Presence),
    escrow: (SecretName, Presence),
}

pub(super) struct ToRecover {
    pub(super) name: SecretName,
    /// Whether it was seen in soft delete.
    pub(super) was_there: bool,
}

impl Presence {
    fn is_there(&self) -> bool {
        matches!(self, Self::There(_))
    }

    fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted)
    }
}

impl Secrets {
    pub(super) fn need_nothing(&self) -> bool {
        self.own.1.is_there() && !self.escrow.1.is_deleted()
    }

    pub(super) fn show_own(&self) -> bool {
        self.own.1.is_there()
    }

    pub(super) fn any_is_deleted(&self) -> bool {
        self.own.1.is_deleted() || self.escrow.1.is_deleted()
    }

    /// Also when it is nowhere: a secret that is being deleted looks like that.
    pub(super) fn own_to_recover(&self) -> Option<ToRecover> {
        let (name, presence) = &self.own;
        let to_recover = || ToRecover { name: name.clone(), was_there: presence.is_deleted() };
        (!presence.is_there()).then(to_recover)
    }

    pub(super) fn escrow_to_recover(&self) -> Option<ToRecover> {
        let (name, presence) = &self.escrow;
        presence.is_deleted().then(|| ToRecover { name: name.clone(), was_there: true })
    }

    /// Whether a recovery has ended well. A machine that has no passphrase in force may have a secret in
    /// escrow only.
    pub(super) fn are_back(&self, in_force: bool) -> bool {
        let own = self.own.1.is_there() || (!in_force && self.escrow.1.is_there());
        own && !self.any_is_deleted()
    }

    /// Whether this shows everything that Key Vault was asked for.
    pub(super) fn answer(&self, asks: &Asks, in_force: bool) -> bool {
        let shown = |asked: Option<&Asked>, presence: &Presence| {
            presence.is_there() || !Asks::may_come_back(asked)
        };
        self.are_back(in_force)
            && shown(asks.own.as_ref(), &self.own.1)
            && shown(asks.escrow.as_ref(), &self.escrow.1)
    }

    /// What came back: what is there and was asked for.
    pub(super) fn names(&self, asks: Option<&Asks>) -> Vec<SecretName> {
        self.recovered(asks).map(|(name, _)| name.clone()).collect()
    }

    /// The event, with what came back: the names, how many versions, and the newest of them.
    pub(super) fn named_in(&self, event: AuditEvent, asks: Option<&Asks>) -> AuditEvent {
        let names: Vec<&str> = self.recovered(asks).map(|(name, _)| name.as_str()).collect();
        let mut versions: Vec<&VersionProperties> =
            self.recovered(asks).flat_map(|(_, versions)| versions).collect();
        let count = versions.len().to_string();
        versions.sort_by_key(|version| std::cmp::Reverse(version.created_at));
        versions.truncate(MOST_VERSIONS_NAMED);
        let event = event.with("recovered", names.join(" ")).with("versions", count);
        event.naming(versions.into_iter().map(|version| &version.identifier))
    }

    /// Of a recovery that somebody else asked for, nobody knows which were gone: all that are there.
    fn recovered(
        &self,
        asks: Option<&Asks>,
    ) -> impl Iterator<Item = (&SecretName, &Vec<VersionProperties>)> {
        let own = asks.is_none_or(|asks| asks.own.is_some()).then_some(&self.own);
        let escrow = asks.is_none_or(|asks| asks.escrow.is_some()).then_some(&self.escrow);
        own.into_iter().chain(escrow).filter_map(|(name, presence)| match presence {
            Presence::There(versions) => Some((name, versions)),
            Presence::Deleted | Presence::Absent => None,
        })
    }
}

impl Broker {
    pub(super) async fn look_for_secrets(
        &self,
        request_id: &str,
        machine: &Machine,
    ) -> Result<Secrets, Error> {
        let (own, escrow) = (machine.secret_name.clone(), machine.secret_name.escrow()?);
        let key_vault = &machine.key_vault_uri;
        let (found, found_escrow) = try_join(
            self.look_for(request_id, key_vault, &own),
            self.look_for(request_id, key_vault, &escrow),
        )
        .await?;
        Ok(Secrets { own: (own, found), escrow: (escrow, found_escrow) })
    }

    async fn look_for(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
    ) -> Result<Presence, KeyVaultError> {
        let versions = self.key_vault.list_versions(request_id, key_vault, name).await?;
        if !versions.is_empty() {
            return Ok(Presence::There(versions));
        }
        let deleted = self.key_vault.find_deleted_secret(request_id, key_vault, name).await?;
        Ok(if deleted.is_some() { Presence::Deleted } else { Presence::Absent })
    }
}

impl Broker {
    /// Key Vault says 404 of a soft-deleted secret: this tells it from one that is not there. Only asked
    /// after a failure, so that nobody waits for it who gets what they came for.
    pub(in crate::broker) async fn or_soft_deleted(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        name: &SecretName,
        error: KeyVaultError,
    ) -> KeyVaultError {
        let KeyVaultError::NotFound(facts) = error else { return error };
        match self.key_vault.find_deleted_secret(request_id, key_vault, name).await {
            Ok(Some(_)) => KeyVaultError::SoftDeleted(facts),
            Ok(None) => KeyVaultError::NotFound(facts),
            // Nobody knows, and nobody is told that it is missing.
            Err(error) => error,
        }
    }
}
