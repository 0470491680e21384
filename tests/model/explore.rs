//! Looks at every state, nearest first, until an invariant breaks or there are no more.

use std::collections::{HashSet, VecDeque};

use crate::{
    rules::Rule,
    steps::{Step, steps},
    world::World,
};

/// How often what may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub rotations: u8,
    pub asks: u8,
    pub confirmations: u8,
    pub failures: u8,
    pub crashes: u8,
    pub losses: u8,
    pub takeovers: u8,
    pub deadlines: u8,
}

impl Bounds {
    pub const USUAL: Self = Self {
        rotations: 2,
        asks: 2,
        confirmations: 2,
        failures: 1,
        crashes: 1,
        losses: 1,
        takeovers: 1,
        deadlines: 1,
    };
    pub const FULL: Self = Self { asks: 3, losses: 2, ..Self::USUAL };
}

pub struct Explored {
    pub states: usize,
    /// Of the last state that was looked at.
    pub depth: usize,
    pub violation: Option<&'static str>,
    /// How each state came about: from which, by what.
    origins: Vec<(usize, Step)>,
    last: usize,
}

impl Explored {
    /// The steps to the violation.
    pub fn story(&self) -> String {
        let (mut steps, mut at) = (Vec::new(), self.last);
        while at > 0 {
            let (from, step) = &self.origins[at];
            steps.push(format!("{step:?}"));
            at = *from;
        }
        steps.push(format!("{:?} after:", self.violation));
        steps.reverse();
        steps.join("\n")
    }
}

pub fn explore(rule: &Rule, bounds: Bounds) -> Explored {
    let first = World { left: bounds, ..World::default() };
    let mut seen = HashSet::from([first.clone()]);
    let mut next = VecDeque::from([(first, 0, 0)]);
    let mut explored =
        Explored { states: 0, depth: 0, violation: None, origins: vec![(0, Step::Begin)], last: 0 };
    while let Some((world, index, depth)) = next.pop_front() {
        explored.states += 1;
        explored.depth = depth;
        for (step, after) in steps(&world, rule) {
            // The pointer moves forward only (I6); everything else is seen in the state itself.
            let back = after.in_force.0 < world.in_force.0;
            let violation =
                if back { Some("I6: the pointer went back") } else { after.violation(rule) };
            if violation.is_none() && !seen.insert(after.clone()) {
                continue;
            }
            explored.origins.push((index, step));
            let at = explored.origins.len() - 1;
            if violation.is_some() {
                return Explored { violation, last: at, depth: depth + 1, ..explored };
            }
            next.push_back((after, at, depth + 1));
        }
    }
    explored
}
