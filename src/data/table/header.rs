//! The first line of a table: the names of the columns, and the purpose of each.

use super::super::error::{DataError, Place};
use super::super::magic;
use super::Columns;
use crate::quantity::{listed, nearest, shown};
use csv::StringRecord;
use std::path::Path;

const FIRST: Place = Place::Line { line: 1, column: 0 };

/// The columns of a table.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct Header {
    names: StringRecord,
    /// The index of the label column.
    pub label: usize,
    /// The index of the user column.
    pub user: Option<usize>,
}

/// Fails if the file does not begin as a text does.
pub(super) fn refuse_other_kinds(file: &Path, start: &[u8]) -> Result<(), DataError> {
    match magic::kind(start) {
        Some(kind) => {
            let expected = "a table as text (CSV)";
            Err(DataError::malformed(file, Place::Whole, expected, kind.what).advise(kind.remedy))
        }
        None if start.is_empty() => Err(DataError::malformed(
            file,
            Place::Whole,
            "a header line",
            "an empty file",
        )),
        None => Ok(()),
    }
}

impl Header {
    /// The header with these names.
    pub fn of(file: &Path, names: StringRecord, columns: Columns<'_>) -> Result<Self, DataError> {
        refuse_other_separators(file, &names)?;
        if columns.user == Some(columns.label) {
            let expected = "another column for users than for labels";
            let found = format!("{:?} for both", shown(columns.label, 40));
            return Err(DataError::malformed(file, FIRST, expected, found).at("user"));
        }
        let label = position(file, &names, columns.label).map_err(|e| e.at("label"))?;
        let user = columns.user.map(|user| position(file, &names, user));
        let user = user.transpose().map_err(|error| error.at("user"))?;
        if let Some(at) = names.iter().position(str::is_empty) {
            let place = Place::Line {
                line: 1,
                column: at as u64 + 1,
            };
            let error = DataError::malformed(file, place, "a name for each column", "none");
            return Err(error.advise(
                "pandas writes its index so: use df.to_csv(..., index=False), or name or remove the column",
            ));
        }
        let header = Self { names, label, user };
        if header.features() == 0 {
            let found = format!("only {}", header.listed());
            return Err(DataError::malformed(file, FIRST, "a feature column", found));
        }
        Ok(header)
    }

    /// The number of feature columns.
    pub fn features(&self) -> usize {
        self.names.len() - 1 - usize::from(self.user.is_some())
    }

    /// The name of column `at`.
    pub fn name(&self, at: usize) -> &str {
        self.names.get(at).unwrap_or_default()
    }

    fn listed(&self) -> String {
        listed(self.names.iter(), self.names.len())
    }

    /// Fails unless `other` has the same columns in the same order.
    pub fn expect_same(
        &self,
        file: &Path,
        other: &Self,
        other_file: &Path,
    ) -> Result<(), DataError> {
        let like = file.display();
        let (ours, theirs) = (self.names.len(), other.names.len());
        if ours != theirs {
            let expected = format!("{ours} columns, as {like} has");
            let found = format!("{theirs}: {}", other.listed());
            return Err(DataError::malformed(other_file, FIRST, expected, found));
        }
        let differs = (0..ours).find(|at| self.name(*at) != other.name(*at));
        match differs {
            None => Ok(()),
            Some(at) => {
                let place = Place::Line {
                    line: 1,
                    column: at as u64 + 1,
                };
                let expected = format!("the column {:?}, as in {like}", shown(self.name(at), 40));
                let found = format!("{:?}", shown(other.name(at), 40));
                Err(DataError::malformed(other_file, place, expected, found))
            }
        }
    }

    /// A remark about what is probably not intended.
    pub fn note(&self, file: &Path) -> Option<String> {
        let index = self
            .names
            .iter()
            .find(|name| name.starts_with("Unnamed: "))?;
        Some(format!(
            "{}: the column {:?} is a feature; pandas calls an index so that it wrote without a name: use \
             df.to_csv(..., index=False)",
            file.display(),
            shown(index, 40)
        ))
    }
}

/// Fails if the fields are separated by other characters than commas.
fn refuse_other_separators(file: &Path, names: &StringRecord) -> Result<(), DataError> {
    let (1, Some(only)) = (names.len(), names.get(0)) else {
        return Ok(());
    };
    let others = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    match others.iter().find(|(sign, _)| only.contains(*sign)) {
        None => Ok(()),
        Some((sign, what)) => {
            let error = DataError::malformed(file, FIRST, "columns set apart by commas", *what);
            let sign = match sign {
                '\t' => "\\t".to_string(),
                sign => sign.to_string(),
            };
            Err(error.advise(&format!(
                "write it with commas: pandas.read_csv(..., sep=\"{sign}\").to_csv(..., index=False)"
            )))
        }
    }
}

