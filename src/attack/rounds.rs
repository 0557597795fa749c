//! The rounds in which an attack is on.

use serde::Serialize;

/// A range of rounds in which the attack alternates: `on` rounds with it, then `off` rounds without
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rounds {
    /// The first round with the attack; rounds are counted from 1.
    pub from: u32,
    /// The last round of the range; the range goes on to the end of the run if not given.
    pub until: Option<u32>,
    /// The number of successive rounds in which the attack is on.
    pub on: u32,
    /// The number of rounds after those in which it is off.
    pub off: u32,
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            from: 1,
            until: None,
            on: 1,
            off: 0,
        }
    }
}

impl Rounds {
    /// Whether the attack is on in `round`.
    pub fn contains(&self, round: u32) -> bool {
        let Some(since) = round.checked_sub(self.from) else {
            return false;
        };
        let turn = u64::from(self.on) + u64::from(self.off);
        let ended = self.until.is_some_and(|until| round > until);
        !ended && turn > 0 && u64::from(since) % turn < u64::from(self.on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attacker_that_goes_on_and_off_does_so_from_its_first_round() {
        let rounds = Rounds {
            from: 3,
            until: Some(12),
            on: 2,
            off: 3,
        };
        let on: Vec<u32> = (0..20).filter(|round| rounds.contains(*round)).collect();
        assert_eq!(on, [3, 4, 8, 9]);
        let always: Vec<u32> = (0..4).filter(|r| Rounds::default().contains(*r)).collect();
        assert_eq!(always, [1, 2, 3]);
    }
}
