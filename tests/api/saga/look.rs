//! Where the service is, seen past it, and what must be true there.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    model::{Model, State},
    story::{Story, Told},
};
use crate::invariants::{self, passphrases};

/// What the world past the service shows of the rotations.
pub struct Seen {
    pub model: Model,
    pub confirming: Vec<usize>,
    pub ids: Vec<String>,
    /// The passphrase of each, where there is one.
    values: Vec<String>,
}

impl Story<'_> {
    /// Looks until the service is where it may be; what is written down may be a moment behind an answer that
    /// was lost.
    pub(super) async fn look_for(&self, possible: &[Model]) -> Result<Seen, String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let seen = self.look().await;
            if possible.contains(&seen.model) {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                return Err(format!("{:?} became {:?}, not {possible:?}", self.model, seen.model));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn look(&self) -> Seen {
        let rows = self.stage.database.texts(&format!(
            "select concat_ws(' ', r.id, r.state, collected_at is not null, confirming, sequence = current_rotation_sequence,
                 coalesce(escrow_version, '-'))
             from rotations r join machines m on m.id = machine_id where machine_id = '{}' order by sequence",
            self.machine
        )).await;
        let escrow = self.versions(&self.escrow());
        let mut seen = Seen {
            model: Model { in_force: 0, rotations: Vec::new() },
            confirming: Vec::new(),
            ids: Vec::new(),
            values: Vec::new(),
        };
        for (index, row) in rows.iter().enumerate() {
            let [id, state, collected, confirming, in_force, version] =
                row.split(' ').collect::<Vec<_>>().try_into().unwrap();
            seen.model.rotations.push(state_of(state, collected == "t"));
            seen.ids.push(id.to_owned());
            if confirming == "t" {
                seen.confirming.push(index);
            }
            if in_force == "t" {
                seen.model.in_force = index + 1;
            }
            let value = escrow.iter().find(|(id, _)| id == version);
            seen.values.push(value.map(|(_, value)| value.clone()).unwrap_or_default());
        }
        seen
    }

    /// What must hold after each step.
    pub(super) async fn check(&mut self, seen: Seen) -> Told {
        if seen.model.in_force < self.model.in_force {
            return Err("the pointer went back".to_owned());
        }
        let value = |index: usize| if index == 0 { &self.first } else { &seen.values[index - 1] };
        let expected: Vec<&String> = seen.model.candidates().into_iter().map(value).collect();
        let url = self.stage.replica(seen.ids.len() % 2 == 1).url.clone();
        let retrieved = self.helpdesk.at_url(&url).retrieve(&self.machine).await;
        self.given.note(&self.helpdesk, &retrieved);
        let found = passphrases(&retrieved.body);
        // The check for drift offers what MARS wrote, whenever it comes by.
        let of_mars = |value: &String| self.strangers.iter().any(|(_, theirs)| theirs == value);
        let ours: Vec<&String> = found.iter().filter(|value| !of_mars(value)).collect();
        if ours != expected {
            return Err(format!("{:?}: the help desk gets {}", seen.model, retrieved.text));
        }
        if let Some(lost) = self.applied.iter().find(|used| !found.contains(used)) {
            return Err(format!("{lost} is used and no candidate: {:?}", seen.model));
        }
        let own = self.versions(&self.secret);
        if let Some(gone) = self.strangers.iter().find(|written| !own.contains(written)) {
            return Err(format!("what MARS wrote is gone: {}", gone.0));
        }
        let broker = self.stage.replica(false);
        let secrets = [self.secret.as_str(), &self.escrow()];
        invariants::hold_for(&broker, &self.given, &self.machine, secrets).await;
        (self.model, self.confirming) = (seen.model, seen.confirming);
        Ok(())
    }
}

fn state_of(name: &str, collected: bool) -> State {
    match name {
        "requested" => State::Requested,
        "prepared" => State::Prepared,
        "collected" => State::Collected,
        "confirmed" => State::Confirmed,
        "failed" => State::Failed { collected },
        "abandoned" => State::Abandoned,
        "expired" => State::Expired,
        "indeterminate" => State::Indeterminate,
        other => panic!("{other}"),
    }
}
