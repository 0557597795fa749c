//! How far a scenario goes: one federation at several population sizes, and what runs out first.
//!
//! A population is measured in a process of its own, so that its peak of resident memory is its own
//! ([`measure()`]); [`Trial`] says what is changed in the scenario for it. What was measured is a
//! table ([`Measurement`]), from which [`verdict()`] draws conclusions.
//!
//! - `trial`: a scenario at another size
//! - `measure`: one run, with a stopwatch
//! - `fit`: power laws and lines by least squares
//! - `verdict`: what grows how, and what ends first

mod fit;
mod measure;
mod trial;
mod verdict;

pub use fit::{line, power_law, Line, PowerLaw};
pub use measure::{measure, peak_memory, Measurement};
pub use trial::{parse_populations, Trial};
pub use verdict::{verdict, Limit, Verdict};
