//! `deploy/agent/rotate-passphrase.sh`, run for real: against the broker, azsim's Azure Arc agent with its key files,
//! and a small program in place of MARS.

mod deaths;
mod flow;
mod key_files;
mod server;

use azsim::KeyVaultSpec;
use tokio::sync::OnceCell;

use crate::harness::{Broker, Setup, azure};

/// In the tenant whose managed identities azsim speaks for, with a policy, on a port of its own choice or this one.
async fn start(address: Option<String>) -> Broker {
    let uri = azure().add_key_vault(KeyVaultSpec::default()).unwrap();
    let key_vault = uri.trim_start_matches("https://").split('.').next().unwrap().to_owned();
    let mut environment = std::collections::BTreeMap::from([
        ("ROTATION_AGE_DAYS", "30".to_owned()),
        ("ROTATION_JITTER_DAYS", "0".to_owned()),
    ]);
    environment.extend(address.map(|address| ("LISTEN_ADDRESS", address)));
    Broker::start(Setup {
        environment,
        replica_of: Some((key_vault, azure().tenant_id().to_owned())),
        ..Setup::default()
    })
    .await
}

/// For the tests that leave it alive.
async fn broker() -> &'static Broker {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    BROKER.get_or_init(|| start(None)).await
}
