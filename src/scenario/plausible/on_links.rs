//! How long this scenario's messages take on its links, tried out on the network that a run has: alone,
//! and with those of a whole cohort at once.

use super::about;
use super::table::Table;
use super::Scenario;
use crate::federation::{Federation, RoundMessages};
use crate::net::Trip;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::rng::{below, stream, Purpose};
use crate::sim::SimError;

/// Clients of a group whose messages are tried, and messages of each that go alone.
const SAMPLED: u32 = 16;
const EACH: u32 = 4;

/// Messages that go at once are tried until there are so many, in cohorts drawn anew.
const AT_ONCE: u32 = 256;
const COHORTS: u32 = 16;

/// Between messages that are to meet nobody: more than retransmission waits.
const APART: Span = Span::from_secs(100_000);

/// Groups that are shown.
const SHOWN: usize = 40;

/// What a trip is one of.
#[derive(Clone, Copy)]
struct Of {
    group: usize,
    up: bool,
    at_once: bool,
}

/// Trips to be tried, one after another or several at once.
#[derive(Default)]
struct Attempts {
    trips: Vec<Trip>,
    of: Vec<Of>,
    now: VirtualTime,
}

impl Attempts {
    fn add(&mut self, letters: &RoundMessages, of: Of) {
        let (from, to, bytes) = match of.up {
            true => (letters.client, letters.server, letters.report),
            false => (letters.server, letters.client, letters.model),
        };
        let at = self.now;
        self.trips.push(Trip {
            at,
            from,
            to,
            bytes,
        });
        self.of.push(of);
    }

    fn wait(&mut self) {
        self.now += APART;
    }
}

/// Times of one kind of message of one group, and how many were lost.
#[derive(Default)]
struct Times {
    took: Vec<Span>,
    lost: usize,
}

impl Times {
    fn cell(&mut self) -> String {
        self.took.sort_unstable();
        let at = |share: f64| {
            let place = (share * self.took.len().saturating_sub(1) as f64).round() as usize;
            self.took.get(place).copied().unwrap_or_default()
        };
        let all = self.took.len() + self.lost;
        match (all, self.took.len()) {
            (0, _) => String::new(),
            (_, 0) => "lost".into(),
            (all, _) => {
                let lost = match self.lost {
                    0 => String::new(),
                    lost => format!(", {} lost", super::percent(lost as f64 / all as f64)),
                };
                let (half, most) = (about(at(0.5)), about(at(0.9)));
                match half == most {
                    true => format!("{half}{lost}"),
                    false => format!("{half} [{most}]{lost}"),
                }
            }
        }
    }
}

/// `count` of `all` clients.
fn cohort(seed: u64, number: u32, count: u32, all: u32) -> Vec<u32> {
    let mut clients: Vec<u32> = (0..all).collect();
    if count < all {
        let mut rng = stream(seed, 0, Purpose::Selection, u64::from(number));
        for place in 0..count {
            let other = place + below(&mut rng, u64::from(all - place)) as u32;
            clients.swap(place as usize, other as usize);
        }
        clients.truncate(count as usize);
    }
    clients
}

impl Scenario {
    /// How many clients are sent a model at once, where one server asks them.
    fn asked_at_once(&self) -> Option<u32> {
        if self.gossip().is_some() || !self.hierarchy.is_empty() {
            return None;
        }
        let (clients, schedule) = (self.clients(), &self.schedule);
        let asked = match &schedule.waiting {
            Some(waiting) => waiting.concurrency,
            None => {
                let cohort = f64::from(schedule.cohort.of(clients));
                libm::ceil(cohort * schedule.over_selection) as u32
            }
        };
        Some(asked.clamp(1, clients.max(1)))
    }

    /// What this scenario's messages take on its links, as a table: a line each.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn on_links(&self, federation: &Federation) -> Result<Vec<String>, SimError> {
        let mut attempts = Attempts::default();
        let mut ends: Vec<u32> = Vec::new();
        for (group, member) in self.population.iter().enumerate() {
            let (first, count) = (ends.last().copied().unwrap_or(0), member.group.count);
            ends.push(first + count);
            let some = count.min(SAMPLED);
            for place in 0..some {
                let place = u64::from(place) * u64::from(count) / u64::from(some);
                let letters = federation.round_messages(first + place as u32);
                for up in [false, true] {
                    for _ in 0..EACH {
                        attempts.wait();
                        let at_once = false;
                        attempts.add(&letters, Of { group, up, at_once });
                    }
                }
            }
        }
        let at_once = self.asked_at_once();
        if let Some(asked) = at_once {
            for number in 0..AT_ONCE.div_ceil(asked).clamp(1, COHORTS) {
                let cohort = cohort(self.seed, number, asked, self.clients());
                for up in [false, true] {
                    attempts.wait();
                    for &client in &cohort {
                        let group = ends.partition_point(|end| *end <= client);
                        let letters = federation.round_messages(client);
                        let at_once = true;
                        attempts.add(&letters, Of { group, up, at_once });
                    }
                }
            }
        }
        let took = federation.links().try_out(&attempts.trips, self.seed)?;
        Ok(self.shown(federation, &attempts, &took, at_once))
    }

    fn shown(
        &self,
        federation: &Federation,
        attempts: &Attempts,
        took: &[Option<Span>],
        at_once: Option<u32>,
    ) -> Vec<String> {
        let mut times: Vec<[Times; 4]> = Vec::new();
        times.resize_with(self.population.len(), Default::default);
        for (of, took) in attempts.of.iter().zip(took) {
            let kind = 2 * usize::from(of.up) + usize::from(of.at_once);
            if let Some(times) = times.get_mut(of.group).and_then(|all| all.get_mut(kind)) {
                match took {
                    Some(took) => times.took.push(*took),
                    None => times.lost += 1,
                }
            }
        }
        let mut lines = vec![match at_once {
            Some(asked) => format!(
                "messages on the links, each alone and those of {asked} clients at once: the median, and in \
                 brackets"
            ),
            None => {
                "messages on the links, each alone: the median, and in brackets".to_string()
            }
        }];
        lines.push(
            "what nine of ten stay below; from the network that a run has, without faults and absences"
                .to_string(),
        );
        let mut heads = vec!["group", "model", "down alone"];
        heads.extend(at_once.map(|_| "down at once"));
        heads.extend(["report", "up alone"]);
        heads.extend(at_once.map(|_| "up at once"));
        let mut table = Table::new(&heads);
        let mut first = 0;
        for (member, mut times) in self.population.iter().zip(times).take(SHOWN) {
            let letters = (member.group.count > 0).then(|| federation.round_messages(first));
            first += member.group.count;
            let Some(letters) = letters else {
                continue;
            };
            let size = |bytes: Bytes| bytes.to_string();
            let [down, down_at_once, up, up_at_once] = times.each_mut().map(Times::cell);
            let mut row = vec![member.group.name.to_string(), size(letters.model), down];
            row.extend(at_once.map(|_| down_at_once));
            row.extend([size(letters.report), up]);
            row.extend(at_once.map(|_| up_at_once));
            table.push(row);
        }
        lines.extend(table.lines());
        if let Some(more) = self.population.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            lines.push(format!("and {more} groups more"));
        }
        lines
    }
}
