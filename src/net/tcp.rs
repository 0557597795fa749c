//! TCP at flow level: how long a message takes over a congestion window that grows, falls and starts
//! anew.
//!
//! A [`Flow`] is the sender of one message. It moves in *trains*: packets that pass the bottleneck at
//! one spacing. The acknowledgements of a train release the next train. So the cost of the computation
//! grows with the round trips and the lost packets of a message, not with the packets that get through.
//!
//! | file | content | source |
//! |---|---|---|
//! | `flow` | the sender's state, and which event is next | |
//! | `flow/acks` | what arrives in order, in slow start and after it | RFC 5681, 3.1 |
//! | `flow/recovery` | fast recovery, with proportional rate reduction | RFC 6675, RFC 6937, RFC 8985 |
//! | `flow/timers` | tail loss probes and retransmission timeouts | RFC 8985, 7; RFC 6298 |
//! | `flow/sending` | from windows to trains | |
//! | `cubic` | growth after slow start | RFC 9438 |
//! | `hystart` | the end of slow start before the queue overflows | Ha and Rhee 2011 |
//! | `bbr` | a rate instead of a window | Cardwell et al. 2016 |
//! | `receiver` | delayed acknowledgements, a window that grows | RFC 5681, 4.2; RFC 7323 |
//! | `rtt` | round-trip estimation | RFC 6298 |
//! | `gaps` | random losses as gaps between them | |
//! | `bottleneck` | a drop-tail queue | |
//! | `race` | several messages at once, to compare with measurements | |
//!
//! Where Linux departs from the standards, the model follows Linux 6.18: a floor of 200 ms under the
//! variance term of the timeout, at most one update of CUBIC's pace in 32 ms, windows that are whole
//! packets, and a receiver that acknowledges the first packets of a connection one by one. How closely
//! the model agrees with measurements is in `docs/studies/network.md`.

mod bbr;
mod bottleneck;
mod cubic;
mod flow;
mod gaps;
mod hystart;
mod race;
mod receiver;
mod rtt;

#[cfg(test)]
mod closed_form_tests;
#[cfg(test)]
mod measured_tests;

pub use bottleneck::{Bottleneck, Burst, Passed, Path};
pub use flow::{Flow, FlowCounts, Setup};
pub use gaps::{Dice, Gaps};
pub use race::{race, Course};

use crate::snapshot::snapshot_enum;
use serde::Serialize;

/// The congestion control, which decides how many packets may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[non_exhaustive]
pub enum Congestion {
    /// CUBIC (RFC 9438) with HyStart: the default of Linux, Android and Apple.
    #[default]
    Cubic,
    /// Reno (RFC 5681 with RFC 6675): a window that halves at a loss.
    Reno,
    /// BBR, version 1, as in Linux.
    Bbr,
}

snapshot_enum!(Congestion { 0 => Cubic, 1 => Reno, 2 => Bbr });
