//! The network between nodes: how long a message takes from one node to another, and whether it
//! arrives.
//!
//! Every node has one access link. A message from `a` to `b` crosses the up side of `a`'s link and
//! then the down side of `b`'s:
//!
//! ```text
//!   a ──▶ up queue ──▶ loss (a up, b down) ──▶ latency (a + b) ──▶ down queue ──▶ b
//!          ▲                  │
//!          └── lost packets ◀─┘   reliable transport: again after a timeout
//! ```
//!
//! - [`Latency`]: what each side of the path adds to the time of a message, never less than its bound;
//! - [`Loss`]: which packets get lost, one by one or in bursts;
//! - [`LinkModel`]: one link with its latency, rates, [`Sharing`] of a rate, loss and [`Transport`];
//! - [`LinkTable`]: which node has which link;
//! - [`LinkNetwork`]: the network that the kernel runs;
//! - [`Connection`]: whether a message has to wait until a connection is set up, and how long that
//!   takes;
//! - [`tcp`]: TCP at flow level, with windows, losses and timeouts;
//! - [`presets`]: links with well-known names (4G, DSL, …), with the source of each figure.
//!
//! Guarantees:
//! - a message never takes less than the sum of the two links' latency bounds, so the kernel's
//!   lookahead is the least such sum over the nodes that send to each other ([`Topology`]);
//! - the fate of a message is drawn from a stream of its own, named by source and sequence number, so
//!   it does not depend on how nodes are spread over shards;
//! - every message handed to the network is delivered, lost or dropped, or waits inside an interface,
//!   where it is counted.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use shoal::net::{preset, LinkNetwork, LinkTable, Topology};
//! use shoal::sim::NodeId;
//!
//! let mut table = LinkTable::new();
//! table.push(1, preset("datacentre").ok_or("no such preset")?)?;
//! table.push(1_000, preset("4g").ok_or("no such preset")?)?;
//! let server = NodeId(0);
//! let network = LinkNetwork::new(table, Topology::Star { centre: server })?;
//! assert_eq!(network.link(NodeId(7)).down.map(|d| d.to_string()), Some("29.5 Mbit/s".into()));
//! # Ok(())
//! # }
//! ```

mod amid;
mod binomial;
mod connection;
mod latency;
mod link;
mod loss;
mod network;
mod nic;
mod packet_loss;
mod passage;
mod presets;
mod queue;
mod retransmission;
mod streams;
mod table;
pub mod tcp;
mod tryout;
mod way;
mod wire;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod law_tests;
#[cfg(test)]
mod queueing_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod testbed;
#[cfg(test)]
mod timing_tests;

pub use connection::{Beside, Connection, Handshake};
pub use latency::{Latency, LatencyError};
pub use link::{LinkModel, Sharing, Transport};
pub use loss::Loss;
pub use network::{LinkNetwork, Topology};
pub use nic::Nic;
pub use packet_loss::{EveryNth, PacketLoss};
pub use passage::Passage;
pub use presets::{listing, preset, presets, Preset, LISTING_HEADER};
pub use retransmission::Retransmission;
pub use table::{LinkTable, LinkTier, NetError, Rates};
pub use tryout::Trip;
pub use wire::Wire;
