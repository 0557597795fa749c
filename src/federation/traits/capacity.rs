//! Speeds and link rates as they were measured: FedScale's capacity trace (Lai et al. 2022,
//! `client_device_capacity`) as a table.

use crate::data::{lines_of, read_whole, DataError, Place};
use crate::quantity::{shown, Bandwidth, Flops};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The largest file that is read as a trace.
const MOST_BYTES: u64 = 1 << 30;

/// The column with the milliseconds that a sample takes.
const COMPUTATION: &str = "computation";
/// The column with the link rate in kbit/s.
const COMMUNICATION: &str = "communication";

/// A capacity trace. The n-th client of a group has row n modulo the number of rows: with 3 rows, client 4
/// has row 1, counted from 0.
#[derive(Debug, Clone, Serialize)]
pub struct Capacity {
    /// The file, as the scenario names it.
    pub file: PathBuf,
    /// The XXH3 (64 bits) of the file, whose content is part of the scenario.
    pub content: u64,
    /// How many times as long as in the file training on a sample takes.
    pub factor: f64,
    /// The rows of the file, at least one.
    #[serde(skip)]
    pub rows: Arc<[CapacityRow]>,
}

impl PartialEq for Capacity {
    fn eq(&self, other: &Self) -> bool {
        (&self.file, self.content, self.factor) == (&other.file, other.content, other.factor)
    }
}

/// One measured client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CapacityRow {
    /// How many milliseconds a sample takes.
    pub computation: f64,
    /// The rate of the link, in either direction.
    pub communication: Bandwidth,
}

impl Capacity {
    fn row(&self, place: u32) -> Option<&CapacityRow> {
        self.rows
            .get((place as usize).checked_rem(self.rows.len())?)
    }

    /// The speed in FLOP/s at which a training step that costs `step` for a sample takes as long as the trace
    /// says. A narrower network, with fewer FLOPs, takes proportionally less.
    pub(super) fn speed(&self, place: u32, step: Flops) -> f64 {
        let seconds = self.row(place).map_or(1.0, |row| row.computation / 1e3);
        step.0 as f64 / (seconds * self.factor)
    }

    /// The rate of the client's link, in either direction.
    pub fn rate(&self, place: u32) -> Bandwidth {
        self.row(place)
            .map_or(Bandwidth::SLOWEST, |row| row.communication)
    }
}

/// Reads a trace. Returns its rows and the XXH3 of the file.
///
/// # Errors
/// [`DataError`], with the line where the file is wrong.
pub fn read(path: &Path) -> Result<(Vec<CapacityRow>, u64), DataError> {
    let bytes = read_whole(path, MOST_BYTES)?;
    Ok((parse(path, &bytes)?, xxh3_64(&bytes)))
}

/// The shortest line: `1,1` and its end.
const SHORTEST: usize = 4;

fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<CapacityRow>, DataError> {
    let wrong = |line: u64, expected: &str, found: String| {
        DataError::malformed(file, Place::Line { line, column: 0 }, expected, found)
    };
    let quoted = |text: &str| format!("{:?}", shown(text, 40));
    let mut lines = lines_of(file, bytes)?;
    let header = lines.next().map_or("", |(_, header)| header);
    // The file may have other columns, for example a client's number.
    let column = |name: &str| {
        let expected = "a header with the columns computation and communication";
        let place = header.split(',').position(|field| field.trim() == name);
        place.ok_or_else(|| wrong(1, expected, quoted(header)))
    };
    let (computation, communication) = (column(COMPUTATION)?, column(COMMUNICATION)?);
    let columns = header.split(',').count();
    // Room for as many rows as there can be: a vector that grows would hold the rows twice.
    let counted = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
    let mut rows = Vec::with_capacity(counted.min(1 + bytes.len() / SHORTEST));
    for (at, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let found = text.split(',').count();
        if found != columns {
            let expected = format!("{columns} columns");
            return Err(wrong(at, &expected, found.to_string()));
        }
        let number = |column: usize, expected: &str| {
            let field = text.split(',').nth(column).unwrap_or_default().trim();
            let number = field.parse::<f64>().ok();
            let number = number.filter(|number| *number > 0.0 && *number <= 1e12);
            number.ok_or_else(|| wrong(at, expected, quoted(field)))
        };
        let rate = "kbit/s in (0, 1e12] for communication";
        let kbit = number(communication, rate)?;
        rows.push(CapacityRow {
            computation: number(computation, "milliseconds in (0, 1e12] for computation")?,
            communication: Bandwidth::bits_per_second(kbit * 1e3)
                .ok_or_else(|| wrong(at, rate, kbit.to_string()))?,
        });
    }
    match rows.is_empty() {
        true => Err(wrong(2, "a row for a client", "none".into())),
        false => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_rows_are_taken_in_turn() {
        let text = "client,communication,computation\n1, 2000 ,40\n\n2,5,0.5\n";
        let rows = parse(Path::new("c.csv"), text.as_bytes()).unwrap();
        let capacity = Capacity {
            file: "c.csv".into(),
            content: 0,
            factor: 3.0,
            rows: rows.into(),
        };
        let rates: Vec<f64> = (0..3).map(|place| capacity.rate(place).get()).collect();
        assert_eq!(rates, [2e6, 5e3, 2e6]);
        // A sample takes three times 40 ms: 6 MFLOP in 120 ms are 50 MFLOP/s.
        assert_eq!(capacity.speed(2, Flops(6_000_000)), 5e7);
        assert_eq!(capacity.speed(1, Flops(3_000)), 2e6);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_header() {
        let text = "\u{feff}computation,communication\r\n40,2000\r\n";
        assert_eq!(parse(Path::new("c.csv"), text.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn a_header_is_cut_where_it_is_shown() {
        let text = "x".repeat(1 << 20);
        let error = parse(Path::new("c.csv"), text.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.len() < 300, "{} bytes", error.len());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let said = |text: &str| {
            parse(Path::new("c.csv"), text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        let head = "computation,communication\n";
        for (said, expected) in [
            (
                said("computation,bandwidth\n1,2\n"),
                "c.csv:1: expected a header with the columns computation and communication, found \"computation,bandwidth\"",
            ),
            (said(""), "c.csv:1: expected a header with the columns computation and communication, found \"\""),
            (said(head), "c.csv:2: expected a row for a client, found none"),
            (said(&format!("{head}1,2,3\n")), "c.csv:2: expected 2 columns, found 3"),
            (
                said(&format!("{head}1,2\n0,2\n")),
                "c.csv:3: expected milliseconds in (0, 1e12] for computation, found \"0\"",
            ),
            (
                said(&format!("{head}1,NaN\n")),
                "c.csv:2: expected kbit/s in (0, 1e12] for communication, found \"NaN\"",
            ),
        ] {
            assert_eq!(said, expected);
        }
    }
}
