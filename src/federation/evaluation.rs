//! How good the global model is, and its sub-models: centrally, and for each client.
//!
//! An evaluation is cut into pieces of a fixed size, run by device workers side by side and added up
//! in order, so its figures do not depend on how many workers there are.

use super::plan::Plan;
use crate::learn::{evaluate, Cost, DeviceData, EvaluationSums, Samples};
use crate::method::MethodError;
use crate::model::{Model, ParamSet, Sizes};
use crate::quantity::Bytes;
use crate::sim::mix_words;
use crate::snapshot::snapshot_struct;
use std::sync::Arc;

/// Samples in a piece: a few times what amortises a piece's overhead, few enough to share out.
const PIECE: usize = 512;

/// Samples that go through the network at once: enough to amortise a layer's overhead, few enough
/// for their activations to stay in the cache.
const BATCH: usize = 64;

/// One piece.
#[derive(Debug)]
pub struct EvaluationJob {
    model: Arc<Model>,
    params: ParamSet,
    data: Arc<DeviceData>,
    samples: Samples,
    /// None for a piece that is no other evaluation's.
    place: Option<Place>,
}

/// Which piece of an evaluation it is; the same in every evaluation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of which width's; of an attack's success where there is none.
    level: Option<usize>,
    /// The central pieces of a width come before those of its clients.
    piece: usize,
}

snapshot_struct!(Place { level, piece });

/// The outcome of one piece: its sums, and which samples were classified correctly.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    /// Sums over the piece.
    pub tally: EvaluationSums,
    /// Sample by sample.
    pub correct: Vec<bool>,
}

snapshot_struct!(Marks { tally, correct });

impl EvaluationJob {
    /// Memory that it needs, by estimate.
    pub fn memory(&self) -> Bytes {
        Cost::evaluation(&self.model, self.samples.len(), BATCH).memory
    }

    /// Which piece it is.
    pub const fn place(&self) -> Option<Place> {
        self.place
    }

    /// What is measured.
    pub const fn params(&self) -> &ParamSet {
        &self.params
    }

    /// Runs it.
    ///
    /// # Errors
    /// What torch says.
    pub fn run(&self) -> Result<Marks, MethodError> {
        let mut correct = Vec::with_capacity(self.samples.len());
        let samples = self.samples.as_slice();
        let hits = Some(&mut correct);
        let tally = evaluate(&self.model, &self.params, &self.data, samples, BATCH, hits)?;
        Ok(Marks { tally, correct })
    }
}

impl Marks {
    /// 64 bits of the content.
    pub fn digest(&self) -> u64 {
        let loss = self.tally.loss_sum.to_bits();
        let words = [self.tally.correct, self.tally.count, loss];
        self.correct
            .chunks(64)
            .fold(mix_words(&words), |digest, chunk| {
                let bits = chunk.iter().fold(0u64, |bits, c| bits << 1 | u64::from(*c));
                mix_words(&[digest, bits])
            })
    }
}

/// What can be asked of the models: prepared once a run.
#[derive(Debug)]
pub struct Evaluator {
    central: Vec<Samples>,
    /// Of the test samples as adversaries want them to be seen.
    triggered: Vec<Samples>,
    /// One for each width.
    levels: Vec<OfLevel>,
    /// Whether the models of all widths are measured centrally, or the global one only.
    by_size: bool,
}

/// The clients of one width.
#[derive(Debug)]
struct OfLevel {
    model: Arc<Model>,
    clients: Vec<u32>,
    /// Their held-out samples, one client after the other.
    held_out: Vec<Samples>,
    /// Where each client's begin in them, and where the last one's end.
    bounds: Vec<usize>,
}

/// The figures of one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Central figures of each width that was measured; the first is the global model's.
    pub levels: Vec<Option<EvaluationSums>>,
    /// Each client's, on its own held-out samples with the model of its width; ascending.
    pub clients: Vec<(u32, EvaluationSums)>,
    /// How often the global model sees what adversaries want it to see.
    pub attack: Option<EvaluationSums>,
}

impl Scores {
    /// The global model's figures.
    pub fn central(&self) -> Option<EvaluationSums> {
        self.levels.first().copied().flatten()
    }
}

