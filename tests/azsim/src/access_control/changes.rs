//! Azure's roles changed and asked: by clients of ARM after the propagation time, by everybody else at once.
//!
//! Whoever decides takes what is in force; whoever shows takes the latest.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use time::OffsetDateTime;

use super::{Denied, Plane, Roles, Stamp};
use crate::{
    azure::{Azure, read, write},
    key_vault::KeyVault,
    world::{Grant, RoleAssignment},
};

impl Azure {
    pub(crate) fn grant(&self, key_vault: &KeyVault, grant: Grant) -> String {
        let scope = match &grant.secret_name {
            Some(secret) => format!("{}/secrets/{secret}", key_vault.spec.resource_id()),
            None => key_vault.spec.resource_id(),
        };
        let broker = || self.world.identity.principal_id.clone();
        self.assign(&RoleAssignment {
            data_actions: grant.data_actions,
            not_data_actions: grant.not_data_actions,
            condition: grant.condition,
            ..RoleAssignment::to(grant.principal_id.unwrap_or_else(broker), scope)
        })
    }

    pub(crate) fn assign(&self, assignment: &RoleAssignment) -> String {
        let id = assignment.id.clone();
        self.change_roles_at_once(|roles| roles.assign(assignment.clone(), Stamp::by(None)));
        id
    }

    /// Takes away every role assignment that `which` picks, and says how many there were.
    pub(crate) fn unassign(&self, which: impl Fn(&RoleAssignment) -> bool) -> usize {
        let before = self.roles().assignments.len();
        self.change_roles_at_once(|roles| {
            roles.assignments.retain(|assignment| !which(&assignment.given));
        });
        before - self.roles().assignments.len()
    }

    pub(crate) fn role_assignments(&self) -> Vec<RoleAssignment> {
        self.roles().assignments.iter().map(|assignment| assignment.given.clone()).collect()
    }

    /// The roles as ARM shows them.
    pub(crate) fn roles(&self) -> Arc<Roles> {
        read(&self.roles).latest()
    }

    /// Past ARM: nothing lags.
    pub(crate) fn change_roles_at_once(&self, change: impl Fn(&mut Roles)) {
        write(&self.roles).change_at_once(change);
    }

    /// As a client of ARM does it.
    pub(crate) fn change_roles(&self, change: impl FnOnce(&mut Roles)) {
        write(&self.roles).change(self.propagation(), change);
    }

    pub(crate) fn propagation(&self) -> Duration {
        Duration::from_millis(self.propagation.load(Ordering::Relaxed))
    }

    pub(crate) fn set_propagation(&self, milliseconds: u64) {
        self.propagation.store(milliseconds, Ordering::Relaxed);
    }

    /// What a world begins with has been in force for a month.
    pub(crate) fn age_assignments(&self) {
        let stamp = Stamp::at(OffsetDateTime::now_utc() - time::Duration::days(30), None);
        self.change_roles_at_once(|roles| {
            for assignment in &mut roles.assignments {
                Arc::make_mut(assignment).stamp = stamp.clone();
            }
        });
    }

    /// The id of the first role assignment in force that allows `action` to `principal` at `resource`.
    pub(crate) fn decide(
        &self,
        principal: &str,
        action: &str,
        resource: &str,
        plane: Plane,
    ) -> Result<String, Denied> {
        let roles = read(&self.roles).in_force();
        roles.decide(principal, action, resource, plane)
    }
}
