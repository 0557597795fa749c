//! The rows of a run reduced to what the report draws, in memory that does not grow with the product of
//! rounds and clients.
//!
//! All rounds are kept. Of the clients' rows only those of one round are kept, chosen for the timeline,
//! and of the evaluations only the last one. Everything else becomes one line for each group.

use super::dealt::Dealt;
use super::folder::{ACCURACY, CLIENTS, COSTS, INVITATIONS, PARTITION, ROUNDS, SIZES};
use super::rows::{
    ClientAccuracyRow, ClientOutcome, ClientRow, CostRow, InvitationRow, Outcome, RoundRow, SizeRow,
};
use super::table::{for_each_row, read_rows};
use super::ObserveError;
use crate::quantity::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// A group of clients, over the whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSummary {
    /// The name of the group in the scenario.
    pub group: Arc<str>,
    /// The number of its clients.
    pub clients: u32,
    /// The number of its clients that were asked at least once.
    pub asked: u32,
    /// The number of invitations.
    pub invited: u64,
    /// The number of reports that were used.
    pub reported: u64,
    /// The mean accuracy of its clients in the last evaluation, with the model that each would be
    /// handed at that moment; each client has equal weight.
    pub mean_accuracy: Option<f64>,
    /// The mean accuracy in the last evaluation of the models after each client's latest local
    /// training.
    pub mean_trained: Option<f64>,
    /// The mean time that its devices computed, over the jobs that took any time.
    pub mean_compute: Option<Span>,
    /// Bytes sent to its clients.
    pub bytes_down: u64,
    /// Bytes that its clients sent.
    pub bytes_up: u64,
}

/// The rows from which the report is drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Digest {
    /// The rows of every round.
    pub rounds: Vec<RoundRow>,
    /// The clients' rows of one round, whose duration is about the median.
    pub timeline: Vec<ClientRow>,
    /// The last evaluation of single clients.
    pub accuracy: Vec<ClientAccuracyRow>,
    /// One line for each group, in the order of the population.
    pub groups: Vec<GroupSummary>,
    /// What the clients of each width cost, the widest first.
    pub costs: Vec<CostRow>,
    /// The invitations of each round by what became of them; empty for a run that was killed.
    pub invitations: Vec<InvitationRow>,
    /// Every evaluation by width; empty where there is only one width.
    pub sizes: Vec<SizeRow>,
    /// Which clients have which samples.
    pub dealt: Dealt,
}

#[derive(Default)]
struct GroupSums {
    asked: BTreeSet<u32>,
    invited: u64,
    reported: u64,
    compute_nanos: u128,
    jobs: u64,
    bytes_down: u64,
    bytes_up: u64,
    accuracy: Mean,
    trained: Mean,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    of: u64,
}

impl Mean {
    fn count(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.of += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.of > 0).then(|| self.sum / self.of as f64)
    }
}

impl Digest {
    /// Reads the tables of a run folder. `population` names the groups with their numbers of clients,
    /// in the order in which they are listed. A group that is not in `population` is listed after
    /// those, with the number of its clients that occur in the tables.
    pub fn read(folder: &Path, population: &[(Arc<str>, u32)]) -> Result<Self, ObserveError> {
        let mut making = Making::new(read_rows(&folder.join(ROUNDS))?);
        for_each_row(&folder.join(CLIENTS), |row| making.client(row))?;
        for_each_row(&folder.join(ACCURACY), |row| making.score(row))?;
        let mut digest = making.finish(population);
        // A run that was killed has no costs yet; a run with one width has no evaluations by width.
        if folder.join(COSTS).exists() {
            digest.costs = read_rows(&folder.join(COSTS))?;
        }
        if folder.join(INVITATIONS).exists() {
            digest.invitations = read_rows(&folder.join(INVITATIONS))?;
        }
        if folder.join(SIZES).exists() {
            digest.sizes = read_rows(&folder.join(SIZES))?;
        }
        if folder.join(PARTITION).exists() {
            let clients = population.iter().map(|(_, count)| *count as usize).sum();
            digest.dealt = Dealt::read(&folder.join(PARTITION), clients)?;
        }
        Ok(digest)
    }

    /// The last evaluation of a width.
    pub fn last_of(&self, size: f64) -> Option<&SizeRow> {
        self.sizes.iter().rev().find(|row| row.size == size)
    }

    /// Reduces rows that are in memory.
    pub fn of(
        rounds: Vec<RoundRow>,
        clients: impl IntoIterator<Item = ClientRow>,
        accuracy: impl IntoIterator<Item = ClientAccuracyRow>,
        population: &[(Arc<str>, u32)],
    ) -> Self {
        let mut making = Making::new(rounds);
        clients.into_iter().for_each(|row| making.client(row));
        accuracy.into_iter().for_each(|row| making.score(row));
        making.finish(population)
    }

