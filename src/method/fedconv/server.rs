//! The server half: its state, and the order of its jobs.

use super::bank::{Filters, Way};
use super::fit::freeze;
use super::learn::bank_of;
use super::FedConv;
use crate::learn::LearnError;
use crate::method::{
    MethodError, Payload, Phase, PublicData, Received, ServerHalf, ServerJob, Setup,
};
use crate::model::{ParamSet, Sizes};
use crate::quantity::Flops;
use crate::sim::mix_words;
use crate::sim::rng::{stream, Purpose};
use crate::snapshot::{snapshot_enum, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;
use tch::Device;

/// The filters between the full network and one width.
pub(super) struct WidthFilters {
    pub(super) compress: Arc<Filters>,
    pub(super) dilate: Arc<Filters>,
    /// The learned numbers of the width's compression bank.
    pub(super) learned: Arc<[f32]>,
    /// The parameters that clients of the width are sent in this round.
    pub(super) cut: Option<ParamSet>,
}

/// A report of this round.
pub(super) struct Reported {
    pub(super) client: u32,
    pub(super) weight: f64,
    pub(super) params: ParamSet,
}

/// The work that the server waits for within a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The phase has just begun.
    Begun,
    /// The global model is being fine-tuned.
    Tuning,
    /// Compression banks are being learned.
    Compressing,
    /// The clients' models are being fine-tuned and dilated.
    Dilating,
    /// The weights of the aggregation are being learned.
    Weighing,
}

snapshot_enum!(Stage {
    0 => Begun,
    1 => Tuning,
    2 => Compressing,
    3 => Dilating,
    4 => Weighing,
});

pub(super) struct Server {
    pub(super) method: FedConv,
    pub(super) setup: Setup,
    pub(super) global: ParamSet,
    /// The filters of each width; `None` for the full one.
    pub(super) filters: Vec<Option<WidthFilters>>,
    /// The learned numbers of the dilation banks, for clients that have reported.
    pub(super) dilation: BTreeMap<u32, Arc<[f32]>>,
    /// The weights of the aggregation, for clients that have reported.
    pub(super) weights: BTreeMap<u32, ParamSet>,
    pub(super) reported: Vec<Reported>,
    pub(super) dilated: Vec<ParamSet>,
    pub(super) stage: Stage,
    pub(super) round: u32,
}

/// The purposes of the server's random streams, as parts of their counters.
pub(super) mod purpose {
    /// The initial compression banks.
    pub const COMPRESSION: u64 = 1;
    /// The initial dilation banks.
    pub const DILATION: u64 = 2;
    /// The initial weights of the aggregation.
    pub const WEIGHTS: u64 = 3;
    /// The order of samples in learning a compression bank.
    pub const FIT_COMPRESSION: u64 = 4;
    /// The order of samples in learning a dilation bank.
    pub const FIT_DILATION: u64 = 5;
    /// The order of samples in learning the weights of the aggregation.
    pub const FIT_WEIGHTS: u64 = 6;
}

/// The counter that names a random stream of the server.
pub(super) fn counter(round: u32, purpose: u64, which: u64) -> u64 {
    mix_words(&[u64::from(round), purpose, which])
}

impl Server {
    pub(super) fn new(method: FedConv, setup: Setup) -> Self {
        let filters = setup
            .sizes
            .levels()
            .iter()
            .enumerate()
            .map(|(number, level)| {
                if number == 0 {
                    return None;
                }
                let compress = Filters::new(Way::Compress, &setup.model, &level.model);
                let name = counter(0, purpose::COMPRESSION, number as u64);
                let mut rng = stream(setup.seed, 0, Purpose::Method, name);
                Some(WidthFilters {
                    learned: compress.begin(method.init, &mut rng).into(),
                    compress: Arc::new(compress),
                    dilate: Arc::new(Filters::new(Way::Dilate, &setup.model, &level.model)),
                    cut: None,
                })
            });
        Self {
            filters: filters.collect(),
            global: setup.initial.clone(),
            method,
            setup,
            dilation: BTreeMap::new(),
            weights: BTreeMap::new(),
            reported: Vec::new(),
            dilated: Vec::new(),
            stage: Stage::Begun,
            round: 0,
        }
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.setup.sizes
    }

    pub(super) fn public(&self) -> Result<PublicData, MethodError> {
        self.setup.public.clone().ok_or(MethodError::NoPublicData)
    }

    /// The number of passes that learning a bank may take in this round.
    pub(super) fn filter_epochs(&self) -> u32 {
        match self.round {
            ..=5 => self.method.filter,
            _ => self.method.filter_later,
        }
    }

    /// The learning rate of filters and weights: halved every 25 rounds while it is above 1e-4.
    pub(super) fn filter_lr(&self) -> f64 {
        let mut lr = self.method.filter_lr;
        for _ in 0..self.round / 25 {
            if lr > 1e-4 {
                lr /= 2.0;
            }
        }
        lr
    }
}

