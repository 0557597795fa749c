//! Helpers for the tests of attacks.

use super::{Adversaries, Adversary, Attack, AttackSpec, Forging, Known, Poison, Rounds, Sample};
use crate::data::{Dataset, Scaling, Values};
use crate::sim::rng::{stream, Purpose};
use crate::who::Who;
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// The number of reports of a round in [`forged`].
pub const COHORT: u32 = 8;

/// `n` pictures with one channel and 4 × 4 pixels, of three classes in turn; the brightest pixel is
/// 200.
pub fn pictures(n: usize) -> Dataset {
    Dataset {
        name: "pictures".into(),
        shape: vec![1, 4, 4],
        values: Values::U8(
            (0..16 * n)
                .map(|i| if i == 0 { 200 } else { (i * 7 % 190) as u8 })
                .collect(),
        ),
        scaling: Scaling::bytes(),
        labels: (0..n as u32).map(|i| i % 3).collect(),
        classes: 3,
        users: None,
    }
}

/// The labels that an adversary with the samples `own` trains on.
pub fn poisoned(data: &Dataset, attack: &dyn Poison, own: &[u32]) -> Vec<u32> {
    let samples = attack.poison(data, own, &mut stream(1, 1, Purpose::Attack, 0));
    let label = |sample: Sample| match sample {
        Sample::AsItIs(of) => data.labels[of as usize],
        Sample::Copy { label, .. } => label,
    };
    samples.into_iter().map(label).collect()
}

/// The report that `attack` makes of `values` in `round`, with three classes.
pub fn forged(attack: &dyn Attack, values: &[f32], round: u32) -> Vec<f32> {
    let mut forged = values.to_vec();
    let mut forging = Forging {
        round,
        cohort: COHORT,
        classes: 3,
        draws: stream(1, 4, Purpose::Attack, u64::from(round)),
    };
    attack.forge().unwrap().forge(&mut forged, &mut forging);
    forged
}

/// A proptest strategy for a few updates with a few values each.
pub fn updates(reports: Range<usize>) -> impl Strategy<Value = Vec<Vec<f32>>> {
    (reports, 1usize..7).prop_flat_map(|(n, d)| {
        let update = prop::collection::vec(-10.0f32..10.0, d);
        prop::collection::vec(update, n)
    })
}

/// Calls `f` with `updates` as `colluders` adversaries know them.
pub fn known<T>(updates: &[Vec<f32>], colluders: usize, f: impl FnOnce(&Known<'_>) -> T) -> T {
    let updates: Vec<&[f32]> = updates.iter().map(Vec::as_slice).collect();
    f(&Known {
        updates: &updates,
        reports: updates.len() + colluders,
        colluders,
    })
}

/// The groups of a population of `count` clients: the name and the size of each.
pub fn groups(count: u32) -> impl Iterator<Item = (&'static str, u32)> + Clone {
    std::iter::once(("all", count))
}

/// An entry whose attack is on in every round.
pub fn entry(who: Who, attack: AttackSpec) -> Adversary {
    Adversary {
        who,
        attack,
        rounds: Rounds::default(),
    }
}

/// The adversaries of a federation of three clients, all of one entry.
pub fn of_three(clients: &[u32], attack: AttackSpec) -> Arc<Adversaries> {
    let entries = [entry(Who::Clients(clients.to_vec()), attack)];
    Arc::new(Adversaries::draw(&entries, groups(3), 1))
}
