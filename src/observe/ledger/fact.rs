//! What nodes and the network report about an invitation.

use crate::observe::rows::{ClientOutcome, ClientRow};
use crate::quantity::{Span, VirtualTime};

/// One thing that happened to an invitation.
#[derive(Debug, Clone)]
pub struct Fact {
    /// The client.
    pub client: u32,
    /// The number with which messages name the invitation: its round or, where clients are asked one by
    /// one, its task.
    pub task: u32,
    /// When it happened.
    pub at: VirtualTime,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// A server asked the client; a client without a server began a round.
    Asked {
        /// The client's line, as far as it is known.
        row: Box<ClientRow>,
        /// Bytes of the task, if one was sent.
        bytes: Option<u64>,
        /// Bytes that cross links in addition to the task: [`ClientRow::overhead_bytes`].
        beside: u64,
    },
    /// A task, or a copy of it, arrived at the client.
    Received,
    /// The client's device begins to work.
    Works(Box<Work>),
    /// The client handed answers to its link.
    Sent {
        /// Bytes of the answers.
        bytes: u64,
        /// Bytes that cross links in addition to the answers.
        beside: u64,
        /// The number of answers; 0 for models sent to neighbours, which answer nothing.
        answers: u32,
    },
    /// Models of neighbours arrived.
    Got {
        /// Bytes of these models.
        bytes: u64,
    },
    /// The network made a copy of the task, or of an answer.
    Copied {
        /// Whether the task was copied.
        task: bool,
    },
    /// The task, or an answer, is no longer under way and did not arrive.
    Gone {
        /// Whether it was the task.
        task: bool,
    },
    /// An answer came for which nobody was waiting any more: a late report, a refusal, or a report that
    /// would not be used in time either, since it names another round.
    Arrived(Box<ClientOutcome>),
    /// An answer came when no round was open to count its bytes.
    Unheard {
        /// Bytes of the answer.
        bytes: u64,
    },
}

/// Work of a client's device. Its whole cost is spent once it is over; before that, the share of the
/// cost for the time that has passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// When the work will be done.
    pub until: VirtualTime,
    /// When the work breaks off, because the client goes down or leaves; [`VirtualTime::NEVER`] if it
    /// does not.
    pub breaks: VirtualTime,
    /// The time that the work takes, as it is counted.
    pub compute: Span,
    /// The number of operations.
    pub flops: u64,
    /// The largest memory that the work needs, in bytes.
    pub memory: u64,
    /// The energy in joules.
    pub energy: f64,
    /// Whether the work is training, and not mixing or the time for which a report is held back.
    pub trains: bool,
}
