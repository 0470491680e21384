//! Awkward names: hyphens everywhere, two answers, none, and other people's secrets.

use super::*;

fn rsv(name: &str) -> RecoveryServicesVaultId {
    let id = format!(
        "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/{name}",
        uuid::Uuid::nil()
    );
    RecoveryServicesVaultId::parse(&id).unwrap()
}

/// Recovery Services vaults, and the machines that ARM told of each; none: it did not tell.
fn knowledge(known: &[(&str, Option<&[&str]>)]) -> Knowledge {
    let mut containers = Vec::new();
    let estate = known.iter().map(|(name, machines)| {
        let told = machines.unwrap_or_default().iter().map(|machine| KnownName {
            recovery_services_vault: rsv(name).folded(),
            name: (*machine).to_owned(),
            agent_version: None,
        });
        containers.extend(told);
        let unreadable = machines.is_none().then(|| "forbidden".to_owned());
        KnownRecoveryServicesVault {
            id: rsv(name),
            containers_read: machines.is_some(),
            unreadable,
        }
    });
    let estate = Estate::new(estate.collect());
    let secrets = [
        "srv-web01-corp-contoso-com-rsv-prod",
        "srv-web01corpcontosocom-rsv-prod",
        "srv-web01-rsv-prod",
        "web01-rsv-prod",
        "web01-rsv",
        "web01-example-rsv",
        "web01-a-bb",
        "web01-a-rsv",
    ];
    let names = secrets.map(|name| SecretName::parse(&format!("AzBackup-{name}")).unwrap());
    let wanted = names.iter().flat_map(|name| parts(&estate, name)).collect();
    Knowledge {
        containers: Written::new(containers, &wanted),
        machines: Written::new(Vec::new(), &wanted),
        holders: HashMap::new(),
        estate,
    }
}

fn secret(name: &str) -> ListedSecret {
    ListedSecret {
        name: SecretName::parse(name).unwrap(),
        enabled: true,
        created_at: None,
        updated_at: None,
        deleted_at: None,
        purged_at: None,
    }
}

fn fqdns(proposal: &Proposal) -> Vec<&str> {
    proposal.candidates.iter().map(|candidate| candidate.fqdn.as_str()).collect()
}

#[test]
fn each_way_to_write_a_known_machine_is_found_whatever_the_case() {
    let known = knowledge(&[("rsv-prod", Some(&["srv-web01.corp.contoso.com"]))]);
    for name in [
        "AzBackup-srv-web01-corp-contoso-com-rsv-prod",
        "AzBackup-srv-web01corpcontosocom-rsv-prod",
        "AZBACKUP-SRV-WEB01-RSV-PROD",
    ] {
        let found = known.judge(secret(name));
        assert_eq!(found.confidence, Confidence::High, "{name}: {}", found.reason);
        assert_eq!(fqdns(&found), ["srv-web01.corp.contoso.com"]);
        assert_eq!(found.recovery_services_vault_ids, [rsv("rsv-prod")]);
        assert_eq!(found.other_names.len(), 2);
    }
}

#[test]
fn a_name_is_never_cut_at_a_hyphen_that_no_known_name_follows() {
    let known = knowledge(&[("prod", None)]);
    let found = known.judge(secret("AzBackup-a-b-c-prod"));
    assert_eq!(
        (found.confidence, found.machine_part.as_deref()),
        (Confidence::Medium, Some("a-b-c"))
    );
    assert!(found.candidates.is_empty() && found.reason.contains("forbidden"), "{}", found.reason);
    let found = known.judge(secret("AzBackup-a-b-c-preprod"));
    assert_eq!((found.confidence, found.machine_part), (Confidence::Low, None));
    assert!(found.recovery_services_vault_ids.is_empty());
}

#[test]
fn the_longest_known_name_counts_unless_a_machine_says_otherwise() {
    let both: [(&str, Option<&[&str]>); 2] = [("prod", None), ("rsv-prod", None)];
    let found = knowledge(&both).judge(secret("AzBackup-web01-rsv-prod"));
    assert_eq!(found.recovery_services_vault_ids, [rsv("rsv-prod")]);
    assert_eq!(found.machine_part.as_deref(), Some("web01"));
    let told: [(&str, Option<&[&str]>); 2] =
        [("prod", Some(&["web01-rsv"])), ("rsv-prod", Some(&[]))];
    let found = knowledge(&told).judge(secret("AzBackup-web01-rsv-prod"));
    assert_eq!((found.confidence, fqdns(&found)), (Confidence::High, vec!["web01-rsv"]));
    assert_eq!(found.recovery_services_vault_ids, [rsv("prod")]);
    assert_eq!(found.machine_part.as_deref(), Some("web01-rsv"));
}

