//! Presence as recorded: a file of intervals, whose rows the clients of a group take in turn.
//!
//! The ending of the file's name decides between two forms:
//!
//! - `.csv`: a table `client,start_s,end_s`, one interval a line ([`csv`]);
//! - `.json`: FedScale's behaviour trace (Lai et al. 2022, ICML, `client_behave_trace`), an object with
//!   `active`, `inactive` and `finish_time` for each client ([`json`]).

mod csv;
mod json;

use super::{Session, Whose};
use crate::data::{read_whole, DataError, Place};
use crate::quantity::{shown, Span, VirtualTime};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The largest size of a trace in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// A recorded trace. The n-th client of a group follows row n modulo the number of rows. For example,
/// with 100 rows, client 250 of a group follows row 50.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// The file, as the scenario names it.
    pub file: PathBuf,
    /// The XXH3 hash (64 bits) of the file: the content of the file is part of the scenario.
    pub content: u64,
    /// The time after which each row begins again; if not given, the row decides, or it never begins
    /// again.
    pub period: Option<Span>,
    /// The rows of the file; at least one.
    #[serde(skip)]
    pub rows: Arc<[Row]>,
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        (&self.file, self.content, self.period) == (&other.file, other.content, other.period)
    }
}

/// The intervals of one recorded client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Start and end of each interval in nanoseconds; in order, not touching, none empty.
    intervals: Vec<(u64, u64)>,
    /// The number of nanoseconds after which the row begins again, at least the last end; `None` if it
    /// never does.
    period: Option<u64>,
}

impl Row {
    /// Makes a row of sorted intervals: intervals that touch are joined, and empty ones are left out.
    /// `Err` has the number of the first interval that is out of order or overlaps the one before.
    pub(super) fn of(intervals: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, usize> {
        let intervals = intervals.into_iter();
        let mut row = Self::default();
        // A trace may have millions of rows of one interval each, or one row of millions of intervals.
        row.intervals.reserve_exact(intervals.size_hint().0);
        let mut last = 0;
        for (number, (start, end)) in intervals.enumerate() {
            if end < start || start < last {
                return Err(number);
            }
            last = end;
            match row.intervals.last_mut() {
                _ if start == end => {}
                Some(before) if before.1 == start => before.1 = end,
                _ => row.intervals.push((start, end)),
            }
        }
        Ok(row)
    }

    /// The end of the last interval, in nanoseconds.
    pub fn end(&self) -> u64 {
        self.intervals.last().map_or(0, |interval| interval.1)
    }

    fn at_or_after(&self, now: u64, period: Option<u64>) -> Option<Session> {
        let period = period.or(self.period).filter(|period| *period > 0);
        let within = period.map_or(now, |period| now % period);
        let begun = now - within;
        let next = self.intervals.partition_point(|(_, end)| *end <= within);
        let (begun, interval) = match (self.intervals.get(next), period) {
            (Some(interval), _) => (begun, interval),
            (None, Some(period)) => (begun.checked_add(period)?, self.intervals.first()?),
            (None, None) => return None,
        };
        let moment = |nanos: u64| VirtualTime::from_nanos(begun.saturating_add(nanos));
        Some(Session {
            start: moment(interval.0),
            end: moment(interval.1),
        })
    }
}

impl Trace {
    pub(super) fn at_or_after(&self, whose: Whose, now: VirtualTime) -> Option<Session> {
        let place = (whose.place as usize).checked_rem(self.rows.len())?;
        let period = self.period.map(Span::nanos);
        self.rows.get(place)?.at_or_after(now.nanos(), period)
    }

    /// When the first interval begins, if that looks like Unix time: a run begins at 0, so no client
    /// would be present for decades. `None` for a trace that begins as a run does.
    pub fn unix_start(&self) -> Option<Span> {
        let starts = self.rows.iter().filter_map(|row| row.intervals.first());
        let first = starts.map(|interval| interval.0).min()?;
        (first >= UNIX * 1_000_000_000).then(|| Span::from_nanos(first))
    }

