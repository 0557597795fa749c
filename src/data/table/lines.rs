//! Records of bounded length: a line of a table cannot ask for more memory than a sample needs.

use super::super::error::{DataError, Place};
use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

/// The longest record in bytes: a million columns of thirty characters.
const LONGEST: u64 = 32 << 20;

/// The largest number of fields of a record.
const MOST_COLUMNS: u64 = 1 << 20;

/// What the record that is being read may still take.
#[derive(Debug)]
struct Left {
    bytes: Cell<u64>,
    commas: Cell<u64>,
    /// What the record had too much of, if anything.
    spent: Cell<Option<&'static str>>,
}

/// The limit of a [`Bounded`] reader, seen from outside.
#[derive(Debug, Clone)]
pub(super) struct Budget(Rc<Left>);

/// A reader that fails where a record is too long.
pub(super) struct Bounded<R> {
    inner: R,
    left: Rc<Left>,
}

impl<R: Read> Bounded<R> {
    pub fn new(inner: R) -> (Self, Budget) {
        let left = Rc::new(Left {
            bytes: Cell::new(LONGEST),
            commas: Cell::new(MOST_COLUMNS),
            spent: Cell::new(None),
        });
        let budget = Budget(Rc::clone(&left));
        (Self { inner, left }, budget)
    }
}

impl Budget {
    /// Begins the next record; returns what the last one had too much of, if anything.
    pub fn renew(&self) -> Option<&'static str> {
        self.0.bytes.set(LONGEST);
        self.0.commas.set(MOST_COLUMNS);
        self.0.spent.take()
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(out)?;
        let bytes = out.get(..got).unwrap_or_default();
        let commas = bytes.iter().filter(|byte| **byte == b',').count();
        for (left, used, what) in [
            (&self.left.bytes, got, "more bytes"),
            (&self.left.commas, commas, "more fields"),
        ] {
            match left.get().checked_sub(used as u64) {
                Some(rest) => left.set(rest),
                None => {
                    self.left.spent.set(Some(what));
                    return Err(io::Error::other("a record that is too long"));
                }
            }
        }
        Ok(got)
    }
}

/// The error for a record that is too long.
pub(super) fn too_long(file: &Path, line: u64, what: &str) -> DataError {
    let expected = format!("a line of at most {MOST_COLUMNS} fields and {LONGEST} bytes");
    DataError::malformed(file, Place::Line { line, column: 0 }, expected, what)
        .advise("a quote that is never closed makes the rest of a file one line")
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    fn refused(text: &str) -> String {
        parse(text.as_bytes(), "y", None).unwrap_err().to_string()
    }

    #[test]
    fn a_line_of_too_many_fields_or_bytes_is_refused_with_its_number() {
        let fields = format!("a,y\n1,0\n{}", ",".repeat((1 << 20) + 9000));
        let said = refused(&fields);
        assert!(
            said.starts_with("t.csv:3: expected a line of at most 1048576 fields")
                && said.contains("found more fields"),
            "{said}"
        );
        let open = format!("a,y\n1,0\n\"{}", "x".repeat((32 << 20) + 9000));
        let said = refused(&open);
        assert!(
            said.contains("found more bytes; a quote that is never closed"),
            "{said}"
        );
    }
}
