//! The query of statistics: static batch normalisation (Diao, Ding and Tarokh, "HeteroFL", ICLR 2021,
//! section 3).
//!
//! Where a method merges sub-models of different sizes, local training leaves the statistics of batch
//! normalisations alone ([`crate::method::Method::queries_statistics`]). Before an aggregated model is
//! evaluated, they are measured on the training samples of clients, under the very model that is
//! evaluated: the global model, or the sub-model of a width. The query is cut into pieces, which device
//! workers run side by side and whose sums are added up in order, so its figures do not depend on the
//! number of workers.
//!
//! Like the evaluation that it belongs to, the query only observes: it takes no virtual time and sends
//! no message. In a real federation the server would send the model to each of these clients and get two
//! values for each normalised unit back; [`Query::bytes`] says how many bytes that is.

use super::message::ENVELOPE;
use super::plan::Plan;
use crate::learn::{
    prepare_worker_thread, statistics, with_statistics, Cost, DeviceData, LocalTraining, Samples,
};
use crate::method::{MethodError, Payload};
use crate::model::{Level, Model, ParamSet, Sizes, Statistics};
use crate::quantity::Bytes;
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many clients a query asks unless the scenario says otherwise: all clients of HeteroFL's own
/// experiments, which have 100.
pub const QUERIED_CLIENTS: u32 = 100;

/// A piece has batches of this many samples together, or a little more.
const PIECE: usize = 512;

/// The pieces of a query, which are the same in every query of a run; none where no statistics are
/// queried.
#[derive(Debug, Default)]
pub struct Query {
    /// The batches of each piece, client after client.
    pieces: Vec<Arc<[Samples]>>,
    /// The widths of which an evaluation measures the model, widest first.
    levels: Vec<usize>,
    clients: u32,
    samples: u64,
}

/// Which piece of a query a piece is. A place means the same samples in every query of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryPlace {
    level: usize,
    piece: usize,
}

snapshot_struct!(QueryPlace { level, piece });

/// One piece of a query.
#[derive(Debug)]
pub struct StatisticsJob {
    model: Arc<Model>,
    params: ParamSet,
    data: Arc<DeviceData>,
    batches: Arc<[Samples]>,
    place: QueryPlace,
}

impl StatisticsJob {
    /// An estimate of the memory that the piece needs.
    pub fn memory(&self) -> Bytes {
        let largest = self.batches.iter().map(Samples::len).max().unwrap_or(0);
        Cost::evaluation(&self.model, largest, largest).memory
    }

    /// Which piece of a query this is.
    pub const fn place(&self) -> QueryPlace {
        self.place
    }

    /// The model whose statistics are measured.
    pub const fn params(&self) -> &ParamSet {
        &self.params
    }

    /// Runs the piece.
    ///
    /// # Errors
    /// An error of libtorch.
    pub fn run(&self) -> Result<Statistics, MethodError> {
        let batches = self.batches.iter().map(Samples::as_slice);
        Ok(statistics(&self.model, &self.params, &self.data, batches)?)
    }
}

