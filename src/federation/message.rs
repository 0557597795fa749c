//! What servers and clients say to each other.

use super::gossip::Notice;
use crate::fault::Corruption;
use crate::learn::{Cost, HeldOut};
use crate::method::{Metrics, Payload};
use crate::net::Wire;
use crate::observe::rows::Rejection;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::rng::Stream;
use crate::sim::{self, mix_words, Digest};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Kind (1 byte), flags (1), length of the text that may follow (2), round (4), sender (4) and
/// number of samples (4): what precedes every payload.
pub(super) const ENVELOPE: u64 = 16;

/// A message of the round protocol.
#[derive(Debug, Clone)]
pub enum Message {
    /// Server to client: take part in a round.
    Task(Box<Task>),
    /// Client to server: what came of it.
    Report(Box<Report>),
    /// Client to server: not this time, and why.
    Refusal(Box<Refusal>),
    /// Client to client, where there is no server: a model of its own.
    Model(Box<PeerModel>),
    /// Client to observer, past the network: what came of its round.
    Notice(Box<Notice>),
}

/// A model that a client sends to a neighbour.
#[derive(Debug, Clone)]
pub struct PeerModel {
    /// In which round.
    pub round: u32,
    /// The model.
    pub payload: Payload,
}

/// An invitation to a round.
#[derive(Debug, Clone)]
pub struct Task {
    /// Which round.
    pub round: u32,
    /// What the method sends.
    pub payload: Payload,
}

/// The outcome of a client's round.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which round.
    pub round: u32,
    /// On how many samples the client trained.
    pub samples: u32,
    /// What the method's client half reports.
    pub payload: Payload,
    /// What the observer is told; not on the wire.
    pub telemetry: Telemetry,
    /// What the observer is told of clients below a server between; not on the wire.
    pub below: FromBelow,
}

/// What a server between has heard of clients since it was asked, for those who observe.
#[derive(Debug, Clone, Default)]
pub struct FromBelow {
    /// How their models did around local training whose report it used, the latest of each.
    pub held_out: BTreeMap<u32, HeldOut>,
    /// Those whose training diverged.
    pub diverged: u32,
}

/// A client's no.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// To which round.
    pub round: u32,
    /// Why.
    pub reason: Arc<str>,
    /// When the task had come.
    pub received: VirtualTime,
    /// For those who observe; not on the wire: clients whose training diverged, itself, or those below a
    /// server between.
    pub diverged: u32,
}

/// Figures of a client's round.
#[derive(Debug, Clone, Copy)]
pub struct Telemetry {
    /// What it really answers, whatever round it says.
    pub task: u32,
    /// When the task had come.
    pub received: VirtualTime,
    /// When training was done.
    pub trained: VirtualTime,
    /// How long the virtual device worked.
    pub compute: Span,
    /// Operations and memory of the training.
    pub cost: Cost,
    /// What the device drew, in joules.
    pub energy: f64,
    /// The size of the task on the wire.
    pub bytes_down: Bytes,
    /// What the method tells.
    pub metrics: Metrics,
}

snapshot_enum!(Message {
    0 => Task(task),
    1 => Report(report),
    2 => Refusal(refusal),
    3 => Model(model),
    4 => Notice(notice),
});
snapshot_struct!(PeerModel { round, payload });
snapshot_struct!(Task { round, payload });
snapshot_struct!(Report {
    round,
    samples,
    payload,
    telemetry,
    below
});
snapshot_struct!(FromBelow { held_out, diverged });
snapshot_struct!(Refusal {
    round,
    reason,
    received,
    diverged
});
snapshot_struct!(Telemetry {
    task,
    received,
    trained,
    compute,
    cost,
    energy,
    bytes_down,
    metrics
});

impl Task {
    /// Its exact size on the wire.
    pub fn wire_bytes(&self) -> Bytes {
        Bytes(ENVELOPE + self.payload.wire_bytes().0)
    }
}

impl Report {
    /// Its exact size on the wire.
    pub fn wire_bytes(&self) -> Bytes {
        Bytes(ENVELOPE + self.payload.wire_bytes().0)
    }
}

impl PeerModel {
    /// Its exact size on the wire.
    pub fn wire_bytes(&self) -> Bytes {
        Bytes(ENVELOPE + self.payload.wire_bytes().0)
    }
}

/// Models and updates with a larger value are not used. The sum of all reports of any round, weighed
/// by their samples, stays finite with it, and so does the square of a mean.
const LARGEST: f64 = 1e15;

/// Why the values of a payload are not even looked at further.
pub(super) fn unsound(payload: &Payload) -> Option<Rejection> {
    let largest = payload.largest();
    if largest <= LARGEST {
        return None;
    }
    Some(match largest.is_finite() {
        true => Rejection::TooLarge,
        false => Rejection::NotFinite,
    })
}

impl Message {
    /// Whether messages of a kind are sent in federations with a server, or in those without.
    pub fn is_spoken(kind: &str, without_server: bool) -> bool {
        matches!(kind, "model" | "notice") == without_server
    }
}

impl Refusal {
    /// Its exact size on the wire.
    pub fn wire_bytes(&self) -> Bytes {
        Bytes(ENVELOPE + self.reason.len() as u64)
    }
}

impl Digest for Message {
    fn digest(&self) -> u64 {
        match self {
            Self::Task(task) => mix_words(&[u64::from(task.round), task.payload.digest()]),
            Self::Report(report) => mix_words(&[
                u64::from(report.round),
                u64::from(report.samples),
                report.payload.digest(),
            ]),
            Self::Refusal(refusal) => mix_words(&[
                u64::from(refusal.round),
                xxhash_rust::xxh3::xxh3_64(refusal.reason.as_bytes()),
            ]),
            Self::Model(model) => mix_words(&[u64::from(model.round), model.payload.digest()]),
            Self::Notice(notice) => notice.digest(),
        }
    }
}

impl sim::Message for Message {
    const KINDS: &'static [&'static str] = &["task", "report", "refusal", "model", "notice"];

    fn kind(&self) -> u8 {
        match self {
            Self::Task(_) => 0,
            Self::Report(_) => 1,
            Self::Refusal(_) => 2,
            Self::Model(_) => 3,
            Self::Notice(_) => 4,
        }
    }

    fn wire_bytes(&self) -> Bytes {
        match self {
            Self::Task(task) => task.wire_bytes(),
            Self::Report(report) => report.wire_bytes(),
            Self::Refusal(refusal) => refusal.wire_bytes(),
            Self::Model(model) => model.wire_bytes(),
            // It is on no wire.
            Self::Notice(_) => Bytes(0),
        }
    }
}

impl Wire for Message {
    fn round(&self) -> u32 {
        match self {
            Self::Task(task) => task.round,
            Self::Report(report) => report.round,
            Self::Refusal(refusal) => refusal.round,
            Self::Model(model) => model.round,
            Self::Notice(notice) => notice.round,
        }
    }

    fn copied(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn corrupt(self, how: Corruption, rng: &mut Stream) -> Self {
        match self {
            Self::Task(mut task) => {
                task.payload = task.payload.corrupted(how, rng);
                Self::Task(task)
            }
            Self::Report(mut report) => {
                report.payload = report.payload.corrupted(how, rng);
                Self::Report(report)
            }
            Self::Model(mut model) => {
                model.payload = model.payload.corrupted(how, rng);
                Self::Model(model)
            }
            other @ (Self::Refusal(_) | Self::Notice(_)) => other,
        }
    }
}
