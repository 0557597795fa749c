//! Which clients really train.

use crate::quantity::Probability;
use crate::sim::rng::{stream, Purpose};
use rand::Rng;
use serde::Serialize;
use std::fmt;

/// The counters of the draws of [`Compute::Sampled`] have this bit and the number of the round. They share
/// no stream with the draws of which clients a fault concerns, since those are node 0's.
const ROUND: u64 = 1 << 48;

/// How much of a federation's learning is really computed. Virtual time, bytes, memory and energy do not
/// depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub enum Compute {
    /// All clients really train.
    #[default]
    Real,
    /// No client trains, which is enough for capacity planning. No model is made, and none is measured.
    Modelled,
    /// This share of the tasks is really trained, drawn by seed, client and round. The model is made from
    /// the reports of those tasks.
    Sampled(Probability),
}

impl Compute {
    /// Whether all clients really train.
    pub fn is_real(&self) -> bool {
        *self == Self::Real
    }

    /// Whether no client trains.
    pub fn is_modelled(&self) -> bool {
        *self == Self::Modelled
    }

    /// Whether `client` really trains in `round`.
    pub fn trains(&self, seed: u64, client: u32, round: u32) -> bool {
        match self {
            Self::Real => true,
            Self::Modelled => false,
            Self::Sampled(share) => {
                let node = u64::from(client) + 1;
                let counter = ROUND | u64::from(round);
                share.hit(stream(seed, node, Purpose::Members, counter).next_u64())
            }
        }
    }

    /// What outputs say of a run in which not all clients train; `None` where all do.
    pub fn in_words(&self) -> Option<String> {
        (!self.is_real()).then(|| self.to_string())
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real => write!(f, "real"),
            Self::Modelled => write!(f, "modelled"),
            Self::Sampled(share) => write!(f, "sampled ({})", share.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_tasks_is_real_and_which_depends_on_seed_client_and_round() {
        let compute = Compute::Sampled(Probability::new(0.3).unwrap());
        let drawn = |seed| -> Vec<bool> {
            let tasks = (0..100).flat_map(|client| (1..=100).map(move |round| (client, round)));
            tasks
                .map(|(client, round)| compute.trains(seed, client, round))
                .collect()
        };
        let real = drawn(1).iter().filter(|real| **real).count();
        // Binomial(10 000, 0.3): mean 3 000, deviation 46; five of them.
        assert!((2_770..=3_230).contains(&real), "{real}");
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        // Every client is drawn in some round: it is no share of the clients.
        for client in 0..100 {
            let of_client = &drawn(1)[100 * client..100 * (client + 1)];
            assert!(of_client.iter().any(|real| *real) && of_client.iter().any(|real| !*real));
        }
    }

    /// By a second implementation, in Python, of the streams.
    #[test]
    fn draws_are_pinned() {
        let compute = Compute::Sampled(Probability::new(0.5).unwrap());
        let drawn: Vec<bool> = (0..16).map(|client| compute.trains(7, client, 3)).collect();
        let words: String = drawn
            .iter()
            .map(|real| if *real { '1' } else { '0' })
            .collect();
        assert_eq!(words, "1100100010001111");
    }

    #[test]
    fn all_or_nothing_needs_no_draw() {
        let one = Compute::Sampled(Probability::ONE);
        assert!((1..50).all(|round| one.trains(1, 2, round) && Compute::Real.trains(1, 2, round)));
        assert!((1..50).all(|round| !Compute::Modelled.trains(1, 2, round)));
        assert_eq!(Compute::Real.in_words(), None);
        assert_eq!(one.in_words().as_deref(), Some("sampled (1)"));
    }
}
