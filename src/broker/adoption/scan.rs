//! `scan_adoptions`: one call lists some pages of a Key Vault and proposes machines for what it saw.
//!
//! Nothing is kept between two calls: where the next one goes on is in its cursor.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::judge::{Knowledge, Proposal, Written, doubt_doubles, parts};
use crate::{
    azure::{KeyVaultError, ListedSecret, Listing, Position},
    broker::{Broker, Error},
    domain::{
        caller::Caller, key_vault_id::KeyVaultUri, recovery_services_vault::RecoveryServicesVaultId,
    },
    store::recovery_services_vaults::Holder,
};

/// A call answers with what it has by then.
const BUDGET: Duration = Duration::from_secs(6);
const MOST_PROPOSALS: usize = 5_000;
/// Names are looked up so many at a time.
const LOOKED_UP: usize = 1_000;

#[derive(Debug)]
pub struct Scan {
    pub key_vault_uri: KeyVaultUri,
    pub named: Vec<RecoveryServicesVaultId>,
    pub from: Option<ScanPosition>,
}

/// Where a scan goes on, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPosition {
    pub listing: Listing,
    /// None: at the first page.
    pub at: Option<Position>,
    pub scanned_before: u64,
}

#[derive(Debug)]
pub struct Scanned {
    pub proposals: Vec<Proposal>,
    /// Secrets of any kind that were listed, by all calls so far.
    pub scanned: u64,
    pub next: Option<ScanPosition>,
}

impl ScanPosition {
    fn start() -> Self {
        Self { listing: Listing::Living, at: None, scanned_before: 0 }
    }

    /// As a cursor keeps it: it belongs to one Key Vault.
    pub fn written(&self, key_vault: &KeyVaultUri) -> String {
        let listing = match self.listing {
            Listing::Living => "living",
            Listing::Deleted => "deleted",
        };
        let at = self.at.as_ref().map_or("", Position::as_str);
        format!("{listing}\n{key_vault}\n{}\n{at}", self.scanned_before)
    }

    /// None: it is another Key Vault's.
    pub fn read(text: &str, key_vault: &KeyVaultUri) -> Option<Self> {
        let mut lines = text.split('\n');
        let (listing, of, scanned, at) =
            (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
        let listing = match listing {
            "living" => Listing::Living,
            "deleted" => Listing::Deleted,
            _ => return None,
        };
        let at = if at.is_empty() { None } else { Some(Position::parse(at)?) };
        let scanned_before = scanned.parse().ok()?;
        (of == key_vault.as_str()).then_some(Self { listing, at, scanned_before })
    }
}

impl Broker {
    pub async fn scan_adoptions(&self, caller: &Caller, scan: Scan) -> Result<Scanned, Error> {
        let first = scan.from.is_none();
        let estate = self.estate(caller, &scan.named, first).await?;
        let from = scan.from.unwrap_or_else(ScanPosition::start);
        let (found, scanned, next) = self.list(caller, &scan.key_vault_uri, from).await?;
        let wanted: HashSet<_> =
            found.iter().flat_map(|secret| parts(&estate, &secret.name)).collect();
        let ids: BTreeSet<String> = wanted.iter().map(|(id, _)| id.clone()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let containers = self.store.list_container_names(caller.tenant_id(), &ids).await?;
        let machines = self.store.list_machine_names(caller.tenant_id(), &ids).await?;
        let knowledge = Knowledge {
            holders: self.holders(caller, &scan.key_vault_uri, &found).await?,
            containers: Written::new(containers, &wanted),
            machines: Written::new(machines, &wanted),
            estate,
        };
        let mut proposals: Vec<Proposal> =
            found.into_iter().map(|secret| knowledge.judge(secret)).collect();
        doubt_doubles(&mut proposals);
        Ok(Scanned { proposals, scanned, next })
    }

    async fn holders(
        &self,
        caller: &Caller,
        key_vault: &KeyVaultUri,
        found: &[ListedSecret],
    ) -> Result<HashMap<String, Holder>, Error> {
        let mut holders = HashMap::new();
        for some in found.chunks(LOOKED_UP) {
            let names: Vec<String> =
                some.iter().map(|secret| secret.name.as_str().to_ascii_lowercase()).collect();
            let known = self.store.list_holders(caller.tenant_id(), key_vault, &names).await?;
            holders.extend(known.into_iter().map(|holder| (holder.secret_name.clone(), holder)));
        }
        Ok(holders)
    }

    /// Pages until there is enough or no more time, and in any case one. A failure after that ends the
    /// call with what it has: the next one meets it first.
    async fn list(
        &self,
        caller: &Caller,
        key_vault: &KeyVaultUri,
        from: ScanPosition,
    ) -> Result<(Vec<ListedSecret>, u64, Option<ScanPosition>), KeyVaultError> {
        let ScanPosition { mut listing, mut at, scanned_before: mut scanned } = from;
        let (mut found, mut pages, deadline) = (Vec::new(), 0, Instant::now() + BUDGET);
        loop {
            let request_id = &caller.request().request_id;
            let page = self.scanner.list_secrets(request_id, key_vault, listing, at.as_ref());
            let page = match page.await {
                Ok(page) => page,
                Err(error) if pages == 0 => return Err(error),
                Err(error) => {
                    tracing::info!(%error, pages, "a scan is cut short");
                    break;
                }
            };
            pages += 1;
            scanned += page.secrets.len() as u64;
            found.extend(page.secrets.into_iter().filter(|it| it.name.behind_prefix().is_some()));
            at = page.next;
            match (listing, &at) {
                (_, Some(_)) => {}
                (Listing::Living, None) => listing = Listing::Deleted,
                (Listing::Deleted, None) => return Ok((found, scanned, None)),
            }
            if found.len() >= MOST_PROPOSALS || Instant::now() >= deadline {
                break;
            }
        }
        Ok((found, scanned, Some(ScanPosition { listing, at, scanned_before: scanned })))
    }
}
