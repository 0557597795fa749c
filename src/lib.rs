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
//! error is kept ([`run`]).

// Without torch nobody is left to use much of what the lower rooms have for those above.
#![cfg_attr(not(feature = "torch"), allow(dead_code, unused_imports))]
// Whatever is said to a person goes through `say`; whoever ends the process does it in `cli`.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::dbg_macro,
    clippy::exit
)]

#[cfg(feature = "torch")]
pub mod attack;
pub mod availability;
#[cfg(feature = "torch")]
pub mod cli;
#[cfg(feature = "torch")]
pub mod compress;
pub mod data;
#[cfg(feature = "torch")]
pub mod defend;
mod disk;
pub mod fault;
#[cfg(feature = "torch")]
pub mod federation;
pub mod graph;
#[cfg(feature = "torch")]
pub mod learn;
#[cfg(feature = "torch")]
pub mod method;
#[cfg(feature = "torch")]
pub mod model;
pub mod net;
pub mod observe;
#[cfg(feature = "torch")]
pub mod privacy;
pub mod quantity;
pub mod registry;
#[cfg(feature = "torch")]
pub mod run;
pub mod say;
#[cfg(feature = "torch")]
pub mod scale;
#[cfg(feature = "torch")]
pub mod scenario;
pub mod select;
pub mod sim;
pub mod snapshot;
#[cfg(feature = "torch")]
pub mod swarm;
#[cfg(feature = "torch")]
pub mod sweep;
pub mod text;
pub mod who;
