//! A client's local training in one round, as it is prepared before it begins: the samples, the job for
//! the device worker, the cost, and how long the client's device takes.
//!
//! Clients that answer to a server ([`Client`](super::client::Client)) and clients without one
//! ([`Peer`](super::gossip::Peer)) both prepare their training here. What they do with it differs: a
//! client declines a task that it cannot train, a peer goes on with the model it has.

use super::device_time::{self, DeviceTime};
use super::job::{ClientJob, Job};
use super::on_deadline::{cut, first_steps};
use super::world::Shared;
use crate::fault::TaskFaults;
use crate::learn::{Cost, LocalTraining, Samples, VirtualDevice};
use crate::method::{ClientInput, ClientState, Payload};
use crate::observe::ledger::Work;
use crate::quantity::{Flops, Span, VirtualTime};
use std::sync::Arc;

/// The local training of one client in one round.
pub(super) struct Training {
    input: ClientInput,
    /// The client's device.
    pub device: VirtualDevice,
    /// How many samples the client trains on.
    pub samples: u32,
    /// How many local steps the client takes.
    pub steps: u32,
    /// The cost of the whole training, also where it runs out of memory.
    pub cost: Cost,
    /// Whether the training stops early, to end before the round.
    pub partial: bool,
    /// Whether the training runs out of memory when it is half done.
    pub out_of_memory: bool,
    /// How long the device takes by itself, without pauses and absences.
    pub alone: Span,
    /// How long the device takes in fact; `None` if nobody will hear of the training.
    pub time: Option<DeviceTime>,
    /// What the device spends, for the ledger of invitations.
    pub work: Work,
}

impl Training {
    /// The samples that a client trains on in a round.
    ///
    /// # Errors
    /// When there are none, in words.
    pub fn samples(shared: &Shared, (client, round): (u32, u32)) -> Result<Samples, String> {
        let samples = shared.train_samples(client, round);
        match samples.is_empty() {
            true => Err("has no training data".into()),
            false => Ok(samples),
        }
    }

    /// Prepares the training of a client in a round from `start`, which is a task of the server or the
    /// client's own model, on samples from [`Training::samples`]. `state` is what the method's client
    /// half kept of earlier rounds, `faults` what happens to this training, where a fault plan says so.
    /// With `stop`, the training ends before that moment, after fewer steps if need be.
    ///
    /// # Errors
    /// When the client cannot train, in words: the start is of no use to the method, the device has too
    /// little memory, or not one step ends before `stop`.
    pub fn prepare(
        shared: &Shared,
        (client, round): (u32, u32),
        samples: Samples,
        (start, state): (Payload, ClientState),
        faults: Option<&TaskFaults>,
        (now, stop): (VirtualTime, Option<VirtualTime>),
    ) -> Result<Self, String> {
        let plan = &shared.plan;
        let device = plan.client(client).device;
        let half = &shared.client_half;
        let count = samples.len();
        let local = local(shared, client, count, faults);
        let mut input = shared.input((client, round), Arc::clone(&local), samples, start, state);
        let beside = half.beside(&input);
        let beside = beside.map_err(|error| format!("cannot begin: {error}"))?;
        let (own, narrower) = (shared.sizes.of(client), shared.sizes.narrower(client));
        let idles = plan.adversaries.idles(client, round);
        let cost_of = |local: &LocalTraining| match idles {
            true => Cost::default(),
            false => half.cost(own, narrower, local, count).then(beside),
        };
        let mut cost = cost_of(&local);
        if !device.fits(cost.memory) {
            let (need, has) = (cost.memory, device.memory);
            return Err(format!("training needs {need}, the device has {has}"));
        }
        let late = |cost: &Cost| {
            let alone = device.duration(cost.flops);
            stop.is_some_and(|stop| device_time::end_of(shared, client, alone, now) >= stop)
        };
        let partial = late(&cost);
        if partial {
            let cut = cut(&local, count, |part| !late(&cost_of(part)));
            let cut = cut.ok_or("not one local step would end in time to report")?;
            cost = cost_of(&cut);
            input.local = Arc::new(cut);
        }
        let steps = steps(&input.local, count);
        let out_of_memory = faults.is_some_and(|faults| faults.out_of_memory);
        let (whole, half_of_it) = (device.duration(cost.flops), Flops(cost.flops.0 / 2));
        let (alone, spent) = match out_of_memory {
            true => (
                whole.scaled(0.5),
                Cost {
                    flops: half_of_it,
                    ..cost
                },
            ),
            false => (whole, cost),
        };
        let (time, work) = device_time::of_work(shared, client, alone, spent, now);
        Ok(Self {
            input,
            device,
            samples: count as u32,
            steps,
            cost,
            partial,
            out_of_memory,
            alone,
            time,
            work: Work {
                trains: work.trains && !out_of_memory,
                ..work
            },
        })
    }

    /// The training as a job for a device worker.
    pub fn into_job(self, shared: &Shared) -> Job {
        Job::Client(Box::new(ClientJob {
            half: Arc::clone(&shared.client_half),
            input: self.input,
        }))
    }
}

fn steps(local: &LocalTraining, samples: usize) -> u32 {
    u32::try_from(local.steps(samples)).unwrap_or(u32::MAX)
}

/// The local training of a client's group, cut short where a fault has the client do only a part.
fn local(
    shared: &Shared,
    client: u32,
    samples: usize,
    faults: Option<&TaskFaults>,
) -> Arc<LocalTraining> {
    let local = &shared.local[shared.plan.group_of(client)];
    match faults {
        Some(faults) if faults.share < 1.0 => Arc::new(part_of(local, samples, faults.share)),
        _ => Arc::clone(local),
    }
}

/// Local training that stops after a share of its steps, but not before the first step.
fn part_of(local: &LocalTraining, samples: usize, share: f64) -> LocalTraining {
    let steps = libm::ceil(local.steps(samples) as f64 * share).max(1.0);
    first_steps(local, steps as u32)
}