impl Evaluator {
    /// Prepares what the plan asks for. Where clients measure models of their own (`personal`), none is
    /// measured here.
    pub fn new(plan: &Plan, sizes: &Sizes, personal: bool) -> Self {
        if plan.compute.is_modelled() {
            // Nothing will be asked of it.
            return Self {
                central: Vec::new(),
                triggered: Vec::new(),
                levels: Vec::new(),
                by_size: plan.evaluation.by_size,
            };
        }
        let levels = sizes.levels().iter().map(|level| OfLevel {
            model: Arc::clone(&level.model),
            clients: Vec::new(),
            held_out: Vec::new(),
            bounds: vec![0],
        });
        let mut levels: Vec<OfLevel> = levels.collect();
        let mut samples: Vec<Vec<u32>> = vec![Vec::new(); levels.len()];
        if plan.evaluation.per_client && !personal {
            for client in 0..plan.population() {
                let number = sizes.level_of(client);
                let (level, samples) = (&mut levels[number], &mut samples[number]);
                samples.extend_from_slice(plan.holdout.client(client as usize));
                level.clients.push(client);
                level.bounds.push(samples.len());
            }
        }
        for (level, samples) in levels.iter_mut().zip(samples) {
            level.held_out = pieces(samples);
        }
        Self {
            central: match plan.evaluation.central {
                true => pieces((0..plan.test.len() as u32).collect()),
                false => Vec::new(),
            },
            triggered: match &plan.triggered {
                Some(data) => pieces((0..data.len() as u32).collect()),
                None => Vec::new(),
            },
            levels,
            by_size: plan.evaluation.by_size,
        }
    }

    /// How many pieces an evaluation of a plan has.
    pub fn count(plan: &Plan, sizes: &Sizes, personal: bool) -> u64 {
        let levels = sizes.levels().len();
        let mut held_out = vec![0usize; levels];
        if plan.evaluation.per_client && !personal {
            for client in 0..plan.population() {
                held_out[sizes.level_of(client)] += plan.holdout.size(client as usize);
            }
        }
        let central = match plan.evaluation.central {
            true => plan.test.len().div_ceil(PIECE),
            false => 0,
        };
        let measured = if plan.evaluation.by_size { levels } else { 1 };
        let of_clients: usize = held_out.iter().map(|samples| samples.div_ceil(PIECE)).sum();
        (central * measured + of_clients) as u64
    }

    /// The central pieces of a width.
    fn central_of(&self, level: usize) -> &[Samples] {
        match level == 0 || self.by_size {
            true => &self.central,
            false => &[],
        }
    }

    /// The pieces of an evaluation: width after width, the central ones first, and after all those of
    /// an attack's success. Their number is the same every time. `global` is measured at the full width, what `at_level` gives at the others.
    ///
    /// # Errors
    /// What `at_level` says.
    pub fn pieces(
        &self,
        plan: &Plan,
        global: &ParamSet,
        at_level: impl Fn(usize) -> Result<ParamSet, MethodError>,
    ) -> Result<Vec<EvaluationJob>, MethodError> {
        let mut jobs = Vec::new();
        for (number, level) in self.levels.iter().enumerate() {
            let wanted = self.central_of(number).len() + level.held_out.len();
            if wanted == 0 {
                continue;
            }
            let params = match number {
                0 => global.clone(),
                narrower => at_level(narrower)?,
            };
            jobs.extend((0..wanted).filter_map(|piece| {
                let level = Some(number);
                self.job(plan, Place { level, piece }, params.clone())
            }));
        }
        jobs.extend((0..self.triggered.len()).filter_map(|piece| {
            let level = None;
            self.job(plan, Place { level, piece }, global.clone())
        }));
        Ok(jobs)
    }

    /// One piece; `None` where there is no such place.
    pub fn job(&self, plan: &Plan, place: Place, params: ParamSet) -> Option<EvaluationJob> {
        let level = self.levels.get(place.level.unwrap_or(0))?;
        let (data, samples) = match place.level {
            None => (plan.triggered.as_ref()?, self.triggered.get(place.piece)?),
            Some(number) => {
                let central = self.central_of(number);
                match place.piece.checked_sub(central.len()) {
                    None => (&plan.test, central.get(place.piece)?),
                    Some(piece) => (&plan.train, level.held_out.get(piece)?),
                }
            }
        };
        Some(EvaluationJob {
            model: Arc::clone(&level.model),
            params,
            data: Arc::clone(data),
            samples: samples.clone(),
            place: Some(place),
        })
    }

    /// The evaluation of a client's own model on its held-out samples, in one piece.
    pub fn own(&self, plan: &Plan, params: ParamSet, samples: Samples) -> EvaluationJob {
        EvaluationJob {
            model: Arc::clone(&plan.model),
            params,
            data: Arc::clone(&plan.train),
            samples,
            place: None,
        }
    }

