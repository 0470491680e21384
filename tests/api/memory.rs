//! What stays in the broker's memory after passphrases went through it (reliability goal E2).
//!
//! The client's connections stay open: their buffers, and those towards Key Vault, belong to what is searched. Only root
//! may read the memory of a process that is not dumpable.

use std::{
    collections::HashSet,
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use regex::bytes::Regex;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Actor, Broker, Setup, full_size_or};

/// Three groups of a generated passphrase: a third of it counts as found.
const PIECE: &str = "(?-u)[24679fhkmrtwxy]{5}-[24679fhkmrtwxy]{5}-[24679fhkmrtwxy]{5}";

/// The pages of the process that can be written to, whole or in part.
fn memory(broker: &Broker) -> Vec<u8> {
    let process = format!("/proc/{}", broker.process_id());
    let maps = std::fs::read_to_string(format!("{process}/maps")).unwrap();
    let file = File::open(format!("{process}/mem")).unwrap();
    let (mut all, mut page) = (Vec::new(), [0; 4096]);
    for map in maps.lines().filter(|map| map.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (start, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let bound = |text| u64::from_str_radix(text, 16).unwrap();
        for offset in (bound(start)..bound(end)).step_by(4096) {
            // Guard pages and devices cannot be read.
            if file.read_exact_at(&mut page, offset).is_err() {
                break;
            }
            if page != [0; 4096] {
                all.extend_from_slice(&page);
            }
        }
    }
    all
}

/// The pieces by which a passphrase is recognised: its first, second and last third.
fn pieces(passphrases: &[String]) -> HashSet<Vec<u8>> {
    let third = |text: &String| [0, 18, 36].map(|from| text.as_bytes()[from..from + 17].to_vec());
    passphrases.iter().flat_map(third).collect()
}

fn found(memory: &[u8], pieces: &HashSet<Vec<u8>>) -> usize {
    let shape = Regex::new(PIECE).unwrap();
    let hits: HashSet<_> = shape
        .find_iter(memory)
        .filter(|hit| pieces.contains(hit.as_bytes()))
        .map(|hit| hit.as_bytes().to_vec())
        .collect();
    hits.len()
}

/// One of somebody's own, in the form by which it is recognised.
fn provided() -> String {
    let letters = b"24679fhkmrtwxy";
    let random = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
    let letter = |byte: &u8| char::from(letters[usize::from(*byte) % letters.len()]);
    let groups = random[..45].chunks(5).map(|group| group.iter().map(letter).collect::<String>());
    groups.collect::<Vec<_>>().join("-")
}

/// Registers machines with generated and with provided passphrases, and retrieves each. The clients' connections stay
/// open as long as the actors live.
async fn passphrases(broker: &Broker, count: usize) -> (Vec<String>, [Actor; 2]) {
    let (portal, helpdesk) = (broker.portal(), broker.helpdesk());
    let mut all = Vec::new();
    while all.len() < count {
        let round = (0..20).map(async |number| {
            let source = match number % 2 {
                0 => json!({"source": "generated"}),
                _ => json!({"source": "provided", "value": provided()}),
            };
            let machine = portal.post("/v1/machines", Actor::registration(&source)).await;
            helpdesk.retrieve(machine.id()).await.field("passphrase").to_owned()
        });
        all.extend(join_all(round).await);
    }
    (all, [portal, helpdesk])
}

async fn nothing_is_left(retrievals: usize, pause: Duration) {
    if !is_root() {
        println!(
            "not root: the memory of a process that is not dumpable cannot be read; nothing was tested"
        );
        return;
    }
    let broker = Broker::start(Setup::default()).await;
    let (passphrases, clients) = passphrases(&broker, retrievals).await;
    let pieces = pieces(&passphrases);
    let at_once = found(&memory(&broker), &pieces);
    let start = Instant::now();
    let mut left = at_once;
    while left > 0 && start.elapsed() < pause {
        tokio::time::sleep(Duration::from_millis(500)).await;
        left = found(&memory(&broker), &pieces);
    }
    let after = start.elapsed();
    let image = memory(&broker);
    let control = Regex::new(broker.tenant.as_str()).unwrap();
    assert!(control.is_match(&image), "the search does not find what must be there");
    drop(clients);
    println!(
        "{left} of {} pieces of {retrievals} passphrases in {} MiB of memory, {} s after the last ({at_once} at once)",
        pieces.len(),
        image.len() >> 20,
        after.as_secs()
    );
    assert_eq!(left, 0);
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_passphrase_stays_in_memory() {
    let (passphrases, seconds) = full_size_or((1000, 30), (300, 15));
    nothing_is_left(passphrases, Duration::from_secs(seconds)).await;
}
