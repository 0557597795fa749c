//! Whether the files of a run folder are what the run wrote.

use crate::disk;
use crate::observe::folder::{digest, MODELS, RECORD};
use crate::observe::record::{is_as_written, RunRecord, Status};
use crate::run::trace::{TraceReader, TRACE};
use crate::run::{tidy, RunError};
use std::io::ErrorKind;
use std::path::Path;

/// What of a run's files is not what the run wrote, a line each: its record, its tables, its trace and
/// all other files that the record has digests of. A run that was killed has no digests of its files.
///
/// # Errors
/// When the folder is not one of a run.
pub fn altered(folder: &Path) -> Result<Vec<String>, RunError> {
    let path = folder.join(RECORD);
    let not_a_run = |problem: String| RunError::NotARun { problem };
    let text = disk::read(&path).map_err(|error| {
        // As reading it says it.
        not_a_run(RunRecord::read(&path).map_or_else(|e| e.to_string(), |_| error.to_string()))
    })?;
    let record = RunRecord::parse(&text, &path).map_err(|error| not_a_run(error.to_string()))?;
    let mut found = Vec::new();
    if !is_as_written(&text) {
        found.push(format!(
            "{RECORD}: its content is not that of its record_sha256"
        ));
    }
    let ended = record.status != Status::Running;
    let surplus = TraceReader::surplus(folder)
        .ok()
        .filter(|&bytes| ended && bytes > 0);
    if let Some(bytes) = surplus {
        found.push(format!("{TRACE}: {bytes} bytes too many at its end"));
    }
    for file in &record.files {
        let Some(expected) = &file.sha256 else {
            continue;
        };
        // In the folder of the run or in that of its models, and nowhere else.
        let models = file
            .name
            .strip_prefix(MODELS)
            .and_then(|rest| rest.strip_prefix('/'));
        let name = models.unwrap_or(&file.name);
        let digested = match name.contains(['/', '\0']) || [".", ".."].contains(&name) {
            true => Err(ErrorKind::NotFound.into()),
            false => digest(&folder.join(&file.name)),
        };
        let differs = match digested {
            Ok((_, now)) if now == *expected => continue,
            Ok((bytes, _)) if bytes != file.bytes => {
                format!("{bytes} bytes, and the run wrote {}", file.bytes)
            }
            Ok(_) => "its content is not what the run wrote".into(),
            Err(error) if error.kind() == ErrorKind::NotFound => "it is missing".into(),
            Err(error) => format!("cannot read: {error}"),
        };
        if file.name != TRACE || surplus.is_none() {
            found.push(format!("{}: {differs}", file.name));
        }
    }
    if record.status == Status::Completed {
        if let Err(error) = tidy(folder) {
            tracing::debug!(%error, "what a killed process may have left stays");
        }
    }
    Ok(found)
}
