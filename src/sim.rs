//! The kernel: virtual time, events and the actors that handle them.
//!
//! A [`World`] says which nodes there are and how they communicate; a [`Simulation`] runs it. Virtual
//! time advances in windows as long as the network's lookahead, which is the least time that any
//! message takes. No message sent inside a window can therefore arrive inside it, so all shards (groups
//! of nodes) run a window side by side. The only new events within a window are those that a node's own
//! network interface and timers cause.
//!
//! For example, with a lookahead of 20 ms a message sent at 45 ms, in the window from 40 to 60 ms,
//! arrives at 65 ms at the earliest.
//!
//! Guarantees:
//! - events are ordered by [`Key`] `(time, source, sequence)` and by nothing else;
//! - the [`TraceHash`] of a run depends on the world and the seed, not on shards, workers or the host;
//! - a handler that panics crashes its own node only, and the run goes on;
//! - every message sent is delivered, lost, dropped or in flight; a run in which the counts do not add
//!   up ends with an error.

mod accounting;
mod checkpoint;
mod conductor;
mod crash;
mod event;
mod fixed_latency;
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
pub use fixed_latency::FixedLatency;
pub use hash::{mix_words, Digest, TraceHash};
pub use network::{NetContext, Network};
pub use node::{Context, Fate, Input, JobId, Left, Message, Node, Outcome, World};
pub use recorder::{Delivery, Observe, Recorder, RecorderError, Silent};
pub use stack::Stack;
pub use work::{given_up, Executor, RemoteWorker, RemoteWorkers, Workers};

pub(crate) use stack::Unit;
