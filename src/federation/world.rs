//! The federation as a world for the kernel.

use super::budget::Spent;
use super::buffered::Buffered;
use super::client::{keeps_of_faults, Client};
use super::crowd::Gathering;
use super::edge::Edge;
use super::evaluation::Evaluator;
use super::gossip::{Common, Observer, Overhear, Peer};
use super::hierarchy::{sorted, Assign, Below};
use super::hostile;
use super::job::{Job, Output};
use super::keep;
use super::message::Message;
use super::plan::Plan;
use super::record::Record;
use super::server::Server;
use super::sizing::sizes;
use super::stand_ins::StandIns;
use crate::availability::Presence;
use crate::data::Partition;
use crate::fault;
use crate::learn::{LocalTraining, Samples};
use crate::method::{
    ClientHalf, ClientInput, ClientState, FedAvg, Frozen, Method, MethodError, Payload, PublicData,
    ServerHalf, Setup,
};
use crate::model::{Layouts, Sizes, Spill};
use crate::net::{LinkNetwork, Wire as _};
use crate::observe::ledger::{Fact, What};
use crate::privacy::secagg::Witness;
use crate::quantity::{Bytes, VirtualTime};
use crate::select::Population;
use crate::sim::{Context, Fate, Input, Left, Node, NodeId, Stack, World};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::{Arc, Mutex, PoisonError};

/// What all nodes of a federation share.
pub struct Shared {
    /// What it is made of.
    pub plan: Plan,
    pub(super) client_half: Arc<dyn ClientHalf>,
    /// Local training of each group, as the method wants it.
    pub(super) local: Vec<Arc<LocalTraining>>,
    /// Who trains which width.
    pub(super) sizes: Sizes,
    pub(super) public: Option<PublicData>,
    /// Where dormant clients' parameters go beyond a memory budget.
    pub(super) spill: Option<Arc<Spill>>,
    pub(super) evaluator: Evaluator,
    pub(super) faults: fault::FaultPlan,
    /// Who is there when.
    pub(super) presence: Arc<Presence>,
    pub(super) bug: Option<Bug>,
    /// What stands for reports of clients that do not really train.
    pub(super) stand_ins: StandIns,
    /// What watches server halves.
    audit: Option<Arc<Auditing>>,
    /// What watches clients without a server.
    pub(super) overhears: Option<Arc<dyn Overhear>>,
    /// The links of all nodes.
    pub(super) network: LinkNetwork,
    /// What checks sums of masked updates.
    witness: Arc<Witness>,
    /// What clients without a server share.
    pub(super) gossip: Option<Arc<Common>>,
    indices: Arc<[u32]>,
    held_out: Arc<[u32]>,
    /// What halves of servers between are built from, where there are any.
    edges: Option<Setup>,
}

/// Puts a server half under an audit.
type Auditing = dyn Fn(Box<dyn ServerHalf>) -> Box<dyn ServerHalf> + Send + Sync;

impl Shared {
    /// The samples a client trains on in a round: a range of the partition, shared, or what an
    /// adversary made of it.
    pub(super) fn train_samples(&self, client: u32, round: u32) -> Samples {
        match self.plan.adversaries.samples(client, round) {
            Some(poisoned) => poisoned.clone(),
            None => part(&self.indices, &self.plan.partition, client),
        }
    }

    /// The samples a client holds out, likewise.
    pub(super) fn holdout_samples(&self, client: u32) -> Samples {
        part(&self.held_out, &self.plan.holdout, client)
    }
}

impl Shared {
    /// What the work of a client in a round depends on.
    pub(super) fn input(
        &self,
        (client, round): (u32, u32),
        local: Arc<LocalTraining>,
        train: Samples,
        task: Payload,
        state: ClientState,
    ) -> ClientInput {
        ClientInput {
            client,
            round,
            seed: self.plan.seed,
            model: Arc::clone(&self.sizes.of(client).model),
            sizes: self.sizes.clone(),
            init: self.plan.init,
            public: self.public.clone(),
            data: Arc::clone(&self.plan.train),
            train,
            holdout: self.holdout_samples(client),
            watched: self.plan.evaluation.per_client && !self.plan.compute.is_modelled(),
            local,
            task,
            state,
        }
    }

