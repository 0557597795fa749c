//! The presence of a whole population.

use super::rounds::{Holdings, Rates};
use super::sessions::Sessions;
use super::{Availability, Charging, Diurnal, Leaving, Session, Trace, Whose};
use crate::quantity::VirtualTime;
use std::cell::Cell;
use std::ops::Range;

/// A piece of work that is interrupted more often than this is never done.
const MOST_PIECES: u32 = 1 << 20;

/// Clients of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Crowd<'a> {
    /// How many.
    pub count: u32,
    /// When they are there.
    pub availability: &'a Availability,
    /// What becomes of their work when they go.
    pub leaving: Leaving,
}

/// When the clients of a group are there, ready to be asked.
#[derive(Debug)]
enum Rule {
    Always,
    Rounds(Rates),
    Timed(Timed),
}

/// Rules that go by the clock.
#[derive(Debug)]
enum Timed {
    Sessions(Sessions),
    Diurnal(Diurnal),
    Charging(Charging),
    Trace(Trace),
}

impl Timed {
    /// The session that `now` lies in, or else the next one.
    fn at_or_after(&self, whose: Whose, now: VirtualTime) -> Option<Session> {
        match self {
            Self::Sessions(sessions) => sessions.at_or_after(whose, now),
            Self::Diurnal(diurnal) => diurnal.at_or_after(whose, now),
            Self::Charging(charging) => charging.at_or_after(whose, now),
            Self::Trace(trace) => trace.at_or_after(whose, now),
        }
    }

    fn is_there(&self, whose: Whose, now: VirtualTime) -> bool {
        let session = self.at_or_after(whose, now);
        session.is_some_and(|session| session.start <= now)
    }
}

#[derive(Debug)]
struct Group {
    clients: Range<u32>,
    rule: Rule,
    leaving: Leaving,
}

/// Who is there, of all clients of a federation.
#[derive(Debug, Default)]
pub struct Presence {
    seed: u64,
    /// In order; empty where everybody is always there.
    groups: Vec<Group>,
    /// Whether some group's work depends on whether its clients are there.
    matters: bool,
}

