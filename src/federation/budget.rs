//! Budgets: what a client may spend on training and on messages, and what it has spent.

use crate::method::{ClientState, Payload};
use crate::quantity::{Bytes, Power, Span, VirtualTime};
use crate::snapshot::snapshot_struct;
use serde::Serialize;

/// The reason with which a client declines that has used up its energy budget.
pub const ENERGY_SPENT: &str = "energy budget spent";
/// The reason with which a client declines that has used up its data plan.
pub const DATA_SPENT: &str = "data plan spent";

/// What each client of a group may spend in a period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Budget {
    /// Energy for training, in joules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<f64>,
    /// Bytes of messages, in both directions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
    /// The length of a period, counted from the beginning of the run. At the begin of each period a client
    /// has its whole budget again; without a length, the run is one period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Span>,
}

/// What a client has spent in the present period.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Spent {
    period: u64,
    joules: f64,
    bytes: u64,
}

snapshot_struct!(Spent {
    period,
    joules,
    bytes
});

/// The name of the entry in a dormant client's state.
const SPENT: &str = "budget.spent";

impl Spent {
    /// Takes the entry for the budget out of what a client kept.
    pub fn wake(state: &mut ClientState) -> Self {
        let kept = state.take(SPENT);
        match kept.as_ref().map(Payload::as_scalars) {
            // The bytes and periods of a run are far below 2⁵³, up to which a double holds each integer.
            Some(Ok([period, joules, bytes])) => Self {
                period: period as u64,
                joules,
                bytes: bytes as u64,
            },
            _ => Self::default(),
        }
    }

    /// Whether a client can have kept this payload under this name.
    pub fn keeps(name: &str, payload: &Payload) -> bool {
        name != SPENT || payload.as_scalars::<3>().is_ok()
    }

    /// Puts the entry for the budget back into what a client keeps.
    pub fn keep(self, state: ClientState) -> ClientState {
        let figures = [self.period as f64, self.joules, self.bytes as f64];
        state.with(SPENT, Payload::scalars(figures))
    }

    /// Sets what is spent to zero if another period has begun.
    pub fn renew(&mut self, budget: &Budget, now: VirtualTime) {
        let per = budget.per.map_or(0, Span::nanos);
        let period = now.nanos().checked_div(per).unwrap_or(0);
        if period != self.period {
            *self = Self {
                period,
                ..Self::default()
            };
        }
    }

    /// Why the client declines, if a budget is used up.
    pub fn used_up(&self, budget: &Budget) -> Option<&'static str> {
        let energy = budget.energy.is_some_and(|most| self.joules >= most);
        let data = budget.data.is_some_and(|most| self.bytes >= most.0);
        match (energy, data) {
            (true, _) => Some(ENERGY_SPENT),
            (false, true) => Some(DATA_SPENT),
            (false, false) => None,
        }
    }

    /// Counts a message of so many bytes.
    pub fn message(&mut self, bytes: Bytes) {
        self.bytes = self.bytes.saturating_add(bytes.0);
    }

    /// Counts the energy of work that draws `power` for this time.
    pub fn work(&mut self, power: Power, span: Span) {
        self.joules += power.energy(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget {
        energy: Some(10.0),
        data: Some(Bytes(1_000)),
        per: Some(Span::from_secs(60)),
    };

    fn at(seconds: u64) -> VirtualTime {
        VirtualTime::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn what_is_spent_stays_spent_until_the_period_is_over() {
        let watts = Power::watts(4.0).unwrap();
        let mut spent = Spent::default();
        spent.renew(&BUDGET, at(59));
        spent.work(watts, Span::from_secs(2));
        spent.message(Bytes(999));
        assert_eq!(spent.used_up(&BUDGET), None);
        spent.message(Bytes(1));
        assert_eq!(spent.used_up(&BUDGET), Some(DATA_SPENT));
        // 16 J of 10.
        spent.work(watts, Span::from_secs(2));
        assert_eq!(spent.used_up(&BUDGET), Some(ENERGY_SPENT));
        spent.renew(&BUDGET, VirtualTime::from_nanos(59_999_999_999));
        assert_eq!(spent.used_up(&BUDGET), Some(ENERGY_SPENT));
        spent.renew(&BUDGET, at(60));
        assert_eq!(spent.used_up(&BUDGET), None);
        // Whole periods may have passed by.
        spent.message(Bytes(1_000));
        spent.renew(&BUDGET, at(100 * 60));
        assert_eq!(
            spent,
            Spent {
                period: 100,
                ..Spent::default()
            }
        );
    }

    #[test]
    fn without_a_period_it_never_begins_anew() {
        let budget = Budget {
            per: None,
            ..BUDGET
        };
        let mut spent = Spent::default();
        spent.message(Bytes(1_000));
        spent.renew(&budget, VirtualTime::NEVER);
        assert_eq!(spent.used_up(&budget), Some(DATA_SPENT));
    }

    #[test]
    fn it_survives_dormancy_to_the_bit() {
        let spent = Spent {
            period: 1 << 40,
            joules: 0.1 + 0.2,
            bytes: (1 << 53) - 1,
        };
        let mut state = spent.keep(ClientState::default());
        assert_eq!(Spent::wake(&mut state), spent);
        assert_eq!(
            Spent::wake(&mut state),
            Spent::default(),
            "it was taken out"
        );
    }
}
