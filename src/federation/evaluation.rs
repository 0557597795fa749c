//! The evaluation of the global model and its sub-models, on the central test data and for each client.
//!
//! An evaluation is cut into pieces of a fixed size, which device workers run side by side and which are
//! added up in order, so its figures do not depend on the number of workers.

use super::plan::Plan;
use crate::learn::{evaluate, Cost, DeviceData, EvaluationSums, Samples};
use crate::method::MethodError;
use crate::model::{Model, ParamSet, Sizes};
use crate::quantity::Bytes;
use crate::sim::mix_words;
use crate::snapshot::snapshot_struct;
use std::sync::Arc;

/// How many samples a piece has: enough to make the overhead of a piece small, and few enough to share the
/// pieces out among workers.
const PIECE: usize = 512;

/// How many samples go through the network at once: enough to make the overhead of a layer small, and few
/// enough for their activations to stay in the cache.
const BATCH: usize = 64;

/// One piece of an evaluation.
#[derive(Debug)]
pub struct EvaluationJob {
    model: Arc<Model>,
    params: ParamSet,
    data: Arc<DeviceData>,
    samples: Samples,
    /// `None` for the evaluation of a client's own model, which has one piece.
    place: Option<Place>,
}

/// Which piece of an evaluation a piece is. A place means the same samples in every evaluation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The width that is measured; `None` for a piece of the global model that is neither central nor of
    /// clients.
    level: Option<usize>,
    /// The number of the piece. The central pieces of a width come before the pieces of its clients, and
    /// the pieces that measure an attack's success before the pieces of the public set.
    piece: usize,
}

snapshot_struct!(Place { level, piece });

/// The outcome of a piece: its sums, and which samples were classified correctly.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    /// Sums over the piece.
    pub tally: EvaluationSums,
    /// Whether each sample was classified correctly, in order.
    pub correct: Vec<bool>,
}

snapshot_struct!(Marks { tally, correct });

impl EvaluationJob {
    /// An estimate of the memory that the piece needs.
    pub fn memory(&self) -> Bytes {
        Cost::evaluation(&self.model, self.samples.len(), BATCH).memory
    }

    /// Which piece of an evaluation this is.
    pub const fn place(&self) -> Option<Place> {
        self.place
    }

    /// The model that is measured.
    pub const fn params(&self) -> &ParamSet {
        &self.params
    }

    /// Runs the piece.
    ///
    /// # Errors
    /// An error of libtorch.
    pub fn run(&self) -> Result<Marks, MethodError> {
        let mut correct = Vec::with_capacity(self.samples.len());
        let samples = self.samples.as_slice();
        let hits = Some(&mut correct);
        let tally = evaluate(&self.model, &self.params, &self.data, samples, BATCH, hits)?;
        Ok(Marks { tally, correct })
    }
}

impl Marks {
    /// A digest of the outcome, in 64 bits.
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

/// The pieces of the evaluations of a run, which are cut once.
#[derive(Debug)]
pub struct Evaluator {
    /// The pieces of the central test data.
    central: Vec<Samples>,
    /// The pieces of the test samples with the labels that adversaries want.
    triggered: Vec<Samples>,
    /// The pieces of the public set's samples for selection.
    select: Vec<Samples>,
    /// The clients of each width.
    levels: Vec<OfLevel>,
    /// Whether the models of all widths are measured centrally, or only the global model.
    by_size: bool,
}

/// The clients of one width.
#[derive(Debug)]
struct OfLevel {
    model: Arc<Model>,
    clients: Vec<u32>,
    /// The pieces of the clients' held-out samples, one client after the other.
    held_out: Vec<Samples>,
    /// Where each client's samples begin in them, and where those of the last client end.
    bounds: Vec<usize>,
}

/// The figures of one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The central figures of each width that was measured; the first are those of the global model.
    pub levels: Vec<Option<EvaluationSums>>,
    /// The figures of each client, on its held-out samples with the model of its width; by client, ascending.
    pub clients: Vec<(u32, EvaluationSums)>,
    /// How often the global model gives the labels that adversaries want.
    pub attack: Option<EvaluationSums>,
    /// The global model's figures on the samples of the public set for selection.
    pub select: Option<EvaluationSums>,
}

impl Scores {
    /// The global model's figures on the central test data.
    pub fn central(&self) -> Option<EvaluationSums> {
        self.levels.first().copied().flatten()
    }
}

impl Evaluator {
    /// Cuts the evaluations that the plan asks for into pieces. Where clients have models of their own
    /// (`personal`), the evaluation measures no client.
    pub fn new(plan: &Plan, sizes: &Sizes, personal: bool) -> Self {
        if plan.compute.is_modelled() {
            // No model is ever measured.
            return Self {
                central: Vec::new(),
                triggered: Vec::new(),
                select: Vec::new(),
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
            select: match plan.evaluation.central {
                true => pieces(plan.public.select.as_slice().to_vec()),
                false => Vec::new(),
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
        let select = match plan.evaluation.central {
            true => plan.public.select.len().div_ceil(PIECE),
            false => 0,
        };
        (central * measured + of_clients + select) as u64
    }

    /// The central pieces of a width.
    fn central_of(&self, level: usize) -> &[Samples] {
        match level == 0 || self.by_size {
            true => &self.central,
            false => &[],
        }
    }

    /// The pieces of an evaluation: width after width, with the central pieces of each width first, and at
    /// the end the pieces that measure an attack's success and those of the public set. Their number is the
    /// same in each evaluation.
    /// `global` is the model of the full width, and `at_level` gives the models of the others.
    ///
    /// # Errors
    /// An error of `at_level`.
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
        let beside = self.triggered.len() + self.select.len();
        jobs.extend((0..beside).filter_map(|piece| {
            let level = None;
            self.job(plan, Place { level, piece }, global.clone())
        }));
        Ok(jobs)
    }

    /// The piece at a place; `None` where there is no such place.
    pub fn job(&self, plan: &Plan, place: Place, params: ParamSet) -> Option<EvaluationJob> {
        let level = self.levels.get(place.level.unwrap_or(0))?;
        let (data, samples) = match place.level {
            None => match place.piece.checked_sub(self.triggered.len()) {
                None => (plan.triggered.as_ref()?, self.triggered.get(place.piece)?),
                Some(piece) => (&plan.train, self.select.get(piece)?),
            },
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

    /// The evaluation of a client's own model on the client's held-out samples, in one piece.
    pub fn own(&self, plan: &Plan, params: ParamSet, samples: Samples) -> EvaluationJob {
        EvaluationJob {
            model: Arc::clone(&plan.model),
            params,
            data: Arc::clone(&plan.train),
            samples,
            place: None,
        }
    }

    /// Adds up the outcomes of all pieces, in the order of [`Evaluator::pieces`].
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
            select: None,
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
        scores.select = total(take(self.select.len()));
        scores.clients.sort_unstable_by_key(|(client, _)| *client);
        scores
    }
}

/// The sums of some pieces together; `None` without pieces.
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