    /// Adds up the outcomes of all pieces, in their order.
    pub fn sum(&self, marks: &[Marks]) -> Scores {
        let mut rest = marks;
        let mut take = |n: usize| {
            let (first, after) = rest.split_at(n.min(rest.len()));
            rest = after;
            first
        };
        let mut scores = Scores {
            levels: Vec::new(),
            clients: Vec::new(),
            attack: None,
        };
        for (number, level) in self.levels.iter().enumerate() {
            let central = take(self.central_of(number).len());
            scores.levels.push(total(central));
            let held_out = take(level.held_out.len());
            let correct: Vec<bool> = held_out
                .iter()
                .flat_map(|m| m.correct.iter().copied())
                .collect();
            for (&client, bounds) in level.clients.iter().zip(level.bounds.windows(2)) {
                let own = correct.get(bounds[0]..bounds[1]);
                let Some(own) = own.filter(|own| !own.is_empty()) else {
                    continue;
                };
                let tally = EvaluationSums {
                    count: own.len() as u64,
                    correct: own.iter().filter(|c| **c).count() as u64,
                    loss_sum: 0.0,
                };
                scores.clients.push((client, tally));
            }
        }
        scores.attack = total(take(self.triggered.len()));
        scores.clients.sort_unstable_by_key(|(client, _)| *client);
        scores
    }
}

/// The sums of some pieces together; `None` of none.
fn total(pieces: &[Marks]) -> Option<EvaluationSums> {
    let sum = || {
        let mut sum = EvaluationSums::default();
        pieces.iter().for_each(|marks| sum.merge(&marks.tally));
        sum
    };
    (!pieces.is_empty()).then(sum)
}

/// Cuts samples into pieces that share one list.
fn pieces(samples: Vec<u32>) -> Vec<Samples> {
    let (all, count): (Arc<[u32]>, _) = (samples.into(), 0..);
    let starts = count
        .map(|piece| piece * PIECE)
        .take_while(|start| *start < all.len());
    let ranges = starts.map(|start| start..all.len().min(start + PIECE));
    ranges
        .filter_map(|range| Samples::part(Arc::clone(&all), range))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::assemble;
    use crate::scenario::Scenario;
    use std::path::Path;

    #[test]
    fn every_client_is_measured_with_the_model_of_its_width() {
        let text = "(data: Digits, model: [Flatten, Dense(8), Relu, Dense(10)], method: HeteroFL(),
            population: [(count: 3), (count: 4, size: 0.5)],
            evaluation: (per_client: true))";
        let scenario = Scenario::parse(text, Path::new("s.ron"), &[]).unwrap();
        let federation = assemble(&scenario, Default::default()).unwrap();
        let (plan, sizes) = (federation.plan(), federation.sizes());
        let evaluator = Evaluator::new(plan, sizes, false);
        let [full, half] = sizes.levels() else {
            panic!("two widths");
        };
        // Two models that know nothing of each other.
        let wide = full.model.init(1, Default::default()).unwrap();
        let narrow = half.model.init(2, Default::default()).unwrap();
        let jobs = evaluator.pieces(plan, &wide, |level| {
            assert_eq!(level, 1);
            Ok(narrow.clone())
        });
        let jobs = jobs.unwrap();
        assert_eq!(Evaluator::count(plan, sizes, false), jobs.len() as u64);
        let marks: Vec<Marks> = jobs.iter().map(|job| job.run().unwrap()).collect();
        let scores = evaluator.sum(&marks);

        let all: Vec<u32> = (0..plan.test.len() as u32).collect();
        let alone = |model: &Model, params: &ParamSet, data: &DeviceData, samples: &[u32]| {
            evaluate(model, params, data, samples, 32, None).unwrap()
        };
        let central = [
            alone(&full.model, &wide, &plan.test, &all),
            alone(&half.model, &narrow, &plan.test, &all),
        ];
        for (got, expected) in scores.levels.iter().zip(central) {
            assert_eq!(got.unwrap().correct, expected.correct);
            assert_eq!(got.unwrap().count, expected.count);
        }
        assert_eq!(scores.clients.len(), 7);
        for (client, tally) in &scores.clients {
            let own = plan.holdout.client(*client as usize);
            let expected = match client {
                0..=2 => alone(&full.model, &wide, &plan.train, own),
                _ => alone(&half.model, &narrow, &plan.train, own),
            };
            assert_eq!(
                (tally.correct, tally.count),
                (expected.correct, expected.count)
            );
        }
    }
}
