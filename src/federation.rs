//! The federation as actors: one server, its clients, and what they say to each other.
//!
//! This is the world that the kernel runs. Node 0 is the server; client `i` is node `i + 1`. The
//! protocol of a round is the same for every method: the server asks a cohort ([`Message::Task`]),
//! clients train and report, or decline, and the round closes when enough have reported, when
//! nobody is left to wait for, or at its deadline. What is sent and what is done with it is the
//! [`Method`](crate::method::Method)'s business.
//!
//! Evaluation is observation: it takes no virtual time and sends nothing.

mod client;
mod compute;
#[cfg(test)]
mod crash_tests;
mod evaluation;
mod hostile;
mod job;
mod layers;
mod message;
mod outstanding;
mod plan;
mod record;
#[cfg(test)]
mod resume_tests;
mod round;
mod selection;
mod server;
mod sizing;
mod stand_ins;
mod world;

pub use crate::who::{Members, Who};
pub use compute::Compute;
pub use evaluation::Spread;
pub use job::{DeviceMemory, DeviceWorker, Job, Output};
pub use layers::Layers;
pub use message::Message;
pub use plan::{Cohort, Evaluation, Group, Plan, PlannedClient, Schedule};
pub use record::Record;
pub use sizing::{ratios, SizeRule, MOST_LEVELS};
pub use world::{Bug, Federation};
