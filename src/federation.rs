//! The federation as actors: one server, its clients, and the messages between them.
//!
//! A federation is the world that the kernel runs. Node 0 is the server; client `i` is node `i + 1`. The
//! protocol of a round is the same for every method: the server asks a cohort ([`Message::Task`]), each
//! client trains and reports, or declines, and the round closes when enough clients have reported, when
//! all have answered, or at its deadline. The [`Method`](crate::method::Method) decides what is sent and
//! how it is used.
//!
//! An asynchronous server ([`Waiting`]) asks clients one by one: whenever a client has answered, another
//! is asked, with the model of that moment, and a round is one step of the server.
//!
//! A federation may have no server at all ([`Gossip`]): clients send their models to their neighbours on
//! a graph, and node 0 observes.
//!
//! Evaluation is observation: it takes no virtual time and sends no message.

mod adversarial;
#[cfg(test)]
mod async_tests;
mod budget;
mod buffered;
mod candidates;
mod client;
mod compute;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod deadline_tests;
mod device_time;
mod edge;
mod evaluation;
mod gossip;
mod hierarchy;
#[cfg(test)]
mod hierarchy_tests;
mod invitation;
mod job;
mod keep;
mod layers;
mod message;
mod on_deadline;
mod outlook;
mod outstanding;
mod plan;
#[cfg(test)]
mod presence_tests;
mod query;
mod record;
#[cfg(test)]
mod resume_tests;
mod round;
mod server;
mod sizing;
mod spread;
mod stand_ins;
#[cfg(test)]
mod testing;
mod training;
mod traits;
mod waiting;
mod wire;
mod world;

pub use crate::who::{Members, Who};
pub use budget::{Budget, DATA_SPENT, ENERGY_SPENT};
pub use compute::Compute;
pub use gossip::{Algorithm, Gossip, Mixing, PeerWatcher};
pub use hierarchy::{Assign, Hierarchy, Tier};
pub use job::{DeviceMemory, DeviceWorker, Job, Output};
pub use keep::{Keep, Of, Weights};
pub use layers::Layers;
pub use message::Message;
pub use on_deadline::OnDeadline;
pub use outlook::{Outlook, RoundMessages, ServerLoad, Stops};
pub use plan::{Cohort, Evaluation, Group, Plan, PlannedClient, Schedule};
pub use query::QUERIED_CLIENTS;
pub use record::Record;
pub use sizing::{ratios, SizeRule, MOST_LEVELS};
pub use spread::Spread;
pub use traits::{read_capacity, Capacity, CapacityRow, Correlation, DeviceTier};
pub(crate) use traits::{Ranks, Whose};
pub use waiting::{Rule, Staleness, Waiting};
pub use wire::{Held, Sent, Wire};
pub use world::{Bug, Federation};