#[test]
fn two_machines_for_one_secret_are_shown_and_none_is_chosen() {
    let known = knowledge(&[("rsv", Some(&["web01.a.example", "web01.b.example"]))]);
    let found = known.judge(secret("AzBackup-web01-rsv"));
    assert_eq!((found.confidence, found.candidates.len()), (Confidence::Low, 2));
    assert!(found.other_names.is_empty());
    // Between two readings, too.
    let known = knowledge(&[("bb", Some(&["web01-a"])), ("a-bb", Some(&["web01"]))]);
    let found = known.judge(secret("AzBackup-web01-a-bb"));
    assert_eq!((found.confidence, found.candidates.len()), (Confidence::Low, 2));
}

#[test]
fn a_name_of_arm_that_cannot_be_registered_is_shown_and_not_proposed_as_certain() {
    let found = knowledge(&[("rsv", Some(&["web01 a"]))]).judge(secret("AzBackup-web01-a-rsv"));
    assert_eq!((found.confidence, fqdns(&found)), (Confidence::Low, vec!["web01 a"]));
    assert!(found.reason.contains("does not take"), "{}", found.reason);
    let found = knowledge(&[("rsv", None)]).judge(secret("AzBackup-"));
    assert_eq!((found.confidence, found.candidates.len()), (Confidence::Low, 0));
    assert!(found.reason.contains("no machine can have it"), "{}", found.reason);
}

#[test]
fn two_secrets_for_one_machine_are_both_doubtful() {
    let known = knowledge(&[("rsv", Some(&["web01.example"]))]);
    let names = ["AzBackup-web01-rsv", "AzBackup-web01-example-rsv"];
    let mut found: Vec<Proposal> = names.iter().map(|name| known.judge(secret(name))).collect();
    assert!(found.iter().all(|one| one.confidence == Confidence::High));
    assert_eq!(found[0].other_names[0].as_str(), "AzBackup-web01-example-rsv");
    doubt_doubles(&mut found);
    for (one, other) in [(0, 1), (1, 0)] {
        assert_eq!(found[one].confidence, Confidence::Low);
        assert!(found[one].reason.contains(names[other]), "{}", found[one].reason);
    }
}

#[test]
fn recovery_services_vaults_of_one_name_are_all_shown() {
    let other = rsv("rsv").to_string().replace("/rg/", "/rg-two/");
    let mut known = knowledge(&[("rsv", Some(&[]))]);
    let id = RecoveryServicesVaultId::parse(&other).unwrap();
    let two = [rsv("rsv"), id].map(|id| KnownRecoveryServicesVault {
        id,
        containers_read: true,
        unreadable: None,
    });
    known.estate = Estate::new(two.into());
    let found = known.judge(secret("AzBackup-web01-rsv"));
    assert_eq!((found.confidence, found.recovery_services_vault_ids.len()), (Confidence::Low, 2));
}

#[test]
fn whose_it_is_already_is_told_and_another_tenants_is_not_named() {
    let mut known = knowledge(&[("rsv", Some(&["web01"]))]);
    let id = MachineId(uuid::Uuid::max());
    let holder = |machine| Holder { machine, secret_name: "azbackup-web01-rsv".to_owned() };
    let own = holder(Some((id, "web01.example".to_owned())));
    known.holders.insert(own.secret_name.clone(), own);
    let found = known.judge(secret("AzBackup-web01-rsv"));
    assert_eq!((found.confidence, found.machine_id), (Confidence::High, Some(id)));
    let foreign = holder(None);
    known.holders.insert(foreign.secret_name.clone(), foreign);
    let found = known.judge(secret("AzBackup-web01-rsv"));
    assert_eq!((found.confidence, found.machine_id), (Confidence::Low, None));
}

#[test]
fn deleted_and_disabled_secrets_say_so() {
    let known = knowledge(&[("rsv", Some(&["web01"]))]);
    let gone = ListedSecret {
        deleted_at: Some(OffsetDateTime::UNIX_EPOCH),
        ..secret("AzBackup-web01-rsv")
    };
    let found = known.judge(gone);
    assert!(found.state == SecretState::SoftDeleted && found.reason.contains("391282"));
    let disabled = ListedSecret { enabled: false, ..secret("AzBackup-web01-rsv") };
    let found = known.judge(disabled);
    assert!(found.state == SecretState::Disabled && found.reason.contains("disabled"));
    assert_eq!((found.confidence, fqdns(&found)), (Confidence::Low, vec!["web01"]));
}