    /// The method's server half as it is before the first round, for a server that has lost its own.
    pub(super) fn fresh_half(&self) -> Result<Box<dyn ServerHalf>, MethodError> {
        let public = self.public.as_ref();
        let setup = setup(&self.plan, &self.sizes, public, &self.local, &self.indices)?;
        let half = server_half(&self.plan, &setup, &self.witness, self.bug)?;
        Ok(match &self.audit {
            Some(audit) => audit(half),
            None => half,
        })
    }

    /// A half for a server between: it takes means, whatever the method's own server does with them.
    pub(super) fn edge_half(&self) -> Result<Box<dyn ServerHalf>, MethodError> {
        let setup = self.edges.as_ref();
        let setup = setup.ok_or(MethodError::Network("a federation without servers between"))?;
        let plan = &self.plan;
        let means = FedAvg {
            weighting: plan.method.method().weighting(),
            fine_tune: None,
        };
        let half = means.server(setup.clone())?;
        let half = Frozen::around(half, &setup.initial, plan.model.frozen());
        Ok(plan.layers.around_server(half, setup, plan, &self.witness))
    }

    /// The layouts of all its networks, for a checkpoint to be read.
    pub(super) fn layouts(&self) -> Layouts {
        let levels = self.sizes.levels().iter();
        Layouts::new(levels.map(|level| Arc::clone(level.model.layout())))
    }

    /// What a client kept, out of a checkpoint.
    pub(super) fn kept(&self, from: &mut Reader) -> Result<ClientState, Damaged> {
        let state = ClientState::load(from)?;
        let wrong = state.iter().find(|(name, payload)| {
            let own = Spent::keeps(name, payload) && keeps_of_faults(name, payload);
            !(own && self.client_half.keeps(name, payload))
        });
        match wrong {
            Some((name, _)) => Err(Damaged::new(format!(
                "what a client keeps as {name:?} is of another kind than this method keeps"
            ))),
            None => Ok(state),
        }
    }

    /// What a client keeps while it is dormant, in memory or on disk.
    pub(super) fn keep(&self, state: ClientState) -> ClientState {
        match &self.spill {
            Some(spill) => state.map_sets(|set| spill.keep(set)),
            None => state,
        }
    }
}

/// What the method's server half is built from.
fn setup(
    plan: &Plan,
    sizes: &Sizes,
    public: Option<&PublicData>,
    local: &[Arc<LocalTraining>],
    indices: &Arc<[u32]>,
) -> Result<Setup, MethodError> {
    let pooled = Samples::part(Arc::clone(indices), 0..plan.partition.len());
    Ok(Setup {
        model: Arc::clone(&plan.model),
        initial: match &plan.initial {
            Some(initial) => initial.clone(),
            None => plan.model.init(plan.seed, plan.init)?,
        },
        sizes: sizes.clone(),
        public: public.cloned(),
        population: plan.population(),
        seed: plan.seed,
        data: Arc::clone(&plan.train),
        pooled: pooled.unwrap_or_else(|| Vec::new().into()),
        local: local
            .first()
            .cloned()
            .unwrap_or_else(|| Arc::new(LocalTraining::sgd(0.1))),
    })
}

/// The method's server half with all that is around it.
fn server_half(
    plan: &Plan,
    setup: &Setup,
    witness: &Arc<Witness>,
    bug: Option<Bug>,
) -> Result<Box<dyn ServerHalf>, MethodError> {
    let buffered = |half: Box<dyn ServerHalf>, waiting| -> Box<dyn ServerHalf> {
        Box::new(Buffered::new(half, waiting, &setup.initial).planted(bug))
    };
    let half = plan.method.method().server(setup.clone())?;
    let half = Frozen::around(half, &setup.initial, plan.model.frozen());
    if !plan.hierarchy.is_empty() {
        // Layers are between clients and those they answer to.
        return Ok(match plan.schedule.waiting {
            Some(waiting) => buffered(half, waiting),
            None => half,
        });
    }
    let mut half = hostile::server(plan, half, setup)?;
    if let Some(waiting) = plan.schedule.waiting {
        half = buffered(half, waiting);
    }
    Ok(plan.layers.around_server(half, setup, plan, witness))
}

/// Clients by what a round with the server is expected to take them, cut among `servers`.
fn by_speed(shared: &Shared, servers: u32) -> Vec<u32> {
    let population = shared.plan.population();
    let gathering = Gathering {
        shared,
        server: Federation::SERVER,
        below: Below::all(population),
        round: 1,
        now: VirtualTime::ZERO,
        deadline: None,
    };
    sorted(population, servers, |client| {
        gathering.expected(client).total()
    })
}

