//! How sure it is which machine a secret belongs to: a pure function over what is known, with its reason in
//! words. When two answers fit, both are shown and neither is chosen.

use std::collections::{BTreeSet, HashMap, HashSet};

use time::OffsetDateTime;

use super::{estate::Estate, secret_state::SecretState};
use crate::{
    azure::ListedSecret,
    domain::{
        machine::{Fqdn, MachineId},
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    store::recovery_services_vaults::{Holder, KnownName, KnownRecoveryServicesVault},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Exactly one known machine's name, written in one of MARS's ways, makes this secret's name.
    High,
    /// A known Recovery Services vault's name is at its end, and nobody could say whose machine the rest is.
    Medium,
    Low,
}

/// A machine that the secret may belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub fqdn: String,
    pub recovery_services_vault_id: RecoveryServicesVaultId,
    pub agent_version: Option<String>,
    /// Whether it is registered here already.
    pub registered: bool,
}

#[derive(Debug, Clone)]
pub struct Proposal {
    pub secret_name: SecretName,
    pub state: SecretState,
    pub created_at: Option<OffsetDateTime>,
    pub updated_at: Option<OffsetDateTime>,
    pub deleted_at: Option<OffsetDateTime>,
    pub purged_at: Option<OffsetDateTime>,
    pub confidence: Confidence,
    pub reason: String,
    /// What is left of the name without the prefix and a known Recovery Services vault's: not taken apart.
    pub machine_part: Option<String>,
    /// All whose name fits the end, when they are not one.
    pub recovery_services_vault_ids: Vec<RecoveryServicesVaultId>,
    /// One: it is proposed. More: somebody has to choose.
    pub candidates: Vec<Candidate>,
    /// The machine that has this secret already.
    pub machine_id: Option<MachineId>,
    /// Other names under which MARS may have saved the same machine's passphrase.
    pub other_names: Vec<SecretName>,
}

/// A Recovery Services vault's folded id, and what may be a machine there, in lower case.
type Part = (String, String);

/// What is known of the names on some pages.
pub(super) struct Knowledge {
    pub(super) estate: Estate,
    pub(super) containers: Written,
    pub(super) machines: Written,
    pub(super) holders: HashMap<String, Holder>,
}

/// Known machines by each way in which MARS may have written them.
pub(super) struct Written(HashMap<Part, Vec<KnownName>>);

impl Written {
    /// Only what some secret may stand for: an estate is larger than a page.
    pub(super) fn new(known: Vec<KnownName>, wanted: &HashSet<Part>) -> Self {
        let mut written: HashMap<Part, Vec<KnownName>> = HashMap::new();
        for one in known {
            let forms: BTreeSet<String> = SecretName::written_forms(&one.name).into();
            for form in forms {
                let part = (one.recovery_services_vault.clone(), form);
                if wanted.contains(&part) {
                    written.entry(part).or_default().push(one.clone());
                }
            }
        }
        Self(written)
    }
}

/// Every part of this name that may be a machine's.
pub(super) fn parts(estate: &Estate, name: &SecretName) -> Vec<Part> {
    let readings = estate.readings(name.behind_prefix().unwrap_or_default());
    let parts = readings.flat_map(|(machine, known)| {
        known.iter().map(move |one| (one.id.folded(), machine.to_ascii_lowercase()))
    });
    parts.collect()
}

impl Knowledge {
    /// What can be said of this secret alone.
    pub(super) fn judge(&self, secret: ListedSecret) -> Proposal {
        let behind = secret.name.behind_prefix().unwrap_or_default().to_owned();
        let readings: Vec<_> = self.estate.readings(&behind).collect();
        let candidates = self.candidates(&readings);
        let holder = self.holders.get(&secret.name.as_str().to_ascii_lowercase());
        let longest = readings.first();
        let (confidence, reason) = match holder {
            Some(Holder { machine: Some((_, fqdn)), .. }) => {
                (Confidence::High, format!("it is {fqdn}'s, which is registered already"))
            }
            Some(_) => (Confidence::Low, "a machine of another tenant has it".to_owned()),
            None if behind.is_empty() => {
                (Confidence::Low, "no machine can have it: nothing is behind its prefix".to_owned())
            }
            None => of_candidates(&candidates).unwrap_or_else(|| of_end(longest)),
        };
        let state = SecretState::of(&secret);
        let registered_id = holder.and_then(|holder| holder.machine.as_ref().map(|(id, _)| *id));
        let chosen = if let [only] = candidates.as_slice() { Some(only) } else { None };
        let ids: BTreeSet<String> = match chosen {
            Some(only) => [only.recovery_services_vault_id.to_string()].into(),
            None => longest
                .into_iter()
                .flat_map(|(_, known)| known.iter().map(|one| one.id.to_string()))
                .collect(),
        };
        let machine_part = chosen
            .and_then(|only| part_of(&readings, &only.recovery_services_vault_id))
            .or(longest.map(|(machine, _)| *machine));
        Proposal {
            state,
            created_at: secret.created_at,
            updated_at: secret.updated_at,
            deleted_at: secret.deleted_at,
            purged_at: secret.purged_at,
            confidence: if registered_id.is_some() {
                confidence
            } else {
                state.at_most(confidence)
            },
            reason: format!("{reason}{}", state.words()),
            machine_part: machine_part.map(str::to_owned),
            recovery_services_vault_ids: ids
                .iter()
                .filter_map(|id| RecoveryServicesVaultId::parse(id).ok())
                .collect(),
            machine_id: registered_id,
            other_names: chosen.map(|only| other_names(only, &secret.name)).unwrap_or_default(),
            candidates,
            secret_name: secret.name,
        }
    }

