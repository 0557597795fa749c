//! The fault plan, as typed.

use super::WhoFile;
use crate::fault::{Corruption, Direction, Drop};
use crate::text::fields::{Duration, Fraction, OrDistribution, PositiveFraction, Size};
use serde::Deserialize;

/// One entry of the plan.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Fault")]
pub struct FaultFile {
    /// What goes wrong.
    pub fault: KindFile,
    /// On which clients, their links and data.
    #[serde(default)]
    pub who: WhoFile,
    /// When.
    #[serde(default)]
    pub when: WhenFile,
    /// Whether all of them share their times.
    #[serde(default)]
    pub together: Option<bool>,
    /// Of the messages or tasks that it could hit it hits each with this probability.
    #[serde(default)]
    pub p: Option<PositiveFraction>,
    /// Which way messages go.
    #[serde(default)]
    pub direction: Option<DirectionFile>,
    /// The kinds of message.
    #[serde(default)]
    pub kinds: Option<Vec<String>>,
    /// Only messages of so many bytes or more.
    #[serde(default)]
    pub at_least: Option<Size>,
    /// Only messages of so many bytes or less.
    #[serde(default)]
    pub at_most: Option<Size>,
}

/// When it holds.
#[derive(Debug, Clone, Default, Deserialize)]
pub enum WhenFile {
    /// From the start to the end.
    #[default]
    Always,
    /// Once.
    Once {
        /// From here on.
        at: Duration,
        /// So long; for ever when not given.
        #[serde(default)]
        lasts: Option<Duration>,
    },
    /// Again and again.
    Repeated {
        /// Before the first time, and between two.
        between: OrDistribution<Duration>,
        /// How long each time.
        lasts: OrDistribution<Duration>,
        /// Not from here on.
        #[serde(default)]
        until: Option<Duration>,
    },
    /// As a Poisson process.
    Rate {
        /// The mean time between two.
        every: Duration,
        /// How long each time.
        lasts: OrDistribution<Duration>,
        /// Not from here on.
        #[serde(default)]
        until: Option<Duration>,
    },
    /// During these rounds.
    Rounds {
        /// The first.
        from: u32,
        /// The last.
        #[serde(default)]
        until: Option<u32>,
    },
    /// From the n-th message or task on.
    Messages {
        /// The first, from 1.
        from: u64,
        /// The last.
        #[serde(default)]
        until: Option<u64>,
    },
}

/// Which way messages go.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum DirectionFile {
    /// Either.
    Both,
    /// From the client.
    Up,
    /// To the client.
    Down,
}