impl Presence {
    /// Of a population of `crowds`, who have these holdings.
    pub fn new<'a>(
        seed: u64,
        crowds: impl Iterator<Item = Crowd<'a>> + Clone,
        holdings: &Holdings<'_>,
    ) -> Self {
        if crowds.clone().all(|crowd| crowd.availability.is_always()) {
            return Self::default();
        }
        let mut first = 0u32;
        let groups = crowds.map(|crowd| {
            let clients = first..first.saturating_add(crowd.count);
            first = clients.end;
            let timed = match crowd.availability {
                Availability::Markov(law) => Some(Timed::Sessions(Sessions::new(law))),
                Availability::Diurnal(diurnal) => Some(Timed::Diurnal(diurnal.clone())),
                Availability::Charging(charging) => Some(Timed::Charging(charging.clone())),
                Availability::Trace(trace) => Some(Timed::Trace(trace.clone())),
                _ => None,
            };
            let rates = || Rates::new(crowd.availability, clients.clone(), holdings, seed);
            let rule = match timed {
                Some(timed) => Rule::Timed(timed),
                None => rates().map_or(Rule::Always, Rule::Rounds),
            };
            Group {
                clients,
                rule,
                leaving: crowd.leaving,
            }
        });
        let groups: Vec<Group> = groups.collect();
        let matters = groups.iter().any(|group| {
            matches!(group.rule, Rule::Timed(_)) && group.leaving != Leaving::Continue
        });
        Self {
            seed,
            groups,
            matters,
        }
    }

    /// Whether somebody may be away.
    pub fn is_any(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether somebody's work depends on whether it is there.
    pub const fn matters(&self) -> bool {
        self.matters
    }

    fn group(&self, client: u32) -> Option<&Group> {
        let at = self
            .groups
            .partition_point(|group| group.clients.end <= client);
        self.groups.get(at)
    }

    fn whose(&self, group: &Group, client: u32) -> Whose {
        Whose {
            seed: self.seed,
            client,
            place: client.saturating_sub(group.clients.start),
        }
    }

    fn has(&self, group: &Group, client: u32, round: u32, now: VirtualTime) -> bool {
        let whose = self.whose(group, client);
        match &group.rule {
            Rule::Always => true,
            Rule::Rounds(rates) => rates.is_there(whose, round),
            Rule::Timed(timed) => timed.is_there(whose, now),
        }
    }

    /// Whether a client is there to be asked in a round that opens at `now`.
    pub fn is_there(&self, client: u32, round: u32, now: VirtualTime) -> bool {
        let group = self.group(client);
        group.is_none_or(|group| self.has(group, client, round, now))
    }

    /// How many are there.
    pub fn count(&self, round: u32, now: VirtualTime) -> u32 {
        let each = self.groups.iter().map(|group| match group.rule {
            Rule::Always => group.clients.len(),
            _ => {
                let clients = group.clients.clone();
                clients.filter(|&c| self.has(group, c, round, now)).count()
            }
        });
        u32::try_from(each.sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// The first moment after `now` at which `more` clients that are away can have come back; nobody
    /// knows whether those who are there now are there then. `None` if so many never come, or not
    /// within a year or so of days.
    pub fn return_of(&self, more: u32, now: VirtualTime) -> Option<VirtualTime> {
        let mut starts: Vec<VirtualTime> = Vec::new();
        for group in &self.groups {
            if let Rule::Timed(timed) = &group.rule {
                let next = group.clients.clone().filter_map(|client| {
                    let session = timed.at_or_after(self.whose(group, client), now)?;
                    (session.start > now).then_some(session.start)
                });
                starts.extend(next);
            }
        }
        let place = (more as usize).checked_sub(1)?;
        if place >= starts.len() {
            return None;
        }
        let (_, at, _) = starts.select_nth_unstable(place);
        Some(*at)
    }

    /// A client's rule, if its work depends on whether it is there in the way of `leaving`.
    fn timed(&self, client: u32, leaving: Leaving) -> Option<(&Timed, Whose)> {
        if !self.matters {
            return None;
        }
        let group = self
            .group(client)
            .filter(|group| group.leaving == leaving)?;
        match &group.rule {
            Rule::Timed(timed) => Some((timed, self.whose(group, client))),
            Rule::Always | Rule::Rounds(_) => None,
        }
    }

    /// Whether nobody is there to take what is sent to a client: one that abandons its work, away.
    pub fn is_gone(&self, client: u32, now: VirtualTime) -> bool {
        let timed = self.timed(client, Leaving::Abandon);
        timed.is_some_and(|(timed, whose)| !timed.is_there(whose, now))
    }

    /// Whether work in `[from, until)` is lost: a client that abandons it is away some time of it.
    pub fn abandons(&self, client: u32, from: VirtualTime, until: VirtualTime) -> bool {
        let Some((timed, whose)) = self.timed(client, Leaving::Abandon) else {
            return false;
        };
        let mut at = from;
        for _ in 0..MOST_PIECES {
            if at >= until {
                return false;
            }
            match timed.at_or_after(whose, at) {
                Some(session) if session.start <= at => at = session.end,
                _ => return true,
            }
        }
        true
    }

    /// When a client that stands still while it is away can go on: at once, if it is there.
    pub fn resumes(&self, client: u32, now: VirtualTime) -> VirtualTime {
        let Some((timed, whose)) = self.timed(client, Leaving::Pause) else {
            return now;
        };
        let session = timed.at_or_after(whose, now);
        session.map_or(VirtualTime::NEVER, |session| session.start.max(now))
    }

    /// Whether the work of a client goes on at a moment, and until when that stays; `None` where it
    /// always does. For one piece of work.
    pub fn working_times(
        &self,
        client: u32,
    ) -> Option<impl Fn(VirtualTime) -> (bool, VirtualTime) + '_> {
        let (timed, whose) = self.timed(client, Leaving::Pause)?;
        let asked = Cell::new(0u32);
        Some(move |now| {
            asked.set(asked.get().saturating_add(1));
            let session = timed.at_or_after(whose, now);
            match session.filter(|_| asked.get() <= MOST_PIECES) {
                None => (false, VirtualTime::NEVER),
                Some(session) if session.start <= now => (true, session.end),
                Some(session) => (false, session.start),
            }
        })
    }
}
