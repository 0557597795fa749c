//! `run.json`: what was run, from which scenario, on which machine, and with which results.
//!
//! The file is written when the run starts (status `running`) and again when it ends, so that a folder
//! shows whether its run came to an end. It contains everything that is needed to run the scenario
//! again and to compare the two runs.

mod host;

pub use host::{host_name, utc, Host};

use super::participation::Participation;
use super::rows::{InvitationRow, Outcome, Rejection, RoundRow};
use super::staleness::Staleness;
use super::ObserveError;
use crate::disk;
use crate::quantity::{shown, Span, VirtualTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The run has started. If no process is running it any more, it was killed.
    Running,
    /// The run came to the end of its schedule or to a stopping rule.
    Completed,
    /// The run was interrupted, and everything up to then was written.
    Interrupted,
    /// The run failed; the record has the error.
    Failed,
    /// The run came to the end of its schedule, but no round was completed, so the model is the initial
    /// one. The record says why.
    NoRoundCompleted,
}

impl Status {
    /// Whether the run came to its end, so that it cannot be resumed.
    pub const fn is_at_end(self) -> bool {
        matches!(self, Self::Completed | Self::NoRoundCompleted)
    }

    /// The status in words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::NoRoundCompleted => "no round completed",
        }
    }
}

/// One of several processes that ran jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rank {
    /// The number of the process; process 0 wrote the folder.
    pub rank: u32,
    /// The name of the process's host.
    pub host: String,
    /// The number of threads that ran jobs.
    pub workers: u32,
    /// The number of units of jobs that the process ran. This field and the next two are recorded for
    /// processes other than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u64>,
    /// Bytes of jobs that were sent to the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    /// Bytes of outputs that the process sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
}

/// What became of the messages of one kind. `sent` plus `duplicated` is the sum of the four outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageCount {
    /// Messages handed to a link.
    pub sent: u64,
    /// Copies that a fault made.
    #[serde(default)]
    pub duplicated: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages lost by a link.
    pub lost: u64,
    /// Messages dropped by a fault.
    pub dropped: u64,
    /// Messages on their way when the run ended.
    pub in_flight: u64,
    /// Bytes handed to links, each message once. Retransmissions, copies and headers of packets are not
    /// included.
    pub bytes: u64,
    /// Bytes of the messages that arrived, copies included.
    #[serde(default)]
    pub bytes_delivered: u64,
    /// Bytes that set up connections, in both directions.
    #[serde(default)]
    pub bytes_setup: u64,
    /// Bytes of the acknowledgements that these messages caused.
    #[serde(default)]
    pub bytes_acks: u64,
}

impl MessageCount {
    /// Whether every message is accounted for.
    pub fn balances(&self) -> bool {
        let fates = [self.delivered, self.lost, self.dropped, self.in_flight];
        fates.iter().map(|&n| u128::from(n)).sum::<u128>()
            == u128::from(self.sent) + u128::from(self.duplicated)
    }
}

/// What became of messages, by kind.
pub type Messages = BTreeMap<String, MessageCount>;

/// The number of reports that were not used, by reason.
pub type Rejections = BTreeMap<Rejection, u64>;

/// The number of values beyond the range of the histograms, by quantity.
pub type Clipped = BTreeMap<String, u64>;

/// The number of tasks that clients declined because a budget was spent, by the reason that clients
/// gave.
pub type Declined = BTreeMap<String, u64>;

