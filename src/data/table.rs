//! CSV tables: one sample a line, with the features in columns, a label column, and perhaps a user
//! column.

mod header;
mod lines;

use super::assemble::{Names, Raw};
use super::dataset::Values;
use super::error::{DataError, Place};
use super::labels::{Labels, Name};
use crate::quantity::shown;
use csv::{ReaderBuilder, StringRecord};
use header::Header;
use lines::Bounded;
use std::io::BufRead;
use std::path::Path;

/// The columns that are not features.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    pub label: &'a str,
    pub user: Option<&'a str>,
}

/// A table that was read. Its labels are numbers of names, until they are mapped to classes.
#[derive(Debug)]
pub(super) struct Table {
    pub raw: Raw,
    pub header: Header,
}

/// Reads a table; label and user names are numbered in `labels` and `users`.
pub(super) fn read(
    file: &Path,
    mut reader: impl BufRead,
    columns: Columns<'_>,
    labels: &mut Labels,
    users: &mut Names<Name>,
) -> Result<Table, DataError> {
    let start = reader
        .fill_buf()
        .map_err(|error| DataError::unreadable(file, error))?;
    header::refuse_other_kinds(file, start)?;
    let (reader, budget) = Bounded::new(reader);
    let mut reader = ReaderBuilder::new()
        .trim(csv::Trim::All)
        .has_headers(false)
        .from_reader(reader);
    let mut record = StringRecord::new();
    let mut next = |record: &mut StringRecord| {
        let more = reader.read_record(record);
        match (budget.renew(), more) {
            (_, Ok(more)) => Ok(more),
            (Some(what), Err(_)) => Err(lines::too_long(file, reader.position().line(), what)),
            (None, Err(error)) => Err(csv_error(file, &error)),
        }
    };
    next(&mut record)?;
    let header = Header::of(file, std::mem::take(&mut record), columns)?;
    let mut values = Vec::new();
    let mut label_numbers = Vec::new();
    let mut user_numbers = header.user.map(|_| Vec::new());
    while next(&mut record)? {
        for (at, text) in record.iter().enumerate() {
            let place = || Place::Line {
                line: record.position().map_or(0, csv::Position::line),
                column: at as u64 + 1,
            };
            if at == header.label {
                refuse_empty(file, place, text, "label", columns.label)?;
                label_numbers.push(labels.number(file, place(), Name::parse(text))?);
            } else if Some(at) == header.user {
                let user = columns.user.unwrap_or_default();
                refuse_empty(file, place, text, "user", user)?;
                if let Some(numbers) = &mut user_numbers {
                    numbers.push(users.number(Name::parse(text)));
                }
            } else {
                match text.parse::<f32>() {
                    Ok(value) if value.is_finite() => values.push(value),
                    _ => return Err(not_a_number(file, place(), header.name(at), text)),
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
            shape: vec![header.features()],
            values: Values::F32(values),
            labels: label_numbers,
            users: user_numbers,
        },
        header,
    })
}

fn refuse_empty(
    file: &Path,
    place: impl Fn() -> Place,
    text: &str,
    what: &'static str,
    column: &str,
) -> Result<(), DataError> {
    if !text.is_empty() {
        return Ok(());
    }
    let expected = format!("a {what} in column {:?}", shown(column, 40));
    let error = DataError::malformed(file, place(), expected, "an empty cell");
    Err(error.advise(&format!("fill it, or drop the lines without a {what}")))
}

fn not_a_number(file: &Path, place: Place, column: &str, text: &str) -> DataError {
    let remedy = match text.to_ascii_lowercase().as_str() {
        "" | "nan" | "na" | "n/a" | "null" | "none" | "inf" | "-inf" | "?" => {
            "fill missing values, or drop the lines that have one"
        }
        text if text.parse::<f64>().is_ok() => "numbers are kept in single precision",
        _ => "turn text into numbers first, for example with pandas.get_dummies",
    };
    DataError::malformed(
        file,
        place,
        format!("a finite number in column {:?}", shown(column, 40)),
        format!("{:?}", shown(text, 40)),
    )
    .advise(remedy)
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
        let (mut labels, mut users) = (Labels::default(), Names::default());
        let columns = Columns { label, user };
        let file = Path::new("t.csv");
        let mut table = read(file, text, columns, &mut labels, &mut users)?;
        let classes = labels.resolve(file, None)?;
        for label in &mut table.raw.labels {
            *label = classes.indices[*label as usize];
        }
        Ok(table)
    }

    fn error(text: &str) -> String {
        parse(text.as_bytes(), "y", Some("who"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn columns_are_reported_apart_by_name() {
        let table = parse(
            b"who,a,y,b\nann,1,2,3\nbob,4,0,-5e1\nann,7,2,9\n",
            "y",
            Some("who"),
        )
        .unwrap();
        assert_eq!(table.header.features(), 2);
        assert_eq!(
            table.raw.values,
            Values::F32(vec![1.0, 3.0, 4.0, -50.0, 7.0, 9.0])
        );
        assert_eq!(table.raw.labels, [1, 0, 1]);
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
            "t.csv:3:2: expected a finite number in column \"a\", found \"x\"; turn text into numbers first, for \
             example with pandas.get_dummies"
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
        assert!(error("").contains("a header line, found an empty file"));
    }

    #[test]
    fn an_empty_label_or_user_is_reported_with_row_and_column() {
        assert_eq!(
            error("who,a,y\nann,1,0\nbob,2,\n"),
            "t.csv:3:3: expected a label in column \"y\", found an empty cell; fill it, or drop the lines \
             without a label"
        );
        assert!(error("who,a,y\nann,1,0\n  ,2,1\n")
            .starts_with("t.csv:3:1: expected a user in column \"who\", found an empty cell"));
        assert!(error("who,a,y\nann,,0\n").contains("fill missing values"));
    }
}
