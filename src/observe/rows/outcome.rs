//! What becomes of an invitation, and reports that are not used (the lines of `rejections.csv`).

use super::{seconds, Row};
use crate::quantity::VirtualTime;
use crate::snapshot::snapshot_enum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// What became of an invitation: exactly one of these outcomes. In a file an outcome is written in
/// lower case, a refusal or rejection with its reason after a colon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientOutcome {
    /// Its report came in time and was taken in.
    #[default]
    Reported,
    /// Its report came when the server was no longer waiting for it, and was not used.
    Late,
    /// The client declined, with the reason ("needs 1.2 GB, has 512 MB").
    Refused(Arc<str>),
    /// Its report came in time and was not used, with the reason.
    Rejected(Arc<str>),
    /// The client gave the invitation up for a newer one, and no report came.
    Superseded,
    /// No answer came and none can come: a message was lost or dropped, or the client left its work.
    Lost,
    /// The client's handler panicked during the task.
    Crashed,
    /// The run ended while the task was on its way or at work, or while the answer was on its way.
    Unfinished,
}

snapshot_enum!(ClientOutcome {
    0 => Reported,
    1 => Late,
    2 => Refused(why),
    3 => Rejected(why),
    4 => Superseded,
    5 => Lost,
    6 => Crashed,
    7 => Unfinished,
});

impl ClientOutcome {
    /// Whether the report was taken in.
    pub const fn is_used(&self) -> bool {
        matches!(self, Self::Reported)
    }
}

const REFUSED: &str = "refused: ";
const REJECTED: &str = "rejected: ";

impl fmt::Display for ClientOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported => f.write_str("reported"),
            Self::Late => f.write_str("late"),
            Self::Refused(reason) => write!(f, "{REFUSED}{reason}"),
            Self::Rejected(reason) => write!(f, "{REJECTED}{reason}"),
            Self::Superseded => f.write_str("superseded"),
            Self::Lost => f.write_str("lost"),
            Self::Crashed => f.write_str("crashed"),
            Self::Unfinished => f.write_str("unfinished"),
        }
    }
}

impl Serialize for ClientOutcome {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClientOutcome {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "reported" => Ok(Self::Reported),
            "late" => Ok(Self::Late),
            "superseded" => Ok(Self::Superseded),
            "lost" => Ok(Self::Lost),
            "crashed" => Ok(Self::Crashed),
            "unfinished" => Ok(Self::Unfinished),
            other => {
                let refused = other.strip_prefix(REFUSED).map(|r| Self::Refused(r.into()));
                let rejected = || {
                    other
                        .strip_prefix(REJECTED)
                        .map(|r| Self::Rejected(r.into()))
                };
                refused.or_else(rejected).ok_or_else(|| {
                    serde::de::Error::custom(format!(
                        "client outcome {other:?} is none of reported, late, refused: REASON, \
                         rejected: REASON, superseded, lost, crashed, unfinished"
                    ))
                })
            }
        }
    }
}

/// Why a report was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// A value is not a finite number.
    NotFinite,
    /// A value is so large that a sum with it would be useless.
    TooLarge,
    /// The report does not fit the model, or is not what clients of the method report.
    Misfit,
    /// The client has already answered in this round.
    Again,
    /// The report names a round that has not begun.
    Future,
    /// The report names a round that is over, and its client has answered in that round or was asked
    /// again since.
    Stale,
    /// The client was not asked in this round.
    NotAsked,
    /// The server has made too many steps since the client was asked.
    TooStale,
}

snapshot_enum!(Rejection {
    0 => NotFinite,
    1 => TooLarge,
    2 => Misfit,
    3 => Again,
    4 => Future,
    5 => Stale,
    6 => NotAsked,
    7 => TooStale,
});

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFinite => "a value is not a finite number",
            Self::TooLarge => "a value is larger than 1e15",
            Self::Misfit => "does not fit the model",
            Self::Again => "the client has answered already",
            Self::Future => "belongs to a round that has not begun",
            Self::Stale => "belongs to a round that is over",
            Self::NotAsked => "was not asked for",
            Self::TooStale => "is older than max_staleness",
        })
    }
}

/// A report that was not used: a line of `rejections.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectionRow {
    /// The round that was open.
    pub round: u32,
    /// The client that sent the report.
    pub client: u32,
    /// When the report had arrived.
    #[serde(rename = "time_s", with = "seconds")]
    pub time: VirtualTime,
    /// The round that the report names.
    #[serde(rename = "said_round")]
    pub said: u32,
    /// Why the report was not used.
    pub reason: Rejection,
}

impl Row for RejectionRow {
    const COLUMNS: &'static [&'static str] = &["round", "client", "time_s", "said_round", "reason"];
}
