//! Who may do what, written down from the contract and not from the code: the one table.
//!
//! A cell is for the machine that the agent is bound to and, after the slash, for another machine;
//! for a person both are some machine of the tenant. `yes`: it happens. `role`: 403. `404`: to this
//! caller there is no such machine. Nobody, without a token, gets 401 everywhere.

use std::collections::BTreeMap;

/// Identity, kind of token, roles.
pub const IDENTITIES: [(&str, Kind, &[&str]); 12] = [
    ("nobody", Kind::None, &[]),
    ("no roles", Kind::User, &[]),
    ("reader", Kind::User, &["Machines.Read"]),
    ("registrar", Kind::Application, &["Machines.Register"]),
    ("rotator", Kind::Application, &["Passphrases.Rotate"]),
    ("retriever", Kind::User, &["Passphrases.Retrieve"]),
    ("rotator and retriever", Kind::User, &["Passphrases.Rotate", "Passphrases.Retrieve"]),
    ("preflight", Kind::Application, &["Preflight.Run"]),
    ("auditor", Kind::User, &["Audit.Read"]),
    ("agent", Kind::Agent, &["Agent"]),
    ("unbound agent", Kind::Application, &["Agent"]),
    ("person with the agent's role", Kind::User, &["Agent"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    None,
    User,
    Application,
    /// The application that is bound to the machine.
    Agent,
}

/// Columns: operation, whether its refusals are on record, the roles that open it for people, then
/// who may: everybody who is not named may not.
const TABLE: &str = "
register_machine   | audited | Machines.Register  | registrar yes/yes
list_machines      | -       | Machines.Read      | reader yes/yes
get_machine        | -       | Machines.Read      | reader yes/yes, agent yes/404, unbound agent 404/404
update_machine     | audited | Machines.Register  | registrar yes/yes
retire_machine     | audited | Machines.Register  | registrar yes/yes
list_versions      | -       | Machines.Read      | reader yes/yes
request_rotation   | audited | Passphrases.Rotate | rotator yes/yes, rotator and retriever yes/yes, agent yes/404, unbound agent 404/404
list_rotations     | -       | Machines.Read      | reader yes/yes, agent yes/404, unbound agent 404/404
get_rotation       | -       | Machines.Read      | reader yes/yes, agent yes/404, unbound agent 404/404
collect_passphrase | audited | Passphrases.Rotate and Passphrases.Retrieve | rotator and retriever yes/yes, agent yes/404, unbound agent 404/404
confirm_rotation   | audited | Passphrases.Rotate | rotator yes/yes, rotator and retriever yes/yes, agent yes/404, unbound agent 404/404
fail_rotation      | audited | Passphrases.Rotate | rotator yes/yes, rotator and retriever yes/yes, agent yes/404, unbound agent 404/404
abandon_rotation   | audited | Passphrases.Rotate | rotator yes/yes, rotator and retriever yes/yes
list_agent_tasks   | -       | Agent              | agent yes/yes, unbound agent yes/yes
scan_adoptions     | -       | Machines.Register  | registrar yes/yes
accept_adoptions   | audited | Machines.Register  | registrar yes/yes
show_coverage      | -       | Machines.Read      | reader yes/yes
recover_secret     | audited | Passphrases.Rotate | rotator yes/yes, rotator and retriever yes/yes
retrieve_passphrase| audited | Passphrases.Retrieve | retriever yes/yes, rotator and retriever yes/yes
list_audit_events  | audited | Audit.Read         | auditor yes/yes
get_audit_checkpoint | audited | Audit.Read       | auditor yes/yes
prove_audit_event  | audited | Audit.Read         | auditor yes/yes
issue_audit_receipt | audited |                   | auditor yes/yes, everybody 404/404
prove_audit_consistency | audited | Audit.Read    | auditor yes/yes
export_audit_events | audited | Audit.Read        | auditor yes/yes
run_preflight      | -       | Preflight.Run      | preflight yes/yes
run_machine_preflight | -    | Preflight.Run      | preflight yes/yes
show_caller        | -       |                    | everybody yes/yes
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Yes,
    RoleMissing,
    NotFound,
    Unauthenticated,
}

pub struct Row {
    pub operation: &'static str,
    pub audited: bool,
    /// Together they open it to people.
    pub roles: Vec<&'static str>,
    cells: BTreeMap<&'static str, [Expected; 2]>,
}

impl Row {
    /// For the agent's own machine, and for another.
    pub fn cell(&self, identity: &str) -> [Expected; 2] {
        if identity == "nobody" {
            return [Expected::Unauthenticated; 2];
        }
        let cell = self.cells.get(identity).or_else(|| self.cells.get("everybody"));
        cell.copied().unwrap_or([Expected::RoleMissing; 2])
    }

    /// What somebody with these roles is told that they lack. A person's `Agent` does not count.
    pub fn missing(&self, roles: &[&str]) -> String {
        let counts = |role: &&&str| **role != "Agent" && roles.contains(*role);
        let missing: Vec<&str> = self.roles.iter().filter(|role| !counts(role)).copied().collect();
        missing.join(" and ")
    }
}

pub fn rows() -> Vec<Row> {
    TABLE.trim().lines().map(row).collect()
}

fn row(line: &'static str) -> Row {
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let [operation, audited, roles, cells] = columns[..] else { panic!("{line}") };
    let roles = roles.split(" and ").filter(|role| !role.is_empty()).collect();
    let cells = cells.split(", ").map(|cell| {
        let (identity, expected) = cell.rsplit_once(' ').unwrap();
        let (own, other) = expected.split_once('/').unwrap();
        (identity, [own, other].map(expectation))
    });
    Row { operation, audited: audited == "audited", roles, cells: cells.collect() }
}

fn expectation(word: &str) -> Expected {
    match word {
        "yes" => Expected::Yes,
        "404" => Expected::NotFound,
        other => panic!("{other}"),
    }
}
