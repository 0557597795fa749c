//! Runs in processes of their own, a number of them at once.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// One cell to be run.
pub struct Job {
    /// In words.
    pub name: String,
    /// Where its run lies.
    pub folder: PathBuf,
    /// Where its process writes what it has to say.
    pub log: PathBuf,
    /// The arguments to begin it.
    pub anew: Vec<OsString>,
    /// The arguments to go on with what is there, where that can be.
    pub go_on: Option<Vec<OsString>>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Done,
    Failed,
    Interrupted,
}

/// How often Ctrl-C was pressed, or the process told to end.
pub fn interruptions() -> Arc<AtomicU32> {
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let installed = ctrlc::set_handler(move || {
        if counter.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("\nstopping all runs at their next window; Ctrl-C again to kill them");
        }
    });
    if let Err(error) = installed {
        tracing::warn!(%error, "Ctrl-C will end the process at once");
    }
    count
}

/// A process and the job that it is at.
struct Running {
    job: usize,
    child: Child,
    /// Whether it goes on with what was there.
    going_on: bool,
}

/// Runs all jobs, `at_once` of them side by side, in their order. One that fails stops no other; the
/// first interruption lets those at work stop by themselves, the second kills them. `result` says what
/// came of one.
///
/// # Errors
/// When no process can be started at all.
pub fn conduct(
    jobs: &[Job],
    at_once: usize,
    interruptions: &AtomicU32,
    result: impl Fn(usize, Ended) -> String,
) -> io::Result<Vec<Ended>> {
    let program = std::env::current_exe()?;
    // What never begins was interrupted before it could.
    let mut ended = vec![Ended::Interrupted; jobs.len()];
    let mut waiting: VecDeque<(usize, bool)> = jobs
        .iter()
        .enumerate()
        .map(|(at, job)| (at, job.go_on.is_some()))
        .collect();
    let mut running: Vec<Running> = Vec::new();
    let (mut told, mut over) = (0, 0);
    loop {
        let pressed = interruptions.load(Ordering::Relaxed);
        if pressed > told {
            for one in &mut running {
                match pressed {
                    1 => interrupt(&one.child),
                    _ => drop(one.child.kill()),
                }
            }
            told = pressed;
        }
        while pressed == 0 && running.len() < at_once {
            let Some((at, going_on)) = waiting.pop_front() else {
                break;
            };
            let Some(job) = jobs.get(at) else { continue };
            match start(&program, job, going_on) {
                Ok(child) => running.push(Running {
                    job: at,
                    child,
                    going_on,
                }),
                Err(error) => {
                    over += 1;
                    // The tables are made from what is in the folders.
                    let _ = fs::write(&job.log, format!("no process of its own: {error}\n"));
                    eprintln!("[{over}/{}] {}: failed: {error}", jobs.len(), job.name);
                    ended[at] = Ended::Failed;
                }
            }
        }
        if running.is_empty() && (pressed > 0 || waiting.is_empty()) {
            return Ok(ended);
        }
        let mut at = 0;
        while at < running.len() {
            let status = match running[at].child.try_wait() {
                Ok(None) => {
                    at += 1;
                    continue;
                }
                Ok(Some(status)) => Some(status),
                // Not ours any more: what came of it is in its folder.
                Err(_) => None,
            };
            let one = running.swap_remove(at);
            // What cannot be gone on with, a damaged checkpoint for one, begins anew.
            if one.going_on && status.and_then(|status| status.code()) == Some(2) && pressed == 0 {
                waiting.push_front((one.job, false));
                continue;
            }
            over += 1;
            let job = &jobs[one.job];
            ended[one.job] = outcome(status, pressed > 0);
            if ended[one.job] == Ended::Done {
                forget(&job.log);
            }
            let words = result(one.job, ended[one.job]);
            eprintln!("[{over}/{}] {}: {words}", jobs.len(), job.name);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn outcome(status: Option<ExitStatus>, stopped: bool) -> Ended {
    match status.and_then(|status| status.code()) {
        Some(0) => Ended::Done,
        Some(130) => Ended::Interrupted,
        // Killed at the second Ctrl-C.
        None if stopped => Ended::Interrupted,
        _ => Ended::Failed,
    }
}

/// A log of a run that went well says nothing that its folder does not, unless it is a warning.
fn forget(log: &Path) {
    if fs::metadata(log).is_ok_and(|log| log.len() == 0) {
        let _ = fs::remove_file(log);
    }
}

fn start(program: &Path, job: &Job, going_on: bool) -> io::Result<Child> {
    let arguments = match &job.go_on {
        Some(go_on) if going_on => go_on,
        _ => {
            match fs::remove_dir_all(&job.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            &job.anew
        }
    };
    let log = File::create(&job.log)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // The terminal's Ctrl-C would reach it beside ours, and two of them end a run at once.
        .process_group(0);
    let parent = std::process::id();
    // SAFETY: between fork and exec only calls that are safe there are made: none allocates or locks.
    unsafe {
        command.pre_exec(move || follow(parent));
    }
    command.spawn()
}

/// Lets the system interrupt this process when its parent is no more, in whichever way it went.
fn follow(parent: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sets a property of this process; it touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGINT) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have gone before that.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
}

fn interrupt(child: &Child) {
    if let Ok(id) = libc::pid_t::try_from(child.id()) {
        // SAFETY: a signal to a child that was not waited for, whose number is therefore its own.
        unsafe { libc::kill(id, libc::SIGINT) };
    }
}
