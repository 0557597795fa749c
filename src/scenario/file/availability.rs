//! When the clients of a group are there, as typed.

use crate::availability::{Leaving, Timetable};
use crate::registry::{either, Spec};
use crate::text::fields::{Duration, Fraction, OrDistribution};
use serde::Deserialize;
use std::path::PathBuf;

/// `Always`, `Independent(0.3)`, `LN(0.5)`, `Markov(on: "10 min", off: "1 h")` and so on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(remote = "Self")]
pub enum AvailabilityFile {
    /// Always.
    #[default]
    Always,
    /// With this probability in each round.
    Independent(Fraction),
    // FLGo's modes, with β.
    /// Always.
    #[serde(rename = "IDL")]
    Idl,
    /// With probability 1 - β.
    #[serde(rename = "HOMO")]
    Homo(f64),
    /// Log-normal rates.
    #[serde(rename = "LN")]
    Ln(f64),
    /// Log-normal rates that rise and fall.
    #[serde(rename = "SLN")]
    Sln(f64),
    /// By the lowest label.
    #[serde(rename = "YMF")]
    Ymf(f64),
    /// More data, more often.
    #[serde(rename = "MDF")]
    Mdf(f64),
    /// Less data, more often.
    #[serde(rename = "LDF")]
    Ldf(f64),
    /// By the kinds of labels.
    #[serde(rename = "YFF")]
    Yff(f64),
    /// By the labels whose turn it is.
    #[serde(rename = "YC")]
    Yc(f64),
    // By the clock.
    /// Sessions and absences in turn.
    Markov {
        /// How long a session lasts.
        on: OrDistribution<Duration>,
        /// How long an absence lasts.
        off: OrDistribution<Duration>,
    },
    /// With a probability that rises and falls over the day.
    Diurnal {
        /// At its lowest.
        #[serde(default)]
        low: Option<Fraction>,
        /// At its highest.
        #[serde(default)]
        high: Option<Fraction>,
        /// The hour of local time at which it is highest.
        #[serde(default)]
        peak: Option<f64>,
        /// Instead of a wave: the probability in each hour of the day.
        #[serde(default)]
        hours: Option<Vec<Fraction>>,
        /// Hours by which local time is ahead.
        #[serde(default = "one_zone")]
        zones: Vec<f64>,
        /// How long a day is.
        #[serde(default = "a_day")]
        day: Duration,
    },
    /// Once a day, while plugged in.
    Charging {
        /// When, after midnight, local time.
        plugged: OrDistribution<Duration>,
        /// For how long.
        lasts: OrDistribution<Duration>,
        /// On so many days not at all.
        #[serde(default = "never")]
        skipped: Fraction,
        /// Hours by which local time is ahead.
        #[serde(default = "one_zone")]
        zones: Vec<f64>,
        /// How long a day is.
        #[serde(default = "a_day")]
        day: Duration,
    },
    /// As recorded.
    Trace {
        /// Where.
        file: PathBuf,
        /// After so long it begins again.
        #[serde(default)]
        period: Option<Duration>,
    },
    /// By a rule of the registry.
    #[serde(skip)]
    Other(Spec<dyn Timetable>),
}

either! { AvailabilityFile, dyn Timetable }

/// What becomes of a task whose client goes away.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub enum LeavingFile {
    /// It goes on.
    #[default]
    Continue,
    /// It stands still.
    Pause,
    /// It begins anew.
    Restart,
    /// It is lost.
    Abandon,
}

impl From<LeavingFile> for Leaving {
    fn from(typed: LeavingFile) -> Self {
        match typed {
            LeavingFile::Continue => Self::Continue,
            LeavingFile::Pause => Self::Pause,
            LeavingFile::Restart => Self::Restart,
            LeavingFile::Abandon => Self::Abandon,
        }
    }
}

fn one_zone() -> Vec<f64> {
    vec![0.0]
}

const fn a_day() -> Duration {
    Duration(crate::quantity::Span::from_secs(86_400))
}

const fn never() -> Fraction {
    Fraction(crate::quantity::Probability::ZERO)
}
