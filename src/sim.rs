//! The kernel: virtual time, events and the actors that handle them.
//!
//! A [`World`] says which nodes there are and how they talk; a [`Simulation`] runs it. Time moves in
//! windows as long as the network's lookahead: no message sent inside a window can arrive inside it,
//! so the nodes of all shards run it side by side, and only what their own interfaces and timers
//! cause is handled within it.
//!
//! Guarantees:
//! - events are ordered by [`Key`] `(time, source, sequence)` and by nothing else;
//! - the [`TraceHash`] of a run depends on world and seed, not on shards, workers or the host;
//! - a panicking handler is that node's crash; the run goes on;
//! - every message sent is delivered, lost, dropped or in flight, and a run whose books do not
//!   balance is an error.

mod accounting;
mod checkpoint;
mod conductor;
mod crash;
mod event;
mod hash;
mod host;
mod network;
mod node;
mod queue;
mod recorder;
pub mod rng;
mod shard;
mod stack;
mod work;

pub use accounting::{Accounting, Tally};
pub use conductor::{Ending, SimError, Simulation, Summary};
pub use event::{Key, NodeId, Parcel};
pub use hash::{mix_words, Digest, TraceHash};
pub use network::{NetContext, Network};
pub use node::{Context, Fate, Input, JobId, Left, Message, Node, Outcome, World};
pub use recorder::{Delivery, Observe, Recorder, RecorderError, Silent};
pub use stack::Stack;
pub use work::{given_up, Away, Elsewhere, Executor, Workers};

pub(crate) use stack::Unit;
