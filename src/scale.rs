//! Scaling: one federation at several population sizes, and the resource that runs out first.
//!
//! Each population is measured in a process of its own, so that the peak of resident memory belongs
//! to it alone ([`measure()`]). A [`Trial`] says what is changed in the scenario for that. The
//! measurements form a table ([`Measurement`]), from which [`verdict()`] draws conclusions.
//!
//! - `trial`: a scenario at another size
//! - `measure`: one run, measured
//! - `fit`: power laws and lines by least squares
//! - `verdict`: how each resource grows, and which one runs out first

mod fit;
mod measure;
mod trial;
mod verdict;

pub use fit::{line, power_law, Line, PowerLaw};
pub use measure::{measure, peak_memory, Measurement};
pub use trial::{parse_populations, Trial};
pub use verdict::{verdict, Limit, Verdict};
