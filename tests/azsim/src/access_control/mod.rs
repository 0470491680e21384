//! Azure RBAC: role definitions, role assignments and deny assignments, and the decision by them.
//!
//! The data plane of Key Vault and ARM decide by the same roles. Changes made through ARM come into force after the
//! world's propagation time; the world, the control API and the Rust API change them at once.

mod builtin;
mod changes;
mod conditions;
pub(crate) mod lagging;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use aws_lc_rs::digest::{SHA256, digest};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use uuid::Uuid;

pub(crate) use self::builtin::{OWNER, is_built_in};
use self::conditions::Asked;
use crate::{
    azure::{covers, within},
    world::{
        BROKER_DATA_ACTIONS, DenyAssignment, Group, ManagementGroup, Permission, RoleAssignment,
        RoleDefinition, World,
    },
};

pub(crate) const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";

#[derive(Clone, Debug, Default)]
pub(crate) struct Roles {
    pub(crate) assignments: Vec<Arc<Assignment>>,
    /// By GUID in lower case, built-in ones too.
    pub(crate) definitions: BTreeMap<String, Arc<Definition>>,
    pub(crate) denials: Vec<Arc<DenyAssignment>>,
    pub(crate) groups: Vec<Group>,
    pub(crate) management_groups: Vec<ManagementGroup>,
}

#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) given: RoleAssignment,
    /// GUID of the role definition, in lower case.
    pub(crate) definition: String,
    pub(crate) stamp: Stamp,
}

#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) given: RoleDefinition,
    pub(crate) stamp: Stamp,
}

/// Who made something and when, as ARM shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp {
    pub(crate) created_on: String,
    pub(crate) updated_on: String,
    pub(crate) created_by: Option<String>,
    pub(crate) updated_by: Option<String>,
}

impl Stamp {
    pub(crate) fn by(principal: Option<&str>) -> Self {
        Self::at(OffsetDateTime::now_utc(), principal)
    }