fn position(file: &Path, names: &StringRecord, wanted: &str) -> Result<usize, DataError> {
    let mut found = (0..names.len()).filter(|at| names.get(*at) == Some(wanted));
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => {
            let expected = format!("one column {:?}", shown(wanted, 40));
            Err(DataError::malformed(file, FIRST, expected, "two of them"))
        }
        _ => {
            let found = format!("columns {}", listed(names.iter(), names.len()));
            let expected = format!("a column {:?}", shown(wanted, 40));
            let error = DataError::malformed(file, FIRST, expected, found);
            // A name as long as a book is not near any other name.
            let near = nearest(
                wanted,
                names.iter().take(10_000).filter(|name| name.len() < 200),
            );
            let numbers = names.iter().all(|name| name.parse::<f64>().is_ok());
            Err(match near {
                _ if numbers => {
                    error.advise("the first line looks like data: write a line of names above it")
                }
                Some(name) => error.advise(&format!("did you mean {name:?}?")),
                None => error,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    fn refused(text: &[u8], label: &str, user: Option<&str>) -> (String, String) {
        let error = parse(text, label, user).unwrap_err();
        (error.field().to_string(), error.to_string())
    }

    #[test]
    fn a_misspelt_column_gets_its_neighbour() {
        let (field, said) = refused(b"a,label\n1,0\n", "lable", None);
        assert_eq!(
            said,
            "t.csv:1: expected a column \"lable\", found columns a, label; did you mean \"label\"?"
        );
        assert_eq!(field, "label");
    }

    #[test]
    fn a_column_without_a_name_is_refused_with_the_remedy() {
        let (_, said) = refused(b",a,y\n0,1,0\n1,2,1\n", "y", None);
        assert!(
            said.starts_with("t.csv:1:1: expected a name for each column")
                && said.contains("index=False"),
            "{said}"
        );
        let (_, said) = refused(b"a,y,\n1,0,\n", "y", None);
        assert!(said.starts_with("t.csv:1:3:"), "{said}");
    }

    #[test]
    fn other_separators_are_named() {
        for (text, what, sep) in [
            (&b"a;b;y\n1;2;0\n"[..], "semicolons", "sep=\";\""),
            (b"a\tb\ty\n1\t2\t0\n", "tabs", "sep=\"\\t\""),
        ] {
            let (_, said) = refused(text, "y", None);
            assert!(said.contains(what) && said.contains(sep), "{said}");
        }
    }

    #[test]
    fn files_that_are_no_tables_are_named_as_what_they_are() {
        for (start, what) in [
            (&b"\x1f\x8b\x08\0\0\0"[..], "a gzip file"),
            (b"PAR1\x15\x04\x15", "a Parquet file"),
            (b"PK\x03\x04\x14\0\0\0xl/workbook.xml", "an Excel workbook"),
            (b"PK\x03\x04\x14\0\0\0x.npy", "a NumPy archive"),
            (b"\xff\xfea\0,\0y\0", "text in UTF-16; save it as UTF-8"),
        ] {
            let (_, said) = refused(start, "y", None);
            assert!(
                said.contains(&format!("expected a table as text (CSV), found {what}")),
                "{said}"
            );
        }
    }

    #[test]
    fn label_and_user_are_two_columns() {
        let (field, said) = refused(b"a,y\n1,0\n", "y", Some("y"));
        assert_eq!(field, "user");
        assert!(said.contains("found \"y\" for both"), "{said}");
    }

    #[test]
    fn a_table_without_a_header_is_reported_so() {
        let (_, said) = refused(b"5.1,3.5,0\n4.9,3.0,1\n", "y", None);
        assert!(said.contains("the first line looks like data"), "{said}");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_name() {
        let table = parse("\u{feff}y,a\n0,1\n1,2\n".as_bytes(), "y", None).unwrap();
        assert_eq!(table.raw.labels, [0, 1]);
    }

    #[test]
    fn names_are_cut_where_they_are_shown() {
        let long = "x".repeat(100_000);
        let (_, said) = refused(format!("{long},{long}b\n1,0\n").as_bytes(), "y", None);
        assert!(said.len() < 300, "{} bytes", said.len());
        let (_, said) = refused(format!("{long},y\nno,0\n").as_bytes(), "y", None);
        assert!(said.len() < 300, "{} bytes", said.len());
    }

    #[test]
    fn an_index_that_pandas_wrote_and_read_again_is_noted() {
        let table = parse(b"Unnamed: 0,a,y\n0,1,0\n1,2,1\n", "y", None).unwrap();
        let note = table.header.note(std::path::Path::new("t.csv")).unwrap();
        assert!(note.contains("index=False"), "{note}");
    }
}
