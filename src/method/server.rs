//! The server half of a method.

use super::{MethodError, Payload, PublicData};
use crate::learn::{Cost, DeviceData, LocalTraining, Samples, Scratch};
use crate::model::{Model, ParamSet, Sizes};
use crate::quantity::Flops;
use crate::snapshot::{snapshot_enum, Damaged, Reader, Writer};
use std::fmt;
use std::sync::Arc;

/// The things that a server half is built from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The network.
    pub model: Arc<Model>,
    /// The initial parameters.
    pub initial: ParamSet,
    /// The widths that clients have; a single one if the method has no sub-models.
    pub sizes: Sizes,
    /// The public set, if the scenario has one.
    pub public: Option<PublicData>,
    /// The number of clients.
    pub population: u32,
    /// The seed of the run.
    pub seed: u64,
    /// The training data of all clients. Only a centralised baseline may look at it.
    pub data: Arc<DeviceData>,
    /// The training samples of all clients together.
    pub pooled: Samples,
    /// The local training of the scenario's first group, for a server that trains by itself.
    pub local: Arc<LocalTraining>,
}

/// The moments at which a server half may do work of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Once, before the first round.
    Setup,
    /// Before the clients of this round are asked.
    BeforeRound(u32),
    /// After the reports of this round are in.
    AfterRound(u32),
    /// Once, after the last round.
    Finish,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup => f.write_str("before the first round"),
            Self::BeforeRound(round) => write!(f, "before round {round}"),
            Self::AfterRound(round) => write!(f, "after round {round}"),
            Self::Finish => f.write_str("after the last round"),
        }
    }
}

snapshot_enum!(Phase {
    0 => Setup,
    1 => BeforeRound(round),
    2 => AfterRound(round),
    3 => Finish,
});

/// A report, as the server half gets it.
#[derive(Debug)]
pub struct Received {
    /// The client that reports.
    pub client: u32,
    /// The round of the report.
    pub round: u32,
    /// The number of samples that the client trained on.
    pub samples: u32,
    /// The contents of the report.
    pub payload: Payload,
}

/// A job of the server's own: a pure function that runs on a device worker and takes virtual time.
#[derive(Clone)]
pub struct ServerJob {
    /// The cost: operations on the virtual server, and memory on the host.
    pub cost: Cost,
    /// The function to compute.
    pub work: Arc<ServerWork>,
    /// The result that is used instead if the work is only modelled; `None` for methods that cannot
    /// be modelled.
    pub stand_in: Option<Payload>,
}

/// The work of a [`ServerJob`], with a worker's scratch memory.
pub type ServerWork = dyn Fn(&mut Scratch) -> Result<Payload, MethodError> + Send + Sync;

impl fmt::Debug for ServerJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerJob({})", self.cost.flops)
    }
}

/// The server half of a method in one run.
///
/// A half may be wrapped around another one, as defences and layers are. It then returns the inner
/// half from [`Self::inner`] and [`Self::inner_mut`], and the default of every other function calls
/// the inner half.
pub trait ServerHalf: Send {
    /// The half that this one is wrapped around, if there is one.
    fn inner(&self) -> Option<&dyn ServerHalf> {
        None
    }

