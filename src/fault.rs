//! Faults: what goes wrong in a federation, on whom, and when.
//!
//! A plan is a list of [`Fault`]s. Each is a pure function of the seed, of the client and of the
//! moment: nothing is scheduled, nothing is stored, and a client that sleeps through a crash costs
//! nothing. Whoever meets a fault asks the plan:
//!
//! - links ask when a message leaves ([`LinkFaults`], used by [`crate::net`])
//! - clients ask when a task comes and when work is done ([`ClientFaults`])
//! - the server asks about itself ([`ServerFaults`])
//! - samples are spoilt once, when they are loaded ([`DataFault`])
//!
//! Times of one entry lie in periods ([`When`]); [`Periods`] finds them. Sessions of clients
//! ([`crate::availability`]) are periods, too.

mod client;
mod data;
mod link;
mod name;
mod plan;
mod server;
mod speed;
mod when;

pub use client::{ClientFault, ClientFaults, Job as JobFaults, ReportFault};
pub use data::DataFault;
pub use link::{
    Corruption, Cut, Direction, Drop, Filter, LinkFault, LinkFaults, Outage, Pass, Traffic,
};
pub use plan::{Fault, Plan, What};
pub use server::{ServerFault, ServerFaults};
pub use when::{Milestones, Moment, Period, Periods, When};
