//! Who calls, as the validated token says it, and nothing else says it.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

/// The app roles of this service's app registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    MachinesRead,
    MachinesRegister,
    PassphrasesRotate,
    PassphrasesRetrieve,
    PreflightRun,
    AuditRead,
    Agent,
}

impl Role {
    pub const ALL: [Self; 7] = [
        Self::MachinesRead,
        Self::MachinesRegister,
        Self::PassphrasesRotate,
        Self::PassphrasesRetrieve,
        Self::PreflightRun,
        Self::AuditRead,
        Self::Agent,
    ];

    /// The value in the token's `roles` claim. Compared exactly: roles that differ in case are
    /// different roles, and folding them has made nobodies into root elsewhere (CVE-2025-5999).
    pub fn name(self) -> &'static str {
        match self {
            Self::MachinesRead => "Machines.Read",
            Self::MachinesRegister => "Machines.Register",
            Self::PassphrasesRotate => "Passphrases.Rotate",
            Self::PassphrasesRetrieve => "Passphrases.Retrieve",
            Self::PreflightRun => "Preflight.Run",
            Self::AuditRead => "Audit.Read",
            Self::Agent => "Agent",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// The roles of one token. Unknown names are ignored: other services may add theirs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names
            .into_iter()
            .filter_map(|name| Role::ALL.into_iter().find(|role| role.name() == name))
            .fold(Self::default(), |roles, role| Self(roles.0 | role.bit()))
    }

    pub fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    pub fn names(self) -> Vec<&'static str> {
        Role::ALL.into_iter().filter(|role| self.contains(*role)).map(Role::name).collect()
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    User,
    Application,
}

/// The authenticated identity. `(tenant_id, object_id)` is the key; names are not, they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub kind: PrincipalKind,
    pub tenant_id: Uuid,
    pub object_id: Uuid,
    /// The client application (`azp`).
    pub client_id: Option<String>,
    pub roles: Roles,
    /// A user of another tenant who was invited into this one.
    pub guest: bool,
    /// When the token was issued, in seconds since 1970.
    pub issued_at: i64,
}

impl Principal {
    /// Whether this is an agent. The role is for applications: a person who was given it by mistake
    /// does not become a machine.
    pub fn is_agent(&self) -> bool {
        self.kind == PrincipalKind::Application && self.roles.contains(Role::Agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_compared_exactly() {
        let roles =
            Roles::from_names(["Machines.Read", "audit.read", "AGENT", " Agent", "Other.Role"]);
        assert_eq!(roles.names(), ["Machines.Read"]);
    }
}
