//! Shoal simulates federated learning with large client populations on one machine.
//!
//! A scenario file says everything: data, model, clients and their devices, links, method, schedule.
//! The simulation runs it in virtual time; every client and server is an actor, messages cross
//! simulated links, and clients really train, through libtorch.
//!
//! # Authoring
//!
//! A scenario is text in RON. Reading it checks everything that can be checked without training, and
//! reports all mistakes at once, each with its line, its column and the nearest valid name:
//!
//! ```
//! # #[cfg(feature = "torch")] {
//! use shoal::scenario::Scenario;
//! use std::path::Path;
//!
//! let text = r#"(
//!     name: "hello",
//!     data: Digits,
//!     model: [Flatten, Dense(10)],
//!     population: [(name: "phones", count: 20, device: "phone-mid", link: "4g")],
//!     schedule: (rounds: 2, cohort: 5),
//! )"#;
//! let scenario = Scenario::parse(text, Path::new("hello.ron"), &[]).expect("a right scenario");
//! assert_eq!((scenario.clients(), scenario.model.parameters), (20, 650));
//!
//! let mistaken = text.replace("4g", "4h");
//! let said = Scenario::parse(&mistaken, Path::new("hello.ron"), &[]).unwrap_err().to_string();
//! assert!(said.contains("hello.ron:5:73") && said.contains("did you mean \"4g\"?"), "{said}");
//! # }
//! ```
//!
//! # Assembling
//!
//! Assembling reads the data, deals them to the clients, draws links and sets up the method. Nothing has
//! run then, but everything is known, so questions can be answered:
//!
//! ```
//! # #[cfg(feature = "torch")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use shoal::scenario::Scenario;
//! # use std::path::Path;
//! # let text = r#"(data: Digits, model: [Flatten, Dense(10)], schedule: (rounds: 2, cohort: 5),
//! #     population: [(name: "phones", count: 20, device: "phone-mid", link: "4g")])"#;
//! # let scenario = Scenario::parse(text, Path::new("hello.ron"), &[])?;
//! use shoal::learn::HostDevice;
//! use shoal::run::assemble;
//!
//! let federation = assemble(&scenario, HostDevice::Cpu)?;
//! // The first client: what a round takes it, in virtual time.
//! let outlook = federation.outlook(0);
//! assert!(outlook.samples > 0 && outlook.total() > outlook.compute);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "torch"))]
//! # fn main() {}
//! ```
//!
//! # Running
//!
//! A run leaves a folder with tables, a report and `run.json`. Two runs of one scenario and one seed have
//! one trace hash, on any number of workers:
//!
//! ```
//! # #[cfg(feature = "torch")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use shoal::scenario::Scenario;
//! # use std::path::Path;
//! # let text = r#"(data: Digits, model: [Flatten, Dense(10)], schedule: (rounds: 2, cohort: 5),
//! #     population: [(name: "phones", count: 20, device: "phone-mid", link: "4g")])"#;
//! # let scenario = Scenario::parse(text, Path::new("hello.ron"), &[])?;
//! use shoal::run::{run, Options};
//! use std::sync::atomic::AtomicBool;
//!
//! let folder = tempfile::tempdir()?;
//! let stop = AtomicBool::new(false);
//! let with = |workers: usize| {
//!     let options = Options {
//!         workers,
//!         out: Some(folder.path().join(format!("{workers} workers"))),
//!         quiet: true,
//!         ..Options::of("hello.ron", text)
//!     };
//!     run(&scenario, &options, &stop)
//! };
//! let (one, two) = (with(1)?, with(2)?);
//! assert_eq!(one.hash, two.hash);
//! assert_eq!(one.totals.completed, 2);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "torch"))]
//! # fn main() {}
//! ```
//!
//! Methods, attacks, layers, data sources and more of your own can be named in scenarios, too: see
//! [`registry`].
//!
//! # How a run goes
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
#![deny(missing_docs)]
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
