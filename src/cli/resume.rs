//! `shoal resume`

use super::exit::Exit;
use super::signals::stop_flag;
use super::{HostArgs, Ranks};
use crate::run::{resume as resume_run, ResumeOptions};
use std::path::Path;

pub fn resume(folder: &Path, host: &HostArgs, ranks: &Ranks, quiet: bool) -> Exit {
    let options = ResumeOptions {
        workers: host.workers(),
        device: host.device,
        kept_memory: host.kept_memory(),
        quiet,
        ranks: ranks.clone(),
    };
    Exit::of_run(resume_run(folder, &options, &stop_flag()), quiet)
}