    /// Whether the rows begin again.
    pub fn repeats(&self) -> bool {
        self.period.is_some() || self.rows.iter().all(|row| row.period.is_some())
    }
}

/// Reads a trace: its rows, and the XXH3 hash of the file.
///
/// # Errors
/// Returns a [`DataError`], with the line at which the file is wrong.
pub fn read(path: &Path) -> Result<(Vec<Row>, u64), DataError> {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let parse = match ending.to_ascii_lowercase().as_str() {
        "csv" => csv::parse,
        "json" => json::parse,
        _ => {
            return Err(DataError::Malformed {
                file: path.to_path_buf(),
                place: Place::Whole,
                expected: "a trace whose name ends in .csv or .json".into(),
                found: format!("{:?}", shown(&ending, 40)),
                remedy: String::new(),
            })
        }
    };
    let bytes = read_whole(path, MOST_BYTES)?;
    let rows = parse(path, &bytes)?;
    if rows.iter().all(|row| row.intervals.is_empty()) {
        return Err(wrong(
            path,
            Place::Whole,
            "an interval of some client",
            "none",
        ));
    }
    Ok((rows, xxh3_64(&bytes)))
}

fn wrong(
    file: &Path,
    place: Place,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> DataError {
    DataError::malformed(file, place, expected, found)
}

/// A time above this is more likely in seconds since 1970 than since the start of a run: 32 years.
const UNIX: u64 = 1_000_000_000;

/// The advice for a trace in milliseconds since 1970.
const FROM_MILLISECONDS: &str =
    "this looks like Unix time in milliseconds: divide by 1000, and subtract the \
                                 first time, as a run begins at 0";

/// Whether a number that is too large for seconds looks like milliseconds since 1970.
fn is_unix_milliseconds(seconds: f64) -> bool {
    (1e12..1e13).contains(&seconds)
}

/// Seconds as nanoseconds; `None` for a number that cannot be a time of a run.
fn nanos(seconds: f64) -> Option<u64> {
    // The limit is 317 years, as for any duration in a scenario.
    let fits = (0.0..=1e10).contains(&seconds);
    fits.then(|| libm::round(seconds * 1e9) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn row(intervals: &[(u64, u64)], period: Option<u64>) -> Row {
        let row = Row::of(intervals.iter().map(|(start, end)| (start * S, end * S))).unwrap();
        Row {
            period: period.map(|period| period * S),
            ..row
        }
    }

    fn trace(rows: Vec<Row>, period: Option<u64>) -> Trace {
        Trace {
            file: "x.csv".into(),
            content: 0,
            period: period.map(Span::from_secs),
            rows: rows.into(),
        }
    }

    fn whose(place: u32) -> Whose {
        Whose {
            seed: 1,
            client: 100 + place,
            place,
        }
    }

    #[test]
    fn a_trace_is_replayed_to_the_nanosecond_and_rows_are_taken_in_turn() {
        let trace = trace(
            vec![
                row(&[(2, 5), (5, 7), (9, 10)], None),
                row(&[(0, 1)], Some(4)),
            ],
            None,
        );
        let at = |place, nanos| {
            let session = trace.at_or_after(whose(place), VirtualTime::from_nanos(nanos));
            session.map(|session| (session.start.nanos(), session.end.nanos()))
        };
        for place in [0, 2, 14] {
            assert_eq!(at(place, 0), Some((2 * S, 7 * S)), "touching ones are one");
            assert_eq!(at(place, 7 * S - 1), Some((2 * S, 7 * S)));
            assert_eq!(at(place, 7 * S), Some((9 * S, 10 * S)));
            assert_eq!(at(place, 10 * S), None, "it does not begin again");
        }
        for place in [1, 3] {
            assert_eq!(at(place, 0), Some((0, S)));
            assert_eq!(at(place, S), Some((4 * S, 5 * S)));
            assert_eq!(at(place, 400 * S + 1), Some((400 * S, 401 * S)));
        }
        assert!(!trace.repeats());
        let again = super::Trace {
            period: Some(Span::from_secs(10)),
            ..trace
        };
        assert!(again.repeats());
        let next = again.at_or_after(whose(0), VirtualTime::from_nanos(10 * S));
        assert_eq!(next.map(|s| s.start.nanos()), Some(12 * S));
    }

    #[test]
    fn a_trace_in_unix_time_is_recognised() {
        let start = 1_577_836_800;
        let unix = trace(vec![row(&[(start, start + 60)], None)], None);
        assert_eq!(unix.unix_start(), Some(Span::from_secs(start)));
        let mixed = trace(
            vec![row(&[(start, start + 60)], None), row(&[(3, 4)], None)],
            None,
        );
        assert_eq!(mixed.unix_start(), None);
    }

    #[test]
    fn intervals_out_of_order_are_no_row() {
        assert_eq!(Row::of([(5, 6), (3, 4)]), Err(1));
        assert_eq!(Row::of([(5, 4)]), Err(0));
        assert_eq!(Row::of([(1, 3), (2, 4)]), Err(1));
        assert_eq!(Row::of([(2, 2)]).unwrap().intervals, []);
    }

    proptest! {
        /// Against a walk over the list, nanosecond by nanosecond.
        #[test]
        fn being_there_is_being_in_an_interval(
            lengths in prop::collection::vec(0u64..6, 2..12),
            rest in 0u64..5,
        ) {
            let mut edges = vec![];
            let mut at = 0;
            for pair in lengths.chunks_exact(2) {
                edges.push((at + pair[0], at + pair[0] + pair[1]));
                at += pair[0] + pair[1];
            }
            let period = (at + rest).max(1);
            let row = Row { period: Some(period), ..Row::of(edges.clone()).unwrap() };
            for now in 0..3 * period {
                let expected = edges.iter().any(|(start, end)| (*start..*end).contains(&(now % period)));
                let session = row.at_or_after(now, None);
                let found = session.is_some_and(|session| session.start.nanos() <= now);
                prop_assert_eq!(found, expected, "{}", now);
                if let Some(session) = session {
                    prop_assert!(session.end.nanos() > now && session.start < session.end);
                }
            }
        }
    }
}