/// One client's range of a partition; empty for a client that is not in it.
fn part(indices: &Arc<[u32]>, partition: &Partition, client: u32) -> Samples {
    let range = partition.range(client as usize);
    Samples::part(Arc::clone(indices), range).unwrap_or_else(|| Vec::new().into())
}

/// A defect that a server can be given, or clients without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A second report of a client is counted again.
    DoubleCount,
    /// A report of another round is used.
    IgnoreRound,
    /// Deadlines do not come.
    NeverTimeOut,
    /// Where clients are asked one by one: an old report counts as much as a fresh one.
    AlwaysFresh,
    /// Without a server: the weight of a model that did not come goes to nobody.
    LoseWeight,
}

/// A federation: one server, and the clients of a [`Plan`].
pub struct Federation {
    shared: Arc<Shared>,
    /// The method's server half, until the server wakes and takes it.
    half: Mutex<Option<Box<dyn ServerHalf>>>,
    /// What a stack of jobs must fit into, if it matters.
    memory: Option<Bytes>,
}

/// The first bytes of a member in a checkpoint.
const SERVER: u8 = 0;
const CLIENT: u8 = 1;
const EDGE: u8 = 2;
const OBSERVER: u8 = 3;
const PEER: u8 = 4;

impl Federation {
    /// Sets up the method of `plan` and prepares its evaluation.
    ///
    /// # Errors
    /// When the initial model or the method's state cannot be made.
    pub fn new(plan: Plan, network: LinkNetwork) -> Result<Self, MethodError> {
        let method = plan.method.method();
        let client_half = hostile::client(&plan, method.client());
        let witness = Arc::default();
        let client_half = plan.layers.around_client(client_half, &plan, &witness);
        let local = plan
            .groups
            .iter()
            .map(|group| Arc::new(client_half.local(&group.training)));
        let local: Vec<Arc<LocalTraining>> = local.collect();
        let sizes = sizes(&plan, &local, client_half.as_ref());
        let public = (!plan.public.is_empty()).then(|| PublicData {
            data: Arc::clone(&plan.train),
            train: plan.public.train.clone().into(),
            select: plan.public.select.clone().into(),
        });
        let indices: Arc<[u32]> = Arc::from(plan.partition.indices());
        let setup = setup(&plan, &sizes, public.as_ref(), &local, &indices)?;
        let half = server_half(&plan, &setup, &witness, None)?;
        let (clients, seed) = (plan.population(), plan.seed);
        let gossip = plan.gossip.clone();
        let gossip = gossip
            .map(|gossip| Arc::new(Common::new(gossip, setup.initial.clone(), clients, seed)));
        let personal = half.personal() || gossip.is_some();
        let evaluator = Evaluator::new(&plan, &sizes, personal);
        let presence = Arc::new(plan.presence());
        let network = network.with_presence(&presence);
        let mut shared = Shared {
            client_half,
            local,
            sizes,
            public,
            spill: None,
            evaluator,
            faults: fault::FaultPlan::default(),
            presence,
            network,
            bug: None,
            stand_ins: StandIns::default(),
            audit: None,
            overhears: None,
            witness,
            gossip,
            indices,
            held_out: Arc::from(plan.holdout.indices()),
            edges: (!plan.hierarchy.is_empty()).then_some(setup),
            plan,
        };
        if let Some(tier) = shared.plan.hierarchy.last() {
            if tier.assign == Assign::BySpeed {
                shared.plan.by_speed = by_speed(&shared, tier.count);
            }
        }
        if !shared.plan.compute.is_real() {
            shared.stand_ins = StandIns::find(&shared)?;
        }
        Ok(Self {
            memory: None,
            half: Mutex::new(Some(half)),
            shared: Arc::new(shared),
        })
    }

