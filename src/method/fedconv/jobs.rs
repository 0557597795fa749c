//! The jobs of the server, and their cost on the virtual server.

use super::fit::Fit;
use super::learn::{learn_bank, learn_weights};
use super::server::{counter, purpose, Server};
use super::WeightInit;
use crate::learn::{train, Amount, Cost, LocalTraining, TrainJob};
use crate::method::{MethodError, Payload, ServerJob};
use crate::model::{Buffer, Model, ParamSet};
use crate::quantity::{Bytes, Flops};
use crate::sim::rng::{stream, Purpose};
use rand::Rng;
use std::sync::Arc;
use tch::Device;

impl Server {
    pub(super) fn fit(&self, epochs: u32, purpose: u64, which: u64) -> Fit {
        Fit {
            epochs,
            lr: self.filter_lr(),
            batch: self.method.batch,
            seed: self.setup.seed,
            counter: counter(self.round, purpose, which),
        }
    }

    /// The cost of `epochs` passes over the public set through `model`, with `each` further
    /// operations in a step, and of evaluating the start and the state after each pass on the
    /// samples for selection. An evaluation takes the third of `each` that belongs to the forward
    /// pass. Beside the memory of training, `values` numbers are held with their gradients and
    /// moments.
    pub(super) fn fit_cost(&self, model: &Model, epochs: u32, each: u64, values: usize) -> Cost {
        let (learned, chosen) = match &self.setup.public {
            Some(public) => (public.train.len() as u64, public.select.len() as u64),
            None => (0, 0),
        };
        let steps = learned.div_ceil(self.method.batch.max(1) as u64);
        let learning = learned.saturating_mul(model.training_flops().0);
        let choosing = chosen.saturating_mul(model.forward_flops().0);
        let (pass, choice) = (
            learning.saturating_add(steps.saturating_mul(each)),
            choosing.saturating_add(each / 3),
        );
        let epochs = u64::from(epochs);
        let flops = pass
            .saturating_mul(epochs)
            .saturating_add(choice.saturating_mul(epochs + 1));
        let training = model.training_memory(self.method.batch as u64, 0).0;
        Cost {
            flops: Flops(flops),
            memory: Bytes(training.saturating_add(4 * 4 * values as u64)),
        }
    }

    /// The job that fine-tunes `start` on the public set; `None` if the budget has no epochs for
    /// it.
    pub(super) fn tuning(
        &self,
        model: &Arc<Model>,
        start: ParamSet,
        epochs: u32,
        which: u64,
    ) -> Option<TrainJob> {
        let public = self.setup.public.as_ref().filter(|_| epochs > 0)?;
        Some(TrainJob {
            model: Arc::clone(model),
            start,
            data: Arc::clone(&public.data),
            samples: public.train.clone(),
            local: LocalTraining {
                amount: Amount::Epochs(epochs),
                batch: self.method.batch,
                ..LocalTraining::adam(self.method.tune_lr)
            },
            round: u64::from(self.round - 1),
            seed: self.setup.seed,
            // No client has such a number, so the server's streams are its own.
            client: u64::MAX - which,
            correction: Default::default(),
        })
    }

    pub(super) fn tune_global(&self) -> Vec<ServerJob> {
        let model = &self.setup.model;
        let job = self.tuning(model, self.global.clone(), self.method.tune, 0);
        let jobs = job.into_iter().map(|job| ServerJob {
            cost: Cost::training(model, &job.local, job.samples.len(), 0),
            work: Arc::new(move |scratch| {
                let trained = train(&job, scratch)?;
                Ok(Payload::Model(trained.params.to_device(Device::Cpu)?))
            }),
            stand_in: None,
        });
        jobs.collect()
    }

    /// The jobs that learn the compression bank of every width.
    pub(super) fn compress(&self) -> Result<Vec<ServerJob>, MethodError> {
        let mut jobs = Vec::new();
        for (number, filters) in self.filters.iter().enumerate() {
            let Some(filters) = filters else { continue };
            let sub = Arc::clone(&self.sizes().levels()[number].model);
            let compress = Arc::clone(&filters.compress);
            let (learned, global) = (Arc::clone(&filters.learned), self.global.clone());
            let (public, activation) = (self.public()?, self.method.activation);
            let epochs = self.filter_epochs();
            let fit = self.fit(epochs, purpose::FIT_COMPRESSION, number as u64);
            jobs.push(ServerJob {
                cost: self.fit_cost(&sub, epochs, compress.flops(), learned.len() + global.len()),
                work: Arc::new(move |_| {
                    learn_bank(&compress, &learned, &global, &sub, &public, fit, activation)
                }),
                stand_in: None,
            });
        }
        Ok(jobs)
    }

