//! `shoal verify`

use super::exit::Exit;
use super::{stop_flag, HostArgs, Ranks};
use shoal::scenario::verify::{verify as verify_folder, Verdict};
use std::path::Path;

pub fn verify(folder: &Path, host: &HostArgs, ranks: &Ranks) -> Exit {
    let kept = host.kept_memory();
    let (workers, stop) = (host.workers(), stop_flag());
    match verify_folder(folder, workers, host.device, kept, ranks.as_ref(), &stop) {
        Ok(verdict) => {
            println!("{verdict}");
            match verdict {
                verdict if verdict.is_identical() => Exit::Done,
                Verdict::Interrupted { .. } => Exit::Interrupted,
                _ => Exit::RunFailed,
            }
        }
        Err(error) => Exit::of_error(&error),
    }
}