    /// Parameters that dormant clients keep go to `spill` beyond its budget. To be said before the
    /// federation is handed to a simulation.
    pub fn spill_to(&mut self, spill: Arc<Spill>) {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.spill = Some(spill);
        }
    }

    /// The same, with faults.
    pub fn amid(mut self, faults: fault::FaultPlan) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.network.set_faults(faults.links.clone());
            shared.faults = faults;
        }
        self
    }

    /// The same, with its server half watched by another.
    pub fn audited(
        mut self,
        audit: impl Fn(Box<dyn ServerHalf>) -> Box<dyn ServerHalf> + Send + Sync + 'static,
    ) -> Self {
        let half = self.half.get_mut().unwrap_or_else(PoisonError::into_inner);
        *half = half.take().map(&audit);
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.audit = Some(Arc::new(audit));
        }
        self
    }

    /// The same; `complain` hears of sums of masked updates that are not those of the plain ones.
    pub fn witnessed(self, complain: impl Fn(String) + Send + Sync + 'static) -> Self {
        self.shared.witness.watch(complain);
        self
    }

    /// The same, with its clients watched, where they have no server.
    pub fn overheard(mut self, audit: Arc<dyn Overhear>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.overhears = Some(audit);
        }
        self
    }

    /// The same, with a defect in its server: what finds defects is tried with it.
    ///
    /// # Errors
    /// When the method's state cannot be made anew.
    pub fn planted(mut self, bug: Option<Bug>) -> Result<Self, MethodError> {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.bug = bug;
        }
        if bug.is_some() {
            // The server's half is made with its defect.
            let half = self.shared.fresh_half()?;
            self.half = Mutex::new(Some(half));
        }
        Ok(self)
    }

    /// The same, with stacks of jobs that by estimate fit into `memory`.
    pub fn within(self, memory: Option<Bytes>) -> Self {
        Self { memory, ..self }
    }

    /// The method's server half, once.
    fn take_half(&self) -> Option<Box<dyn ServerHalf>> {
        let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
        half.take()
    }

    /// The layouts of all its networks, for a checkpoint to be read.
    pub fn layouts(&self) -> Layouts {
        self.shared.layouts()
    }

    /// The server.
    pub const SERVER: NodeId = NodeId(0);

    /// The node of a client.
    pub const fn node_of(client: u32) -> NodeId {
        NodeId(client + 1)
    }

    /// The client of a node; `None` for the server.
    pub const fn client_of(node: NodeId) -> Option<u32> {
        node.0.checked_sub(1)
    }

    /// What its nodes share, for whoever does their work elsewhere.
    pub(super) fn share(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// What its nodes share.
    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Who trains which width of the model.
    pub fn sizes(&self) -> &Sizes {
        &self.shared.sizes
    }

    /// What it is made of.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }
}

/// A live node of a federation.
pub enum Member {
    /// The server.
    Server(Box<Server>),
    /// A client.
    Client(Client),
    /// A server between.
    Edge(Box<Edge>),
    /// Node 0, where there is no server.
    Observer(Box<Observer>),
    /// A client without a server.
    Peer(Box<Peer>),
}

impl World for Federation {
    type Message = Message;
    type Node = Member;
    type Kept = ClientState;
    type Network = LinkNetwork;
    type Job = Job;
    type Output = Output;
    type Record = Record;

    fn population(&self) -> u32 {
        let all = self.shared.plan.hierarchy();
        all.population + all.servers() + 1
    }

    fn starters(&self) -> Vec<NodeId> {
        match self.shared.gossip {
            Some(_) => (0..self.population()).map(NodeId).collect(),
            None => vec![Self::SERVER],
        }
    }

    fn network(&self) -> &LinkNetwork {
        &self.shared.network
    }

    fn wake(&self, id: NodeId, kept: Option<ClientState>) -> Member {
        let shared = Arc::clone(&self.shared);
        if let Some(common) = &self.shared.gossip {
            return match Self::client_of(id) {
                Some(client) => {
                    Member::Peer(Box::new(Peer::new(shared, Arc::clone(common), client)))
                }
                None => Member::Observer(Box::new(Observer::new(shared))),
            };
        }
        match Self::client_of(id) {
            Some(member) => match shared.plan.hierarchy().place(member) {
                None => Member::Client(Client::new(shared, member, kept.unwrap_or_default())),
                Some(place) => match Edge::new(shared, member, place) {
                    Ok(edge) => Member::Edge(Box::new(edge)),
                    // This node's crash.
                    Err(error) => panic!("a server between cannot begin: {error}"),
                },
            },
            None => {
                match self.take_half() {
                    Some(half) => Member::Server(Box::new(Server::new(shared, half))),
                    // The server wakes once and never rests; a second one would be a defect, and
                    // is this node's crash.
                    None => panic!("the server woke twice"),
                }
            }
        }
    }

