//! `accept_adoptions`: registers the machines that somebody chose among the proposals, each by itself and
//! each on record. Repeated, it answers the machines that are there.

use futures_util::{StreamExt, future::try_join_all, stream};
use uuid::Uuid;

use crate::{
    broker::{
        Broker, Error, IdempotencyKey, Refused,
        registration::{AdoptedVersion, FirstPassphrase, Registration},
    },
    domain::{
        audit_event::{Actor, AuditEvent, Outcome},
        caller::Caller,
        key_vault_id::{KeyVaultUri, SecretVersion},
        machine::{AgentVersion, Fqdn, Machine, Tags},
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
};

/// Each takes a few calls of Key Vault.
const AT_ONCE: usize = 4;

#[derive(Debug, Clone)]
pub struct Acceptance {
    pub secret_name: SecretName,
    pub fqdn: Fqdn,
    pub recovery_services_vault_id: RecoveryServicesVaultId,
    /// None: the newest one, which has to be enabled unless somebody chose.
    pub version: Option<SecretVersion>,
    pub agent_object_id: Option<Uuid>,
    pub agent_version: Option<AgentVersion>,
    pub tags: Tags,
    /// Somebody has looked at the machine's other secrets, and at newer versions of this one that are disabled,
    /// and means this one.
    pub chosen: bool,
}

#[derive(Debug)]
pub struct Accepted {
    pub machine: Machine,
    /// By an earlier request.
    pub already: bool,
}

impl Broker {
    /// An outcome for each, in their order.
    pub async fn accept_adoptions(
        &self,
        caller: &Caller,
        key_vault_uri: &KeyVaultUri,
        items: Vec<Acceptance>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<Result<Accepted, Refused>>, Refused> {
        // What is registered already is answered again: the same whether a key is known or not.
        self.replayed(caller, key).await?;
        let each = items.into_iter().map(|item| self.accept(caller, key_vault_uri, item));
        let outcomes: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
        let operation = caller.request().operation_id;
        let done: Result<_, Error> = Ok(outcomes);
        self.remember(caller, key, &done, |_outcomes| Some(operation)).await;
        Ok(done?)
    }

    async fn accept(
        &self,
        caller: &Caller,
        key_vault_uri: &KeyVaultUri,
        item: Acceptance,
    ) -> Result<Accepted, Refused> {
        if let Some(machine) = self.accepted_before(caller, key_vault_uri, &item).await? {
            let event = self.event(caller, Outcome::Succeeded).on_machine(machine.id);
            self.audit.record(event.with("repeated", "true")).await?;
            return Ok(Accepted { machine, already: true });
        }
        if !item.chosen {
            self.refuse_other_secrets(caller, key_vault_uri, &item).await?;
        }
        let registration = Registration {
            fqdn: item.fqdn,
            recovery_services_vault_id: item.recovery_services_vault_id,
            key_vault_uri: key_vault_uri.clone(),
            secret_name: Some(item.secret_name),
            agent_object_id: item.agent_object_id,
            agent_version: item.agent_version,
            tags: item.tags,
            source: FirstPassphrase::Adopted {
                version: AdoptedVersion::of(item.version, item.chosen),
            },
        };
        let registered = self.register(caller, registration).await?;
        Ok(Accepted { machine: registered.machine, already: false })
    }

    /// The machine that this very item made.
    async fn accepted_before(
        &self,
        caller: &Caller,
        key_vault_uri: &KeyVaultUri,
        item: &Acceptance,
    ) -> Result<Option<Machine>, Error> {
        let (tenant_id, id) = (caller.tenant_id(), &item.recovery_services_vault_id);
        let found = self.store.find_registered_machine(tenant_id, &item.fqdn, id).await?;
        let Some((machine, None)) = found else { return Ok(None) };
        let same = machine.key_vault_uri == *key_vault_uri
            && machine.secret_name == item.secret_name
            && machine.in_force.is_some();
        if same { Ok(Some(machine)) } else { Err(Error::MachineExists) }
    }

    /// MARS may have saved this machine's passphrase under other names, too. Which one is in use nobody can
    /// tell from names.
    async fn refuse_other_secrets(
        &self,
        caller: &Caller,
        key_vault_uri: &KeyVaultUri,
        item: &Acceptance,
    ) -> Result<(), Error> {
        let mut names = SecretName::candidates(&item.fqdn, &item.recovery_services_vault_id);
        names.retain(|name| *name != item.secret_name);
        let request_id = &caller.request().request_id;
        let looks = names.iter().map(|name| async move {
            let versions = self.scanner.list_versions(request_id, key_vault_uri, name).await?;
            Ok::<_, Error>((!versions.is_empty()).then_some(name.as_str()))
        });
        let others: Vec<&str> = try_join_all(looks).await?.into_iter().flatten().collect();
        if others.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "{} may hold this machine's passphrase, too; send \"chosen\": true with the one that it uses",
            others.join(", ")
        );
        Err(Error::InvalidRequest { pointer: "/secretName", detail })
    }

    /// What was refused of one item, while the request itself is answered.
    pub async fn record_refused_adoption(
        &self,
        caller: &Caller,
        secret_name: &SecretName,
        outcome: Outcome,
        problem: &'static str,
    ) -> Result<(), Error> {
        let actor = Actor::from(caller.principal());
        let (operation, now) = (caller.operation(), self.clock.now());
        let event = AuditEvent::refusal(operation, actor, caller.request(), outcome, problem, now);
        self.audit.record(event.with("secretName", secret_name.as_str())).await?;
        Ok(())
    }
}
