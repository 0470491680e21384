//! Versions of the agent, and which machine of the Recovery Services vault is meant.

use super::{
    status,
    world::{container, edited, found, silent},
};
use crate::domain::{
    machine::AgentVersion,
    preflight::{Status, facts::Facts},
};

fn with_agent(version: &str) -> Facts {
    edited(|facts| facts.subject.agent_version = Some(AgentVersion::parse(version).unwrap()))
}

#[test]
fn versions_are_compared_part_by_part_as_numbers() {
    for old in ["2.0.9261.9999", "2.0", "1.9.99999.0", "2.0.900.0", "2.0.9052.0", "0.0.0.0"] {
        assert_eq!(status(&with_agent(old), "PF-17"), Status::Fail, "{old}");
    }
    for new in ["2.0.9262.0", "2.0.9262", "2.0.10000.0", "2.1", "2.0.9262.1", "10.0"] {
        assert_eq!(status(&with_agent(new), "PF-17"), Status::Pass, "{new}");
    }
}

#[test]
fn a_newer_version_than_azure_reports_is_doubted() {
    let facts = edited(|facts| {
        facts.subject.agent_version = Some(AgentVersion::parse("2.0.9262.0").unwrap());
        facts.containers = found(vec![container("srv-web01.corp.contoso.com", "2.0.9100.0", 1)]);
    });
    assert_eq!(status(&facts, "PF-17"), Status::Warn);
}

#[test]
fn a_machine_is_found_by_its_full_name_before_its_host_name() {
    let facts = edited(|facts| {
        facts.containers = found(vec![
            container("srv-web01", "2.0.9100.0", 1),
            container("srv-web01.corp.contoso.com", "2.0.9262.0", 1),
            container("srv-web01.other.contoso.com", "2.0.9100.0", 1),
        ]);
    });
    assert_eq!(status(&facts, "PF-17"), Status::Pass);
}

#[test]
fn a_machine_that_is_not_registered_yet_is_no_failure() {
    let facts =
        edited(|facts| facts.containers = found(vec![container("srv-web011", "2.0.9262.0", 1)]));
    assert_eq!((status(&facts, "PF-18"), status(&facts, "PF-17")), (Status::Warn, Status::Skipped));
}

#[test]
fn a_registration_in_any_other_state_fails() {
    let facts = edited(|facts| {
        let mut odd = container("srv-web01.corp.contoso.com", "2.0.9262.0", 1);
        odd.registration_status = Some("SoftDeleted".to_owned());
        facts.containers = found(vec![odd]);
    });
    assert_eq!(status(&facts, "PF-18"), Status::Fail);
}

#[test]
fn a_registration_is_not_called_incomplete_when_the_secret_could_not_be_read() {
    let facts = edited(|facts| {
        facts.containers = found(vec![container("srv-web01.corp.contoso.com", "2.0.9262.0", 0)]);
        facts.secrets[0].versions = silent();
    });
    assert_eq!(status(&facts, "PF-18"), Status::Unknown);
}

#[test]
fn a_version_that_cannot_be_read_is_unknown() {
    for odd in ["", "unknown", " 2.0.9262.0", "2.0.9262.0-beta"] {
        let facts = edited(|facts| {
            facts.containers = found(vec![container("srv-web01.corp.contoso.com", odd, 1)]);
        });
        assert_eq!(status(&facts, "PF-17"), Status::Unknown, "{odd}");
    }
}
