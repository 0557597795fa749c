//! The width of the model that each client trains.

use super::plan::Plan;
use crate::learn::{Cost, LocalTraining};
use crate::method::{ClientHalf, Prospect};
use crate::model::{Level, Sizes};
use crate::quantity::Span;
use crate::sim::rng::{below, stream, Purpose};
use serde::Serialize;
use std::sync::Arc;

/// The most widths that a federation may have.
pub const MOST_LEVELS: usize = 64;

/// How the clients of a group get the width of their model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum SizeRule {
    /// All clients have this width.
    Fixed(f64),
    /// The largest of these widths whose training fits a client's memory and, where the schedule has a
    /// deadline, whose computation ends before the deadline. A client for which no width fits has the
    /// smallest. The widths are listed widest first.
    Fit(Vec<f64>),
    /// One of these widths, drawn once for each client with equal odds.
    Drawn(Vec<f64>),
}

impl SizeRule {
    /// The widths that the rule can give.
    pub fn ratios(&self) -> &[f64] {
        match self {
            Self::Fixed(ratio) => std::slice::from_ref(ratio),
            Self::Fit(ratios) | Self::Drawn(ratios) => ratios,
        }
    }
}

/// Every width that some rule can give, widest first. The full network is always among them.
pub fn ratios<'a>(rules: impl Iterator<Item = &'a SizeRule>) -> Vec<f64> {
    let mut all: Vec<f64> = rules.flat_map(|rule| rule.ratios().to_vec()).collect();
    all.push(1.0);
    all.sort_by(|a, b| b.total_cmp(a));
    all.dedup();
    all
}

/// What a round usually costs a client that has the network of level `own`.
pub(super) fn cost_of(
    plan: &Plan,
    half: &dyn ClientHalf,
    local: &LocalTraining,
    own: &Level,
    narrower: &[Level],
    client: u32,
) -> Cost {
    let samples = plan.partition.size(client as usize).max(1);
    let beside = half.usually_beside(&Prospect {
        full: &plan.model,
        own: &own.model,
        local,
        samples,
        public: plan.public.train.len(),
    });
    half.cost(own, narrower, local, samples).then(beside)
}

/// Gives every client of the plan its width. `local` is the local training of each group as the method
/// wants it, `half` the method's client half.
pub(super) fn sizes(plan: &Plan, local: &[Arc<LocalTraining>], half: &dyn ClientHalf) -> Sizes {
    let levels = &plan.levels;
    if levels.len() == 1 {
        return Sizes::new(levels.clone(), Vec::new());
    }
    let deadline = plan.schedule.deadline;
    let number = |ratio: f64| {
        let place = levels.iter().position(|level| level.ratio == ratio);
        place.unwrap_or(0) as u8
    };
    let of = (0..plan.population()).map(|client| {
        let me = plan.client(client);
        let fits = |own: &Level, narrower: &[Level]| {
            let cost = cost_of(plan, half, &local[me.group], own, narrower, client);
            let in_time =
                |deadline: Span| me.device.duration(cost.flops).nanos() <= deadline.nanos();
            me.device.fits(cost.memory) && deadline.is_none_or(in_time)
        };
        match &plan.groups[me.group].size {
            SizeRule::Fixed(ratio) => number(*ratio),
            SizeRule::Fit(ratios) => {
                let mut numbers: Vec<u8> = ratios.iter().map(|&ratio| number(ratio)).collect();
                numbers.sort_unstable();
                let largest = numbers.iter().find(|&&n| {
                    let (wider, narrower) = levels.split_at(usize::from(n) + 1);
                    wider.last().is_some_and(|own| fits(own, narrower))
                });
                largest.or(numbers.last()).copied().unwrap_or(0)
            }
            SizeRule::Drawn(ratios) => {
                let node = u64::from(client) + 1;
                let mut rng = stream(plan.seed, node, Purpose::Population, 4);
                let drawn = below(&mut rng, ratios.len() as u64) as usize;
                ratios.get(drawn).map_or(0, |&ratio| number(ratio))
            }
        }
    });
    Sizes::new(levels.clone(), of.collect())
}

#[cfg(test)]
mod tests {
    use super::super::Federation;
    use crate::run::assemble;
    use crate::scenario::Scenario;
    use std::path::Path;

