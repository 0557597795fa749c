//! CSV tables: one sample a line, features in columns, a label column, perhaps a user column.

use super::assemble::{Names, Raw};
use super::dataset::{Values, MAX_CLASSES};
use super::error::{DataError, Place};
use crate::quantity::nearest;
use csv::{ReaderBuilder, StringRecord};
use std::io::Read;
use std::path::Path;

/// The columns that are no features.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    pub label: &'a str,
    pub user: Option<&'a str>,
}

/// A table as read. Labels are numbers of `names`, until [`resolve_labels`].
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    pub raw: Raw,
    /// Names of the feature columns.
    pub features: Vec<String>,
}

/// Reads a table; label and user names are numbered in `labels` and `users`.
pub(super) fn read(
    file: &Path,
    reader: impl Read,
    columns: Columns<'_>,
    labels: &mut Names<String>,
    users: &mut Names<String>,
) -> Result<Table, DataError> {
    let mut reader = ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(reader);
    let header = reader.headers().map_err(|e| csv_error(file, &e))?.clone();
    let label_at = position(file, &header, columns.label)?;
    let user_at = columns
        .user
        .map(|user| position(file, &header, user))
        .transpose()?;
    let is_feature = |at: usize| at != label_at && Some(at) != user_at;
    let features: Vec<String> = header
        .iter()
        .enumerate()
        .filter(|(at, _)| is_feature(*at))
        .map(|(_, name)| name.to_string())
        .collect();
    if features.is_empty() {
        let found = format!("only {}", header.iter().collect::<Vec<_>>().join(", "));
        let place = Place::Line { line: 1, column: 0 };
        return Err(DataError::malformed(file, place, "a feature column", found));
    }
    let mut values = Vec::new();
    let mut label_numbers = Vec::new();
    let mut user_numbers = user_at.map(|_| Vec::new());
    let mut record = StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|e| csv_error(file, &e))?
    {
        for (at, text) in record.iter().enumerate() {
            if at == label_at {
                label_numbers.push(labels.number(text.to_string()));
            } else if Some(at) == user_at {
                if let Some(numbers) = &mut user_numbers {
                    numbers.push(users.number(text.to_string()));
                }
            } else {
                match text.parse::<f32>() {
                    Ok(value) if value.is_finite() => values.push(value),
                    _ => return Err(not_a_number(file, &record, &header, at, text)),
                }
            }
        }
    }
    if label_numbers.is_empty() {
        return Err(DataError::malformed(
            file,
            Place::Whole,
            "a line of data below the header",
            "none",
        ));
    }
    Ok(Table {
        raw: Raw {
            shape: vec![features.len()],
            values: Values::F32(values),
            labels: label_numbers,
            users: user_numbers,
        },
        features,
    })
}

/// Turns the numbers of `names` into labels: the names themselves where all are whole numbers,
/// otherwise their places in sorted order.
pub(super) fn resolve_labels<'a>(
    file: &Path,
    names: &Names<String>,
    labels: impl IntoIterator<Item = &'a mut u32>,
) -> Result<(), DataError> {
    let numeric = names.iter().all(|(name, _)| name.parse::<i64>().is_ok());
    let mut resolved = vec![0; names.iter().count()];
    for (place, (name, number)) in names.iter().enumerate() {
        let label = match numeric {
            true => name.parse().unwrap_or(u32::MAX),
            false => place as u32,
        };
        if label as usize >= MAX_CLASSES {
            let expected = format!("labels from 0 to {}", MAX_CLASSES - 1);
            return Err(DataError::malformed(file, Place::Whole, expected, name));
        }
        if let Some(slot) = resolved.get_mut(number as usize) {
            *slot = label;
        }
    }
    for label in labels {
        *label = resolved.get(*label as usize).copied().unwrap_or(0);
    }
    Ok(())
}

fn position(file: &Path, header: &StringRecord, wanted: &str) -> Result<usize, DataError> {
    let place = Place::Line { line: 1, column: 0 };
    let mut found = header
        .iter()
        .enumerate()
        .filter(|(_, name)| *name == wanted);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => Err(DataError::malformed(
            file,
            place,
            format!("one column {wanted:?}"),
            "two of them",
        )),
        _ => {
            let names: Vec<_> = header.iter().take(20).collect();
            let found = format!("columns {}", names.join(", "));
            let error = DataError::malformed(file, place, format!("a column {wanted:?}"), found);
            Err(match nearest(wanted, header) {
                Some(name) => error.advise(&format!("did you mean {name:?}?")),
                None => error,
            })
        }
    }
}