    /// The half that this one is wrapped around, for changes.
    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        None
    }

    /// Whether rounds ask clients at all. A centralised baseline works without clients.
    fn needs_clients(&self) -> bool {
        self.inner().is_none_or(ServerHalf::needs_clients)
    }

    /// Informs the half that `clients` will be asked in `round`, in this order.
    fn cohort(&mut self, round: u32, clients: &[u32]) {
        if let Some(inner) = self.inner_mut() {
            inner.cohort(round, clients);
        }
    }

    /// The task of a member of the cohort. The payload is shared; cloning it copies nothing large.
    ///
    /// # Errors
    /// When the task cannot be made.
    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError>;

    /// Takes in one report. The report is not kept.
    ///
    /// # Errors
    /// When the report is not one that this method's clients send; the report is then not used.
    fn receive(&mut self, report: &Received) -> Result<(), MethodError>;

    /// Does work of the server's own. It is called without outputs when the phase begins, and then
    /// with the outputs of the jobs that it asked for, in order, until it asks for none.
    ///
    /// # Errors
    /// When the round cannot go on; the run then ends.
    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError>;

    /// The number of reports below which a round is abandoned, whatever the schedule says.
    fn least_reports(&self) -> u32 {
        self.inner().map_or(1, ServerHalf::least_reports)
    }

    /// Closes a round that has enough reports; no more of them will come. It is called before
    /// [`Self::round_flops`] and before the [`Self::step`] of the round.
    ///
    /// # Errors
    /// When the round cannot go on; the run then ends.
    fn close(&mut self, round: u32) -> Result<(), MethodError> {
        match self.inner_mut() {
            Some(inner) => inner.close(round),
            None => Ok(()),
        }
    }

    /// Forgets the reports of a round that too few clients answered.
    fn abandon(&mut self);

    /// Replaces the global model, between two rounds, by that of the server above. For a server
    /// that is between the clients and another server.
    ///
    /// # Errors
    /// When the method cannot be used by such a server.
    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        match self.inner_mut() {
            Some(inner) => inner.adopt(global),
            None => Err(MethodError::payload(
                "a method that adopts models",
                &Payload::Nothing,
            )),
        }
    }

    /// Informs the half that the last task of `client` was answered, declined or given up. Called
    /// only if clients are asked one by one instead of in rounds.
    fn gone(&mut self, client: u32) {
        if let Some(inner) = self.inner_mut() {
            inner.gone(client);
        }
    }

    /// The number of steps that the server has made since `client` was sent its task. `None` if
    /// clients are asked in rounds, and for a client without an open task.
    fn staleness(&self, client: u32) -> Option<u32> {
        self.inner().and_then(|inner| inner.staleness(client))
    }

    /// The reason why the round cannot be closed with the reports that are in, so that it is
    /// abandoned. `None` if only the schedule decides.
    fn short(&self) -> Option<String> {
        self.inner().and_then(ServerHalf::short)
    }

    /// The operations of taking in one report on the virtual server; 0 unless a half says
    /// otherwise.
    fn receive_flops(&self) -> Flops {
        self.inner().map_or(Flops(0), ServerHalf::receive_flops)
    }

    /// The operations at the end of a round on the virtual server, beside [`ServerJob`]s.
    fn round_flops(&self) -> Flops {
        self.inner().map_or(Flops(0), ServerHalf::round_flops)
    }

    /// The global model, if the method has one.
    fn global(&self) -> Option<&ParamSet> {
        self.inner().and_then(ServerHalf::global)
    }

    /// Writes to a checkpoint all that later rounds depend on and that [`super::Method::server`]
    /// does not make anew: models, moments, and the facts known about each client. A checkpoint is
    /// never made between the first report of a round and its end, so sums of reports are empty and
    /// are left out; jobs may be running. A half around another one also writes that one.
    fn save(&self, to: &mut Writer);

    /// Reads the state that [`ServerHalf::save`] wrote. It is called once, on a new half.
    ///
    /// # Errors
    /// When the bytes are not the state of such a half.
    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged>;

    /// Whether clients have models of their own beside the global one. The accuracy of a client is
    /// then the one that the client last measured itself.
    fn personal(&self) -> bool {
        self.inner().is_some_and(ServerHalf::personal)
    }

    /// The parameters with which a client of the level `level` would be evaluated now, of that
    /// level's network. `None` if the method has no sub-models.
    ///
    /// # Errors
    /// When the parameters cannot be made.
    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        match self.inner() {
            Some(inner) => inner.at_level(level),
            None => Ok(None),
        }
    }

    /// The client's own model with which `client` would be evaluated now, of the client's level.
    /// `None` if clients keep their models themselves ([`super::ClientHalf::own`]) or have none.
    ///
    /// # Errors
    /// When the model cannot be made.
    fn own(&self, client: u32) -> Result<Option<ParamSet>, MethodError> {
        match self.inner() {
            Some(inner) => inner.own(client),
            None => Ok(None),
        }
    }

    /// Informs the half that the server went down and was restored from a checkpoint that is
    /// `rounds` rounds old. What clients received and reported in those rounds cannot be undone, so
    /// a half that accounts for it, such as a privacy accountant, must count these rounds.
    fn lost_rounds(&mut self, rounds: u32) {
        if let Some(inner) = self.inner_mut() {
            inner.lost_rounds(rounds);
        }
    }

    /// The ε of differential privacy that has been spent so far; `None` if nothing is guaranteed.
    fn epsilon(&self) -> Option<f64> {
        self.inner().and_then(ServerHalf::epsilon)
    }

    /// The ε of differential privacy that has been spent so far, by an accountant that is tighter
    /// than that of [`Self::epsilon`] and takes up to half a second, so that it is asked only at the
    /// end of a run. `None` if nothing is guaranteed or if that accountant gives no smaller ε.
    fn epsilon_pld(&self) -> Option<f64> {
        self.inner().and_then(ServerHalf::epsilon_pld)
    }
}