impl From<DirectionFile> for Direction {
    fn from(typed: DirectionFile) -> Self {
        match typed {
            DirectionFile::Both => Self::Both,
            DirectionFile::Up => Self::Up,
            DirectionFile::Down => Self::Down,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Deserialize)]
pub enum KindFile {
    // On links.
    /// Messages take longer; a distribution is jitter.
    Delay(OrDistribution<Duration>),
    /// The same, drawn once a client and direction.
    Offset(OrDistribution<Duration>),
    /// Packets are lost.
    Loss(Fraction),
    /// Packets are lost in bursts.
    BurstLoss {
        /// From the good to the bad state, after a packet.
        p_good_to_bad: Fraction,
        /// Back.
        p_bad_to_good: Fraction,
        /// Loss in the good state.
        #[serde(default = "never")]
        loss_good: Fraction,
        /// Loss in the bad state.
        #[serde(default = "surely")]
        loss_bad: Fraction,
    },
    /// A second copy arrives.
    Duplicate {
        /// So much later.
        #[serde(default = "at_once")]
        after: OrDistribution<Duration>,
    },
    /// The message is held back, so that others overtake it.
    Reorder {
        /// So long.
        hold: OrDistribution<Duration>,
    },
    /// Bits change on the way.
    Corrupt {
        /// How.
        #[serde(default)]
        how: CorruptionFile,
        /// Whether a checksum finds it.
        #[serde(default = "yes")]
        checksum: bool,
    },
    /// The rates of the link are this share of what they were.
    Bandwidth(Fraction),
    /// A packet carries no more.
    Mtu(Size),
    /// The queue in front of the link holds no more.
    Queue {
        /// Bytes of messages.
        capacity: Size,
        /// Who must go.
        #[serde(default)]
        drop: DropFile,
    },
    /// Nothing gets through.
    Disconnect,
    /// Nothing gets through, and all of it when it is over.
    Hold,
    /// Some clients are cut off from the server.
    Partition {
        /// Which.
        cut: CutFile,
        /// Each comes back up to so much later, in random order.
        #[serde(default = "at_once_span")]
        heal: Duration,
    },
    // On devices.
    /// The device is down.
    Crash {
        /// Whether what it kept survives.
        #[serde(default)]
        keep_state: bool,
    },
    /// The device stands still.
    Pause,
    /// Work takes so many times as long.
    Slow(f64),
    /// Work comes to take so many times as long.
    Degrade(f64),
    /// It gets hot.
    Throttle {
        /// After so much computing.
        after: Duration,
        /// Then work takes so many times as long.
        slowdown: f64,
    },
    /// Training runs out of memory.
    OutOfMemory,
    /// Its clock is wrong.
    Clock {
        /// Seconds ahead; behind if negative.
        #[serde(default)]
        ahead: f64,
        /// Seconds gained a second.
        #[serde(default)]
        drift: f64,
    },
    /// Its handler panics.
    Panic,
    // In learning.
    /// It takes this share of the steps.
    PartialWork(PositiveFraction),
    /// It trains from the model it was sent the time before.
    StaleModel,
    /// A value of the report is not a number.
    NotANumber,
    /// A value of the report is infinite.
    Infinite,
    /// A value of the report is missing.
    WrongShape,
    /// The report is said to be of a round so much later.
    WrongRound(i32),
    /// The report is sent so many times more.
    DuplicateReport(u32),
    /// The report is sent so much later.
    LateReport(OrDistribution<Duration>),
    /// The report of the time before is sent again.
    ReplayReport,
    // In data.
    /// Labels are replaced by other classes.
    LabelNoise(Fraction),
    /// Noise on every feature, in standard deviations of the normalised input.
    FeatureNoise(f64),
    // At the server.
    /// The server's work takes so many times as long.
    ServerSlow(f64),
    /// The server's clock gains so many seconds a second.
    ServerClock(f64),
    /// The server is down, and goes on from its checkpoint.
    ServerCrash,
    /// A checkpoint of the server's is cut short.
    TornCheckpoint,
}

/// How content changes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub enum CorruptionFile {
    /// A bit is flipped.
    #[default]
    Bit,
    /// So many bits are flipped.
    Flip(u32),
    /// The end is missing.
    Truncate,
}

impl From<CorruptionFile> for Corruption {
    fn from(typed: CorruptionFile) -> Self {
        match typed {
            CorruptionFile::Bit => Self::Flip(1),
            CorruptionFile::Flip(bits) => Self::Flip(bits),
            CorruptionFile::Truncate => Self::Truncate,
        }
    }
}

/// Who leaves a full queue.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub enum DropFile {
    /// The message that comes.
    #[default]
    Newest,
    /// The one that has waited longest.
    Oldest,
    /// Any.
    Random,
}

impl From<DropFile> for Drop {
    fn from(typed: DropFile) -> Self {
        match typed {
            DropFile::Newest => Self::Newest,
            DropFile::Oldest => Self::Oldest,
            DropFile::Random => Self::Random,
        }
    }
}

/// Which clients a partition cuts off.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum CutFile {
    /// All it concerns: a region, if they are a group.
    All,
    /// About half of them, drawn anew each time.
    Half,
    /// They fall into so many groups, the server is in one of them.
    Groups(u32),
    /// One of them, drawn anew each time.
    One,
}

const fn never() -> Fraction {
    Fraction(crate::quantity::Probability::ZERO)
}

const fn surely() -> Fraction {
    Fraction(crate::quantity::Probability::ONE)
}

fn at_once() -> OrDistribution<Duration> {
    OrDistribution::constant(at_once_span())
}

const fn at_once_span() -> Duration {
    Duration(crate::quantity::Span::ZERO)
}

const fn yes() -> bool {
    true
}
