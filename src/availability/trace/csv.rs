//! A trace as a table of intervals: `client,start_s,end_s`.
//!
//! `client` is a whole number; each number that occurs is a row, in ascending order. Lines may stand in
//! any order; the intervals of one client may touch, but not overlap. For example, `7,0,3600` says that
//! client 7 is present in the first hour.

use super::{nanos, wrong, Row};
use crate::data::{lines_of, DataError, Place};
use crate::quantity::shown;
use std::path::Path;

const COLUMNS: [&str; 3] = ["client", "start_s", "end_s"];

/// The length of the shortest line, `0,0,1` and its end.
const SHORTEST: usize = 6;

fn line(line: u64) -> Place {
    Place::Line { line, column: 0 }
}

fn quoted(text: &str) -> String {
    format!("{:?}", shown(text, 40))
}

/// One line: the client, the start, the end, and the number of the line.
type Interval = (u64, u64, u64, u64);

pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<Row>, DataError> {
    let mut lines = lines_of(file, bytes)?;
    let header = lines.next().map_or("", |(_, header)| header);
    if !header.split(',').map(str::trim).eq(COLUMNS) {
        return Err(wrong(file, line(1), COLUMNS.join(","), quoted(header)));
    }
    // The memory for all lines is reserved at once, since a growing list would hold them twice.
    let most = 1 + bytes.len() / SHORTEST;
    let counted = bytes.iter().filter(|byte| **byte == b'\n').count();
    let mut all: Vec<Interval> = Vec::with_capacity(most.min(counted + 1));
    for (at, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        all.push(interval(file, at, text)?);
    }
    all.sort_unstable();
    let groups = || all.chunk_by(|a, b| a.0 == b.0);
    let mut rows = Vec::with_capacity(groups().count());
    for own in groups() {
        let client = own.first().map_or(0, |interval| interval.0);
        let times = own.iter().map(|&(_, start, end, _)| (start, end));
        let row = Row::of(times).map_err(|number| {
            let [before, at] = [number.saturating_sub(1), number]
                .map(|number| own.get(number).map_or(0, |interval| interval.3));
            let expected = format!("intervals of client {client} that do not overlap");
            let found = format!("one that overlaps line {before}");
            wrong(file, line(at), expected, found)
        })?;
        rows.push(row);
    }
    Ok(rows)
}

/// Reads the line with the number `at`.
fn interval(file: &Path, at: u64, text: &str) -> Result<Interval, DataError> {
    let mut fields = text.split(',').map(str::trim);
    let (Some(client), Some(start), Some(end), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        let found = format!("{} columns", text.split(',').count());
        return Err(wrong(file, line(at), COLUMNS.join(","), found));
    };
    let number = client.parse();
    let number = number.map_err(|_| wrong(file, line(at), "a client's number", quoted(client)))?;
    let time = |text: &str| {
        let seconds: Option<f64> = text.parse().ok();
        let expected = "seconds in [0, 1e10]";
        seconds.and_then(nanos).ok_or_else(|| {
            let error = wrong(file, line(at), expected, quoted(text));
            match seconds {
                Some(seconds) if super::is_unix_milliseconds(seconds) => {
                    error.advise(super::FROM_MILLISECONDS)
                }
                _ => error,
            }
        })
    };
    let (from, until) = (time(start)?, time(end)?);
    if from >= until {
        let expected = format!("an end after the start at {} s", shown(start, 40));
        let found = format!("{} s", shown(end, 40));
        return Err(wrong(file, line(at), expected, found));
    }
    Ok((number, from, until, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let error = parse(Path::new("t.csv"), text.as_bytes()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn lines_in_any_order_make_rows_by_client() {
        let text = "client,start_s,end_s\n7, 10, 20.5\n2,0,1\n7,0.000000001,3\n";
        let rows = parse(Path::new("t.csv"), text.as_bytes()).unwrap();
        let intervals: Vec<_> = rows.iter().map(|row| row.intervals.clone()).collect();
        let seven = vec![(1, 3_000_000_000), (10_000_000_000, 20_500_000_000)];
        assert_eq!(intervals, [vec![(0, 1_000_000_000)], seven]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_header() {
        let text = "\u{feff}client,start_s,end_s\r\n0,1,2\r\n";
        let rows = parse(Path::new("t.csv"), text.as_bytes()).unwrap();
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn unix_milliseconds_get_the_remedy() {
        let said = said("client,start_s,end_s\n0,1577836800000,1577836900000\n");
        assert!(
            said.contains("t.csv:2: expected seconds")
                && said.contains("Unix time in milliseconds"),
            "{said}"
        );
    }

    #[test]
    fn another_kind_of_file_is_named_as_what_it_is() {
        let error = parse(Path::new("t.csv"), b"\x1f\x8b\x08\0")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("found a gzip file; unpack it first"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_line() {
        let table = |lines: &str| said(&format!("client,start_s,end_s\n{lines}"));
        for (said, expected) in [
            (said("client,start,end\n"), "t.csv:1: expected client,start_s,end_s, found \"client,start,end\""),
            (said(""), "t.csv:1: expected client,start_s,end_s, found \"\""),
            (table("0,1,2\n0,3\n"), "t.csv:3: expected client,start_s,end_s, found 2 columns"),
            (table("x,1,2\n"), "t.csv:2: expected a client's number, found \"x\""),
            (table("0,1,2\n\n0,NaN,4\n"), "t.csv:4: expected seconds in [0, 1e10], found \"NaN\""),
            (table("0,-1,4\n"), "t.csv:2: expected seconds in [0, 1e10], found \"-1\""),
            (table("0,4,4\n"), "t.csv:2: expected an end after the start at 4 s, found 4 s"),
            (
                table("3,5,9\n3,0,6\n"),
                "t.csv:2: expected intervals of client 3 that do not overlap, found one that overlaps line 3",
            ),
        ] {
            assert_eq!(said, expected);
        }
    }
}
