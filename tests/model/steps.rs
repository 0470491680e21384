//! What may happen next, each one atomic: a transaction of PostgreSQL, an act of Key Vault, of the agent, of the
//! network, of time, or a death.

use crate::{
    reference::{Call, State},
    replica::replica_goes_on,
    rules::{Mutant, Rule},
    world::{Row, Task, World, Write},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin,
    /// The agent does: begins to ask, is answered, gives it to MARS, says so, says that it failed.
    Rotates(usize),
    Receives,
    Applies,
    Confirms(usize),
    Fails,
    /// The replica's next step goes as it should; or wrong: refused, lost, done unheard, or done much later.
    Goes(usize),
    Refused(usize),
    Lost(usize),
    Unheard(usize),
    Late(usize),
    /// A write arrives that nobody waits for any more.
    Arrives,
    /// The replica's reconciler takes over.
    TakesOver(usize),
    Dies(usize),
    DeadlinePasses,
}

pub type Next = Vec<(Step, World)>;

pub fn steps(world: &World, rule: &Rule) -> Next {
    let mut next = Vec::new();
    agent(world, rule, &mut next);
    for replica in 0..2 {
        match &world.tasks[replica] {
            Some(task) => {
                replica_goes_on(world, replica, task, rule, &mut next);
                if world.left.crashes > 0 {
                    let mut after = with(world, replica, None);
                    after.left.crashes -= 1;
                    next.push((Step::Dies(replica), after));
                }
            }
            None => take_over(world, replica, &mut next),
        }
    }
    for place in 0..world.late.len() {
        let mut after = world.clone();
        let Write { own, version } = after.late.remove(place);
        let secret = if own { &mut after.own } else { &mut after.escrow };
        secret.push(version);
        next.push((Step::Arrives, after));
    }
    if let (Some(open), true) = (world.open(), world.left.deadlines > 0) {
        let mut after = world.clone();
        after.left.deadlines -= 1;
        after.rows[open].state = world.model().overdue().rotations[open];
        next.push((Step::DeadlinePasses, after));
    }
    for (_, after) in &mut next {
        // Replicas are equal, and so are things on the wire.
        after.tasks.sort();
        after.late.sort();
        after.answers.sort();
    }
    next
}

/// One call from its beginning to its end, with nothing in between, and the agent does what it is told.
pub fn alone(world: &World, call: Call, rule: &Rule) -> World {
    let begins = |step: &Step| match call {
        Call::Rotate => matches!(step, Step::Rotates(_)),
        Call::Confirm => matches!(step, Step::Confirms(_)),
        _ => matches!(step, Step::Fails),
    };
    let first = |world: &World, wanted: &dyn Fn(&Step) -> bool| {
        let found = steps(world, rule).into_iter().find(|(step, _)| wanted(step));
        found.map(|(_, after)| after)
    };
    let mut world = first(world, &begins).unwrap();
    world.left = crate::explore::Bounds::FULL;
    let goes_on = |step: &Step| matches!(step, Step::Goes(_) | Step::Receives | Step::Applies);
    while let Some(after) = first(&world, &goes_on).filter(|after| *after != world) {
        world = after;
    }
    world
}

pub fn with(world: &World, replica: usize, task: Option<Task>) -> World {
    let mut after = world.clone();
    after.tasks[replica] = task;
    after
}

fn agent(world: &World, rule: &Rule, next: &mut Next) {
    for replica in (0..2).filter(|replica| world.tasks[*replica].is_none()) {
        if world.left.asks > 0 {
            asks(world, replica, rule, next);
        }
        if let Some((row, value)) = world.handed
            && world.applied == value
            && world.left.confirmations > 0
            && confirmable(world, row, rule)
        {
            let mut after = with(world, replica, Some(Task::Confirm { row, epoch: None }));
            after.left.confirmations -= 1;
            next.push((Step::Confirms(replica), after));
        }
    }
    for (place, answer) in world.answers.iter().enumerate() {
        let mut after = world.clone();
        after.answers.remove(place);
        if answer.to == world.asked || rule.lacks(Mutant::StaleAnswer) {
            after.handed = Some((answer.row, answer.value));
        }
        next.push((Step::Receives, after));
    }
    let Some((row, value)) = world.handed else { return };
    if world.applied != value {
        next.push((Step::Applies, World { applied: value, ..world.clone() }));
    }
    // Whether it applied it or not.
    let mut after = world.clone();
    let state = after.rows[row].state;
    if world.left.failures > 0 && matches!(state, State::Collected | State::Indeterminate) {
        after.rows[row].state = world.model().after(Call::Fail, row).1.rotations[row];
        after.rows[row].confirming = false;
        after.left.failures -= 1;
        next.push((Step::Fails, after));
    }
}

/// A rotation, asked for with or without a memory of what was handed out before. It arrives and is put on record
/// in one step: what is lost before that was not asked.
fn asks(world: &World, replica: usize, rule: &Rule, next: &mut Next) {
    let mut after = world.clone();
    after.left.asks -= 1;
    after.asked += 1;
    after.handed = None;
    let to = after.asked;
    let open = world.open().filter(|_| !rule.lacks(Mutant::TwoOpen));
    let task = match open.map(|row| (row, world.rows[row].state)) {
        Some((row, State::Requested)) if world.left.takeovers > 0 => {
            after.left.takeovers -= 1;
            after.rows[row].epoch += 1;
            Task::Look { row, epoch: after.rows[row].epoch, to: Some(to) }
        }
        // Somebody is at it.
        Some((_, State::Requested)) => return,
        Some((row, _)) => Task::HandOut { row, to },
        None if world.rows.len() >= usize::from(world.left.rotations) => return,
        None => {
            after.rows.push(Row {
                state: State::Requested,
                epoch: 1,
                confirming: false,
                escrow: None,
                released: None,
                intended: false,
            });
            after.generated += 1;
            Task::Prepare { row: world.rows.len(), epoch: 1, to, value: after.generated }
        }
    };
    after.tasks[replica] = Some(task);
    next.push((Step::Rotates(replica), after));
}

fn take_over(world: &World, replica: usize, next: &mut Next) {
    let interrupted = |(index, row): &(usize, &Row)| {
        row.state == State::Requested || (row.confirming && index + 1 > world.in_force.0)
    };
    if world.left.takeovers == 0 {
        return;
    }
    for (row, found) in world.rows.iter().enumerate().filter(interrupted) {
        let epoch = found.epoch + 1;
        let task = if found.confirming {
            Task::Confirm { row, epoch: Some(epoch) }
        } else {
            Task::Look { row, epoch, to: None }
        };
        let mut after = with(world, replica, Some(task));
        after.rows[row].epoch = epoch;
        after.left.takeovers -= 1;
        next.push((Step::TakesOver(replica), after));
    }
}

pub fn confirmable(world: &World, row: usize, rule: &Rule) -> bool {
    let later = world.in_force.0 > row + 1 && !rule.lacks(Mutant::PointerGoesBack);
    !later && world.rows[row].state.is_unsettled()
}