/// The whole run in a few figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// The number of rounds that were held, whatever their outcome.
    pub rounds: u32,
    /// The number of rounds in which enough clients reported, so that the model was updated.
    pub completed: u32,
    /// The number of rounds that the schedule asks for.
    #[serde(default)]
    pub scheduled: u32,
    /// The number of reports that came in time and were taken in, over all rounds.
    pub reports: u64,
    /// The number of these reports whose clients stopped training early, to report before the deadline;
    /// `None` where clients train to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<u64>,
    /// Bytes sent by the server at the top, over all rounds.
    pub bytes_down: u64,
    /// Bytes that arrived at the server at the top, over all rounds.
    pub bytes_up: u64,
    /// Bytes that arrived when no round was open to count them: after the last round, or while the
    /// server came up after a crash.
    #[serde(default)]
    pub bytes_unheard: u64,
    /// The virtual time at the end of the run, in nanoseconds.
    pub virtual_ns: u64,
    /// The host time of the whole run, in seconds.
    pub real_s: f64,
    /// The number of delivered events.
    pub events: u64,
    /// Central accuracy at the last evaluation.
    pub final_accuracy: Option<f64>,
    /// The best central accuracy, and the round that reached it.
    pub best_accuracy: Option<(f64, u32)>,
    /// Central loss at the last evaluation.
    pub final_loss: Option<f64>,
    /// The success of the attack at the last evaluation, for an attack that has an aim of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack_success: Option<f64>,
    /// The ε of differential privacy spent in all, where a guarantee exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The ε of the whole run by the distribution of the privacy loss, where that ε is smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon_pld: Option<f64>,
    /// The number of local trainings that ended because the loss or the weights stopped being numbers.
    #[serde(default, skip_serializing_if = "none_at_all")]
    pub diverged: u64,
    /// The round since which no evaluation has found a finite central loss; `None` if the last evaluation
    /// found one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_a_number_since: Option<u32>,
}

const REMEDY: &str = "lower the learning rate or clip gradients";

const fn none_at_all(count: &u64) -> bool {
    *count == 0
}

impl Totals {
    /// Sums the rounds; `end` and `events` come from the kernel, `real` from the host's clock.
    pub fn of(
        rounds: &[RoundRow],
        end: VirtualTime,
        events: u64,
        real: std::time::Duration,
    ) -> Self {
        let mut totals = Self {
            virtual_ns: end.nanos(),
            real_s: real.as_secs_f64(),
            events,
            ..Self::default()
        };
        for row in rounds {
            totals.rounds = totals.rounds.saturating_add(1);
            if row.outcome == Outcome::Completed {
                totals.completed = totals.completed.saturating_add(1);
            }
            totals.reports = totals.reports.saturating_add(u64::from(row.reported));
            if let Some(partial) = row.partial {
                let before = totals.partial.unwrap_or(0);
                totals.partial = Some(before.saturating_add(u64::from(partial)));
            }
            totals.bytes_down = totals.bytes_down.saturating_add(row.bytes_down);
            totals.bytes_up = totals.bytes_up.saturating_add(row.bytes_up);
            totals.final_accuracy = row.accuracy.or(totals.final_accuracy);
            totals.final_loss = row.loss.or(totals.final_loss);
            totals.attack_success = row.attack_success.or(totals.attack_success);
            totals.epsilon = row.epsilon.or(totals.epsilon);
            let diverged = u64::from(row.diverged.unwrap_or(0));
            totals.diverged = totals.diverged.saturating_add(diverged);
            if let Some(loss) = row.loss {
                let since = totals.not_a_number_since.or(Some(row.round));
                totals.not_a_number_since = since.filter(|_| !loss.is_finite());
            }
            // The accuracy of a model that diverged is not a number, and never the best.
            if let Some(accuracy) = row.accuracy.filter(|a| a.is_finite()) {
                if totals.best_accuracy.is_none_or(|(best, _)| accuracy > best) {
                    totals.best_accuracy = Some((accuracy, row.round));
                }
            }
        }
        totals
    }

    /// Why none of the rounds was completed, in words.
    pub fn why_none_completed(&self, rounds: &[RoundRow]) -> String {
        if rounds.is_empty() {
            return "no round was held: the run was over before the first could be".into();
        }
        let of = |outcome| rounds.iter().filter(|row| row.outcome == outcome).count();
        let kinds = [
            (Outcome::Abandoned, "abandoned for want of reports"),
            (Outcome::Crashed, "lost to a crash of the server"),
            (Outcome::Stopped, "open when the time was over"),
        ];
        let kinds = kinds
            .into_iter()
            .map(|(outcome, words)| (of(outcome), words));
        let kinds: Vec<String> = kinds
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        let most = rounds.iter().map(|row| row.reported).max().unwrap_or(0);
        format!(
            "no round of {} was completed ({}); the most reports that one had are {most}",
            rounds.len(),
            kinds.join(", ")
        )
    }

