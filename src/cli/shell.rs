//! `shoal completions` and `shoal man`: what a shell and a reader of manuals want of the command line.

use super::exit::Exit;
use super::Cli;
use crate::say::out;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use std::fs;
use std::io;
use std::path::Path;

/// A script that completes the command line in `shell`.
pub fn completions(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "shoal", &mut script);
    out(format_args!("{}", String::from_utf8_lossy(&script)));
    Exit::Done
}

/// The manual page of `shoal`, or a page for it and for each command as files of `folder`.
pub fn man(folder: Option<&Path>) -> Exit {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        return match Man::new(Cli::command()).render(&mut page) {
            Ok(()) => {
                out(format_args!("{}", String::from_utf8_lossy(&page)));
                Exit::Done
            }
            Err(error) => failed(Path::new("the page"), &error),
        };
    };
    match pages(folder) {
        Ok(()) => Exit::Done,
        Err(error) => failed(folder, &error),
    }
}

fn failed(what: &Path, error: &io::Error) -> Exit {
    crate::note!("error: {}: {error}", what.display());
    Exit::RunFailed
}

/// `shoal.1`, `shoal-run.1` and so on.
fn pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut whole = Cli::command();
    whole.build();
    let commands = whole.get_subcommands().filter(|c| c.get_name() != "help");
    let named = commands.map(|command| (format!("shoal-{}", command.get_name()), command.clone()));
    let all: Vec<(String, Command)> = named.collect();
    for (name, command) in std::iter::once(("shoal".to_string(), whole)).chain(all) {
        let mut page = Vec::new();
        Man::new(command).title(name.clone()).render(&mut page)?;
        fs::write(folder.join(format!("{name}.1")), page)?;
    }
    Ok(())
}
