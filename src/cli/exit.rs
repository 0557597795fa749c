//! How the process ends.

use shoal::scenario::run::RunError;
use std::process::ExitCode;

/// The exit status of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    RunFailed,
    BadInput,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::RunFailed => 1,
            Exit::BadInput => 2,
            Exit::Interrupted => 130,
        })
    }
}

impl Exit {
    /// Says what went wrong, and whose fault it is.
    pub fn of_error(error: &RunError) -> Self {
        eprintln!("error: {error}");
        if error.is_bad_input() {
            Self::BadInput
        } else {
            Self::RunFailed
        }
    }
}
