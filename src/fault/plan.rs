//! The fault plan: the entries of a scenario, and the faults of links, clients, server and data that
//! follow from them.

use super::client::{ClientFault, ClientFaults};
use super::data::DataFault;
use super::link::{Filter, LinkFault, LinkFaults};
use super::server::{ServerFault, ServerFaults};
use super::when::{Milestones, Periods, When};
use crate::quantity::Probability;
use crate::who::{Members, Who};
use serde::Serialize;
use std::sync::Arc;

/// One entry of a fault plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// The fault: what goes wrong, on which part of the federation.
    pub what: What,
    /// The clients concerned, with their links and data.
    pub who: Who,
    /// When the fault holds.
    pub when: When,
    /// Whether all clients concerned share the times of the fault; otherwise each client has times of
    /// its own.
    pub together: bool,
    /// The probability with which the fault hits each message or task that it could hit.
    pub probability: Probability,
    /// The messages concerned, for faults of links.
    pub filter: Filter,
}

/// One entry of a fault plan for which the clients concerned are known.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    /// The number of the entry, which names its random draws.
    pub number: u32,
    /// The fault, with the parameters of the scenario.
    pub fault: T,
    pub when: When,
    together: bool,
    pub probability: Probability,
    pub members: Members,
    milestones: Arc<Milestones>,
}

impl<T> Entry<T> {
    fn new(number: u32, planned: &Fault, fault: T, members: Members) -> Self {
        Self {
            number,
            fault,
            when: planned.when.clone(),
            together: planned.together,
            probability: planned.probability,
            members,
            milestones: Arc::default(),
        }
    }

    /// The periods of the entry for the node of one client.
    pub fn periods(&self, seed: u64, node: u64) -> Periods<'_> {
        Periods {
            when: &self.when,
            seed,
            entry: self.number,
            node: if self.together { 0 } else { node },
            milestones: Some(&self.milestones),
        }
    }
}

/// A fault by the part of the federation that it concerns.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum What {
    /// A fault of a client's link.
    Link(LinkFault),
    /// A fault of a client's device or of its report.
    Client(ClientFault),
    /// A fault of the server.
    Server(ServerFault),
    /// A fault of a client's samples.
    Data(DataFault),
}

/// All faults of a run, with the clients concerned known.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    /// Faults of the clients' links.
    pub links: LinkFaults,
    /// Faults of the clients' devices and reports.
    pub clients: ClientFaults,
    /// Faults of the server.
    pub server: ServerFaults,
    /// Faults of samples, each with the number of its entry and the clients concerned.
    pub data: Vec<(u32, DataFault, Members)>,
}

impl FaultPlan {
    /// Whether there is any fault at all.
    pub fn is_any(&self) -> bool {
        !(self.links.is_empty()
            && self.clients.is_empty()
            && self.server.is_empty()
            && self.data.is_empty())
    }

    /// The plan of `faults` for a population of groups with these names and numbers of clients.
    pub fn new<'a>(
        faults: &[Fault],
        groups: impl Iterator<Item = (&'a str, u32)> + Clone,
        seed: u64,
    ) -> Self {
        let (mut links, mut of_clients, mut data) = (Vec::new(), Vec::new(), Vec::new());
        let mut server = ServerFaults::new(seed);
        for (number, fault) in (0u32..).zip(faults) {
            let members = fault.who.members(groups.clone(), seed, u64::from(number));
            match &fault.what {
                What::Link(what) => {
                    let entry = Entry::new(number, fault, what.clone(), members);
                    links.push((entry, fault.filter.clone()));
                }
                What::Client(what) => {
                    of_clients.push(Entry::new(number, fault, what.clone(), members));
                }
                What::Server(what) => server.push(number, fault, what),
                What::Data(what) => data.push((number, *what, members)),
            }
        }
        let clients = ClientFaults::new(seed, of_clients);
        let links = LinkFaults::new(seed, links, clients.only_crashes(), server.only_crashes());
        Self {
            links,
            clients,
            server,
            data,
        }
    }
}