    /// The jobs that fine-tune every client's model and dilate it to the full width.
    pub(super) fn dilate(&self) -> Result<Vec<ServerJob>, MethodError> {
        let full = &self.setup.model;
        let mut jobs = Vec::new();
        for report in &self.reported {
            let number = self.sizes().level_of(report.client);
            let model = Arc::clone(&self.sizes().levels()[number].model);
            let which = 1 + u64::from(report.client);
            let epochs = self.method.tune_clients;
            let tuning = self.tuning(&model, report.params.clone(), epochs, which);
            let mut cost = tuning.as_ref().map_or_else(Cost::default, |job| {
                Cost::training(&model, &job.local, job.samples.len(), 0)
            });
            let bank = match self.filters.get(number).and_then(Option::as_ref) {
                None => None,
                Some(filters) => {
                    let dilate = Arc::clone(&filters.dilate);
                    let learned = match self.dilation.get(&report.client) {
                        Some(learned) => Arc::clone(learned),
                        None => {
                            let name = counter(0, purpose::DILATION, which);
                            let mut rng = stream(self.setup.seed, 0, Purpose::Method, name);
                            dilate.begin(self.method.init, &mut rng).into()
                        }
                    };
                    let epochs = self.filter_epochs();
                    let fit = self.fit(epochs, purpose::FIT_DILATION, which);
                    let values = learned.len() + full.parameters();
                    cost = cost.then(self.fit_cost(full, epochs, dilate.flops(), values));
                    Some((dilate, learned, fit))
                }
            };
            let (params, full) = (report.params.clone(), Arc::clone(full));
            let (public, activation) = (self.public()?, self.method.activation);
            jobs.push(ServerJob {
                cost,
                work: Arc::new(move |scratch| {
                    let tuned = match &tuning {
                        Some(job) => train(job, scratch)?.params.to_device(Device::Cpu)?,
                        None => params.clone(),
                    };
                    match &bank {
                        Some((dilate, learned, fit)) => {
                            learn_bank(dilate, learned, &tuned, &full, &public, *fit, activation)
                        }
                        None => Ok(Payload::bundle([
                            Payload::scalars([]),
                            Payload::Model(tuned),
                        ])),
                    }
                }),
                stand_in: None,
            });
        }
        Ok(jobs)
    }

    /// The element-wise weights of a client's model in the mean.
    pub(super) fn weights_of(&self, client: u32) -> Result<ParamSet, MethodError> {
        if let Some(weights) = self.weights.get(&client) {
            return Ok(weights.clone());
        }
        let mut buffer = Buffer::zeros(Arc::clone(self.setup.model.layout()), Device::Cpu)?;
        let values = buffer.as_mut_slice()?;
        match self.method.weights {
            WeightInit::Ones => values.fill(1.0),
            WeightInit::Normal => {
                let name = counter(0, purpose::WEIGHTS, u64::from(client));
                let mut rng = stream(self.setup.seed, 0, Purpose::Method, name);
                let mut unit = || ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                for value in values {
                    let radius = libm::sqrt(-2.0 * libm::log(unit()));
                    *value = (radius * libm::cos(std::f64::consts::TAU * unit())) as f32;
                }
            }
        }
        Ok(buffer.freeze())
    }

    /// The job that learns the weights of the aggregation.
    pub(super) fn weigh(&self) -> Result<Vec<ServerJob>, MethodError> {
        let model = Arc::clone(&self.setup.model);
        let dilated = self.dilated.clone();
        let each = self
            .reported
            .iter()
            .map(|report| self.weights_of(report.client));
        let weights: Vec<ParamSet> = each.collect::<Result<_, _>>()?;
        let total: f64 = self.reported.iter().map(|report| report.weight).sum();
        let shares: Vec<f32> = self
            .reported
            .iter()
            .map(|r| (r.weight / total) as f32)
            .collect();
        let (public, epochs) = (self.public()?, self.method.aggregate);
        let fit = self.fit(epochs, purpose::FIT_WEIGHTS, 0);
        // The product and the sum over all clients' values, forward and in reverse.
        let mixing = 3 * 2 * (dilated.len() * model.parameters()) as u64;
        let values = 2 * dilated.len() * model.parameters();
        let cost = self.fit_cost(&model, epochs, mixing, values);
        let work =
            move |_: &mut _| learn_weights(&model, &dilated, &weights, &shares, &public, fit);
        Ok(vec![ServerJob {
            cost,
            work: Arc::new(work),
            stand_in: None,
        }])
    }
}
