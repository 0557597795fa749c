//! Adversaries, as typed.

use super::WhoFile;
use crate::attack::AttackSpec;
use serde::Deserialize;

/// Colluding adversaries.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Adversary")]
pub struct AdversaryFile {
    /// Which clients.
    #[serde(default)]
    pub who: WhoFile,
    /// What they do.
    pub attack: AttackSpec,
    /// When.
    #[serde(default)]
    pub rounds: RoundsFile,
}

/// `(from: 1, until: 50, every: 2)` or `(from: 1, on: 3, off: 5)`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename = "Rounds", default)]
pub struct RoundsFile {
    /// The first, from 1.
    pub from: u32,
    /// The last.
    pub until: Option<u32>,
    /// One round of so many.
    pub every: Option<u32>,
    /// Rounds on.
    pub on: Option<u32>,
    /// Rounds off after those.
    pub off: Option<u32>,
}

impl Default for RoundsFile {
    fn default() -> Self {
        Self {
            from: 1,
            until: None,
            every: None,
            on: None,
            off: None,
        }
    }
}
