//! How the process ends.

use shoal::observe::record::Status;
use shoal::scenario::run::{Finished, RunError};
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
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::RunFailed => 1,
            Exit::BadInput => 2,
            Exit::Interrupted => 130,
            Exit::NoRoundCompleted => 3,
        })
    }
}

impl Exit {
    /// Says how a run ended.
    pub fn of_run(ended: Result<Finished, RunError>, quiet: bool) -> Self {
        match ended {
            Ok(finished) => {
                if !quiet {
                    print!("{}", finished.table);
                }
                match finished.status {
                    Status::Interrupted => Self::Interrupted,
                    Status::NoRoundCompleted => {
                        eprintln!("error: {}", finished.reason.unwrap_or_default());
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
        match error {
            // With the line that is meant, as everywhere else.
            RunError::Scenario(problems) => eprintln!("{problems:#}"),
            other => eprintln!("error: {other}"),
        }
        if error.is_bad_input() {
            Self::BadInput
        } else {
            Self::RunFailed
        }
    }
}