impl ServerHalf for Server {
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        let number = self.setup.sizes.level_of(client);
        let cut = self.filters.get(number).and_then(Option::as_ref);
        let cut = match cut.and_then(|filters| filters.cut.clone()) {
            Some(cut) => Some(cut),
            None => self.at_level(number)?,
        };
        Ok(Payload::Model(cut.unwrap_or_else(|| self.global.clone())))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let params = report.payload.as_model()?;
        params.has_layout(self.sizes().of(report.client).model.layout())?;
        self.reported.push(Reported {
            client: report.client,
            weight: self.method.weighting.of(report.samples),
            params: params.clone(),
        });
        Ok(())
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        match (phase, self.stage) {
            (Phase::BeforeRound(round), Stage::Begun) => {
                self.round = round;
                self.stage = Stage::Tuning;
                let jobs = self.tune_global();
                match jobs.is_empty() {
                    true => self.step(phase, outputs),
                    false => Ok(jobs),
                }
            }
            (Phase::BeforeRound(_), Stage::Tuning) => {
                if let Some(tuned) = outputs.first() {
                    self.global = tuned.as_model()?.clone();
                }
                let jobs = self.compress()?;
                self.stage = match jobs.is_empty() {
                    true => Stage::Begun,
                    false => Stage::Compressing,
                };
                Ok(jobs)
            }
            (Phase::BeforeRound(_), Stage::Compressing) => {
                let learned = self.filters.iter_mut().flatten().zip(&outputs);
                for (filters, output) in learned {
                    let (numbers, cut) = bank_of(output)?;
                    filters.learned = numbers;
                    filters.cut = Some(cut);
                }
                self.stage = Stage::Begun;
                Ok(Vec::new())
            }
            (Phase::AfterRound(_), Stage::Begun) if self.reported.is_empty() => {
                self.abandon();
                Ok(Vec::new())
            }
            (Phase::AfterRound(_), Stage::Begun) => {
                // Reports are processed in the order of the clients' numbers, whichever came first.
                self.reported.sort_by_key(|report| report.client);
                self.stage = Stage::Dilating;
                self.dilate()
            }
            (Phase::AfterRound(_), Stage::Dilating) => {
                self.dilated.clear();
                for (report, output) in self.reported.iter().zip(&outputs) {
                    let (numbers, full) = bank_of(output)?;
                    if !numbers.is_empty() {
                        self.dilation.insert(report.client, numbers);
                    }
                    self.dilated.push(full);
                }
                self.stage = Stage::Weighing;
                self.weigh()
            }
            (Phase::AfterRound(_), Stage::Weighing) => {
                if let Some(Payload::Bundle(parts)) = outputs.first() {
                    if let Some((global, weights)) = parts.split_first() {
                        self.global = global.as_model()?.clone();
                        for (report, own) in self.reported.iter().zip(weights) {
                            self.weights.insert(report.client, own.as_model()?.clone());
                        }
                    }
                }
                self.abandon();
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn abandon(&mut self) {
        self.reported.clear();
        self.dilated.clear();
        self.stage = Stage::Begun;
        for filters in self.filters.iter_mut().flatten() {
            filters.cut = None;
        }
    }

    fn save(&self, to: &mut Writer) {
        let Self {
            global,
            filters,
            dilation,
            weights,
            stage,
            round,
            ..
        } = self;
        global.save(to);
        dilation.save(to);
        weights.save(to);
        stage.save(to);
        round.save(to);
        for filters in filters.iter().flatten() {
            filters.learned.save(to);
            filters.cut.save(to);
        }
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        self.dilation = Snapshot::load(from)?;
        self.weights = Snapshot::load(from)?;
        self.stage = Snapshot::load(from)?;
        self.round = Snapshot::load(from)?;
        for filters in self.filters.iter_mut().flatten() {
            filters.learned = Snapshot::load(from)?;
            filters.cut = Snapshot::load(from)?;
        }
        Ok(())
    }

    /// Reports are only stored when they come; the work with them is done by jobs at the end of the
    /// round.
    fn receive_flops(&self) -> Flops {
        Flops(0)
    }

    fn round_flops(&self) -> Flops {
        Flops(0)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    /// The global model, compressed by the width's bank as it was last learned.
    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        let Some(filters) = self.filters.get(level).and_then(Option::as_ref) else {
            return Ok(None);
        };
        let _guard = tch::no_grad_guard();
        let sub = &self.sizes().levels()[level].model;
        let wrap = LearnError::from;
        let learned = filters
            .compress
            .tensors(&filters.learned, Device::Cpu)
            .map_err(wrap)?;
        let source = self.global.views()?;
        let cut = filters
            .compress
            .apply(&source, &learned, self.method.activation);
        Ok(Some(freeze(sub, &cut.map_err(wrap)?)?))
    }
}