    /// The round that the timeline shows.
    pub fn timeline_round(&self) -> Option<&RoundRow> {
        let shown = self.timeline.first()?.round;
        self.rounds.iter().find(|row| row.round == shown)
    }
}

struct Making {
    rounds: Vec<RoundRow>,
    shown: Option<u32>,
    timeline: Vec<ClientRow>,
    accuracy: Vec<ClientAccuracyRow>,
    tallies: BTreeMap<Arc<str>, GroupSums>,
}

impl Making {
    fn new(rounds: Vec<RoundRow>) -> Self {
        Self {
            shown: typical_round(&rounds),
            rounds,
            timeline: Vec::new(),
            accuracy: Vec::new(),
            tallies: BTreeMap::new(),
        }
    }

    fn tally(&mut self, group: &Arc<str>) -> &mut GroupSums {
        if !self.tallies.contains_key(group) {
            self.tallies.insert(group.clone(), GroupSums::default());
        }
        self.tallies.entry(group.clone()).or_default()
    }

    fn client(&mut self, row: ClientRow) {
        let tally = self.tally(&row.group);
        tally.asked.insert(row.client);
        tally.invited += 1;
        tally.reported += u64::from(row.outcome == ClientOutcome::Reported);
        if row.compute > Span::ZERO {
            tally.compute_nanos += u128::from(row.compute.nanos());
            tally.jobs += 1;
        }
        tally.bytes_down = tally.bytes_down.saturating_add(row.bytes_down);
        tally.bytes_up = tally.bytes_up.saturating_add(row.bytes_up);
        if self.shown == Some(row.round) {
            self.timeline.push(row);
        }
    }

    fn score(&mut self, row: ClientAccuracyRow) {
        match self.accuracy.first().map(|first| first.round) {
            Some(held) if row.round < held => return,
            Some(held) if row.round > held => self.accuracy.clear(),
            _ => {}
        }
        self.accuracy.push(row);
    }

    fn finish(mut self, population: &[(Arc<str>, u32)]) -> Digest {
        let scores = std::mem::take(&mut self.accuracy);
        for row in &scores {
            let tally = self.tally(&row.group);
            tally.accuracy.count(row.accuracy());
            tally.trained.count(row.trained_accuracy());
        }
        let mut groups: Vec<GroupSummary> = Vec::new();
        for (group, clients) in population {
            let tally = self.tallies.remove(group).unwrap_or_default();
            groups.push(tally.summary(group.clone(), *clients));
        }
        for (group, tally) in self.tallies {
            let clients = u32::try_from(tally.asked.len()).unwrap_or(u32::MAX);
            groups.push(tally.summary(group, clients));
        }
        Digest {
            rounds: self.rounds,
            timeline: self.timeline,
            accuracy: scores,
            groups,
            costs: Vec::new(),
            invitations: Vec::new(),
            sizes: Vec::new(),
            dealt: Dealt::default(),
        }
    }
}

impl GroupSums {
    fn summary(self, group: Arc<str>, clients: u32) -> GroupSummary {
        let mean_nanos = self.compute_nanos.checked_div(u128::from(self.jobs));
        GroupSummary {
            group,
            clients,
            asked: u32::try_from(self.asked.len()).unwrap_or(u32::MAX),
            invited: self.invited,
            reported: self.reported,
            mean_accuracy: self.accuracy.value(),
            mean_trained: self.trained.value(),
            // The mean of 64-bit numbers fits 64 bits.
            mean_compute: mean_nanos.map(|nanos| Span::from_nanos(nanos as u64)),
            bytes_down: self.bytes_down,
            bytes_up: self.bytes_up,
        }
    }
}

