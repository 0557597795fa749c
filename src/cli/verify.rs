//! `shoal verify`

use super::exit::Exit;
use super::{stop_flag, HostArgs};
use shoal::scenario::verify::{verify as verify_folder, Verdict};
use std::path::Path;

pub fn verify(folder: &Path, host: &HostArgs) -> Exit {
    let kept = host.kept_memory();
    match verify_folder(folder, host.workers(), host.device, kept, &stop_flag()) {
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
