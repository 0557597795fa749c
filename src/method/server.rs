//! The server half of a method.

use super::{MethodError, Payload, PublicData};
use crate::learn::{Cost, DeviceData, LocalTraining, Samples, Scratch};
use crate::model::{Model, ParamSet, Sizes};
use crate::quantity::Flops;
use crate::snapshot::{snapshot_enum, Damaged, Reader, Writer};
use std::fmt;
use std::sync::Arc;

/// What a server half is built from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The architecture.
    pub model: Arc<Model>,
    /// The initial parameters.
    pub initial: ParamSet,
    /// The widths that clients have; one, where the method has no sub-models.
    pub sizes: Sizes,
    /// The public set, where the scenario has one.
    pub public: Option<PublicData>,
    /// How many clients there are.
    pub population: u32,
    /// The seed of the run.
    pub seed: u64,
    /// The training data of all clients; only a centralised baseline may look at it.
    pub data: Arc<DeviceData>,
    /// The training samples of all clients together.
    pub pooled: Samples,
    /// Local training as the scenario's first group has it, for a server that trains itself.
    pub local: Arc<LocalTraining>,
}

/// When a server half may work by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Once, before the first round.
    Setup,
    /// Before the clients of a round are asked.
    BeforeRound(u32),
    /// After the reports of a round are in.
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

/// A report, as the server half sees it.
#[derive(Debug)]
pub struct Received {
    /// Who reports.
    pub client: u32,
    /// In which round.
    pub round: u32,
    /// On how many samples the client trained.
    pub samples: u32,
    /// What it reports.
    pub payload: Payload,
}

/// Real work of the server's own: a pure function, run on a device worker, that costs virtual time.
#[derive(Clone)]
pub struct ServerJob {
    /// What it costs: operations on the virtual server, memory on the host.
    pub cost: Cost,
    /// The work.
    pub work: Arc<ServerWork>,
    /// What takes the place of its outcome where the work is only modelled; none where a method
    /// cannot be.
    pub stand_in: Option<Payload>,
}

/// What a [`ServerJob`] does with a worker's scratch memory.
pub type ServerWork = dyn Fn(&mut Scratch) -> Result<Payload, MethodError> + Send + Sync;

impl fmt::Debug for ServerJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerJob({})", self.cost.flops)
    }
}

/// The server half of a method in one run.
///
/// A half may be wrapped around another, as defences and layers are: it says so with [`Self::inner`] and
/// [`Self::inner_mut`], and whatever it does not do itself is then done by the inner one.
pub trait ServerHalf: Send {
    /// The half that this one is wrapped around, if it is.
    fn inner(&self) -> Option<&dyn ServerHalf> {
        None
    }