/// The round whose duration is the median of the completed rounds, so neither a slow first round nor
/// one that ran into its deadline. Without a completed round, the first round.
fn typical_round(rounds: &[RoundRow]) -> Option<u32> {
    let mut completed: Vec<(Span, u32)> = rounds
        .iter()
        .filter(|row| row.outcome == Outcome::Completed && row.reported > 0)
        .map(|row| (row.duration(), row.round))
        .collect();
    completed.sort_unstable();
    let middle = completed.len().saturating_sub(1) / 2;
    match completed.get(middle) {
        Some(&(_, round)) => Some(round),
        None => rounds.first().map(|row| row.round),
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::RunFolder;
    use super::*;
    use crate::quantity::VirtualTime;

    fn round(round: u32, seconds: u64, outcome: Outcome) -> RoundRow {
        RoundRow {
            round,
            started: VirtualTime::from_nanos(7),
            ended: VirtualTime::from_nanos(7) + Span::from_secs(seconds),
            reported: 3,
            outcome,
            ..RoundRow::default()
        }
    }

    fn client(round: u32, client: u32, group: &str, compute: u64) -> ClientRow {
        ClientRow {
            round,
            client,
            group: group.into(),
            outcome: match compute {
                0 => ClientOutcome::Lost,
                _ => ClientOutcome::Reported,
            },
            invited: VirtualTime::ZERO,
            received: None,
            trained: None,
            reported: None,
            compute: Span::from_nanos(compute),
            queue_wait: Span::ZERO,
            bytes_down: 10,
            bytes_up: 3,
            samples: 1,
            steps: 1,
            loss: None,
            trained_accuracy: None,
            size: 1.0,
            flops: 0,
            memory_bytes: 0,
            energy_j: 0.0,
            received_accuracy: None,
            overhead_bytes: 0,
        }
    }

    fn score(round: u32, client: u32, group: &str, correct: u32, count: u32) -> ClientAccuracyRow {
        ClientAccuracyRow {
            round,
            client,
            group: group.into(),
            correct: Some(correct),
            count,
            received_correct: None,
            trained_correct: (client == 1).then_some(count),
            trained_round: None,
        }
    }

    #[test]
    fn the_timeline_shows_the_round_of_median_duration() {
        let rounds = [
            round(1, 90, Outcome::Completed),
            round(2, 10, Outcome::Completed),
            round(3, 12, Outcome::Completed),
            round(4, 1, Outcome::Abandoned),
        ];
        assert_eq!(typical_round(&rounds), Some(3));
        assert_eq!(typical_round(&rounds[3..]), Some(4));
        assert_eq!(typical_round(&[]), None);
    }

    #[test]
    fn groups_are_summed_and_listed_in_the_order_of_the_population() {
        let population = [("slow".into(), 10), ("idle".into(), 4), ("fast".into(), 5)];
        let clients = [
            client(1, 1, "fast", 10),
            client(1, 2, "slow", 0),
            client(2, 1, "fast", 20),
            client(2, 3, "slow", 7),
            client(2, 9, "unheard of", 1),
        ];
        let scores = [
            score(1, 1, "fast", 0, 10),
            score(2, 1, "fast", 5, 10),
            score(2, 4, "fast", 10, 10),
            score(2, 5, "fast", 0, 0),
        ];
        let rounds = vec![
            round(1, 1, Outcome::Completed),
            round(2, 2, Outcome::Completed),
        ];
        let digest = Digest::of(rounds, clients, scores, &population);
        let names: Vec<&str> = digest.groups.iter().map(|g| &*g.group).collect();
        assert_eq!(names, ["slow", "idle", "fast", "unheard of"]);
        let [slow, idle, fast, other] = &digest.groups[..] else {
            panic!("{:?}", digest.groups);
        };
        assert_eq!(
            (slow.clients, slow.asked, slow.invited, slow.reported),
            (10, 2, 2, 1)
        );
        assert_eq!(slow.mean_compute, Some(Span::from_nanos(7)));
        assert_eq!((idle.clients, idle.asked, idle.mean_compute), (4, 0, None));
        assert_eq!(fast.mean_compute, Some(Span::from_nanos(15)));
        assert_eq!(fast.mean_accuracy, Some(0.75));
        assert_eq!((fast.mean_trained, slow.mean_trained), (Some(1.0), None));
        assert_eq!((fast.bytes_down, fast.bytes_up), (20, 6));
        assert_eq!((other.clients, other.asked), (1, 1));
        assert_eq!(digest.timeline.len(), 2);
        assert_eq!(digest.timeline_round().map(|r| r.round), Some(1));
        assert_eq!(digest.accuracy.len(), 3);
    }

    #[test]
    fn a_folder_read_back_gives_what_memory_gives() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create_under(root.path(), "a", 1).unwrap();
        let rounds = vec![
            round(1, 3, Outcome::Completed),
            round(2, 2, Outcome::Stopped),
        ];
        let clients = vec![client(1, 0, "a", 5), client(2, 1, "b", 6)];
        let scores = vec![score(1, 0, "a", 1, 3), score(2, 1, "b", 2, 3)];
        for i in 0..2 {
            folder.client(&clients[i]).unwrap();
            folder.client_accuracy(&scores[i]).unwrap();
            folder.round(&rounds[i]).unwrap();
        }
        let read = Digest::read(folder.path(), &[]).unwrap();
        assert_eq!(read, Digest::of(rounds, clients, scores, &[]));
    }
}
