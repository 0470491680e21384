//! Everything at once: replicas that are killed, a PostgreSQL that crashes, a Key Vault that errs, and people and
//! agents who go on all the while. Then the world is audited: every passphrase that was handed out is in Key
//! Vault, every release is on record, the help desk has what each machine uses, and no machine is stuck.
//!
//! `make chaos` runs it for a minute with 40 machines; `CHAOS_SECONDS`, `CHAOS_MACHINES` and `CHAOS_SEED` change that.

mod life;
mod replicas;
mod trouble;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    harness::{Broker, Postgres, full_size_or},
    invariants::{self, Given, passphrases},
};
use life::Life;
use replicas::Replicas;

/// Splitmix64: what is random here is told by one number, though the threads are not.
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn below(&self, sides: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// True so many times in a hundred.
    pub fn percent(&self, share: u64) -> bool {
        self.below(100) < share
    }
}

/// What everybody shares.
pub struct World {
    pub replicas: Replicas,
    pub given: Given,
    pub dice: Dice,
    pub requests: AtomicU64,
    pub until: Instant,
}

impl World {
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }
}

fn number(name: &str, usual: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long this test runs is no setting of the service"
    )]
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_loses_no_passphrase_and_leaves_no_machine_stuck() {
    let seconds = number("CHAOS_SECONDS", full_size_or(60, 8));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = number("CHAOS_SEED", now);
    println!("chaos for {seconds} s, seed {seed}");
    let postgres = Postgres::start("--durable");
    let replicas = Replicas::start(postgres.database().await, full_size_or(3, 2)).await;
    let world = Arc::new(World {
        replicas,
        given: Given::default(),
        dice: Dice::new(seed),
        requests: AtomicU64::new(0),
        until: Instant::now() + Duration::from_secs(seconds),
    });
    let lives: Vec<_> = (0..number("CHAOS_MACHINES", full_size_or(40, 10)))
        .map(|_| tokio::spawn(Life::begin(&world).live(Arc::clone(&world))))
        .collect();
    let (kills, crashes, faults) = tokio::join!(
        trouble::kills(&world),
        trouble::crashes(&world, &postgres),
        trouble::faults(&world)
    );
    let mut survivors = Vec::new();
    for life in lives {
        survivors.push(life.await.unwrap());
    }
    let broker = world.replicas.all_up().await;
    let count = survivors.len();
    let settled = settles(&broker).await;
    for life in survivors {
        audit(&world, &broker, life).await;
    }
    invariants::hold(&broker, &world.given).await;
    println!(
        "{} requests, {kills} kills, {crashes} crashes of PostgreSQL, {faults} faults of Key Vault: \
         settled in {settled:.1?}, {} passphrases given and on record, {count} of {count} machines have theirs and none is stuck",
        world.requests.load(Ordering::Relaxed),
        world.given.count(),
    );
}

/// What is left half done, with how long ago its turn was: from the third takeover on each doubles the time until the
/// next, unless somebody asks. The 7 s are those of the replicas here.
const HALF_DONE: &str = "select 'rotation ' || id || ' ' || state || ' confirming ' || confirming || ' epoch ' || epoch as what,
        attempted_at + interval '7 s' * power(2, greatest(epoch - 3, 0)) as due from rotations
        where state = 'requested' or confirming
    union all select 'registration of ' || id, registration_attempted_at + interval '7 s' from machines
        where registration_operation is not null";

/// Nothing is left half done. With many machines on a slow computer that may take longer than 30 s, but never
/// without one of them being finished whose turn it is.
async fn settles(broker: &Broker) -> Duration {
    let (started, mut progress) = (Instant::now(), Instant::now());
    let all = format!("select what from ({HALF_DONE}) half_done");
    let late = format!("{all} where due < now() - interval '30 s'");
    let mut left = usize::MAX;
    loop {
        let half_done = broker.database.texts(&all).await;
        if half_done.is_empty() {
            return started.elapsed();
        }
        if half_done.len() < left {
            (left, progress) = (half_done.len(), Instant::now());
        }
        if progress.elapsed() > Duration::from_secs(30) {
            let late = broker.database.texts(&late).await;
            assert!(late.is_empty(), "not settled: {late:#?}\n{}", broker.log());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The help desk has what the machine uses; then the machine rotates once more, and that is all it has.
async fn audit(world: &World, broker: &Broker, life: Life) {
    let (helpdesk, agent) = (broker.helpdesk(), life.agent.at(broker));
    let machine = life.machine_at(broker).await;
    let retrieved = helpdesk.retrieve(&machine).await;
    world.given.note(&helpdesk, &retrieved);
    let candidates = passphrases(&retrieved.body);
    assert!(life.applied.iter().all(|used| candidates.contains(used)), "lost: {}", retrieved.text);
    let rotation = agent.rotate(&machine).await;
    assert_eq!(rotation.status, 201, "stuck: {}", rotation.text);
    world.given.note(&agent, &rotation);
    let confirmed = agent.settle(&machine, rotation.id(), "confirm").await;
    assert_eq!(confirmed.status, 200, "stuck: {}", confirmed.text);
    let retrieved = helpdesk.retrieve(&machine).await;
    world.given.note(&helpdesk, &retrieved);
    assert_eq!(passphrases(&retrieved.body), [rotation.field("passphrase")]);
}
