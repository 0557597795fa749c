//! Speeds and rates as they were measured: FedScale's capacity trace (Lai et al. 2022,
//! `client_device_capacity`) as a table.

use crate::data::{DataError, Place};
use crate::quantity::{Bandwidth, Flops};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// No trace is larger.
const MOST_BYTES: u64 = 1 << 30;

/// The column of milliseconds a sample.
const COMPUTATION: &str = "computation";
/// The column of kbit/s.
const COMMUNICATION: &str = "communication";

/// A capacity trace. The n-th client of a group has the row with the number n modulo the number of
/// rows.
#[derive(Debug, Clone, Serialize)]
pub struct Capacity {
    /// Where it was read from, as the scenario says it.
    pub file: PathBuf,
    /// The XXH3 (64 bits) of the file: what it says is part of the scenario.
    pub content: u64,
    /// Training on a sample takes so many times what the file says.
    pub factor: f64,
    /// What the file says; one row at least.
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
    /// Milliseconds for a sample.
    pub computation: f64,
    /// Of its link, in either direction.
    pub communication: Bandwidth,
}

impl Capacity {
    fn row(&self, place: u32) -> Option<&CapacityRow> {
        self.rows
            .get((place as usize).checked_rem(self.rows.len())?)
    }

    /// The FLOP/s at which a training step of `step` a sample takes as long as the trace says. A
    /// narrower network of fewer FLOPs takes so much less.
    pub(super) fn speed(&self, place: u32, step: Flops) -> f64 {
        let seconds = self.row(place).map_or(1.0, |row| row.computation / 1e3);
        step.0 as f64 / (seconds * self.factor)
    }

    /// The rate of the link, both ways.
    pub fn rate(&self, place: u32) -> Bandwidth {
        self.row(place)
            .map_or(Bandwidth::SLOWEST, |row| row.communication)
    }
}

/// Reads a trace: its rows, and the XXH3 of the file.
///
/// # Errors
/// [`DataError`], with the line where the file is wrong.
pub fn read(path: &Path) -> Result<(Vec<CapacityRow>, u64), DataError> {
    let unreadable = |problem: String, remedy: &str| DataError::Unreadable {
        file: path.to_path_buf(),
        problem,
        remedy: remedy.into(),
    };
    let relative = "a relative path starts at the scenario's folder";
    let meta = fs::metadata(path).map_err(|error| unreadable(error.to_string(), relative))?;
    if !meta.is_file() {
        return Err(unreadable("not a regular file".into(), ""));
    }
    if meta.len() > MOST_BYTES {
        let found = meta.len();
        return Err(unreadable(
            format!("{found} bytes, more than the {MOST_BYTES} it may have"),
            "",
        ));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string(), ""))?;
    Ok((parse(path, &bytes)?, xxh3_64(&bytes)))
}

fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<CapacityRow>, DataError> {
    let wrong = |line: u64, expected: &str, found: String| DataError::Malformed {
        file: file.to_path_buf(),
        place: Place::Line { line, column: 0 },
        expected: expected.into(),
        found,
        remedy: String::new(),
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        let line = 1 + before.filter(|byte| **byte == b'\n').count() as u64;
        wrong(line, "UTF-8", "bytes that are none".into())
    })?;
    let fields = |line: &str| -> Vec<String> { line.split(',').map(|f| f.trim().into()).collect() };
    let mut lines = (1..).zip(text.lines());
    let header = fields(lines.next().map_or("", |(_, header)| header));
    // Others may stand beside them, a client's number for one.
    let column = |name: &str| {
        let expected = "a header with the columns computation and communication";
        let place = header.iter().position(|field| field == name);
        place.ok_or_else(|| wrong(1, expected, format!("{:?}", header.join(","))))
    };
    let (computation, communication) = (column(COMPUTATION)?, column(COMMUNICATION)?);
    let mut rows = Vec::new();
    for (at, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let fields = fields(text);
        if fields.len() != header.len() {
            let expected = format!("{} columns", header.len());
            return Err(wrong(at, &expected, fields.len().to_string()));
        }
        let number = |column: usize, expected: &str| {
            let field = &fields[column];
            let number = field.parse::<f64>().ok();
            let number = number.filter(|number| *number > 0.0 && *number <= 1e12);
            number.ok_or_else(|| wrong(at, expected, format!("{field:?}")))
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