    /// What is wrong with the figures themselves, in whole sentences; empty for most runs.
    pub fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(round) = self.not_a_number_since {
            all.push(format!(
                "The model's loss on the test set is not a finite number since round {round}, so its \
                 accuracy says nothing about learning; {REMEDY}."
            ));
        }
        if self.diverged > 0 {
            let trainings = match self.diverged {
                1 => "1 local training".to_owned(),
                n => format!("{n} local trainings"),
            };
            all.push(format!(
                "{trainings} of clients ended in a loss or in weights that are not numbers, and such \
                 clients declined (column diverged of rounds.csv); {REMEDY}."
            ));
        }
        all
    }

    /// Virtual time of the end of the run.
    pub fn virtual_time(&self) -> Span {
        Span::from_nanos(self.virtual_ns)
    }

    /// The number of used reports per second of host time.
    pub fn reports_per_second(&self) -> f64 {
        match self.real_s > 0.0 {
            true => self.reports as f64 / self.real_s,
            false => 0.0,
        }
    }
}

/// A class of the data, with the index by which models, attacks and tables name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassEntry {
    /// The index of the class.
    pub index: u32,
    /// The name that the data has for the class; its index, where the data has no name.
    pub name: String,
    /// The number of training samples, before faults and attacks change any.
    pub train: u64,
    /// The number of test samples.
    pub test: u64,
}

/// A file of the run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The name of the file in the folder.
    pub name: String,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The SHA-256 of the content that the run wrote, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The whole content of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of Shoal.
    pub version: String,
    /// The state of the run.
    pub status: Status,
    /// The error with which the run failed.
    pub error: Option<String>,
    /// The name of the scenario.
    pub name: String,
    /// The seed of the run.
    pub seed: u64,
    /// The path of the scenario's file, as it was given.
    pub scenario_file: String,
    /// The scenario as resolved: JSON, or a string of RON.
    pub scenario: serde_json::Value,
    /// Overrides of the scenario (`path=value`), in the order given.
    pub overrides: Vec<String>,
    /// The number of threads that ran jobs; no result depends on it.
    pub workers: u32,
    /// The processes, where several ran jobs; no result depends on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<Rank>,
    /// The host device that ran jobs (`cpu`, `cuda:0`).
    pub device: String,
    /// The limit that was set for the device's memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The machine on which the run was started.
    pub host: Host,
    /// The machines on which the run was resumed, where they may compute differently from the one
    /// before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed_on: Vec<Host>,
    /// Which computation was left out: `modelled`, or `sampled` with the share; `None` if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<String>,
    /// The classes of the data; of very many, the first thousand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassEntry>,
    /// When the run started, by the host's clock, in UTC.
    pub started: String,
    /// How often the run was resumed from a checkpoint, or begun again because there was none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resumed: u32,
    /// A hexadecimal digest of scenario, data and device, with which a checkpoint is compared. It is
    /// present only where checkpoints are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// When the run ended, by the host's clock, in UTC.
    pub finished: Option<String>,
    /// The hash of every delivered event and every record, in hexadecimal.
    pub trace_hash: Option<String>,
    /// The run in a few figures.
    pub totals: Option<Totals>,
    /// What became of messages, by kind.
    pub messages: Messages,
    /// The number of reports that were not used, by reason.
    #[serde(default)]
    pub rejections: Rejections,
    /// The number of tasks that were declined for want of budget, by what was spent.
    #[serde(default, skip_serializing_if = "Declined::is_empty")]
    pub declined: Declined,
    /// How evenly clients were asked, where some may be away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participation: Option<Participation>,
    /// The used reports by their staleness in server steps, where the server holds no rounds.
    #[serde(default, skip_serializing_if = "Staleness::is_empty")]
    pub staleness: Staleness,
    /// All invitations by what became of them, and what they cost: the sums over `invitations.csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitations: Option<InvitationRow>,
    /// The number of values that were beyond the range of the histograms, where they count as its end.
    #[serde(default, skip_serializing_if = "Clipped::is_empty")]
    pub clipped: Clipped,
    /// The files of the folder.
    pub files: Vec<FileEntry>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The text before the record's own digest, at the end of the file.
