//! Which clients, as typed.

use crate::text::fields::Fraction;
use serde::Deserialize;

/// `All`, `Clients([3, 4])`, `Group("phones")`, `Share(0.2)` or `Count(10)`.
#[derive(Debug, Clone, Default, Deserialize)]
pub enum WhoFile {
    /// All of them.
    #[default]
    All,
    /// These, from 0.
    Clients(Vec<u32>),
    /// Those of a group.
    Group(String),
    /// A share of the population, drawn by the seed.
    Share(Fraction),
    /// So many, drawn by the seed.
    Count(u32),
}
