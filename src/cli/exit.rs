//! How the process ends.

use crate::note;
use crate::observe::record::Status;
use crate::run::{Finished, RunError};
use crate::say::{lost, out};
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// The exit status of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    RunFailed,
    BadInput,
    Interrupted,
    /// The run came to its end, and no round was completed.
    NoRoundCompleted,
    /// Whoever read standard output has left: what a shell sees of a command that the system ends for that.
    Unread,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::RunFailed => 1,
            Exit::BadInput => 2,
            Exit::Interrupted => 130,
            Exit::NoRoundCompleted => 3,
            Exit::Unread => 141,
        })
    }
}

impl Exit {
    /// How a command ends whose standard output is `all` there is of it, or tells only of what is
    /// elsewhere, where some of it could not be written.
    pub fn heard(self, all: bool) -> Self {
        let Some(error) = lost() else {
            return self;
        };
        match (self, all) {
            (Self::Done, true) => Self::unwritten(&error),
            (exit, _) => {
                if error.kind() != ErrorKind::BrokenPipe {
                    note!("warning: standard output: cannot write: {error}");
                }
                exit
            }
        }
    }

    /// The end of a command whose words are lost. That its reader has left is nothing to tell.
    pub fn unwritten(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            return Self::Unread;
        }
        note!("error: standard output: cannot write: {error}");
        Self::RunFailed
    }

    /// Says how a run ended.
    pub fn of_run(ended: Result<Finished, RunError>, quiet: bool) -> Self {
        match ended {
            Ok(finished) => {
                if !quiet {
                    out(format_args!("{}", finished.table));
                }
                match finished.status {
                    Status::Interrupted => Self::Interrupted,
                    Status::NoRoundCompleted => {
                        note!("error: {}", finished.reason.unwrap_or_default());
                        Self::NoRoundCompleted
                    }
                    _ => Self::Done,
                }
            }
            Err(error) => Self::of_error(&error),
        }
    }

    /// Says what went wrong, and whose fault it is.
    pub fn of_error(error: &RunError) -> Self {
        if matches!(error, RunError::Stopped) {
            note!("{error}");
            return Self::Interrupted;
        }
        match error {
            // With the line that is meant, as everywhere else.
            RunError::Scenario(problems) => note!("{problems:#}"),
            other => note!("error: {other}"),
        }
        if error.is_bad_input() {
            Self::BadInput
        } else {
            Self::RunFailed
        }
    }
}
