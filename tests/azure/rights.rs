//! Role assignments, role definitions and deny assignments, as ARM lists them at a Key Vault.

use azsim::{DenyAssignment, Group, ManagementGroup, Permission, RoleAssignment, RoleDefinition};
use passphrase_broker::domain::{
    resource_id::SecretScope, role_definition_id::RoleDefinitionId, secret_name::SecretName,
};
use uuid::Uuid;

use crate::harness::{
    Azure, SUBSCRIPTION, deadline, key_vault_id, principal, scope, secrets_officer,
};

#[tokio::test]
async fn assignments_of_the_principal_and_its_groups_are_told_from_the_scope_upwards() {
    let azure = Azure::start();
    let above = format!("/subscriptions/{SUBSCRIPTION}");
    azure.azsim.put_group(&Group { id: "g".to_owned(), members: vec![principal().to_string()] });
    let role = || Some("Key Vault Reader".to_owned());
    azure.azsim.assign(&RoleAssignment { role: role(), ..RoleAssignment::to("g", above.clone()) });
    azure.azsim.assign(&RoleAssignment { role: role(), ..RoleAssignment::to("somebody", above) });
    let arm = &azure.resource_manager;
    let told = arm.role_assignments("r-1", &scope(), Some(principal()), deadline()).await.unwrap();
    let of: Vec<&str> = told.value.iter().map(|it| it.principal_id.as_str()).collect();
    assert_eq!(of, [&principal().to_string(), "g"]);
    let own = &told.value[0];
    assert!(own.role_definition_id.eq_ignore_ascii_case(secrets_officer().as_str()));
    assert_eq!((own.scope.as_str(), &own.condition), (key_vault_id().as_str(), &None));
    assert!(own.created_on.is_some() && own.principal_type.is_some());
    assert!(told.facts.path.contains("$filter=atScope()%20and%20assignedTo(%27708fa728-"));
}

#[tokio::test]
async fn an_assignment_at_one_secret_is_told_at_that_secret_only() {
    let azure = Azure::start();
    let secret = |name| SecretScope { secret: SecretName::parse(name).ok(), ..scope() };
    let (mine, other) = (secret("AzBackup-web01"), secret("AzBackup-web02"));
    azure.azsim.assign(&RoleAssignment {
        data_actions: vec!["Microsoft.KeyVault/vaults/secrets/setSecret/action".to_owned()],
        condition: Some("((!(ActionMatches{'x'})))".to_owned()),
        ..RoleAssignment::to(principal().to_string(), mine.to_string())
    });
    for (scope, count) in [(mine, 2), (other, 1)] {
        let arm = &azure.resource_manager;
        let told =
            arm.role_assignments("r-1", &scope, Some(principal()), deadline()).await.unwrap();
        assert_eq!(told.value.len(), count, "{scope}");
        let conditions = told.value.iter().filter(|it| it.condition.is_some()).count();
        assert_eq!(conditions, count - 1, "{scope}");
    }
}

#[tokio::test]
async fn a_role_is_told_with_its_data_actions() {
    let azure = Azure::start();
    let role = secrets_officer();
    let (arm, at) = (&azure.resource_manager, key_vault_id());
    let told = arm.role_definition("r-1", &at, &role, deadline()).await.unwrap();
    assert_eq!(told.value.id, role.as_str());
    assert_eq!(told.value.name, "Key Vault Secrets Officer");
    let [block] = told.value.permissions.as_slice() else { panic!("{:?}", told.value) };
    assert_eq!(block.data_actions, ["Microsoft.KeyVault/vaults/secrets/*"]);
    assert_eq!(block.not_data_actions, [""; 0]);
}

#[tokio::test]
async fn a_role_assigned_at_a_management_group_is_read_at_the_key_vault() {
    let azure = Azure::start();
    let group = ManagementGroup {
        name: "mg-mars".to_owned(),
        subscriptions: vec![SUBSCRIPTION.to_string()],
    };
    azure.azsim.put_management_group(&group);
    azure.azsim.assign(&RoleAssignment {
        role: Some("Key Vault Secrets Officer".to_owned()),
        ..RoleAssignment::to(Uuid::nil().to_string(), group.resource_id())
    });
    // Nothing may be read but rights, and these at the Key Vault only.
    azure.forbid();
    azure.azsim.define_role(&RoleDefinition {
        id: "33333333-3333-4333-8333-333333333333".to_owned(),
        role_name: "Reader of rights".to_owned(),
        description: String::new(),
        assignable_scopes: vec!["/".to_owned()],
        permissions: vec![Permission {
            actions: vec!["Microsoft.Authorization/*/read".to_owned()],
            ..Permission::default()
        }],
    });
    azure.azsim.assign(&RoleAssignment {
        role: Some("Reader of rights".to_owned()),
        ..RoleAssignment::to(azure.azsim.identity().principal_id.clone(), key_vault_id().as_str())
    });
    let (arm, at) = (&azure.resource_manager, key_vault_id());
    let told = arm.role_assignments("r-1", &scope(), Some(Uuid::nil()), deadline()).await.unwrap();
    let [assignment] = told.value.as_slice() else { panic!("{:?}", told.value) };
    assert_eq!(assignment.scope, group.resource_id());
    let role = RoleDefinitionId::parse(&assignment.role_definition_id).unwrap();
    let told = arm.role_definition("r-1", &at, &role, deadline()).await.unwrap();
    assert_eq!(told.value.name, "Key Vault Secrets Officer");
    assert_eq!(told.value.id, role.as_str());
}

#[tokio::test]
async fn a_deny_assignment_is_told_with_its_exclusions() {
    let azure = Azure::start();
    let everybody = "00000000-0000-0000-0000-000000000000";
    let permission = Permission { data_actions: vec!["*".to_owned()], ..Permission::default() };
    azure.azsim.deny(DenyAssignment {
        id: "22222222-2222-4222-8222-222222222222".to_owned(),
        name: "managed by a blueprint".to_owned(),
        description: String::new(),
        scope: format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mars"),
        permissions: vec![permission],
        do_not_apply_to_child_scopes: true,
        principals: vec![everybody.to_owned()],
        exclude_principals: vec![principal().to_string()],
        condition: None,
    });
    let arm = &azure.resource_manager;
    let told = arm.deny_assignments("r-1", &scope(), deadline()).await.unwrap();
    let [denial] = told.value.as_slice() else { panic!("{:?}", told.value) };
    assert_eq!(denial.name, "managed by a blueprint");
    assert!(denial.do_not_apply_to_child_scopes);
    assert_eq!(denial.principals[0].id, everybody);
    assert_eq!(denial.principals[0].principal_type.as_deref(), Some("SystemDefined"));
    assert_eq!(denial.exclude_principals[0].id, principal().to_string());
    assert_eq!(denial.permissions[0].data_actions, ["*"]);
}