impl Query {
    /// Cuts the queries of a plan into pieces. `local` is the local training of each group as the method
    /// wants it, `indices` the training samples of all clients, and `personal` says whether clients have
    /// models of their own, which the evaluation does not measure.
    ///
    /// Where there are more clients than the scenario wants to ask, those asked are at equal distances by
    /// their numbers among the clients that have samples, so each group has its share of them. They train
    /// on their own batch sizes, and on their own samples even if they are adversaries.
    pub fn new(
        plan: &Plan,
        sizes: &Sizes,
        personal: bool,
        local: &[Arc<LocalTraining>],
        indices: &Arc<[u32]>,
    ) -> Self {
        if !plan.model.queries_statistics() {
            return Self::default();
        }
        let holders = (0..plan.population())
            .filter(|client| plan.partition.size(*client as usize) > 0)
            .collect::<Vec<u32>>();
        let most = plan.evaluation.statistics_clients;
        let most = most.unwrap_or(QUERIED_CLIENTS) as usize;
        let asked = evenly(&holders, most);
        let mut query = Self {
            levels: measured_levels(plan, sizes, personal),
            clients: asked.len() as u32,
            ..Self::default()
        };
        let (mut batches, mut held) = (Vec::new(), 0);
        for client in asked {
            let range = plan.partition.range(client as usize);
            query.samples += range.len() as u64;
            let batch = local[plan.group_of(client)].batch_of(range.len()).max(1);
            for start in range.clone().step_by(batch) {
                let end = range.end.min(start + batch);
                batches.extend(Samples::part(Arc::clone(indices), start..end));
                held += end - start;
                if held >= PIECE {
                    query.pieces.push(std::mem::take(&mut batches).into());
                    held = 0;
                }
            }
        }
        if !batches.is_empty() {
            query.pieces.push(batches.into());
        }
        query
    }

    /// How many pieces the query of an evaluation has, over all widths that the evaluation measures.
    pub fn count(&self) -> u64 {
        (self.pieces.len() * self.levels.len()) as u64
    }

    /// The widths of which an evaluation measures the model, where their statistics are queried.
    pub fn levels(&self) -> &[usize] {
        match self.pieces.is_empty() {
            true => &[],
            false => &self.levels,
        }
    }

    /// The number of samples that a query of one width runs through the network.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// The bytes that the queries of an evaluation would take on the links, over all widths that it
    /// measures; `None` where there are none.
    pub fn bytes_of_all(&self, sizes: &Sizes) -> Option<u64> {
        let levels = self.levels().iter();
        let levels = levels.filter_map(|level| sizes.levels().get(*level));
        let each: Vec<u64> = levels.map(|level| self.bytes(level)).collect();
        (!each.is_empty()).then(|| each.iter().sum())
    }

    /// The bytes that the query of one model would take on the links: for each client that is asked, a
    /// message with the model down and a message with the mean and the mean square of each normalised
    /// unit up, as single-precision numbers. Every message has the number of samples in its envelope.
    pub fn bytes(&self, level: &Level) -> u64 {
        let layout = level.model.layout();
        let around = 2 * (ENVELOPE + Payload::Nothing.wire_bytes().0);
        let each = around + layout.wire_bytes().0 + 4 * layout.queries() as u64;
        u64::from(self.clients).saturating_mul(each)
    }

    /// The pieces of the query of one model, in the order in which their sums are added.
    pub fn pieces<'a>(
        &'a self,
        plan: &'a Plan,
        sizes: &'a Sizes,
        level: usize,
        params: &'a ParamSet,
    ) -> impl Iterator<Item = StatisticsJob> + 'a {
        (0..self.pieces.len()).filter_map(move |piece| {
            let place = QueryPlace { level, piece };
            self.job(plan, sizes, place, params.clone())
        })
    }

    /// The piece at a place; `None` where there is no such place.
    pub fn job(
        &self,
        plan: &Plan,
        sizes: &Sizes,
        place: QueryPlace,
        params: ParamSet,
    ) -> Option<StatisticsJob> {
        Some(StatisticsJob {
            model: Arc::clone(&sizes.levels().get(place.level)?.model),
            params,
            data: Arc::clone(&plan.train),
            batches: Arc::clone(self.pieces.get(place.piece)?),
            place,
        })
    }

    /// The sums of one model, found here and now, on a thread of its own as device workers have. For
    /// models that are written to files without having been evaluated.
    ///
    /// # Errors
    /// An error of libtorch.
    fn now(
        &self,
        plan: &Plan,
        sizes: &Sizes,
        level: usize,
        params: &ParamSet,
    ) -> Result<Statistics, MethodError> {
        let found = std::thread::scope(|scope| {
            let all = scope.spawn(|| {
                prepare_worker_thread();
                let mut sums = Statistics::new();
                for piece in self.pieces(plan, sizes, level, params) {
                    sums.merge(&piece.run()?);
                }
                Ok(sums)
            });
            all.join()
        });
        found.map_err(|_| MethodError::layer("statistics", "their measurement panics"))?
    }
}

