//! Faults: what goes wrong in a federation, for whom, and when.
//!
//! A fault plan is a list of [`Fault`]s. Whether a fault holds is a pure function of the seed, the
//! client and the moment. Nothing is scheduled and nothing is stored, so a client that sleeps through a
//! crash costs nothing. Each part of the engine asks the plan itself:
//!
//! - links ask when a message leaves ([`LinkFaults`], used by [`crate::net`]);
//! - clients ask when a task comes and when work is done ([`ClientFaults`]);
//! - the server asks about its own faults ([`ServerFaults`]);
//! - samples are spoilt once, when they are loaded ([`DataFault`]).
//!
//! A fault holds during periods ([`When`]), which [`Periods`] finds. For example, with `Repeated` and
//! constant spans of 50 s between periods of 10 s, the first periods are from 50 to 60 s and from 110
//! to 120 s. Sessions of clients ([`crate::availability`]) are periods, too.

mod client;
mod data;
mod link;
mod name;
mod plan;
mod server;
mod speed;
mod when;

pub use client::{ClientFault, ClientFaults, ReportFault, TaskFaults};
pub use data::DataFault;
pub use link::{
    Corruption, Cut, Direction, Drop, Filter, LinkFault, LinkFaults, Outage, Pass, Traffic,
};
pub use plan::{Fault, FaultPlan, What};
pub use server::{ServerFault, ServerFaults};
pub use when::{Milestones, Moment, Period, Periods, When};
