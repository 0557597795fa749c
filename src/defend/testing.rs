//! Helpers for the tests of defences: small cohorts, and distances.

use super::{aggregate, Cohort, Defence, Memory};
use proptest::prelude::*;
use std::ops::Range;

/// A cohort that owns its updates.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The numbers of the clients.
    pub clients: Vec<u32>,
    /// The samples of each client.
    pub samples: Vec<u32>,
    /// The update of each client.
    pub updates: Vec<Vec<f32>>,
    /// The server's own update, if there is one.
    pub trusted: Option<Vec<f32>>,
    /// The number of the round.
    pub round: u32,
}

impl Fixed {
    /// A cohort with these updates, from clients 0, 1, 2 and so on.
    pub fn of(updates: Vec<Vec<f32>>) -> Self {
        let n = updates.len() as u32;
        Self {
            clients: (0..n).collect(),
            samples: vec![10; n as usize],
            updates,
            trusted: None,
            round: 1,
        }
    }

    /// `n` different updates that lie within `spread` of `centre` in each value.
    pub fn around(centre: &[f64], spread: f64, n: usize) -> Self {
        let jitter = |i: usize, j: usize| {
            // Three neighbouring points of a lattice give values that are evenly spread and known.
            let turn = ((i * 37 + j * 101) as f64 * 0.618_033_988_75).fract();
            spread * (2.0 * turn - 1.0)
        };
        let update = |i| (0..centre.len()).map(move |j| (centre[j] + jitter(i, j)) as f32);
        Self::of((0..n).map(|i| update(i).collect()).collect())
    }

    /// Replaces each of the last `f` updates by what `forge` makes of it.
    pub fn with(mut self, f: usize, forge: impl Fn(&[f32]) -> Vec<f32>) -> Self {
        let first = self.updates.len() - f;
        for update in &mut self.updates[first..] {
            *update = forge(update);
        }
        self
    }

    /// The aggregate of `defence` with an empty memory.
    pub fn aggregate(&self, defence: &dyn Defence) -> Vec<f32> {
        self.aggregate_after(defence, &Memory::default())
    }

    /// The aggregate of `defence` with `memory`.
    pub fn aggregate_after(&self, defence: &dyn Defence, memory: &Memory) -> Vec<f32> {
        self.look(|cohort| aggregate(defence, cohort, memory))
    }

    /// Calls `f` with this cohort as a defence sees it.
    pub fn look<T>(&self, f: impl FnOnce(&Cohort<'_>) -> T) -> T {
        let updates: Vec<&[f32]> = self.updates.iter().map(Vec::as_slice).collect();
        f(&Cohort {
            clients: &self.clients,
            samples: &self.samples,
            updates: &updates,
            trusted: self.trusted.as_deref(),
            round: self.round,
            seed: 3,
        })
    }

    /// The updates in double precision.
    pub fn wide(&self) -> Vec<Vec<f64>> {
        let wide = |u: &Vec<f32>| u.iter().map(|v| f64::from(*v)).collect();
        self.updates.iter().map(wide).collect()
    }

    /// The plain mean of the updates.
    pub fn mean(&self) -> Vec<f32> {
        let wide = self.wide();
        let n = wide.len() as f64;
        let at = |i: usize| (wide.iter().map(|u| u[i]).sum::<f64>() / n) as f32;
        (0..wide[0].len()).map(at).collect()
    }
}

/// A proptest strategy for cohorts of a few updates with a few values each.
pub fn cohorts(reports: Range<usize>) -> impl Strategy<Value = Fixed> {
    (reports, 1usize..7).prop_flat_map(|(n, d)| {
        let update = prop::collection::vec(-10.0f32..10.0, d);
        (
            prop::collection::vec(update, n),
            prop::collection::vec(1u32..500, n),
            1u32..100,
        )
            .prop_map(|(updates, samples, round)| Fixed {
                samples,
                round,
                ..Fixed::of(updates)
            })
    })
}

/// Whether `got` equals `exact` up to single precision.
pub fn near(got: f32, exact: f64) -> bool {
    (f64::from(got) - exact).abs() <= 1e-5 * (1.0 + exact.abs())
}

/// The Euclidean norm ‖v‖.
pub fn norm(v: &[f32]) -> f64 {
    v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// The Euclidean distance ‖a − b‖.
pub fn apart(a: &[f32], b: &[f32]) -> f64 {
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference)
}

/// The squared distance ‖a − b‖² in double precision.
pub fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}