    fn at(time: OffsetDateTime, principal: Option<&str>) -> Self {
        let (time, by) = (timestamp(time), principal.map(str::to_owned));
        Self { created_on: time.clone(), updated_on: time, created_by: by.clone(), updated_by: by }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plane {
    Management,
    Data,
}

/// Why not: the id of the deny assignment, or that no role allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied(pub(crate) Option<String>);

impl Roles {
    pub(crate) fn of(world: &World) -> Self {
        static BUILT_IN: LazyLock<BTreeMap<String, Arc<Definition>>> = LazyLock::new(|| {
            let stamp = Stamp {
                created_on: "2015-02-02T21:55:09.8806423Z".to_owned(),
                updated_on: "2024-04-01T15:16:21.7424745Z".to_owned(),
                ..Stamp::default()
            };
            let roles = builtin::all();
            roles
                .map(|given| {
                    (given.id.clone(), Arc::new(Definition { given, stamp: stamp.clone() }))
                })
                .collect()
        });
        let mut roles = Self {
            definitions: BUILT_IN.clone(),
            groups: world.groups.clone(),
            management_groups: world.management_groups.clone(),
            denials: world.deny_assignments.iter().cloned().map(Arc::new).collect(),
            ..Self::default()
        };
        for definition in &world.role_definitions {
            roles.define(definition.clone(), Stamp::by(None));
        }
        for owner in &world.owners {
            let given = RoleAssignment {
                role: Some(OWNER.to_owned()),
                ..RoleAssignment::to(&owner.principal_id, &owner.scope)
            };
            roles.assign(given, Stamp::by(None));
        }
        for assignment in &world.role_assignments {
            roles.assign(assignment.clone(), Stamp::by(None));
        }
        roles
    }

    pub(crate) fn define(&mut self, given: RoleDefinition, stamp: Stamp) {
        let definition = Definition { given, stamp };
        self.definitions.insert(definition.given.id.to_ascii_lowercase(), Arc::new(definition));
    }

    /// By GUID, by resource id or by name.
    pub(crate) fn definition(&self, role: &str) -> Option<&Arc<Definition>> {
        let id = role.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let named = |found: &&Arc<Definition>| found.given.role_name.eq_ignore_ascii_case(role);
        self.definitions.get(&id).or_else(|| self.definitions.values().find(named))
    }

    /// A role that is only a list of data actions becomes a custom role definition of that content.
    pub(crate) fn assign(&mut self, given: RoleAssignment, stamp: Stamp) {
        let known = given.role.as_deref().and_then(|role| self.definition(role));
        let definition = if let Some(known) = known {
            known.given.id.to_ascii_lowercase()
        } else {
            let made = made_up(&given);
            let id = made.id.clone();
            if !self.definitions.contains_key(&id) {
                self.define(made, Stamp::by(None));
            }
            id
        };
        self.assignments.push(Arc::new(Assignment { given, definition, stamp }));
    }

    /// The principal and every group that it is in, directly or not.
    pub(crate) fn identities(&self, principal: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::from([principal.to_ascii_lowercase()]);
        loop {
            let is_in = |group: &&Group| {
                group.members.iter().any(|member| found.contains(&member.to_ascii_lowercase()))
            };
            let groups = self.groups.iter().filter(is_in);
            let groups: Vec<String> = groups.map(|group| group.id.to_ascii_lowercase()).collect();
            let before = found.len();
            found.extend(groups);
            if found.len() == before {
                return found;
            }
        }
    }

    pub(crate) fn is_group(&self, id: &str) -> bool {
        self.groups.iter().any(|group| group.id.eq_ignore_ascii_case(id))
    }

    /// Is `resource` the scope itself or below it? Subscriptions are below their management groups.
    pub(crate) fn within(&self, resource: &str, scope: &str) -> bool {
        let holds = |group: &ManagementGroup| {
            let mut ids = group.subscriptions.iter().map(|id| format!("/subscriptions/{id}"));
            scope.trim_end_matches('/').eq_ignore_ascii_case(&group.resource_id())
                && ids.any(|id| within(resource, &id))
        };
        within(resource, scope) || self.management_groups.iter().any(holds)
    }

    fn reaches(&self, denial: &DenyAssignment, resource: &str) -> bool {
        self.within(resource, &denial.scope)
            && (!denial.do_not_apply_to_child_scopes || within(&denial.scope, resource))
    }

    /// The id of the first role assignment that allows it, unless a deny assignment forbids it.
    pub(crate) fn decide(
        &self,
        principal: &str,
        action: &str,
        resource: &str,
        plane: Plane,
    ) -> Result<String, Denied> {
        let who = self.identities(principal);
        let asked = Asked { action, resource };
        let holds = |condition: &Option<String>| match condition {
            Some(condition) if !condition.trim().is_empty() => conditions::holds(condition, &asked),
            _ => Some(true),
        };
        let denial = self.denials.iter().find(|denial| {
            concerns(denial, &who)
                && self.reaches(denial, resource)
                && holds(&denial.condition) != Some(false)
                && denial.permissions.iter().any(|permission| grants(permission, action, plane))
        });
        if let Some(denial) = denial {
            return Err(Denied(Some(denial.id.clone())));
        }
        let allowing = self.assignments.iter().find(|assignment| {
            who.contains(&assignment.given.principal_id.to_ascii_lowercase())
                && self.within(resource, &assignment.given.scope)
                && holds(&assignment.given.condition) == Some(true)
                && self.definitions.get(&assignment.definition).is_some_and(|role| {
                    role.given.permissions.iter().any(|block| grants(block, action, plane))
                })
        });
        allowing.map(|assignment| assignment.given.id.clone()).ok_or(Denied(None))
    }
}

/// What one block excepts, it excepts from itself only.
fn grants(permission: &Permission, action: &str, plane: Plane) -> bool {
    let (granted, excepted) = match plane {
        Plane::Management => (&permission.actions, &permission.not_actions),
        Plane::Data => (&permission.data_actions, &permission.not_data_actions),
    };
    let matches = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, action));
    matches(granted) && !matches(excepted)
}

fn concerns(denial: &DenyAssignment, who: &BTreeSet<String>) -> bool {
    let named = |ids: &[String]| ids.iter().any(|id| who.contains(&id.to_ascii_lowercase()));
    let everyone = denial.principals.iter().any(|id| id == EVERYONE);
    (everyone || named(&denial.principals)) && !named(&denial.exclude_principals)
}

fn made_up(given: &RoleAssignment) -> RoleDefinition {
    let permission = Permission {
        data_actions: given.data_actions.clone(),
        not_data_actions: given.not_data_actions.clone(),
        ..Permission::default()
    };
    let text = format!("{permission:?}");
    let hash = digest(&SHA256, text.as_bytes());
    let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
    let brokers = given.data_actions == BROKER_DATA_ACTIONS && given.not_data_actions.is_empty();
    RoleDefinition {
        role_name: if brokers {
            "MARS Passphrase Broker (secrets)".to_owned()
        } else {
            format!("Data actions {}", &id[..8])
        },
        id,
        description: String::new(),
        assignable_scopes: vec!["/".to_owned()],
        permissions: vec![permission],
    }
}

/// ARM's seven digits of a second.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
    // A well-formed description of a valid date cannot fail.
    at.format(FORMAT).unwrap_or_default()
}

pub(crate) fn new_guid() -> String {
    Uuid::new_v4().to_string()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
