//! The forms of a Recovery Services vault's identity (391224 is about them), as ARM writes them.

use azsim::{RecoveryServicesVault, VaultIdentity, World};
use passphrase_broker::domain::recovery_services_resource::ResourceIdentity;

use crate::harness::{Azure, deadline, principal, recovery_services_vault_id};

async fn told(azure: &Azure, identity: Option<VaultIdentity>) -> ResourceIdentity {
    azure.azsim.add_recovery_services_vault(RecoveryServicesVault {
        identity,
        ..RecoveryServicesVault::named("rsv-mars")
    });
    let id = recovery_services_vault_id();
    let told = azure.resource_manager.recovery_services_vault("r-1", &id, deadline()).await;
    told.unwrap().value.identity
}

#[tokio::test]
async fn all_five_forms_are_told_apart() {
    let world = World::dev();
    let user_assigned = world.machines[0].user_assigned[0].resource_id.clone();
    let azure = Azure::of(world);
    assert_eq!(told(&azure, None).await, ResourceIdentity::Absent { was_taken_away: false });
    let removed = told(&azure, Some(VaultIdentity::default())).await;
    assert_eq!(removed, ResourceIdentity::Absent { was_taken_away: true });
    let form = |system: bool, user: bool| VaultIdentity {
        principal_id: system.then(|| principal().to_string()),
        user_assigned: if user { vec![user_assigned.clone()] } else { Vec::new() },
    };
    let system = told(&azure, Some(form(true, false))).await;
    assert!(
        matches!(&system, ResourceIdentity::SystemAssigned(it) if it.principal_id == principal())
    );
    let user = told(&azure, Some(form(false, true))).await;
    assert_eq!(user, ResourceIdentity::UserAssigned { ids: vec![user_assigned.clone()] });
    let both = told(&azure, Some(form(true, true))).await;
    assert!(matches!(&both, ResourceIdentity::SystemAndUserAssigned { ids, .. } if ids.len() == 1));
    assert_eq!(both.system_assigned().map(|it| it.principal_id), Some(principal()));
}