    fn is_down(&self, node: NodeId, now: VirtualTime) -> bool {
        let faults = &self.shared.faults;
        match Self::client_of(node) {
            Some(client) => {
                faults.clients.is_down(client, now) || self.shared.presence.is_gone(client, now)
            }
            None => faults.server.is_down(now),
        }
    }

    fn fate(&self, fate: Fate, (from, to): (NodeId, NodeId), message: &Message) -> Option<Record> {
        let (node, task, number) = match message {
            Message::Task(_) => (to, true, message.round()),
            Message::Report(report) => (from, false, report.telemetry.task),
            Message::Refusal(_) => (from, false, message.round()),
            // They answer nobody's invitation.
            Message::Model(_) | Message::Notice(_) => return None,
        };
        let what = match fate {
            Fate::Copied => What::Copied { task },
            Fate::Gone => What::Gone { task },
        };
        Some(Record::Fact(Fact {
            client: Self::client_of(node)?,
            task: number,
            at: VirtualTime::ZERO,
            what,
        }))
    }

    fn left(
        &self,
        id: NodeId,
        node: Left<'_, Self>,
        tell: &mut dyn FnMut(Record) -> bool,
    ) -> Result<(), String> {
        keep::left(&self.shared, id, &node, tell)
    }

    fn restore(&self, id: NodeId, from: &mut Reader) -> Result<Member, Damaged> {
        let shared = Arc::clone(&self.shared);
        let tag = from.tag()?;
        if let Some(common) = &self.shared.gossip {
            return match (Self::client_of(id), tag) {
                (Some(client), PEER) => {
                    let peer = Peer::restore(shared, Arc::clone(common), client, from)?;
                    Ok(Member::Peer(Box::new(peer)))
                }
                (None, OBSERVER) => {
                    Ok(Member::Observer(Box::new(Observer::restore(shared, from)?)))
                }
                (_, other) => Err(Damaged::new(format!("{other} is not what {id} is"))),
            };
        }
        match (Self::client_of(id), tag) {
            (Some(client), CLIENT) => Ok(Member::Client(Client::restore(shared, client, from)?)),
            (Some(member), EDGE) => {
                let place = shared.plan.hierarchy().place(member);
                let place = place.ok_or_else(|| Damaged::new("a client that is a server"))?;
                let edge = Edge::restore(shared, member, place, from)?;
                Ok(Member::Edge(Box::new(edge)))
            }
            (None, SERVER) => {
                let half = self.take_half();
                let half = half.ok_or_else(|| Damaged::new("there are two servers"))?;
                let server = Server::restore(shared, half, from)?;
                Ok(Member::Server(Box::new(server)))
            }
            (_, other) => Err(Damaged::new(format!("{other} is not what {id} is"))),
        }
    }

    fn restore_kept(&self, from: &mut Reader) -> Result<ClientState, Damaged> {
        Ok(self.shared.keep(self.shared.kept(from)?))
    }

    fn stack(&self, job: &Job) -> Option<Stack> {
        match job {
            Job::Client(job) => {
                let stack = job.input.stack()?;
                let need = job.input.memory(job.half.corrections()).0.max(1);
                let fit = self.memory.map_or(u64::MAX, |memory| memory.0 / need);
                Some(Stack {
                    width: stack.width.min(usize::try_from(fit).unwrap_or(usize::MAX)),
                    ..stack
                })
            }
            _ => None,
        }
    }

    fn crashed(&self, node: NodeId, at: VirtualTime, reason: &str) -> Option<Record> {
        Some(Record::Crash {
            node,
            at,
            reason: reason.to_string(),
        })
    }
}

impl Node<Federation> for Member {
    fn on(&mut self, input: Input<Message, Output>, cx: &mut Context<'_, Federation>) {
        match self {
            Self::Server(server) => server.on(input, cx),
            Self::Client(client) => client.on(input, cx),
            Self::Edge(edge) => edge.on(input, cx),
            Self::Peer(peer) => peer.on(input, cx),
            Self::Observer(observer) => observer.on(input, cx),
        }
    }

    fn rest(self) -> ClientState {
        match self {
            // They never ask to rest.
            Self::Server(_) | Self::Edge(_) | Self::Peer(_) | Self::Observer(_) => {
                ClientState::default()
            }
            Self::Client(client) => client.into_state(),
        }
    }

