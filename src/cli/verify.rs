//! `shoal verify`

use super::exit::Exit;
use super::signals::stop_flag;
use super::{HostArgs, Ranks};
use crate::run::verify::{altered, elsewhere, verify as verify_folder, Verdict};
use crate::run::RunError;
use crate::say;
use std::path::Path;

pub fn verify(folder: &Path, host: &HostArgs, ranks: &Ranks) -> Exit {
    match verified(folder, host, ranks) {
        Ok(exit) => exit,
        Err(error) => Exit::of_error(&error),
    }
}

fn verified(folder: &Path, host: &HostArgs, ranks: &Ranks) -> Result<Exit, RunError> {
    let (kept, workers, stop) = (host.kept_memory(), host.workers(), stop_flag());
    let elsewhere = elsewhere(folder)?;
    if !elsewhere.is_empty() {
        say!("the run was made where numbers may be rounded differently, so that it may differ from here:");
        for difference in &elsewhere {
            say!("  {difference}");
        }
    }
    let altered = altered(folder)?;
    let verdict = verify_folder(folder, workers, host.device, kept, ranks.as_ref(), &stop)?;
    say!("{verdict}");
    if !altered.is_empty() {
        say!("not as the run left them:");
        for file in &altered {
            say!("  {file}");
        }
    }
    Ok(match verdict {
        Verdict::Interrupted { .. } => Exit::Interrupted,
        verdict if verdict.is_identical() && altered.is_empty() => Exit::Done,
        _ => Exit::RunFailed,
    })
}
