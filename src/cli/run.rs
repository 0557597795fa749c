//! `shoal run`

use super::exit::Exit;
use super::signals::stop_flag;
use super::{HostArgs, Ranks, ScenarioArgs};
use crate::quantity::Bytes;
use crate::run::{run as run_scenario, Options};
use std::path::PathBuf;

pub fn run(
    args: &ScenarioArgs,
    host: &HostArgs,
    ranks: &Ranks,
    memory: Option<Bytes>,
    out: Option<PathBuf>,
    quiet: bool,
) -> Exit {
    let (scenario, text) = match args.open() {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let options = Options {
        workers: host.workers(),
        device: host.device,
        memory,
        out,
        file: args.file.clone(),
        text,
        overrides: args.all_overrides(),
        kept_memory: host.kept_memory(),
        quiet,
        ranks: ranks.clone(),
    };
    Exit::of_run(run_scenario(&scenario, &options, &stop_flag()), quiet)
}
