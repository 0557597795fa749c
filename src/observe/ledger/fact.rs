//! What nodes and the network tell of an invitation.

use crate::observe::rows::{ClientOutcome, ClientRow};
use crate::quantity::{Span, VirtualTime};

/// Something that happened to an invitation.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Whose.
    pub client: u32,
    /// The number that messages name it by: its round or, where clients are asked one by one, its task.
    pub task: u32,
    /// When.
    pub at: VirtualTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// A server asked the client; one without a server began a round.
    Asked {
        /// The client's line, as far as it is known.
        row: Box<ClientRow>,
        /// Bytes of the task, if one was sent.
        bytes: Option<u64>,
        /// Bytes that cross links beside it: [`ClientRow::overhead_bytes`].
        beside: u64,
    },
    /// A task has come, or a copy of it.
    Received,
    /// The client's device begins to work.
    Works(Box<Work>),
    /// The client handed answers to its link.
    Sent {
        /// Their bytes.
        bytes: u64,
        /// Bytes that cross links beside them.
        beside: u64,
        /// How many; none of models for neighbours, which answer nothing.
        answers: u32,
    },
    /// Models of neighbours came, with so many bytes.
    Got {
        /// Their bytes.
        bytes: u64,
    },
    /// The network made a copy of the task, or of an answer.
    Copied {
        /// Whether it is the task.
        task: bool,
    },
    /// The task, or an answer, is under way no more and did not arrive.
    Gone {
        /// Whether it is the task.
        task: bool,
    },
    /// An answer came that nobody waited for any more: a late report, a refusal, or a report that would
    /// not be used in time either, since it says that it answers something else.
    Arrived(Box<ClientOutcome>),
    /// An answer came when no round was open to count its bytes.
    Unheard {
        /// Its bytes.
        bytes: u64,
    },
}

/// Work of a client's device. All of it is spent once it is over, and of it the share of its time that
/// has passed before that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// When it will be done.
    pub until: VirtualTime,
    /// When it breaks off before, because the client goes down or away; never, if it does not.
    pub breaks: VirtualTime,
    /// How long it takes, as counted.
    pub compute: Span,
    /// Operations.
    pub flops: u64,
    /// Most memory it needs, in bytes.
    pub memory: u64,
    /// Joules.
    pub energy: f64,
    /// Whether it is training, and not mixing or the time for which a report is held back.
    pub trains: bool,
}