    fn federation(groups: &str, rest: &str) -> Federation {
        let text = format!(
            "(data: Digits, model: [Flatten, Dense(64), Relu, Dense(10)], method: HeteroFL(),
              population: [{groups}], training: (epochs: 1, batch: 10), {rest})"
        );
        let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
        assemble(&scenario, Default::default()).unwrap()
    }

    fn ratios(federation: &Federation) -> Vec<f64> {
        let all = 0..federation.plan().population();
        all.map(|client| federation.sizes().of(client).ratio)
            .collect()
    }

    #[test]
    fn a_group_has_the_width_it_says_and_the_full_network_is_always_a_level() {
        let sizes = ratios(&federation(
            "(count: 2, size: 0.5), (count: 1, size: 0.25)",
            "",
        ));
        assert_eq!(sizes, [0.5, 0.5, 0.25]);
        let federation = federation("(count: 2, size: 0.5), (count: 1, size: 0.25)", "");
        assert_eq!(federation.sizes().counts(3), [0, 2, 1]);
        let full = &federation.sizes().levels()[0];
        assert!(std::sync::Arc::ptr_eq(
            &full.model,
            &federation.plan().model
        ));
    }

    /// 64, 32 and 16 hidden units are 4,810, 2,410 and 1,210 parameters: weights and gradients of
    /// 8 bytes each, and activations of ten samples.
    #[test]
    fn the_widest_model_that_fits_the_memory_is_chosen() {
        let device = |memory: &str| {
            format!("(count: 1, size: Fit([1, 0.5, 0.25]), device: (speed: \"1 GFLOP/s\", memory: \"{memory}\"))")
        };
        let groups = ["1 MB", "40 kB", "20 kB", "1 kB"].map(device).join(", ");
        // Where none fits, the smallest is kept, and will decline.
        assert_eq!(ratios(&federation(&groups, "")), [1.0, 0.5, 0.25, 0.25]);
    }

    /// The class scores of 500 public samples in one batch: 500 · 4 · (64 + 2 · 10 + 10) bytes of
    /// activations for a network without hidden units, more than twice as much for the full one.
    #[test]
    fn what_a_method_does_beside_training_must_fit_the_memory_too() {
        let chosen = |method: &str| of_one(method, "memory: \"300 kB\"", "");
        assert_eq!(chosen("HeteroFL()"), [1.0]);
        assert_eq!(chosen("FedMD(subset: 500, digest_batch: 500)"), [0.25]);
        assert_eq!(chosen("FedMD(subset: 500, digest_batch: 10)"), [1.0]);
    }

    /// 15 passes over 500 public samples take the full network 0.2 s, the narrow one 0.05 s; local
    /// training on some 700 samples takes the full one 0.02 s.
    #[test]
    fn and_the_deadline() {
        let chosen = |method: &str| {
            let device = "memory: \"1 GB\", startup: \"0 s\"";
            of_one(method, device, "schedule: (deadline: \"80 ms\")")
        };
        assert_eq!(chosen("HeteroFL()"), [1.0]);
        assert_eq!(chosen("FedMD(subset: 500, digest_epochs: 15)"), [0.25]);
        assert_eq!(chosen("FedMD(subset: 500, digest_epochs: 1)"), [1.0]);
    }

    /// The width of a client with 1 GFLOP/s that may have all of a network or a quarter.
    fn of_one(method: &str, device: &str, more: &str) -> Vec<f64> {
        let text = format!(
            "(data: Digits, public: (share: 0.5), model: [Flatten, Dense(64), Relu, Dense(10)],
              method: {method}, training: (epochs: 1, batch: 10), population:
              [(count: 1, size: Fit([1, 0.25]), device: (speed: \"1 GFLOP/s\", {device}))], {more})"
        );
        let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
        ratios(&assemble(&scenario, Default::default()).unwrap())
    }

    #[test]
    fn the_widest_model_that_computes_before_the_deadline_is_chosen() {
        let device =
            |speed: &str| format!("(count: 1, size: Fit([0.25, 1]), device: (speed: \"{speed}\"))");
        let groups = ["1 GFLOP/s", "100 kFLOP/s"].map(device).join(", ");
        assert_eq!(ratios(&federation(&groups, "")), [1.0, 1.0]);
        let rest = "schedule: (cohort: 2, deadline: \"10 s\")";
        assert_eq!(ratios(&federation(&groups, rest)), [1.0, 0.25]);
    }

    #[test]
    fn widths_are_drawn_once_a_client_and_follow_the_seed() {
        let groups = "(count: 90, size: Drawn([1, 0.5, 0.25]))";
        let drawn = ratios(&federation(groups, ""));
        for ratio in [1.0, 0.5, 0.25] {
            let n = drawn.iter().filter(|r| **r == ratio).count();
            // 30 expected, standard deviation 4.5.
            assert!((12..=48).contains(&n), "{n} of width {ratio}");
        }
        assert_eq!(drawn, ratios(&federation(groups, "")));
        assert_ne!(drawn, ratios(&federation(groups, "seed: 2")));
    }
}
