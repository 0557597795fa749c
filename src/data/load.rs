//! Reading a source, in three ways; and what the readers of files share.

pub(super) mod arrays;
pub(super) mod images;
pub(super) mod text;

use super::classes::{counted, Counts};
use super::dataset::{DataSummary, Split};
use super::error::DataError;
use super::source::{Inspection, Reading, Source};
use std::path::Path;

/// Reads `source`. Relative paths are relative to `base`, the folder of the scenario file.
///
/// `seed` affects generated samples and the draw of test samples; files are read as they are.
///
/// # Errors
/// Returns a [`DataError`] for a file that is missing or not what it should be, for a parameter out of
/// its range, or for samples that break a rule of [`super::Dataset`].
pub fn load(source: &Source, seed: u64, base: &Path) -> Result<Split, DataError> {
    source.get().load(Reading { seed, base })
}

/// The summary of what [`load`] would return for these arguments. Of images, only headers and sizes are
/// read (and labels, where nothing else gives the number of classes); of arrays, only headers, labels
/// and users; tables and LEAF files have to be read whole.
///
/// # Errors
/// Returns the errors of [`load`], as far as they can be found without reading everything.
pub fn describe(source: &Source, seed: u64, base: &Path) -> Result<DataSummary, DataError> {
    source.get().describe(Reading { seed, base })
}

/// Reads all of `source`, as a run would before its first round, and reports what [`describe`] cannot
/// see in headers: features that are not finite (with row and column), labels and users that do not
/// fit, files that are cut short or too long. It takes the time that a run takes to read the source.
///
/// # Errors
/// Returns every error with which [`load`] would fail for these arguments; several at once where
/// several files are at fault.
pub fn inspect(source: &Source, seed: u64, base: &Path) -> Result<Inspection, Vec<DataError>> {
    source.get().inspect(Reading { seed, base })
}

/// The summary with counts, and further errors.
pub(super) type Inspected = (
    Result<(DataSummary, Counts, Counts), DataError>,
    Vec<DataError>,
);

/// An inspection, if nothing was wrong; otherwise every error once.
pub(super) fn inspected((described, mut wrong): Inspected) -> Result<Inspection, Vec<DataError>> {
    match described {
        Ok((shape, train, test)) if wrong.is_empty() => Ok(Inspection {
            classes: counted(&shape.names, shape.classes, &train, &test),
            shape,
        }),
        Ok(_) => Err(wrong),
        Err(error) => {
            // A missing file is reported only once.
            wrong.retain(|other| *other != error);
            wrong.insert(0, error);
            Err(wrong)
        }
    }
}

#[cfg(test)]
mod tests;
