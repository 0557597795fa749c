//! Availability: which clients are there, and when.
//!
//! A group of the population has one [`Availability`]. Whether a client is there is a pure function
//! of the seed, the client and the moment, as with faults: nothing is scheduled, nothing is stored, and
//! a client that is away costs nothing. There are two kinds:
//!
//! - by round (`rounds`): drawn for each client and round, as FLGo (Wang et al. 2023,
//!   arXiv:2306.12079) and most studies have it. A client that is there for a round stays for it;
//! - by the clock: sessions in virtual time, from a renewal process (`sessions`), the time of day
//!   (`diurnal`, `charging`), a recorded trace (`trace`) or a rule of another crate (`timetable`). A client may leave in the middle of
//!   its work; [`Leaving`] says what becomes of that.
//!
//! [`Presence`] answers for a whole population: to the server, which asks those who are there when a
//! round opens; to clients, when a task comes; to the network, when a message is on its way.

mod charging;
mod clock;
mod diurnal;
mod presence;
mod rounds;
mod sessions;
mod timetable;
mod trace;

pub use charging::Charging;
pub use clock::{Day, MOST_ZONE};
pub use diurnal::Diurnal;
pub use presence::{Crowd, Presence};
pub use rounds::Holdings;
pub use sessions::Markov;
pub use timetable::{Client, Timetable};
pub use trace::{read as read_trace, Row as TraceRow, Trace};

use crate::quantity::{Probability, VirtualTime};
use crate::registry::Spec;
use crate::sim::rng::{stream, Purpose, Stream};
use serde::Serialize;

macro_rules! availabilities {
    ($($(#[doc = $about:literal])+ $name:literal $variant:ident $(($inner:ty))?,)+) => {
        /// When the clients of a group are there. β, n and R are the parameter, a client's training
        /// samples and the round from 1; FLGo's modes are those of its
        /// `flgo.simulator.default_simulator`, with maxima over the group.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub enum Availability {
            $(
                $(#[doc = $about])+
                #[serde(rename = $name)]
                $variant $(($inner))?,
            )+
            /// By a rule of the registry.
            #[serde(untagged)]
            Other(Spec<dyn Timetable>),
        }

        impl Availability {
            /// Every kind: its name in a scenario, and what it is.
            pub const ALL: &'static [(&'static str, &'static str)] =
                &[$(($name, concat!($($about),+)),)+];
        }
    };
}

availabilities! {
    /// Always
    "Always" Always,
    /// With this probability, drawn for each client and round
    "Independent" Independent(Probability),
    /// FLGo's ideal mode: always
    "IDL" Idl,
    /// With probability 1 - β in each round (FLGo)
    "HOMO" Homo(f64),
    /// c ~ LogNormal(0, -ln(1 - β)) a client; p = c / max c (FLGo; Ribero et al. 2022, arXiv:2205.06730)
    "LN" Ln(f64),
    /// As LN, times 0.4 sin(2π (R mod 24) / 23) + 0.5 (FLGo; the same paper)
    "SLN" Sln(f64),
    /// p = β min(labels) / (classes - 1) + 1 - β (FLGo; Gu et al. 2021, arXiv:2106.04159)
    "YMF" Ymf(f64),
    /// p = n^β / max n^β: more data, more often (FLGo)
    "MDF" Mdf(f64),
    /// p = n^-β / max n^-β: less data, more often (FLGo)
    "LDF" Ldf(f64),
    /// p = β (kinds of labels) / classes + 1 - β (FLGo)
    "YFF" Yff(f64),
    /// p = β [min(labels) <= r (classes - 1) <= max(labels)] + 1 - β, r = (1 + R mod 24) / 24 (FLGo)
    "YC" Yc(f64),
    /// Sessions and absences of drawn lengths, in turn
    "Markov" Markov(Markov),
    /// By local time: with a probability that rises and falls over the day
    "Diurnal" Diurnal(Diurnal),
    /// While plugged in: once a day, from a drawn hour, for a drawn time
    "Charging" Charging(Charging),
    /// As recorded in a file
    "Trace" Trace(Trace),
}

// The variants come from the macro, where none can be marked.
#[expect(clippy::derivable_impls)]
impl Default for Availability {
    fn default() -> Self {
        Self::Always
    }
}

impl Availability {
    /// Whether all are always there.
    pub const fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }

    /// Whether it goes by the clock, so that a client may leave in the middle of a round.
    pub const fn is_timed(&self) -> bool {
        matches!(
            self,
            Self::Markov(_)
                | Self::Diurnal(_)
                | Self::Charging(_)
                | Self::Trace(_)
                | Self::Other(_)
        )
    }
}

/// What becomes of a task whose client goes away before its report is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Leaving {
    /// It goes on regardless: absence only means that nobody new is asked.
    #[default]
    Continue,
    /// It stands still until the client is back: the report is late. One that is being sent gets
    /// through when the client is back.
    Pause,
    /// It begins anew whenever the client is back, until it is done in one go; a report that is being
    /// sent gets through when the client is back.
    Restart,
    /// It is lost, with a report that is being sent; once the client is back it is free for a new
    /// task. What is sent to it while it is away is dropped.
    Abandon,
}

impl Leaving {
    /// Whether it is the default.
    pub const fn is_continue(&self) -> bool {
        matches!(self, Self::Continue)
    }
}

/// A stretch of time in which a client is there: `[start, end)`. Two may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The first moment.
    pub start: VirtualTime,
    /// The first moment after it.
    pub end: VirtualTime,
}

/// Whose presence is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whose {
    /// The seed of the run.
    seed: u64,
    /// The client, from 0.
    client: u32,
    /// Its place in its group, from 0.
    place: u32,
}

/// What the lanes of draws are for; those of a population's other properties have numbers below 2^40.
#[derive(Debug, Clone, Copy)]
enum Lane {
    /// Whether a client is there in a round.
    Round = 1,
    /// A client's rate.
    Rate = 2,
    /// A client's time zone.
    Zone = 3,
    /// A client's day.
    Day = 4,
    /// What a client is at, at time zero.
    Start = 5,
    /// What a rule of the registry draws.
    Timetable = 6,
}

impl Whose {
    /// The node of the client.
    fn node(self) -> u64 {
        u64::from(self.client) + 1
    }

    fn draws(self, lane: Lane, number: u64) -> Stream {
        let counter = (lane as u64) << 40 | (number & ((1 << 40) - 1));
        stream(self.seed, self.node(), Purpose::Population, counter)
    }
}