const OWN_DIGEST: &[u8] = b",\n  \"record_sha256\": \"";
/// The text after the digest.
const END: &[u8] = b"\"\n}\n";

/// Bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of the text of a record up to the place of its own digest.
fn own_digest(text: &[u8]) -> String {
    hexadecimal(&Sha256::digest(text))
}

/// Whether the text of a `run.json` is as a run wrote it: its last field, `record_sha256`, is then the
/// SHA-256 of all text before that field.
pub fn is_as_written(text: &[u8]) -> bool {
    let head = text.strip_suffix(END).and_then(|rest| {
        let (rest, digest) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
        Some((rest.strip_suffix(OWN_DIGEST)?, digest))
    });
    head.is_some_and(|(head, digest)| own_digest(head).as_bytes() == digest)
}

impl RunRecord {
    /// In what `now` may compute differently from the machines of the run, one line each.
    pub fn differences(&self, now: &Host) -> Vec<String> {
        let last = self.resumed_on.last().unwrap_or(&self.host);
        let mut found = last.differences(now);
        if !self.resumed_on.is_empty() {
            found.insert(
                0,
                "it was made on several machines, which may compute differently".into(),
            );
        }
        found
    }

    /// The text of `run.json`, which ends with the digest of the text before it.
    pub(crate) fn to_text(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        // Removes the closing bracket and the line break before it.
        text.truncate(text.len().saturating_sub(2));
        let digest = own_digest(&text);
        text.extend_from_slice(OWN_DIGEST);
        text.extend_from_slice(digest.as_bytes());
        text.extend_from_slice(END);
        Ok(text)
    }

    /// Reads a `run.json`.
    pub fn read(path: &Path) -> Result<Self, ObserveError> {
        let text = disk::read(path).map_err(|e| ObserveError::io(path, "read", e))?;
        Self::parse(&text, path)
    }

