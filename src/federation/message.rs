//! The messages between servers and clients.

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

/// The bytes in front of every payload: kind (1 byte), flags (1), length of the text that may follow (2),
/// round (4), sender (4) and number of samples (4; a task has the end of its round in this place).
pub(super) const ENVELOPE: u64 = 16;

/// A message of the round protocol.
#[derive(Debug, Clone)]
pub enum Message {
    /// From a server to a client: an invitation to a round.
    Task(Box<Task>),
    /// From a client to its server: the outcome of a task.
    Report(Box<Report>),
    /// From a client to its server: the client declines a task, and why.
    Refusal(Box<Refusal>),
    /// From a client to a neighbour, where there is no server: the sender's model.
    Model(Box<PeerModel>),
    /// From a client to the observer, past the network: the client's round.
    Notice(Box<Notice>),
}

/// A model that a client sends to a neighbour.
#[derive(Debug, Clone)]
pub struct PeerModel {
    /// The round in which it is sent.
    pub round: u32,
    /// The model.
    pub payload: Payload,
}

/// An invitation to a round.
#[derive(Debug, Clone)]
pub struct Task {
    /// The round; where clients are asked one by one, the number of the task.
    pub round: u32,
    /// What the method sends.
    pub payload: Payload,
    /// When the round ends, where the client stops training in time to report by then.
    pub ends: Option<VirtualTime>,
}

/// A client's answer to a task: the outcome of its training.
#[derive(Debug, Clone)]
pub struct Report {
    /// The round of the task that it answers.
    pub round: u32,
    /// How many samples the client trained on.
    pub samples: u32,
    /// What the method's client half reports.
    pub payload: Payload,
    /// Figures for the record of the round. They are not on the wire.
    pub telemetry: Telemetry,
    /// What an edge server has heard of clients, for the evaluation. It is not on the wire.
    pub below: FromBelow,
}

/// What an edge server has heard of clients since it was asked, for the evaluation at the top.
#[derive(Debug, Clone, Default)]
pub struct FromBelow {
    /// How each client's model did before and after the latest local training whose report was used.
    pub held_out: BTreeMap<u32, HeldOut>,
    /// How many clients reported that their training diverged.
    pub diverged: u32,
}

/// A client's answer to a task that it declines.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The round of the task.
    pub round: u32,
    /// Why the client declines.
    pub reason: Arc<str>,
    /// When the task arrived at the client.
    pub received: VirtualTime,
    /// How many clients reported that their training diverged: the sender itself or, from an edge server,
    /// the clients below. It is not on the wire.
    pub diverged: u32,
}

/// Figures of a client's round, for its line in `clients.csv`.
#[derive(Debug, Clone, Copy)]
pub struct Telemetry {
    /// The task that the report really answers, also where a fault makes it name another round.
    pub task: u32,
    /// When the task arrived at the client.
    pub received: VirtualTime,
    /// When training was done.
    pub trained: VirtualTime,
    /// How long the virtual device worked.
    pub compute: Span,
    /// FLOPs and memory of the training.
    pub cost: Cost,
    /// The energy that the device drew, in joules.
    pub energy: f64,
    /// The size of the task on the wire.
    pub bytes_down: Bytes,
    /// What the method's client half measured: steps, loss, accuracy on held-out samples.
    pub metrics: Metrics,
    /// Whether the client stopped training early, to report before the round ends.
    pub partial: bool,
}

snapshot_enum!(Message {
    0 => Task(task),
    1 => Report(report),
    2 => Refusal(refusal),
    3 => Model(model),
    4 => Notice(notice),
});
snapshot_struct!(PeerModel { round, payload });
snapshot_struct!(Task {
    round,
    payload,
    ends
});
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
    metrics,
    partial
});

impl Task {
    /// The exact size of the message on the wire.
    pub fn wire_bytes(&self) -> Bytes {
        Bytes(ENVELOPE + self.payload.wire_bytes().0)
    }
}

impl Report {
    /// The exact size of the message on the wire.
    pub fn wire_bytes(&self) -> Bytes {
        Bytes(ENVELOPE + self.payload.wire_bytes().0)
    }
}

impl PeerModel {
    /// The exact size of the message on the wire.
    pub fn wire_bytes(&self) -> Bytes {
        Bytes(ENVELOPE + self.payload.wire_bytes().0)
    }
}

/// Models and updates with a larger value are not used. With this bound, the sum of all reports of a round
/// weighed by their samples stays finite, and so does the square of a mean.
const LARGEST: f64 = 1e15;

/// Why a payload is not used, as far as its values alone say.
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
    /// Whether messages of this kind are sent at all: in federations with a server, or in those without.
    pub fn is_spoken(kind: &str, without_server: bool) -> bool {
        matches!(kind, "model" | "notice") == without_server
    }
}

impl Refusal {
    /// The exact size of the message on the wire.
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
            // A notice goes past the network.
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
