//! The plan: entries of a scenario, and what they come to for links, clients, server and data.

use super::client::{ClientFault, ClientFaults};
use super::data::DataFault;
use super::link::{Filter, LinkFault, LinkFaults};
use super::server::{ServerFault, ServerFaults};
use super::when::When;
use crate::quantity::Probability;
use crate::who::{Members, Who};
use serde::Serialize;

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
        let mut clients = ClientFaults::new(seed);
        let mut server = ServerFaults::new(seed);
        let mut data = Vec::new();
        let mut links = Vec::new();
        for (number, fault) in (0u32..).zip(faults) {
            let members = fault.who.members(groups.clone(), seed, u64::from(number));
            match &fault.what {
                What::Link(what) => links.push((number, fault, what, members)),
                What::Client(what) => clients.push(number, fault, what, members),
                What::Server(what) => server.push(number, fault, what),
                What::Data(what) => data.push((number, *what, members)),
            }
        }
        let mut of_links = LinkFaults::new(seed, clients.only_crashes());
        for (number, fault, what, members) in links {
            of_links.push(number, fault, what, members);
        }
        Self {
            links: of_links,
            clients,
            server,
            data,
        }
    }
}
