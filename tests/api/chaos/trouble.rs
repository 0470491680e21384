//! What goes wrong, again and again: replicas die, PostgreSQL crashes, Key Vault refuses, loses answers, and
//! takes requests long after anybody waits for them.

use std::{sync::Arc, time::Duration};

use azsim::{Effect, Fault};
use tokio::time::sleep;

use super::World;
use crate::harness::{Postgres, azure};

/// `kill -9` of a random replica each second; it starts again at once.
pub async fn kills(world: &Arc<World>) -> u32 {
    let mut kills = 0;
    while world.goes_on() {
        sleep(Duration::from_secs(1)).await;
        let slot = usize::try_from(world.dice.below(world.replicas.count())).unwrap();
        if world.replicas.kill(slot) {
            kills += 1;
            let world = Arc::clone(world);
            tokio::spawn(async move { world.replicas.start_again(slot).await });
        }
    }
    kills
}

/// Every connection is cut, and the server recovers from its log, as after an immediate stop.
pub async fn crashes(world: &World, postgres: &Postgres) -> u32 {
    let mut crashes = 0;
    loop {
        sleep(Duration::from_secs(2 + world.dice.below(10))).await;
        if !world.goes_on() {
            return crashes;
        }
        postgres.crash();
        crashes += 1;
    }
}

pub async fn faults(world: &World) -> u32 {
    let mut faults = 0;
    while world.goes_on() {
        let operations =
            ["set_secret", "set_secret", "get_secret", "list_versions", "update_secret"];
        let operation = operations[usize::try_from(world.dice.below(5)).unwrap()];
        let fault = Fault::new(format!("key_vault.{operation}"), effect(world.dice.below(9)))
            .key_vault(&world.replicas.template().key_vault)
            .times(1 + u32::try_from(world.dice.below(3)).unwrap());
        let guard = azure().inject(fault);
        sleep(Duration::from_millis(300 + world.dice.below(1_200))).await;
        faults += guard.hits();
        // Those that are held take effect from now on, or much later.
        if world.dice.percent(20) {
            tokio::spawn(async move {
                sleep(Duration::from_secs(8)).await;
                guard.release();
            });
        }
    }
    faults
}

fn effect(number: u64) -> Effect {
    match number {
        0 => Effect::DropBefore,
        1 | 2 => Effect::DropAfter,
        3 => Effect::refuse(500, ""),
        4 => Effect::refuse(503, "busy"),
        5 => Effect::Throttle { retry_after: Some("1".to_owned()) },
        6 => Effect::Truncate,
        7 => Effect::DelayReply { milliseconds: 2_500 },
        _ => Effect::HoldBefore,
    }
}