    /// Known machines whose name makes this secret's name, with any Recovery Services vault that fits.
    fn candidates(&self, readings: &[(&str, &[KnownRecoveryServicesVault])]) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for (machine, known) in readings {
            for one in *known {
                let part = (one.id.folded(), machine.to_ascii_lowercase());
                for (names, registered) in [(&self.machines, true), (&self.containers, false)] {
                    for name in names.0.get(&part).into_iter().flatten() {
                        let same = |candidate: &&mut Candidate| {
                            candidate.fqdn == name.name
                                && candidate.recovery_services_vault_id == one.id
                        };
                        if let Some(earlier) = candidates.iter_mut().find(same) {
                            earlier.agent_version =
                                name.agent_version.clone().or(earlier.agent_version.take());
                        } else {
                            candidates.push(Candidate {
                                fqdn: name.name.clone(),
                                recovery_services_vault_id: one.id.clone(),
                                agent_version: name.agent_version.clone(),
                                registered,
                            });
                        }
                    }
                }
            }
        }
        candidates
    }
}

/// Several secrets that may be the same machine's are all doubtful. Of other pages nobody knows here: that
/// is why each proposal names its other names, and accepting looks for them.
pub(super) fn doubt_doubles(proposals: &mut [Proposal]) {
    let mut secrets: HashMap<(String, String), Vec<String>> = HashMap::new();
    let machine = |proposal: &Proposal| match proposal.candidates.as_slice() {
        [only] => Some((only.recovery_services_vault_id.folded(), only.fqdn.clone())),
        _ => None,
    };
    for proposal in &*proposals {
        if let Some(machine) = machine(proposal) {
            secrets.entry(machine).or_default().push(proposal.secret_name.to_string());
        }
    }
    for proposal in proposals {
        let Some(machine) = machine(proposal) else { continue };
        let own = proposal.secret_name.as_str();
        let others: Vec<&str> =
            secrets[&machine].iter().map(String::as_str).filter(|name| *name != own).collect();
        if !others.is_empty() && proposal.machine_id.is_none() {
            proposal.confidence = Confidence::Low;
            proposal.reason =
                format!("{}; {} may be the same machine's", proposal.reason, others.join(", "));
        }
    }
}

fn of_candidates(candidates: &[Candidate]) -> Option<(Confidence, String)> {
    match candidates {
        [] => None,
        [only] if only.registered => Some((
            Confidence::Low,
            format!("it fits {}, which is registered with another secret", only.fqdn),
        )),
        // ARM's names are anybody's words; with this one nothing can be registered.
        [only] if Fqdn::parse(&only.fqdn).is_err() => Some((
            Confidence::Low,
            format!(
                "it fits {:?}, which this service does not take as a machine's name",
                only.fqdn
            ),
        )),
        [only] => Some((
            Confidence::High,
            format!(
                "it is the name of {}, which is registered with {}",
                only.fqdn,
                only.recovery_services_vault_id.name()
            ),
        )),
        several => {
            let names: Vec<&str> =
                several.iter().map(|candidate| candidate.fqdn.as_str()).collect();
            Some((
                Confidence::Low,
                format!("it fits {} machines: {}", several.len(), names.join(", ")),
            ))
        }
    }
}

/// No machine is known that fits.
fn of_end(longest: Option<&(&str, &[KnownRecoveryServicesVault])>) -> (Confidence, String) {
    match longest {
        None => {
            (Confidence::Low, "no known Recovery Services vault's name is at its end".to_owned())
        }
        Some((_, [only])) if only.containers_read => {
            (Confidence::Low, format!("{} has no machine of this name now", only.id.name()))
        }
        Some((_, [only])) => {
            let why = only.unreadable.as_deref().unwrap_or("it was not asked");
            (
                Confidence::Medium,
                format!("it ends with {}, whose machines ARM did not tell ({why})", only.id.name()),
            )
        }
        Some((_, several)) => (
            Confidence::Low,
            format!("{} Recovery Services vaults have the name at its end", several.len()),
        ),
    }
}

fn part_of<'a>(
    readings: &[(&'a str, &[KnownRecoveryServicesVault])],
    id: &RecoveryServicesVaultId,
) -> Option<&'a str> {
    let fits = |known: &[KnownRecoveryServicesVault]| known.iter().any(|one| one.id == *id);
    readings.iter().find(|(_, known)| fits(known)).map(|(machine, _)| *machine)
}

fn other_names(candidate: &Candidate, own: &SecretName) -> Vec<SecretName> {
    let Ok(fqdn) = Fqdn::parse(&candidate.fqdn) else { return Vec::new() };
    let mut names = SecretName::candidates(&fqdn, &candidate.recovery_services_vault_id);
    names.retain(|name| name != own);
    names
}

#[cfg(test)]
mod tests;
