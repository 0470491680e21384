//! What a replica does, one transaction or one act of Key Vault after the other.

use crate::{
    reference::State,
    rules::{Mutant, Rule},
    steps::{Next, Step, confirmable, with},
    world::{Answer, Task, Version, World, Write},
};

pub fn replica_goes_on(world: &World, replica: usize, task: &Task, rule: &Rule, next: &mut Next) {
    let goes = |after: World| (Step::Goes(replica), after);
    match *task {
        Task::Prepare { row, epoch, to, value } => {
            let version = Version { value, operation: row + 1, enabled: true };
            let version_at = world.escrow.len();
            let stored = Task::Stored { row, epoch, to: Some(to), version: version_at };
            writes(world, replica, &Write { own: false, version }, stored, next);
            if rule.lacks(Mutant::AnswerBeforeEscrow) {
                let mut after = world.clone();
                after.answers.push(Answer { to, row, value });
                after.rows[row].released = Some(value);
                next.push(goes(after));
            }
            if world.left.losses > 0 {
                let mut after = with(world, replica, None);
                after.left.losses -= 1;
                if holds(world, row, epoch, rule) {
                    after.rows[row].state = State::Failed { collected: false };
                }
                next.push((Step::Refused(replica), after));
            }
        }
        Task::Look { row, epoch, to } => {
            next.push(goes(look(world, replica, row, epoch, to, rule)));
        }
        Task::Stored { row, epoch, to, version } => {
            next.push(goes(stored(world, replica, row, epoch, to, version, rule)));
        }
        Task::HandOut { row, to } => next.push(goes(hand_out(world, replica, row, to, rule))),
        Task::Answer(ref answer) => {
            let mut after = with(world, replica, None);
            after.answers.push(answer.clone());
            next.push(goes(after));
        }
        Task::Confirm { row, epoch } => next.push(goes(confirm(world, replica, row, epoch, rule))),
        Task::Copy { row, epoch } => copy(world, replica, row, epoch, rule, next),
        Task::Copied { row, epoch, version } => {
            next.push(goes(copied(world, replica, row, epoch, version, rule)));
        }
        Task::Disable { row } => {
            let mut after = with(world, replica, None);
            let all = rule.lacks(Mutant::DisablesAll);
            for version in after.escrow.iter_mut().filter(|it| all || it.operation <= row + 1) {
                version.enabled = false;
            }
            next.push(goes(after));
        }
    }
}

/// A write to Key Vault: done, or not, or unheard, or after everybody gave up.
fn writes(world: &World, replica: usize, write: &Write, done: Task, next: &mut Next) {
    let apply = |world: &mut World| {
        let secret = if write.own { &mut world.own } else { &mut world.escrow };
        secret.push(write.version.clone());
    };
    let mut after = with(world, replica, Some(done));
    apply(&mut after);
    next.push((Step::Goes(replica), after));
    if world.left.losses > 0 {
        let mut lost = with(world, replica, None);
        lost.left.losses -= 1;
        let (mut unheard, mut late) = (lost.clone(), lost.clone());
        apply(&mut unheard);
        late.late.push(write.clone());
        next.push((Step::Lost(replica), lost));
        next.push((Step::Unheard(replica), unheard));
        next.push((Step::Late(replica), late));
    }
}

/// Whether a compare-and-set on `requested` and the epoch succeeds.
fn holds(world: &World, row: usize, epoch: u8, rule: &Rule) -> bool {
    let row = &world.rows[row];
    rule.lacks(Mutant::NoFencing) || (row.state == State::Requested && row.epoch == epoch)
}

fn look(w: &World, replica: usize, row: usize, epoch: u8, to: Option<u8>, rule: &Rule) -> World {
    let tagged = w.escrow.iter().rposition(|version| version.operation == row + 1);
    let found = tagged.filter(|_| !rule.lacks(Mutant::NoTagLookup));
    let mut after = w.clone();
    after.tasks[replica] = match (found, to) {
        (Some(version), _) => Some(Task::Stored { row, epoch, to, version }),
        (None, Some(to)) => {
            after.generated += 1;
            Some(Task::Prepare { row, epoch, to, value: after.generated })
        }
        (None, None) => {
            if holds(w, row, epoch, rule) {
                after.rows[row].state = State::Failed { collected: false };
            }
            None
        }
    };
    after
}

