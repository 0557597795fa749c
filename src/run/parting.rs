//! What a run says that is ended at once, amid whatever it is doing.
//!
//! The files of a run folder are whole at every moment, so a process may end at any. What it would not
//! have said then is that it was told to: the record that says so is kept ready.

use super::{RunError, Status};
use crate::observe::folder::write_record;
use crate::observe::record::{utc, RunRecord};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

/// The folder and the record of the run that this process is at.
static PARTING: Mutex<Option<(PathBuf, RunRecord)>> = Mutex::new(None);
/// How long the end may wait for the run to write its own record.
const PATIENCE: Duration = Duration::from_secs(2);

/// While it is there, a process that is ended at once leaves a record that says so.
#[derive(Debug)]
pub(super) struct Parting(());

impl Parting {
    /// Of the run in `folder` with this record.
    pub fn ready(folder: PathBuf, record: &RunRecord) -> Self {
        let record = RunRecord {
            status: Status::Interrupted,
            error: Some("it was ended at once, by a second signal".into()),
            ..record.clone()
        };
        *held() = Some((folder, record));
        Self(())
    }

    /// The run writes its own last record: whoever ends the process waits for that.
    pub fn give_way<T>(self, write: impl FnOnce() -> T) -> T {
        let mut parting = held();
        let written = write();
        *parting = None;
        drop(parting);
        written
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        *held() = None;
    }
}

fn held() -> MutexGuard<'static, Option<(PathBuf, RunRecord)>> {
    PARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process now, whatever it does, without running anything that is due at its end: other
/// threads are still at work in libtorch, which is not to be taken down under them. A run says in its
/// record that it was interrupted; what it had written stays.
pub fn end_at_once(code: i32) -> ! {
    let began = Instant::now();
    loop {
        let mut held = match PARTING.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(TryLockError::WouldBlock) => break,
        };
        if let Some((folder, record)) = held.take() {
            let record = RunRecord {
                finished: Some(utc(SystemTime::now())),
                ..record
            };
            // Without it the record says that the run is at work, as it does after a kill.
            let _ = write_record(&folder, &record).map_err(RunError::from);
        }
        break;
    }
    super::ranks::leave(code)
}
