//! The presence of all clients of a population.

use super::rounds::{Holdings, Rates};
use super::sessions::Sessions;
use super::{Availability, Charging, Client, Diurnal, Leaving, Session, Timetable, Trace, Whose};
use crate::quantity::{Span, VirtualTime};
use crate::registry::Spec;
use std::cell::Cell;
use std::ops::Range;

/// The largest number of interruptions of a piece of work; work with more of them is never done.
const MOST_PIECES: u32 = 1 << 20;

/// Consecutive clients with one availability.
#[derive(Debug, Clone, Copy)]
pub struct ClientGroup<'a> {
    /// The number of clients.
    pub count: u32,
    /// When the clients are present.
    pub availability: &'a Availability,
    /// What becomes of their work when they leave.
    pub leaving: Leaving,
}

/// The availability of a group, prepared for questions.
#[derive(Debug)]
enum Rule {
    Always,
    Rounds(Rates),
    Timed(Timed),
}

/// Availability that depends on virtual time.
#[derive(Debug)]
enum Timed {
    Sessions(Sessions),
    Diurnal(Diurnal),
    Charging(Charging),
    Trace(Trace),
    Other(Spec<dyn Timetable>),
}

impl Timed {
    /// The session that contains `now`, or else the next one.
    fn at_or_after(&self, whose: Whose, now: VirtualTime) -> Option<Session> {
        match self {
            Self::Sessions(sessions) => sessions.at_or_after(whose, now),
            Self::Diurnal(diurnal) => diurnal.at_or_after(whose, now),
            Self::Charging(charging) => charging.at_or_after(whose, now),
            Self::Trace(trace) => trace.at_or_after(whose, now),
            // A session that is over would be asked for without end.
            Self::Other(table) => {
                let session = table.get().session(Client(whose), now);
                session.filter(|session| session.start < session.end && session.end > now)
            }
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

/// Which clients are present, among all clients of a federation.
#[derive(Debug, Default)]
pub struct Presence {
    seed: u64,
    /// The groups in order; empty where all clients are always present.
    groups: Vec<Group>,
    /// Whether the work of some group depends on the presence of its clients.
    matters: bool,
}

impl Presence {
    /// The presence of a population of `groups`; `holdings` are the samples of all clients.
    pub fn new<'a>(
        seed: u64,
        groups: impl Iterator<Item = ClientGroup<'a>> + Clone,
        holdings: &Holdings<'_>,
    ) -> Self {
        if groups.clone().all(|group| group.availability.is_always()) {
            return Self::default();
        }
        let mut first = 0u32;
        let groups = groups.map(|group| {
            let clients = first..first.saturating_add(group.count);
            first = clients.end;
            let timed = match group.availability {
                Availability::Markov(law) => Some(Timed::Sessions(Sessions::new(law))),
                Availability::Diurnal(diurnal) => Some(Timed::Diurnal(diurnal.clone())),
                Availability::Charging(charging) => Some(Timed::Charging(charging.clone())),
                Availability::Trace(trace) => Some(Timed::Trace(trace.clone())),
                Availability::Other(table) => Some(Timed::Other(table.clone())),
                _ => None,
            };
            let rates = || Rates::new(group.availability, clients.clone(), holdings, seed);
            let rule = match timed {
                Some(timed) => Rule::Timed(timed),
                None => rates().map_or(Rule::Always, Rule::Rounds),
            };
            Group {
                clients,
                rule,
                leaving: group.leaving,
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

    /// Whether clients may be away.
    pub fn is_any(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether the work of some client depends on its presence.
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

    /// Whether a client is present, to be asked in a round that opens at `now`.
    pub fn is_there(&self, client: u32, round: u32, now: VirtualTime) -> bool {
        let group = self.group(client);
        group.is_none_or(|group| self.has(group, client, round, now))
    }

    /// Whether a client that is asked in a round at `from` is present all the time until `until`.
    pub fn stays(&self, client: u32, round: u32, from: VirtualTime, until: VirtualTime) -> bool {
        let Some(group) = self.group(client) else {
            return true;
        };
        match &group.rule {
            Rule::Always => true,
            Rule::Rounds(rates) => rates.is_there(self.whose(group, client), round),
            Rule::Timed(timed) => {
                let session = timed.at_or_after(self.whose(group, client), from);
                session.is_some_and(|session| session.start <= from && session.end > until)
            }
        }
    }

    /// The number of clients that are present.
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

    /// The first moment after `now` at which `more` clients that are away now can have come back.
    /// Clients that are present now may be away by then. `None` if that many never come back, or not
    /// within the days that are searched.
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

    /// The availability of a client, if it depends on time and the client's work depends on it in the
    /// way of `leaving`.
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

    /// Whether messages to a client are dropped at `now`, because it abandons its work when it leaves
    /// and is away.
    pub fn is_gone(&self, client: u32, now: VirtualTime) -> bool {
        let timed = self.timed(client, Leaving::Abandon);
        timed.is_some_and(|(timed, whose)| !timed.is_there(whose, now))
    }

    /// Whether work in `[from, until)` is lost, because the client abandons its work and is away at
    /// some time of it.
    pub fn abandons(&self, client: u32, from: VirtualTime, until: VirtualTime) -> bool {
        self.leaves_within(client, from, until).is_some()
    }

    /// When a client that abandons its work is first away in `[from, until)`, if it is away at all.
    pub fn leaves_within(
        &self,
        client: u32,
        from: VirtualTime,
        until: VirtualTime,
    ) -> Option<VirtualTime> {
        let (timed, whose) = self.timed(client, Leaving::Abandon)?;
        let mut at = from;
        for _ in 0..MOST_PIECES {
            if at >= until {
                return None;
            }
            match timed.at_or_after(whose, at) {
                Some(session) if session.start <= at => at = session.end,
                _ => return Some(at),
            }
        }
        Some(at)
    }

    /// When a client whose work stands still while it is away can go on; `now` if it is present.
    pub fn resumes(&self, client: u32, now: VirtualTime) -> VirtualTime {
        let held = self.timed(client, Leaving::Pause);
        let Some((timed, whose)) = held.or_else(|| self.timed(client, Leaving::Restart)) else {
            return now;
        };
        let session = timed.at_or_after(whose, now);
        session.map_or(VirtualTime::NEVER, |session| session.start.max(now))
    }

    /// For a client whose work begins anew whenever it is back: when the work is done, and how long the
    /// client has worked in all. The result is `None` for other clients, and has [`VirtualTime::NEVER`]
    /// where the work is never done. For a moment at which work begins, `finish` returns when it is
    /// done without an interruption.
    pub fn in_one_go(
        &self,
        client: u32,
        now: VirtualTime,
        finish: impl Fn(VirtualTime) -> VirtualTime,
    ) -> Option<(VirtualTime, Span)> {
        let (timed, whose) = self.timed(client, Leaving::Restart)?;
        let (mut at, mut worked) = (now, Span::ZERO);
        for _ in 0..MOST_PIECES {
            let Some(session) = timed.at_or_after(whose, at) else {
                break;
            };
            let start = session.start.max(at);
            let end = finish(start);
            // Two sessions may touch.
            let mut until = session.end;
            while end > until {
                match timed.at_or_after(whose, until) {
                    Some(next) if next.start <= until => until = next.end,
                    _ => break,
                }
            }
            if end <= until {
                return Some((end, worked + end.since(start)));
            }
            worked = worked + until.since(start);
            at = until;
        }
        Some((VirtualTime::NEVER, worked))
    }

    /// For one piece of work of a client whose work pauses while it is away: a function that returns
    /// whether the work goes on at a moment, and until when that stays so. `None` for other clients.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::availability::TraceRow;
    use crate::data::{load, Partition, Partitioner, Source};
    use crate::fault::ClientFaults;
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::OnceLock;

    /// Populations of kinds that look at no data.
    fn presence(groups: &[(u32, Availability, Leaving)]) -> Presence {
        static DEALT: OnceLock<Partition> = OnceLock::new();
        let partition = DEALT.get_or_init(|| {
            let data = load(&Source::Digits, 1, Path::new(".")).unwrap().train;
            let rule = Partitioner::Shards { per_client: 2 };
            rule.partition(&data, 10, 1, 1).unwrap()
        });
        let groups = groups
            .iter()
            .map(|(count, availability, leaving)| ClientGroup {
                count: *count,
                availability,
                leaving: *leaving,
            });
        let holdings = Holdings {
            partition,
            holdout: partition,
            labels: &[],
            classes: 10,
        };
        Presence::new(3, groups, &holdings)
    }

    fn trace(rows: &[&[(u64, u64)]], period: u64) -> Availability {
        let rows = rows.iter().map(|row| TraceRow::of(row.to_vec()).unwrap());
        Availability::Trace(Trace {
            file: "t.csv".into(),
            content: 0,
            period: Some(Span::from_nanos(period)),
            rows: rows.collect(),
        })
    }

    fn at(nanos: u64) -> VirtualTime {
        VirtualTime::from_nanos(nanos)
    }

    #[test]
    fn a_population_that_is_always_there_costs_and_changes_nothing() {
        let all = presence(&[(5, Availability::Always, Leaving::Continue)]);
        assert!(!all.is_any() && !all.matters());
        assert!(all.is_there(3, 1, at(0)) && !all.is_gone(3, at(0)));
        assert_eq!(all.resumes(3, at(7)), at(7));
        assert!(!all.abandons(3, at(0), at(u64::MAX)) && all.working_times(3).is_none());
    }

    #[test]
    fn each_group_has_its_own_rule_and_clients_take_rows_by_their_place() {
        let rows: [&[(u64, u64)]; 2] = [&[(0, 10)], &[(10, 20)]];
        let some = presence(&[
            (2, Availability::Always, Leaving::Continue),
            (3, trace(&rows, 20), Leaving::Abandon),
            (2, trace(&rows, 20), Leaving::Pause),
        ]);
        let there =
            |now: u64| -> Vec<u32> { (0..7).filter(|&c| some.is_there(c, 1, at(now))).collect() };
        assert_eq!(there(5), [0, 1, 2, 4, 5]);
        assert_eq!(there(10), [0, 1, 3, 6]);
        assert_eq!((some.count(1, at(5)), some.count(1, at(30))), (5, 4));
        let gone: Vec<u32> = (0..7).filter(|&c| some.is_gone(c, at(5))).collect();
        assert_eq!(gone, [3], "only who abandons its work is gone");
        assert_eq!(
            (some.resumes(6, at(5)), some.resumes(3, at(5))),
            (at(10), at(5))
        );
        // Those away at 5 come at 10: 3 and 6. There are no more.
        assert_eq!(some.return_of(1, at(5)), Some(at(10)));
        assert_eq!(some.return_of(2, at(5)), Some(at(10)));
        assert_eq!(some.return_of(3, at(5)), None);
        assert_eq!(some.return_of(3, at(10)), Some(at(20)));
    }

    proptest! {
        /// Against a walk in steps of a nanosecond.
        #[test]
        fn work_takes_the_time_that_its_client_is_there_or_is_lost_if_it_leaves(
            lengths in prop::collection::vec(1u64..9, 2..10),
            start in 0u64..60,
            work in 0u64..50,
        ) {
            let mut row = vec![];
            let mut end = 0;
            for pair in lengths.chunks_exact(2) {
                row.push((end + pair[0], end + pair[0] + pair[1]));
                end += pair[0] + pair[1];
            }
            let kind = || trace(&[&row], end);
            let some = presence(&[(1, kind(), Leaving::Pause), (1, kind(), Leaving::Abandon)]);
            let there = |now: u64| row.iter().any(|(from, to)| (*from..*to).contains(&(now % end)));
            let (mut now, mut left) = (start, work);
            while left > 0 {
                left -= u64::from(there(now));
                now += 1;
            }
            let open = some.working_times(0).unwrap();
            let faults = ClientFaults::default();
            let done = faults.finish_while(0, at(start), Span::from_nanos(work), open);
            prop_assert_eq!(done, at(now));
            let lost = (start..start + work).any(|now| !there(now));
            prop_assert_eq!(some.abandons(1, at(start), at(start + work)), lost);
        }
    }

    /// Sessions of 10 in every 30, and of 12 and 3 that touch.
    #[test]
    fn work_that_begins_anew_is_done_in_the_first_session_that_is_long_enough() {
        let rows: [&[(u64, u64)]; 2] = [&[(0, 10), (30, 50)], &[(0, 12), (12, 15)]];
        let some = presence(&[(2, trace(&rows, 100), Leaving::Restart)]);
        let go = |client, now, takes| {
            some.in_one_go(client, at(now), |start| start + Span::from_nanos(takes))
        };
        let done = |end, worked| Some((at(end), Span::from_nanos(worked)));
        assert_eq!(go(0, 2, 8), done(10, 8), "just in time");
        // Eight are in vain; the second time it is done.
        assert_eq!(go(0, 2, 9), done(39, 8 + 9));
        // Away already, and the sessions of the next period.
        assert_eq!(go(0, 60, 9), done(109, 9));
        assert_eq!(go(0, 60, 15), done(145, 10 + 15));
        assert_eq!(go(1, 3, 12), done(15, 12), "sessions that touch are one");
        // No session is so long, and each is tried.
        let (end, worked) = go(0, 0, 21).unwrap();
        assert_eq!(end, VirtualTime::NEVER);
        assert!(worked > Span::ZERO);
        let others = presence(&[(1, trace(&rows[..1], 100), Leaving::Pause)]);
        assert_eq!(others.in_one_go(0, at(0), |start| start), None);
    }
}