    /// Reads the text of a `run.json` that lies at `path`.
    pub(crate) fn parse(text: &[u8], path: &Path) -> Result<Self, ObserveError> {
        serde_json::from_slice(text).map_err(|e| ObserveError::Malformed {
            path: path.to_path_buf(),
            line: e.line() as u64,
            message: shown(&e.to_string(), 400),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::{RunFolder, RECORD};
    use super::*;
    use std::time::Duration;

    fn record() -> RunRecord {
        RunRecord {
            version: "0.1.0".to_owned(),
            status: Status::Running,
            error: None,
            name: "quickstart".to_owned(),
            seed: u64::MAX,
            scenario_file: "scenarios/quickstart.ron".to_owned(),
            scenario: serde_json::Value::from("(name: \"quickstart\")"),
            overrides: vec!["schedule.rounds=3".to_owned()],
            workers: 2,
            ranks: Vec::new(),
            device: "cpu".to_owned(),
            memory: None,
            compute: Some("sampled (0.05)".to_owned()),
            host: Host::detect("2.11.0"),
            classes: vec![ClassEntry {
                index: 0,
                name: "cat".to_owned(),
                train: 3,
                test: 1,
            }],
            resumed_on: Vec::new(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            resumed: 0,
            identity: None,
            finished: None,
            trace_hash: None,
            totals: None,
            messages: Messages::new(),
            rejections: Rejections::new(),
            declined: Declined::from([("data plan spent".to_owned(), 3)]),
            participation: None,
            staleness: Staleness([(0, 3), (2, 1)].into()),
            invitations: Some(InvitationRow::of(0)),
            clipped: Clipped::from([("round duration".to_owned(), 2)]),
            files: Vec::new(),
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written_and_is_replaced_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create_under(root.path(), "a", 1).unwrap();
        let path = folder.path().join(RECORD);
        let mut record = record();
        folder.write_record(&record).unwrap();
        assert_eq!(RunRecord::read(&path).unwrap(), record);
        record.status = Status::Completed;
        record.trace_hash = Some("9f2c".to_owned());
        record.totals = Some(Totals::of(
            &[],
            VirtualTime::NEVER,
            7,
            Duration::from_millis(1500),
        ));
        record.files = folder.files().unwrap();
        record.messages.insert(
            "model".to_owned(),
            MessageCount {
                sent: 10,
                duplicated: 0,
                delivered: 10,
                ..MessageCount::default()
            },
        );
        folder.write_record(&record).unwrap();
        assert_eq!(RunRecord::read(&path).unwrap(), record);
    }

    #[test]
    fn every_byte_of_a_record_is_in_its_digest() {
        let text = record().to_text().unwrap();
        let read: RunRecord = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, record());
        assert!(is_as_written(&text));
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed[place] ^= 1;
            assert!(!is_as_written(&changed), "byte {place}");
            assert!(!is_as_written(&text[..place]), "cut at {place}");
        }
        assert!(!is_as_written(&[text.as_slice(), b"\n"].concat()));
        // A record of a version that wrote no digests.
        assert!(!is_as_written(
            &serde_json::to_vec_pretty(&record()).unwrap()
        ));
    }

    #[test]
    fn a_damaged_record_is_an_error_with_its_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run.json");
        std::fs::write(&path, "{\n  \"version\": 3\n}").unwrap();
        let error = RunRecord::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("run.json:2: invalid type: integer"),
            "{error}"
        );
    }

    #[test]
    fn totals_are_the_sums_of_the_rounds() {
        let row = |round, accuracy, outcome| RoundRow {
            round,
            reported: 10,
            bytes_down: 100,
            bytes_up: 7,
            accuracy,
            outcome,
            ..RoundRow::default()
        };
        let rounds = [
            row(1, Some(0.5), Outcome::Completed),
            row(2, Some(0.9), Outcome::Completed),
            row(3, Some(0.8), Outcome::Abandoned),
            row(4, None, Outcome::Completed),
        ];
        let end = VirtualTime::from_nanos(5);
        let totals = Totals::of(&rounds, end, 99, Duration::from_secs(4));
        assert_eq!((totals.rounds, totals.completed), (4, 3));
        assert_eq!(
            (totals.reports, totals.bytes_down, totals.bytes_up),
            (40, 400, 28)
        );
        assert_eq!(totals.final_accuracy, Some(0.8));
        assert_eq!(totals.best_accuracy, Some((0.9, 2)));
        assert_eq!(totals.reports_per_second(), 10.0);
    }

    #[test]
    fn an_accuracy_that_is_not_a_number_is_never_the_best() {
        let row = |round, accuracy| RoundRow {
            round,
            accuracy: Some(accuracy),
            ..RoundRow::default()
        };
        let best = |rounds: &[RoundRow]| {
            Totals::of(rounds, VirtualTime::ZERO, 0, Duration::ZERO).best_accuracy
        };
        assert_eq!(best(&[row(1, f64::NAN), row(2, 0.1)]), Some((0.1, 2)));
        assert_eq!(best(&[row(1, 0.1), row(2, f64::NAN)]), Some((0.1, 1)));
    }

    #[test]
    fn accounting_balances_only_when_no_message_is_missing() {
        let mut count = MessageCount {
            sent: 10,
            duplicated: 0,
            delivered: 6,
            lost: 2,
            dropped: 1,
            in_flight: 1,
            bytes: 0,
            bytes_delivered: 0,
            bytes_setup: 0,
            bytes_acks: 0,
        };
        assert!(count.balances());
        count.lost = 1;
        assert!(!count.balances());
        count.lost = u64::MAX;
        assert!(!count.balances());
    }
}
