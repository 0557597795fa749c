//! The plan: entries of a scenario, and what they come to for links, clients, server and data.

use super::client::{ClientFault, ClientFaults};
use super::data::DataFault;
use super::link::{Filter, LinkFault, LinkFaults};
use super::server::{ServerFault, ServerFaults};
use super::when::{Milestones, Periods, When};
use crate::quantity::Probability;
use crate::who::{Members, Who};
use serde::Serialize;
use std::sync::Arc;

/// One entry of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// What goes wrong.
    pub what: What,
    /// On whom: clients, with their links and data.
    pub who: Who,
    /// When.
    pub when: When,
    /// Whether all of them share their times; otherwise each has its own.
    pub together: bool,
    /// Of the messages or tasks that it could hit it hits each with this probability.
    pub probability: Probability,
    /// Which messages, for faults of links.
    pub filter: Filter,
}

/// One entry of a plan, its victims known.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    /// Which entry: names its draws.
    pub number: u32,
    /// What goes wrong.
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

    /// The times of the node of one victim.
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

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum What {
    /// On a client's link.
    Link(LinkFault),
    /// On a client's device or in its report.
    Client(ClientFault),
    /// At the server.
    Server(ServerFault),
    /// In a client's samples.
    Data(DataFault),
}

/// A plan whose victims are known.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Of links.
    pub links: LinkFaults,
    /// Of clients.
    pub clients: ClientFaults,
    /// Of the server.
    pub server: ServerFaults,
    /// Of samples.
    pub data: Vec<(u32, DataFault, Members)>,
}

impl Plan {
    /// Whether anything goes wrong at all.
    pub fn is_any(&self) -> bool {
        !(self.links.is_empty()
            && self.clients.is_empty()
            && self.server.is_empty()
            && self.data.is_empty())
    }

    /// The plan of `faults` for a population whose groups have these names and counts.
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
