//! A table of intervals: `client,start_s,end_s`.
//!
//! `client` is a whole number; the numbers that occur, in order, are the rows. Lines may stand in any
//! order; intervals of one client may touch, but not overlap.

use super::{nanos, wrong, Row};
use crate::data::{DataError, Place};
use std::collections::BTreeMap;
use std::path::Path;

const COLUMNS: [&str; 3] = ["client", "start_s", "end_s"];

fn line(line: u64) -> Place {
    Place::Line { line, column: 0 }
}

fn fields(line: &str) -> Vec<&str> {
    line.split(',').map(str::trim).collect()
}

pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<Row>, DataError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        let at = 1 + before.filter(|byte| **byte == b'\n').count() as u64;
        wrong(file, line(at), "UTF-8", "bytes that are none")
    })?;
    let mut lines = (1..).zip(text.lines());
    let header = lines.next().map_or("", |(_, header)| header);
    if fields(header) != COLUMNS {
        return Err(wrong(
            file,
            line(1),
            COLUMNS.join(","),
            format!("{header:?}"),
        ));
    }
    // By client: start, end, line.
    let mut all: BTreeMap<u64, Vec<(u64, u64, u64)>> = BTreeMap::new();
    for (at, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let fields = fields(text);
        let &[client, start, end] = fields.as_slice() else {
            let found = format!("{} columns", fields.len());
            return Err(wrong(file, line(at), COLUMNS.join(","), found));
        };
        let number = client.parse();
        let number = number
            .map_err(|_| wrong(file, line(at), "a client's number", format!("{client:?}")))?;
        let time = |text: &str| {
            let time = text.parse().ok().and_then(nanos);
            let expected = "seconds in [0, 1e10]";
            time.ok_or_else(|| wrong(file, line(at), expected, format!("{text:?}")))
        };
        let (from, until) = (time(start)?, time(end)?);
        if from >= until {
            let expected = format!("an end after the start at {start} s");
            return Err(wrong(file, line(at), expected, format!("{end} s")));
        }
        all.entry(number).or_default().push((from, until, at));
    }
    let rows = all.into_iter().map(|(client, mut intervals)| {
        intervals.sort_unstable();
        let times = intervals.iter().map(|&(start, end, _)| (start, end));
        Row::of(times).map_err(|number| {
            let [before, at] = [number.saturating_sub(1), number]
                .map(|number| intervals.get(number).map_or(0, |interval| interval.2));
            let expected = format!("intervals of client {client} that do not overlap");
            wrong(
                file,
                line(at),
                expected,
                format!("one that overlaps line {before}"),
            )
        })
    });
    rows.collect()
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
    fn what_is_wrong_is_told_with_its_line() {
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
