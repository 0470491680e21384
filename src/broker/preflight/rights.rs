//! Whose rights reach the secrets of a Key Vault: role assignments, the roles themselves, deny assignments.
//!
//! Rights can be given, and denied, for one secret as well. Azure lists those only to whoever asks at that
//! secret, so the secret is asked about as well, under each name that it may have.

use futures_util::future::join_all;
use uuid::Uuid;

use super::seen::seen;
use crate::{
    azure::{Deadline, Told},
    broker::Broker,
    domain::{
        effective_permission::{DenyAssignment, RoleAssignment},
        key_vault_resource::KeyVaultResource,
        preflight::facts::{Rights, Seen},
        resource_id::{KeyVaultId, SecretScope},
        role_definition_id::RoleDefinitionId,
        secret_name::SecretName,
    },
};

impl Broker {
    pub(super) async fn assignments(
        &self,
        request_id: &str,
        (key_vault, secrets): (&KeyVaultId, &[SecretName]),
        principal: Uuid,
        deadline: Deadline,
    ) -> Seen<Vec<RoleAssignment>> {
        let arm = &self.resource_manager;
        let at = |scope: SecretScope| async move {
            seen(arm.role_assignments(request_id, &scope, Some(principal), deadline).await)
        };
        everywhere(at, key_vault, secrets, |assignment| &assignment.id).await
    }

    /// Everybody's, where access policies decide: a policy names objects, and only here their kinds are told.
    pub(super) async fn role_holders(
        &self,
        request_id: &str,
        key_vault: &Seen<KeyVaultResource>,
        deadline: Deadline,
    ) -> Seen<Vec<RoleAssignment>> {
        match key_vault.found() {
            Some(found) if !found.rbac => {
                let scope = SecretScope { key_vault: found.id.clone(), secret: None };
                let arm = &self.resource_manager;
                seen(arm.role_assignments(request_id, &scope, None, deadline).await)
            }
            _ => Seen::NotAsked("Access policies are not in force."),
        }
    }

    pub(super) async fn denials(
        &self,
        request_id: &str,
        (key_vault, secrets): (&KeyVaultId, &[SecretName]),
        deadline: Deadline,
    ) -> Seen<Vec<DenyAssignment>> {
        let arm = &self.resource_manager;
        let at = |scope: SecretScope| async move {
            seen(arm.deny_assignments(request_id, &scope, deadline).await)
        };
        everywhere(at, key_vault, secrets, |denial| &denial.id).await
    }

    /// What the assigned roles hold. One that cannot be read is left out, and whoever judges notices.
    pub(super) async fn with_definitions(
        &self,
        request_id: &str,
        key_vault: Option<&KeyVaultId>,
        assignments: Seen<Vec<RoleAssignment>>,
        deadline: Deadline,
    ) -> Rights {
        let mut ids: Vec<RoleDefinitionId> = assignments
            .found()
            .into_iter()
            .flatten()
            .filter_map(|assignment| RoleDefinitionId::parse(&assignment.role_definition_id).ok())
            .collect();
        ids.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        ids.dedup();
        let arm = &self.resource_manager;
        let reads = key_vault.into_iter().flat_map(|at| {
            ids.iter().map(move |id| arm.role_definition(request_id, at, id, deadline))
        });
        let (mut definitions, mut definition_unread) = (Vec::new(), None);
        for read in join_all(reads).await {
            match read {
                Ok(Told { value, .. }) => definitions.push(value),
                Err(error) => definition_unread = definition_unread.or(Some(seen(Err(error)))),
            }
        }
        Rights { assignments, definitions, definition_unread }
    }
}

/// At the Key Vault, and at its secret under each of the names that it may have.
async fn everywhere<T, F: Future<Output = Seen<Vec<T>>>>(
    at: impl Fn(SecretScope) -> F,
    key_vault: &KeyVaultId,
    secrets: &[SecretName],
    id: impl Fn(&T) -> &str,
) -> Seen<Vec<T>> {
    let scope = |secret| SecretScope { key_vault: key_vault.clone(), secret };
    let at_secrets = join_all(secrets.iter().map(|secret| at(scope(Some(secret.clone())))));
    let (above, below) = tokio::join!(at(scope(None)), at_secrets);
    let Seen::Found(mut all, source) = above else { return above };
    for seen in below {
        match seen {
            Seen::Found(more, _) => {
                for one in more {
                    if !all.iter().any(|known| id(known).eq_ignore_ascii_case(id(&one))) {
                        all.push(one);
                    }
                }
            }
            nothing if is_nothing(&nothing) => {}
            // A part of it proves nothing.
            unproven => return unproven,
        }
    }
    Seen::Found(all, source)
}

/// A secret that does not exist yet may be no scope either. ARM says so with a code: without one it may be
/// anybody who refused.
fn is_nothing<T>(seen: &Seen<T>) -> bool {
    match seen {
        Seen::Absent(_) => true,
        Seen::Unreadable { source, .. } => {
            source.code.is_some() && matches!(source.status, Some(400 | 405 | 409 | 422))
        }
        Seen::Found(..) | Seen::Forbidden { .. } | Seen::NotAsked(_) | Seen::Closed(_) => false,
    }
}
