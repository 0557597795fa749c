//! Device workers on other ranks: processes that an MPI launcher has started together.
//!
//! Rank 0 runs the kernel, writes the run folder and has device workers of its own, as if it were
//! alone. Every other rank builds the same federation from the same scenario, and does jobs. To rank
//! 0 each of their workers is one more worker, with a thread that stands for it
//! ([`crate::sim::RemoteWorker`]): it hands over a unit of jobs and waits for what comes of it. What runs
//! together was chosen before, in virtual time, so who does it cannot be seen in a result.
//!
//! - `link`: what carries frames between ranks; `mpi`: that over MPI, with the feature `mpi`; `lent`:
//!   memory that MPI still uses
//! - `line`: who is there, and who is lost
//! - `frame`: what ranks say to each other
//! - `head`: rank 0's side; `member`: that of all others

mod frame;
mod head;
#[cfg(any(test, feature = "mpi"))]
mod lent;
mod line;
mod link;
mod member;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(test)]
mod tests;

pub use head::Head;
pub use line::Patience;
pub use link::Link;

use super::{identity, Options, RunError};
use crate::federation::Plan;
use crate::learn::HostDevice;
use crate::quantity::Bytes;
use crate::scenario::Scenario;
use crate::sim::mix_words;
use crossbeam::channel::bounded;
use frame::Setup;
use line::Line;
use std::sync::atomic::AtomicBool;

/// Variables by which launchers tell a process its rank. Without any of them it is alone; a process
/// that a rank starts is to have none of them.
pub const LAUNCHED: [&str; 4] = [
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "MV2_COMM_WORLD_RANK",
];

/// What a process is among others.
pub enum Joined {
    /// There are no others, or it was built without the feature `mpi`.
    Alone,
    /// Rank 0.
    Head(Head),
    /// Another rank, whose service is over: as rank 0 wanted it, or for want of rank 0.
    Member(Result<(), String>),
}

/// Meets the other ranks, if a launcher has started some; a rank other than 0 does its service in here.
///
/// # Errors
/// When they cannot be met, in words.
pub fn join() -> Result<Joined, String> {
    #[cfg(feature = "mpi")]
    if LAUNCHED.iter().any(|name| std::env::var_os(name).is_some()) {
        return enter(mpi::open, Patience::default());
    }
    Ok(Joined::Alone)
}

/// Meets the others over a link, which `open` opens on the one thread that will use it; a rank other
/// than 0 does its service in here.
///
/// # Errors
/// When they cannot be met, in words.
pub fn enter<L: Link>(
    open: impl FnOnce() -> Result<L, String> + Send + 'static,
    patience: Patience,
) -> Result<Joined, String> {
    let (tell, told) = bounded(1);
    let life = move || {
        let link = match open() {
            Ok(link) => link,
            Err(reason) => {
                let _ = tell.send(Err(reason));
                return;
            }
        };
        let (rank, ranks) = (link.rank(), link.ranks());
        if rank > 0 {
            let served = Line::open(link, vec![0], patience).and_then(member::serve);
            let _ = tell.send(Ok(Joined::Member(served)));
            return;
        }
        match Line::open(link, (1..ranks).collect(), patience) {
            Ok(line) => {
                let (head, desk) = head::pair(ranks);
                if tell.send(Ok(Joined::Head(head))).is_ok() {
                    desk.converse(line);
                }
            }
            Err(reason) => {
                let _ = tell.send(Err(reason));
            }
        }
    };
    let thread = std::thread::Builder::new().name("ranks".into());
    let thread = thread.spawn(life).map_err(|error| error.to_string())?;
    match told.recv() {
        Ok(Ok(Joined::Head(mut head))) => {
            head.runs_on(thread);
            Ok(Joined::Head(head))
        }
        Ok(joined) => {
            let _ = thread.join();
            joined
        }
        Err(_) => Err("the thread that talks to other ranks ended".into()),
    }
}

/// Tells the other ranks what is run, if there are some; they prepare while this one does.
///
/// # Errors
/// When they cannot be told.
pub(in crate::run) fn call(options: &Options) -> Result<(), RunError> {
    let Some(head) = &options.ranks else {
        return Ok(());
    };
    let file = std::path::absolute(&options.file).unwrap_or_else(|_| options.file.clone());
    let setup = Setup {
        text: options.text.clone(),
        file: file.display().to_string(),
        overrides: options.overrides.clone(),
        device: options.device.to_string(),
        memory: options.memory.map(|memory| memory.0),
        workers: head.workers(),
    };
    head.begin(&setup).map_err(RunError::Ranks)
}

/// Waits until the other ranks are ready to run the same, if there are some.
///
/// # Errors
/// When one of them is not, in words.
pub(in crate::run) fn agree(
    scenario: &Scenario,
    options: &Options,
    plan: &Plan,
    stop: &AtomicBool,
) -> Result<(), RunError> {
    let Some(head) = &options.ranks else {
        return Ok(());
    };
    let ours = agreement(scenario, options.device, options.memory, plan);
    head.agree(ours, stop).map_err(RunError::Ranks)
}

/// Names what all ranks must have alike: scenario, samples and who has which, where it computes.
fn agreement(scenario: &Scenario, device: HostDevice, memory: Option<Bytes>, plan: &Plan) -> u64 {
    mix_words(&[identity(scenario, device, memory, plan), plan.contents()])
}

/// Ends the process at once, whatever its threads do: a rank whose jobs nobody waits for any more.
pub fn leave(code: i32) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(code) }
}