/// Prepared, and for the agent that waits collected, in one transaction with the event.
fn stored(
    world: &World,
    replica: usize,
    row: usize,
    epoch: u8,
    to: Option<u8>,
    version: usize,
    rule: &Rule,
) -> World {
    let mut after = with(world, replica, None);
    if !holds(world, row, epoch, rule) {
        return after;
    }
    after.rows[row].escrow = Some(version);
    match to {
        None => after.rows[row].state = State::Prepared,
        Some(to) => release(&mut after, replica, row, to, rule),
    }
    after
}

fn hand_out(world: &World, replica: usize, row: usize, to: u8, rule: &Rule) -> World {
    let mut after = with(world, replica, None);
    let place = world.rows[row].escrow.filter(|place| world.escrow[*place].enabled);
    if place.is_some() && matches!(world.rows[row].state, State::Prepared | State::Collected) {
        release(&mut after, replica, row, to, rule);
    }
    after
}

fn release(after: &mut World, replica: usize, row: usize, to: u8, rule: &Rule) {
    let Some(place) = after.rows[row].escrow else { return };
    let value = after.escrow[place].value;
    after.rows[row].state = State::Collected;
    if after.rows[row].released.is_some_and(|earlier| earlier != value) {
        after.broken = Some("I5: two versions of one rotation left");
    }
    if !rule.lacks(Mutant::NoEvent) {
        after.rows[row].released = Some(value);
    }
    after.tasks[replica] = Some(Task::Answer(Answer { to, row, value }));
}

/// What an earlier attempt wrote is found by its tag; else the intent is put on record.
fn confirm(world: &World, replica: usize, row: usize, epoch: Option<u8>, rule: &Rule) -> World {
    let found = world.own.iter().position(|version| version.operation == row + 1);
    let mut after = with(world, replica, None);
    // The reconciler asks again whether it still may.
    if epoch.is_some() && !confirmable(world, row, rule) {
        return after;
    }
    if let Some(version) = found {
        after.tasks[replica] = Some(Task::Copied { row, epoch, version });
    } else if world.rows[row].state.is_unsettled() {
        after.rows[row].confirming = true;
        after.rows[row].intended = true;
        after.tasks[replica] = Some(Task::Copy { row, epoch });
    }
    after
}

fn copy(w: &World, replica: usize, row: usize, epoch: Option<u8>, rule: &Rule, next: &mut Next) {
    let escrow = w.rows[row].escrow.map(|place| w.escrow[place].clone());
    let Some(escrow) = escrow.filter(|version| version.enabled) else {
        return next.push((Step::Goes(replica), with(w, replica, None)));
    };
    let version = w.own.len();
    if rule.lacks(Mutant::InForceBeforeWritten) {
        let early = copied(w, replica, row, epoch, version, rule);
        return next.push((Step::Goes(replica), early));
    }
    let write = Write { own: true, version: Version { operation: row + 1, ..escrow } };
    writes(w, replica, &write, Task::Copied { row, epoch, version }, next);
}

/// In force, unless a later rotation's is.
fn copied(
    world: &World,
    replica: usize,
    row: usize,
    epoch: Option<u8>,
    version: usize,
    rule: &Rule,
) -> World {
    let mut after = with(world, replica, None);
    let found = &world.rows[row];
    let taken_back = epoch.is_some_and(|epoch| !found.confirming || found.epoch != epoch);
    if taken_back || !confirmable(world, row, rule) {
        return after;
    }
    after.rows[row].state = State::Confirmed;
    after.in_force = (row + 1, version);
    for earlier in &mut after.rows[..=row] {
        earlier.confirming = false;
    }
    after.tasks[replica] = Some(Task::Disable { row });
    after
}
