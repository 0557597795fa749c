//! Shoal simulates federated learning with large client populations on one machine.
//!
//! A scenario file says everything: data, model, clients and their devices, links, method, schedule.
//! The simulation runs it in virtual time; every client and server is an actor, messages cross
//! simulated links, and clients really train, through libtorch.
//!
//! How a run goes:
//!
//! ```text
//! scenario.ron ──▶ scenario ──▶ federation + links
//!                                    │
//!           ┌────────── sim (virtual time, actors) ◀───────┐
//!           │  events ▸ window ▸ shards ▸ nodes ▸ effects   │
//!           └──────┬───────────────────────┬───────────────┘
//!             net (when, whether)     device workers (method, learn, model, data)
//!                  └──────────▶ observe ◀──┘
//! ```
//!
//! Guarantees: same scenario and seed, same trace hash, on any number of workers ([`sim`]); every
//! message is accounted for; a panicking handler is one node's crash; what was computed before an
//! error is kept ([`scenario::run`]).

// Whatever is said to a person goes through `say`; whoever ends the process does it in `cli`.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::dbg_macro,
    clippy::exit
)]

pub mod attack;
pub mod availability;
pub mod cli;
pub mod compress;
pub mod data;
pub mod defend;
mod disk;
pub mod fault;
pub mod federation;
pub mod graph;
pub mod learn;
pub mod method;
pub mod model;
pub mod net;
pub mod observe;
pub mod privacy;
pub mod quantity;
pub mod registry;
pub mod say;
pub mod scale;
pub mod scenario;
pub mod select;
pub mod sim;
pub mod snapshot;
pub mod swarm;
pub mod sweep;
pub mod text;
pub mod who;
