//! Presence by the clock, by a rule that a scenario names beside the variants of
//! [`super::Availability`].

use super::{Lane, Session, Whose};
use crate::quantity::VirtualTime;
use crate::registry::kind;
use crate::sim::rng::Stream;

/// A client of a group, as a [`Timetable`] sees it.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub(super) Whose);

impl Client {
    /// Its number in the population, from 0.
    pub const fn number(&self) -> u32 {
        self.0.client
    }

    /// Its place in its group, from 0.
    pub const fn place(&self) -> u32 {
        self.0.place
    }

    /// A stream of random numbers that is this client's alone: the `number`-th (below 2^40). Equal numbers
    /// give equal streams, so whatever is drawn can be drawn again at any time.
    pub fn draws(&self, number: u64) -> Stream {
        self.0.draws(Lane::Timetable, number)
    }
}

/// When the clients of a group are there, in virtual time.
pub trait Timetable: Send + Sync {
    /// What is wrong with the settings, each with the name of its field.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The session of a client that `now` lies in, or else its next one; none if it never comes again. It
    /// is asked at any moment, in any order and on any thread, so the answer may depend on nothing but the
    /// arguments. Sessions do not overlap.
    fn session(&self, client: Client, now: VirtualTime) -> Option<Session>;
}

kind! {
    dyn Timetable, "an availability";
}