    fn save(&self, to: &mut Writer) {
        match self {
            Self::Server(server) => {
                to.tag(SERVER);
                server.save(to);
            }
            Self::Client(client) => {
                to.tag(CLIENT);
                client.save(to);
            }
            Self::Edge(edge) => {
                to.tag(EDGE);
                edge.save(to);
            }
            Self::Peer(peer) => {
                to.tag(PEER);
                peer.save(to);
            }
            Self::Observer(observer) => {
                to.tag(OBSERVER);
                observer.save(to);
            }
        }
    }

    fn waiting_for(&self) -> Option<String> {
        match self {
            Self::Server(server) => server.waiting_for(),
            Self::Client(client) => client.waiting_for(),
            Self::Edge(edge) => edge.waiting_for(),
            Self::Peer(peer) => peer.waiting_for(),
            Self::Observer(observer) => observer.waiting_for(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::rows::RoundRow;
    use crate::run::assemble;
    use crate::scenario::Scenario;
    use crate::sim::{
        Delivery, Ending, Key, Observe, Recorder, RecorderError, Simulation, Workers,
    };
    use crate::snapshot::memory;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    #[derive(Default)]
    struct Heard {
        crashed: Vec<u32>,
        rounds: Vec<RoundRow>,
    }

    impl Recorder<Federation> for Heard {
        fn observe(&self) -> Observe {
            Observe::default()
        }

        fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
            Ok(())
        }

        fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
            match record {
                Record::Crash { node, .. } => self.crashed.extend(Federation::client_of(node)),
                Record::Round(row) => self.rounds.push(*row),
                _ => {}
            }
            Ok(())
        }
    }

    #[test]
    fn what_a_client_cannot_have_kept_is_refused_whatever_its_checksum() {
        for (method, name) in [
            ("Scaffold()", "control"),
            ("Hermes()", "own"),
            ("FedMD()", "model"),
            ("LotteryFL()", "mask"),
            ("LocalOnly()", "model"),
            ("FedAvg()", "budget.spent"),
            ("FedAvg()", "faults.figures"),
        ] {
            let text = format!(
                "(data: Digits, public: (share: 0.05, select: 0.25), partition: (holdout: 0.2),
                model: [Flatten, Dense(12), Relu, Dense(10)],
                population: [(count: 4)], method: {method}, schedule: (rounds: 1, cohort: 2))"
            );
            let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
            let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
            let federation = assemble(&scenario, Default::default()).unwrap();
            let kept = |state: ClientState| {
                let bytes = Arc::new(memory::write(|to| state.save(to)).unwrap());
                federation.shared.kept(&mut memory::open(&bytes).unwrap())
            };
            let wrong = ClientState::default().with(name, Payload::scalars([1.0]));
            let error = kept(wrong).unwrap_err().to_string();
            assert!(error.contains(name), "{method}: {error}");
            assert!(kept(ClientState::default()).is_ok());
        }
    }

    #[test]
    fn a_client_whose_handler_panics_is_lost_and_the_run_goes_on() {
        let text = "(data: Digits, model: [Flatten, Dense(10)], population: [
            (name: \"sound\", count: 3, device: \"laptop\", link: \"lan\"),
            (name: \"broken\", count: 2, device: \"laptop\", link: \"lan\"),
        ], schedule: (rounds: 3, cohort: 5, deadline: \"20 s\"))";
        let scenario = Scenario::parse(text, Path::new("s.ron"), &[]).unwrap();
        let mut federation = assemble(&scenario, Default::default()).unwrap();
        // A client of the second group finds no local training where it must be.
        Arc::get_mut(&mut federation.shared)
            .unwrap()
            .local
            .truncate(1);
        let mut heard = Heard::default();
        let workers = Workers::start(1, super::super::DeviceWorker::new).unwrap();
        let simulation = Simulation {
            world: Arc::new(federation),
            seed: 1,
            shards: 1,
        };
        let summary = simulation
            .run(&workers, &mut heard, &AtomicBool::new(false))
            .unwrap();
        assert_eq!(summary.ending, Ending::Finished);
        heard.crashed.sort_unstable();
        assert_eq!(heard.crashed, [3, 4], "each crashes once");
        let books: Vec<_> = heard
            .rounds
            .iter()
            .map(|r| (r.reported, r.unanswered))
            .collect();
        assert_eq!(books, [(3, 2); 3]);
    }
}