fn not_a_number(
    file: &Path,
    record: &StringRecord,
    header: &StringRecord,
    at: usize,
    text: &str,
) -> DataError {
    let line = record.position().map_or(0, csv::Position::line);
    let place = Place::Line {
        line,
        column: at as u64 + 1,
    };
    let name = header.get(at).unwrap_or("");
    let shown: String = text.chars().take(40).collect();
    DataError::malformed(
        file,
        place,
        format!("a finite number in column {name:?}"),
        format!("{shown:?}"),
    )
}

fn csv_error(file: &Path, error: &csv::Error) -> DataError {
    let line = error.position().map_or(1, csv::Position::line);
    let (expected, found) = match error.kind() {
        csv::ErrorKind::Io(e) => return DataError::unreadable(file, e),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => (
            format!("{expected_len} fields, as in the first line"),
            format!("{len}"),
        ),
        csv::ErrorKind::Utf8 { .. } => ("text in UTF-8".into(), "other bytes".into()),
        _ => ("a CSV record".into(), error.to_string()),
    };
    DataError::malformed(file, Place::Line { line, column: 0 }, expected, found)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn parse(text: &[u8], label: &str, user: Option<&str>) -> Result<Table, DataError> {
        let (mut labels, mut users) = (Names::default(), Names::default());
        let columns = Columns { label, user };
        let mut table = read(Path::new("t.csv"), text, columns, &mut labels, &mut users)?;
        resolve_labels(Path::new("t.csv"), &labels, &mut table.raw.labels)?;
        Ok(table)
    }

    fn error(text: &str) -> String {
        parse(text.as_bytes(), "y", Some("who"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn columns_are_told_apart_by_name() {
        let table = parse(
            b"who,a,y,b\nann,1,2,3\nbob,4,0,-5e1\nann,7,2,9\n",
            "y",
            Some("who"),
        )
        .unwrap();
        assert_eq!(table.features, ["a", "b"]);
        assert_eq!(
            table.raw.values,
            Values::F32(vec![1.0, 3.0, 4.0, -50.0, 7.0, 9.0])
        );
        assert_eq!(table.raw.labels, [2, 0, 2]);
        assert_eq!(table.raw.users, Some(vec![0, 1, 0]));
    }

    #[test]
    fn labels_that_are_names_are_numbered_in_sorted_order() {
        let table = parse(b"a,y\n1,setosa\n2,virginica\n3,setosa\n4,10\n", "y", None).unwrap();
        assert_eq!(table.raw.labels, [1, 2, 1, 0]);
    }

    #[test]
    fn an_error_names_line_and_column() {
        assert_eq!(
            error("who,a,y\nann,1,0\nbob,x,1\n"),
            "t.csv:3:2: expected a finite number in column \"a\", found \"x\""
        );
        assert!(error("who,a,y\nann,NaN,0\n").contains("found \"NaN\""));
        assert!(error("who,a,y\nann,1e99,0\n").contains("found \"1e99\""));
        assert_eq!(
            error("who,a,y\nann,1\n"),
            "t.csv:2: expected 3 fields, as in the first line, found 2"
        );
        assert!(error("who,a,y\n").contains("a line of data below the header"));
        assert!(error("who,y\nann,1\n").contains("a feature column"));
        assert!(error("who,a,y,y\nann,1,1,1\n").contains("one column \"y\", found two"));
        assert!(error("who,a,y\nann,1,-3\n").contains("labels from 0"));
        assert!(error("who,a,y\nann,1,99999999999\n").contains("labels from 0"));
        assert!(error("").contains("a column \"y\""));
    }

    #[test]
    fn a_misspelt_column_gets_its_neighbour() {
        let error = parse(b"a,label\n1,0\n", "lable", None)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "t.csv:1: expected a column \"lable\", found columns a, label; did you mean \"label\"?"
        );
    }
}
