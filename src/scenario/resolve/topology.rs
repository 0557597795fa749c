//! Federations without a server, and what cannot go with them.

use super::draft::Draft;
use super::{one_of, Resolver, CLIENTS};
use crate::availability::Leaving;
use crate::fault::{ClientFault, Cut, LinkFault, What};
use crate::federation::{Cohort, Compute, Gossip, OnDeadline, Schedule};
use crate::graph::{GraphSpec, Weights};
use crate::method::Method;
use crate::quantity::{Distribution, Probability};
use crate::registry::Registry;
use crate::scenario::file::{GossipFile, GraphFile, TopologyFile};
use crate::scenario::{Member, Topology};

/// Where it stands.
const PATH: &str = "topology";
const GRAPH: &str = "topology.graph";

/// Messages a round that anybody can want: ten thousand clients that all talk to all.
const MOST_MESSAGES: u64 = 100_000_000;

/// Draws that anybody can wait for, each time that a graph is drawn.
const MOST_DRAWS: u64 = 1_000_000_000;

/// In a larger population no graph is drawn to be looked at: a check is to be quick and small.
const MOST_DRAWN: u32 = 200_000;

impl Resolver<'_> {
    /// Who talks to whom. Where there is no server all clients are in every round.
    pub(super) fn topology(
        &mut self,
        typed: Option<TopologyFile>,
        schedule: &mut Schedule,
        clients: u32,
    ) -> Option<Topology> {
        let TopologyFile::Gossip(typed) = typed?;
        for (field, why) in [
            ("cohort", "all clients are in every round"),
            ("over_selection", "all clients are in every round"),
            ("least_reports", "nobody waits for reports"),
            (
                "on_deadline",
                "there are no reports, and at the deadline a client goes on with the models that have come",
            ),
            (
                "waiting",
                "no server waits: for clients there is schedule.deadline",
            ),
        ] {
            let path = format!("schedule.{field}");
            if self.document.has(&path) {
                self.complain(&path, format!("Gossip has no server: {why}"));
            }
        }
        schedule.cohort = Cohort::Count(clients.max(1));
        schedule.waiting = None;
        schedule.on_deadline = OnDeadline::Drop;
        Some(Topology::Gossip(self.gossip(typed)))
    }

    fn gossip(&mut self, typed: GossipFile) -> Gossip {
        let graph = match typed.graph {
            GraphFile::Ring => GraphSpec::Ring,
            GraphFile::Torus => GraphSpec::Torus,
            GraphFile::Complete => GraphSpec::Complete,
            GraphFile::RandomRegular { degree } => GraphSpec::RandomRegular { degree },
            GraphFile::SmallWorld { degree, rewire } => {
                let share = Probability::new(rewire).unwrap_or_else(|_| {
                    let message = format!("{rewire} is outside [0, 1]: a share of the edges");
                    self.complain_reading(&[], &format!("{GRAPH}.rewire"), message);
                    Probability::ZERO
                });
                GraphSpec::SmallWorld {
                    degree,
                    rewire: share,
                }
            }
            GraphFile::Exponential => GraphSpec::Exponential,
            GraphFile::Edges(edges) => GraphSpec::Edges(edges),
        };
        if let Some(every) = typed.redraw_every {
            let path = format!("{PATH}.redraw_every");
            if every == 0 {
                let message = "expected a number of rounds of 1 or more, found 0";
                self.complain_reading(&[], &path, message);
            } else if !graph.is_drawn() {
                let message = format!(
                    "nothing of {} is drawn: expected none here, or RandomRegular or SmallWorld",
                    graph.name()
                );
                self.complain_reading(&[GRAPH], &path, message);
            }
        }
        Gossip {
            graph,
            redraw_every: typed.redraw_every,
            weights: typed.weights,
            algorithm: typed.algorithm,
        }
    }

    /// Complains of a graph that cannot be, and of what cannot be done without a server.
    pub(super) fn without_server(&mut self, topology: Option<&Topology>, peers: &Draft<'_>) {
        let Some(Topology::Gossip(gossip)) = topology else {
            return;
        };
        let counts = peers.population.iter().map(|member| member.group.count);
        let clients = counts.fold(0, u32::saturating_add);
        self.reading(&[CLIENTS], |r| r.graph(gossip, clients, peers));
        self.no_server(peers);
        self.no_asking(peers.population);
        self.no_reports(peers);
        if let Compute::Sampled(_) = peers.compute {
            let message = "a client that does not really train would send its neighbours a model \
                           that nobody made: expected Real or Modelled";
            self.complain_reading(&["topology?"], "compute", message);
        }
    }

    fn graph(&mut self, gossip: &Gossip, clients: u32, peers: &Draft<'_>) {
        // Of no population all has been said where it stands.
        if clients == 0 {
            return;
        }
        if clients == 1 {
            let message = "one client has nobody to talk to: expected 2 or more";
            return self.complain_reading(&["topology?"], "population", message);
        }
        let problems = gossip.graph.check(clients);
        let any = !problems.is_empty();
        for (field, message) in problems {
            match field {
                "" => self.complain(GRAPH, message),
                field => self.complain(&format!("{GRAPH}.{field}"), message),
            }
        }
        let (messages, draws) = gossip.graph.size(clients);
        if messages > MOST_MESSAGES {
            let message = format!(
                "{clients} clients on such a graph send {messages} models a round, at most {MOST_MESSAGES} \
                 may be: expected fewer neighbours each"
            );
            return self.complain(GRAPH, message);
        }
        if draws > MOST_DRAWS {
            let message = format!(
                "such a graph of {clients} clients takes about {draws} draws, at most {MOST_DRAWS} may be: \
                 expected fewer neighbours each, or Complete"
            );
            return self.complain(GRAPH, message);
        }
        if any || gossip.graph.is_drawn() && clients > MOST_DRAWN {
            return;
        }
        let graph = match gossip.graph.graph(clients, peers.seed, 0) {
            Ok(graph) => graph,
            Err(message) => return self.complain(GRAPH, message),
        };
        // A drawn graph of another kind may be regular by chance, and is not when it is drawn again.
        let uneven = matches!(gossip.graph, GraphSpec::SmallWorld { .. }) || !graph.is_regular();
        if gossip.weights == Weights::Uniform && uneven {
            let message =
                "Uniform weights add up only where all have the same number of neighbours: \
                           expected Metropolis";
            self.complain_reading(&[GRAPH, CLIENTS], &format!("{PATH}.weights"), message);
        }
    }

    /// Complains of what says something of a server.
    fn no_server(&mut self, peers: &Draft<'_>) {
        if self.document.has("server") {
            self.complain("server", "Gossip has no server: expected none here");
        }
        if self.document.has("hierarchy") {
            let message =
                "Gossip has no server, and none between: expected one of topology and hierarchy";
            self.complain("hierarchy", message);
        }
        let method = peers.method;
        if !method.method().mixes_without_server() {
            let message = format!(
                "Gossip needs clients that train a whole model by themselves, and {} has a part for \
                 the server: expected {}",
                method.name(),
                one_of(&Registry::current().of::<dyn Method>().those(Method::mixes_without_server))
            );
            self.complain_reading(&["topology?"], "method", message);
        } else if method.method().needs_public() {
            let message = "a model is tuned on the public set by the server, and Gossip has none: \
                           expected no fine_tune";
            self.complain("method.fine_tune", message);
        }
        if !peers.selection.selection().is_uniform() {
            let message = format!(
                "{} chooses for a server, and Gossip has none: expected Uniform",
                peers.selection.name()
            );
            self.complain("selection", message);
        }
        if let Some(defence) = peers.defence {
            let message = format!(
                "{} is a server's aggregation, and Gossip has none: expected none here",
                defence.name()
            );
            self.complain("defence", message);
        }
        for (index, adversary) in peers.adversaries.iter().enumerate() {
            if adversary.attack.attack().craft().is_some() {
                let message = format!(
                    "{} is made of the other reports of its round, and Gossip has no place where \
                     they come together: expected an attack on own reports such as SignFlip",
                    adversary.attack.name()
                );
                self.complain(&format!("adversaries[{index}].attack"), message);
            }
        }
    }

    /// Complains of what says when clients can be asked.
    fn no_asking(&mut self, population: &[Member]) {
        for (index, member) in population.iter().enumerate() {
            let group = &member.group;
            let path = format!("population[{index}]");
            if group.participation != Distribution::Constant(1.0) {
                let message = "Gossip asks nobody: all clients are in every round, expected 1";
                self.complain(&format!("{path}.participation"), message);
            }
            if group.budget.is_some() {
                let message =
                    "a client that has spent its budget declines tasks, and Gossip gives none: \
                               expected none here";
                self.complain(&format!("{path}.budget"), message);
            }
            if group.availability.is_always() {
                continue;
            }
            if group.leaving != Leaving::Pause {
                let message = "Gossip asks nobody, so that a client that is away can only stand \
                               still: expected leaving: Pause and an availability by the clock";
                let both = ["leaving", "availability"].map(|field| format!("{path}.{field}"));
                let [leaving, availability] = both.each_ref().map(String::as_str);
                let path = match self.document.has(leaving) {
                    true => leaving,
                    false => availability,
                };
                self.complain_reading(&["topology?", leaving, availability], path, message);
            }
        }
    }

    /// Complains of layers and faults that say something of reports to a server.
    fn no_reports(&mut self, peers: &Draft<'_>) {
        let layers = [
            (
                "compression",
                peers.layers.compression.as_ref().map(|layer| layer.name()),
            ),
            (
                "privacy",
                peers.layers.privacy.as_ref().map(|layer| layer.name()),
            ),
            (
                "secure_aggregation",
                peers
                    .layers
                    .secure_aggregation
                    .as_ref()
                    .map(|layer| layer.name()),
            ),
        ];
        for (field, name) in layers {
            if let Some(name) = name {
                let message = format!(
                    "{name} is undone or counted by a server, and Gossip has none: expected none here"
                );
                self.complain(field, message);
            }
        }
        for (index, fault) in peers.faults.iter().enumerate() {
            let why = match &fault.what {
                What::Server(_) => "there is no server",
                What::Client(ClientFault::Report(_) | ClientFault::StaleModel) => {
                    "it is about the tasks and reports of a server"
                }
                What::Client(ClientFault::Clock { .. }) => "nobody reads a client's clock",
                What::Link(LinkFault::Outage(outage)) if outage.cut != Cut::All => {
                    "it parts clients from a server"
                }
                _ => continue,
            };
            let message = format!("{} does nothing in Gossip: {why}", fault.what.name());
            self.complain(&format!("faults[{index}].fault"), message);
        }
    }
}
