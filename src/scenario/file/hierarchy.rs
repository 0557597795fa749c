//! Servers between the clients and the server, as typed.

use super::{DeviceFields, LinkFields, PresetOr};
use crate::federation::Assign;
use crate::text::fields::Duration;
use serde::Deserialize;

/// Servers of one kind, all as far from the top.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Tier")]
pub struct TierFile {
    /// What one is called; "edge" when not given.
    #[serde(default)]
    pub name: Option<String>,
    /// How many.
    pub count: u32,
    /// The device of each.
    #[serde(default = "server")]
    pub device: PresetOr<DeviceFields>,
    /// The link of each, shared by those above and below.
    #[serde(default = "lan")]
    pub link: PresetOr<LinkFields>,
    /// Rounds with those below for each of the server above.
    #[serde(default = "one")]
    pub rounds: u32,
    /// When such a round ends with the reports it has.
    #[serde(default)]
    pub deadline: Option<Duration>,
    /// Who is below which.
    #[serde(default)]
    pub assign: Assign,
}

fn server() -> PresetOr<DeviceFields> {
    PresetOr::named("server")
}

fn lan() -> PresetOr<LinkFields> {
    PresetOr::named("lan")
}

const fn one() -> u32 {
    1
}