/// The statistics that were measured last, and of which models: for each width the digest of the model,
/// and the sums. They are in no checkpoint, since they can be measured again.
#[derive(Debug, Default)]
pub struct Queried(BTreeMap<usize, (u64, Statistics)>);

impl Queried {
    /// Takes the sums of one width's model, piece after piece.
    ///
    /// # Errors
    /// When the model has no digest.
    pub fn take(
        &mut self,
        level: usize,
        params: &ParamSet,
        pieces: &[Statistics],
    ) -> Result<(), MethodError> {
        let mut sums = Statistics::new();
        pieces.iter().for_each(|piece| sums.merge(piece));
        self.0.insert(level, (params.digest()?, sums));
        Ok(())
    }

    /// The model `params` of a width, with its statistics: those that were measured last, if they are of
    /// this model, and otherwise such as are measured now. A model whose statistics are not queried is
    /// returned as it is.
    ///
    /// # Errors
    /// An error of libtorch.
    pub fn complete(
        &self,
        (query, plan, sizes): (&Query, &Plan, &Sizes),
        level: usize,
        params: ParamSet,
    ) -> Result<ParamSet, MethodError> {
        let model = match sizes.levels().get(level) {
            Some(level) if !query.pieces.is_empty() => &level.model,
            _ => return Ok(params),
        };
        let found;
        let sums = match self.0.get(&level) {
            Some((digest, sums)) if *digest == params.digest()? => sums,
            _ => {
                found = query.now(plan, sizes, level, &params)?;
                &found
            }
        };
        Ok(with_statistics(model, &params, sums)?)
    }
}

/// The statistics of a client's own model, measured on the samples that the client trains on.
///
/// # Errors
/// An error of libtorch.
pub(super) fn of_own(
    model: &Model,
    params: ParamSet,
    data: &DeviceData,
    train: &Samples,
    local: &LocalTraining,
) -> Result<ParamSet, MethodError> {
    if !model.queries_statistics() || train.is_empty() {
        return Ok(params);
    }
    let found = std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            prepare_worker_thread();
            let samples = train.as_slice();
            let batches = samples.chunks(local.batch_of(samples.len()));
            statistics(model, &params, data, batches)
        });
        measured.join()
    });
    let found =
        found.map_err(|_| MethodError::layer("statistics", "their measurement panics"))??;
    Ok(with_statistics(model, &params, &found)?)
}

/// At most `most` of `all`, at equal distances.
fn evenly(all: &[u32], most: usize) -> Vec<u32> {
    if all.len() <= most {
        return all.to_vec();
    }
    // Both are at most 2³², so the product fits 64 bits.
    let place = |i: usize| (i as u64 * all.len() as u64 / most as u64) as usize;
    (0..most).map(|i| all[place(i)]).collect()
}

/// The widths of which an evaluation of the plan measures the model.
fn measured_levels(plan: &Plan, sizes: &Sizes, personal: bool) -> Vec<usize> {
    let evaluation = &plan.evaluation;
    let central = evaluation.central && !plan.test.is_empty();
    let mut measured: Vec<bool> = (0..sizes.levels().len())
        .map(|level| central && (level == 0 || evaluation.by_size))
        .collect();
    if plan.triggered.is_some() {
        measured[0] = true;
    }
    if evaluation.per_client && !personal {
        for client in 0..plan.population() {
            measured[sizes.level_of(client)] |= plan.holdout.size(client as usize) > 0;
        }
    }
    let all = measured.iter().enumerate();
    all.filter(|(_, measured)| **measured)
        .map(|(level, _)| level)
        .collect()
}

#[cfg(test)]
mod tests;