    /// The same, to be changed.
    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        None
    }

    /// Whether rounds ask clients at all; a centralised baseline works by itself.
    fn needs_clients(&self) -> bool {
        self.inner().is_none_or(ServerHalf::needs_clients)
    }

    /// These clients will be asked in `round`, in this order.
    fn cohort(&mut self, round: u32, clients: &[u32]) {
        if let Some(inner) = self.inner_mut() {
            inner.cohort(round, clients);
        }
    }

    /// What a member of the cohort is sent. A shared payload: cloning it copies nothing large.
    ///
    /// # Errors
    /// When it cannot be made.
    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError>;

    /// Takes in one report; it is not kept.
    ///
    /// # Errors
    /// When the report is not what this method's clients send; the report is then not used.
    fn receive(&mut self, report: &Received) -> Result<(), MethodError>;

    /// Works by itself. Called with no outputs when the phase begins, then with the outputs of the
    /// jobs it asked for, in order, until it asks for none.
    ///
    /// # Errors
    /// The round cannot go on; the run ends.
    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError>;

    /// With fewer reports than this a round is abandoned, whatever the schedule says.
    fn least_reports(&self) -> u32 {
        self.inner().map_or(1, ServerHalf::least_reports)
    }

    /// No more reports of this round come, and there were enough. Comes before
    /// [`Self::round_flops`] is asked and before the round's [`Self::step`].
    ///
    /// # Errors
    /// The round cannot go on; the run ends.
    fn close(&mut self, round: u32) -> Result<(), MethodError> {
        match self.inner_mut() {
            Some(inner) => inner.close(round),
            None => Ok(()),
        }
    }

    /// Forgets the reports of a round that too few clients answered.
    fn abandon(&mut self);

    /// Goes on from another model: that of the server above, for one that stands between that and the
    /// clients. Comes between two rounds.
    ///
    /// # Errors
    /// When the method has no such place.
    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        match self.inner_mut() {
            Some(inner) => inner.adopt(global),
            None => Err(MethodError::payload(
                "a method that adopts models",
                &Payload::Nothing,
            )),
        }
    }

    /// Nothing more is expected of the last task of `client`: it was answered, declined or given up.
    /// Said only where clients are asked one by one and not in rounds.
    fn gone(&mut self, client: u32) {
        if let Some(inner) = self.inner_mut() {
            inner.gone(client);
        }
    }

    /// How many steps the server has made since `client` was sent its task. `None` where clients are
    /// asked in rounds, and for a client of which nothing is expected.
    fn staleness(&self, client: u32) -> Option<u32> {
        self.inner().and_then(|inner| inner.staleness(client))
    }

    /// Why the round cannot be closed with the reports that are in: it is then abandoned. `None`
    /// where the schedule alone decides.
    fn short(&self) -> Option<String> {
        self.inner().and_then(ServerHalf::short)
    }

    /// What taking in one report costs on the virtual server; nothing, unless it is said.
    fn receive_flops(&self) -> Flops {
        self.inner().map_or(Flops(0), ServerHalf::receive_flops)
    }

    /// What moving on from a round costs on the virtual server, beside [`ServerJob`]s.
    fn round_flops(&self) -> Flops {
        self.inner().map_or(Flops(0), ServerHalf::round_flops)
    }

    /// The global model, where the method has one.
    fn global(&self) -> Option<&ParamSet> {
        self.inner().and_then(ServerHalf::global)
    }

    /// Writes to a checkpoint all that later rounds depend on and that [`super::Method::server`] does
    /// not make anew: models, moments, what is known of each client. A checkpoint never falls between
    /// the first report of a round and its end, so sums of reports are empty and are left out; jobs
    /// may be under way. A half that wraps another writes that one too.
    fn save(&self, to: &mut Writer);

    /// Takes what [`ServerHalf::save`] wrote; called once, on a half that was just made.
    ///
    /// # Errors
    /// When the bytes are not those of such a half.
    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged>;

    /// Whether clients have models of their own beside the global one: a client's accuracy is then what
    /// it last measured itself.
    fn personal(&self) -> bool {
        self.inner().is_some_and(ServerHalf::personal)
    }

    /// What a client of level `level` would be measured with now: the parameters of that level's
    /// network. `None` where the method has no sub-models.
    ///
    /// # Errors
    /// When they cannot be made.
    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        match self.inner() {
            Some(inner) => inner.at_level(level),
            None => Ok(None),
        }
    }

    /// The model of its own that `client` would be measured with now, of the client's level, where this
    /// half knows it; `None` where clients keep their models themselves ([`super::ClientHalf::own`]) or have
    /// none.
    ///
    /// # Errors
    /// When it cannot be made.
    fn own(&self, client: u32) -> Result<Option<ParamSet>, MethodError> {
        match self.inner() {
            Some(inner) => inner.own(client),
            None => Ok(None),
        }
    }

    /// The server went down and is restored from a checkpoint `rounds` rounds old. What clients saw
    /// and said in those cannot be unsaid: whoever keeps accounts of it counts it.
    fn lost_rounds(&mut self, rounds: u32) {
        if let Some(inner) = self.inner_mut() {
            inner.lost_rounds(rounds);
        }
    }

    /// The ε of differential privacy that has been spent by now; `None` where nothing is guaranteed.
    fn epsilon(&self) -> Option<f64> {
        self.inner().and_then(ServerHalf::epsilon)
    }
}
