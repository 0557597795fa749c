//! FedScale's behaviour trace as JSON.
//!
//! ```json
//! { "1": { "active": [12788, 100044], "inactive": [65881, 133574], "finish_time": 518400 } }
//! ```
//!
//! A client is present from each `active` time to the `inactive` time at the same position, in seconds
//! modulo its `finish_time`. Other fields are ignored. FedScale keeps the trace as a pickle, and counts
//! both ends as present; here the end does not count. Rows have the order of the file.

use super::{nanos, wrong, Row};
use crate::data::{DataError, Place};
use crate::quantity::shown;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

#[derive(Deserialize)]
struct Typed {
    active: Vec<f64>,
    inactive: Vec<f64>,
    finish_time: f64,
}

impl Typed {
    fn row(&self) -> Result<Row, String> {
        let (on, off) = (self.active.len(), self.inactive.len());
        if on != off {
            return Err(format!(
                "expected as many inactive as active times, found {off} and {on}"
            ));
        }
        let time = |seconds: f64| {
            let outside = || {
                let said = format!("expected seconds in [0, 1e10], found {seconds}");
                match super::is_unix_milliseconds(seconds) {
                    true => format!("{said}; {}", super::FROM_MILLISECONDS),
                    false => said,
                }
            };
            nanos(seconds).ok_or_else(outside)
        };
        let period = time(self.finish_time)?;
        let pairs = self.active.iter().zip(&self.inactive);
        let intervals = pairs.map(|(&on, &off)| Ok((time(on)?, time(off)?)));
        let intervals = intervals.collect::<Result<Vec<_>, String>>()?;
        let row = Row::of(intervals).map_err(|number| {
            format!(
                "expected active and inactive times that take turns, found the interval from {} to {}",
                self.active[number], self.inactive[number]
            )
        })?;
        if period == 0 || row.end() > period {
            return Err(format!(
                "expected a finish_time above 0 and not before the last interval ends, found {}",
                self.finish_time
            ));
        }
        Ok(Row {
            period: Some(period),
            ..row
        })
    }
}

/// The rows of an object, in its order.
struct Rows(Vec<Row>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with active, inactive and finish_time for each client")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
                let mut rows = Vec::new();
                let mut seen = BTreeSet::new();
                while let Some(client) = map.next_key::<String>()? {
                    let typed: Typed = map.next_value()?;
                    let problem = |what: String| {
                        de::Error::custom(format!("client {:?}: {what}", shown(&client, 40)))
                    };
                    rows.push(typed.row().map_err(problem)?);
                    if !seen.insert(client.clone()) {
                        return Err(problem("expected each client once, found it again".into()));
                    }
                }
                Ok(Rows(rows))
            }
        }
        from.deserialize_map(Each)
    }
}

pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<Row>, DataError> {
    let Rows(rows) = serde_json::from_slice(bytes).map_err(|error| {
        let place = Place::Line {
            line: error.line() as u64,
            column: error.column() as u64,
        };
        // The place is part of the error already, so the end of the sentence is cut off.
        let tail = format!(" at line {} column {}", error.line(), error.column());
        let said = error.to_string();
        let said = said.strip_suffix(&tail).unwrap_or(&said);
        wrong(
            file,
            place,
            "FedScale's behaviour trace as JSON",
            format!("this: {said}"),
        )
    })?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        parse(Path::new("t.json"), text.as_bytes())
            .unwrap_err()
            .to_string()
    }

    /// The example of FedScale's documentation has 8 intervals in six days.
    #[test]
    fn a_row_of_fedscale_is_read() {
        let text = r#"{"3": {"duration": 211625,
            "inactive": [65881, 133574, 208292, 276575, 295006, 356236, 400906, 475099],
            "finish_time": 518400,
            "active": [12788, 100044, 188992, 271372, 276663, 352625, 356267, 442039],
            "model": "CPH1801"}, "1": {"active": [], "inactive": [], "finish_time": 5}}"#;
        let rows = parse(Path::new("t.json"), text.as_bytes()).unwrap();
        assert_eq!(rows.len(), 2);
        let s = 1_000_000_000;
        assert_eq!(rows[0].intervals.len(), 8);
        assert_eq!(rows[0].intervals[7], (442_039 * s, 475_099 * s));
        assert_eq!(rows[0].period, Some(518_400 * s));
        assert_eq!(rows[1].intervals, []);
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_line() {
        let one = |fields: &str| said(&format!("{{\n\"a\": {{{fields}}}\n}}"));
        for (said, has) in [
            (said("[]"), "t.json:1:"),
            (said("{\n\"a\": 3}"), "t.json:2:"),
            (said("{\n\"a\": {\"active\": []\n"), "t.json:3:"),
            (
                one("\"active\": [1], \"inactive\": [], \"finish_time\": 5"),
                "as many inactive as active times, found 0 and 1",
            ),
            (
                one("\"active\": [1, 2], \"inactive\": [3, 4], \"finish_time\": 5"),
                "the interval from 2 to 4",
            ),
            (
                one("\"active\": [1], \"inactive\": [3], \"finish_time\": 2"),
                "found 2",
            ),
            (
                one("\"active\": [-1], \"inactive\": [3], \"finish_time\": 9"),
                "found -1",
            ),
            (
                one("\"active\": [1577836800000], \"inactive\": [3], \"finish_time\": 9"),
                "Unix time in milliseconds",
            ),
            (
                one("\"active\": [1], \"inactive\": [3]"),
                "missing field `finish_time`",
            ),
        ] {
            assert!(said.contains(has), "{said}");
            assert!(said.starts_with("t.json:"), "{said}");
        }
        let row = "{\"active\": [1], \"inactive\": [3], \"finish_time\": 5}";
        let twice = said(&format!("{{\"a\": {row},\n\"a\": {row}}}"));
        assert!(
            twice.contains("client \"a\": expected each client once"),
            "{twice}"
        );
    }
}
