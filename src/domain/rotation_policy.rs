//! When a machine's passphrase is old enough to be replaced. Due is only a hint to the machine's agent: nothing is
//! written before the agent asks for it.

use time::{Duration, OffsetDateTime};

use super::machine::{Machine, MachineId, MachineState};

/// `age` days after a passphrase came in force, and up to `jitter` days later: machines that were registered on
/// one day are not all due on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    pub age_days: u16,
    pub jitter_days: u16,
}

impl RotationPolicy {
    /// None for a machine that should not rotate now whatever the date: something of it is open or unsettled, or
    /// there is nothing to replace.
    pub fn due_at(self, machine: &Machine) -> Option<OffsetDateTime> {
        let in_force = machine.in_force.as_ref()?;
        let date = in_force.since + Duration::days(self.age_days.into()) + self.delay(machine.id);
        (machine.state == MachineState::Active).then_some(date)
    }

    /// The same for one machine each time. The end of an id (UUID version 7) is random.
    fn delay(self, machine: MachineId) -> Duration {
        let Ok(spread) = u128::try_from(Duration::days(self.jitter_days.into()).whole_seconds())
        else {
            return Duration::ZERO;
        };
        let random = machine.0.as_u128() & 0xffff_ffff_ffff;
        let seconds = random.checked_rem(spread).unwrap_or_default();
        Duration::seconds(i64::try_from(seconds).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn machines_are_spread_over_the_jitter_and_each_keeps_its_place() {
        let policy = RotationPolicy { age_days: 90, jitter_days: 10 };
        let mut days = [0_u32; 10];
        for _ in 0..1_000 {
            let machine = MachineId(Uuid::now_v7());
            let delay = policy.delay(machine);
            assert_eq!(delay, policy.delay(machine));
            days[usize::try_from(delay.whole_days()).unwrap()] += 1;
        }
        assert!(days.iter().all(|count| (50..=150).contains(count)), "{days:?}");
    }

    #[test]
    fn without_jitter_there_is_no_delay() {
        let policy = RotationPolicy { age_days: 7, jitter_days: 0 };
        assert_eq!(policy.delay(MachineId(Uuid::now_v7())), Duration::ZERO);
    }
}
