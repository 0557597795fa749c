//! Runs in processes of their own, a number of them at once.

use crate::cli::child::ends_with_this_one;
use crate::note;
use crate::sweep::Hold;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
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
    /// The arguments to go on with what is there.
    pub go_on: Vec<OsString>,
}

/// What is to be done for a job when its turn comes.
pub enum Turn {
    /// It is begun, or gone on with if that can be; nobody else touches it while this is held.
    Begin(Hold, bool),
    /// Another sweep has done it since.
    Done,
    /// It is left to another process, or to whoever put something else there; in words.
    Left(String),
    /// It cannot be done.
    Impossible(String),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Done,
    Failed,
    Interrupted,
    /// Another process is at it.
    Left,
}

/// A process and the job that it is at.
struct Running {
    job: usize,
    child: Child,
    /// Whether it goes on with what was there.
    going_on: bool,
    hold: Hold,
}

/// Runs all jobs, `at_once` of them side by side, in their order. One that fails stops no other; the
/// first interruption lets those at work stop by themselves, the second kills them. `turn` says what is
/// to be done for one when it is its turn, `result` what came of it.
///
/// # Errors
/// When no process can be started at all.
pub fn conduct(
    jobs: &[Job],
    at_once: usize,
    interruptions: &AtomicU32,
    mut turn: impl FnMut(usize) -> Turn,
    result: impl Fn(usize, Ended) -> String,
) -> io::Result<Vec<Ended>> {
    let program = std::env::current_exe()?;
    // What never begins was interrupted before it could.
    let mut ended = vec![Ended::Interrupted; jobs.len()];
    let mut waiting: VecDeque<(usize, &Job)> = jobs.iter().enumerate().collect();
    let mut running: Vec<Running> = Vec::new();
    let (mut told, mut over) = (0, 0);
    let mut tell = |job: &Job, words: &str| {
        over += 1;
        note!("[{over}/{}] {}: {words}", jobs.len(), job.name);
    };
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
            let Some((at, job)) = waiting.pop_front() else {
                break;
            };
            let begun = match turn(at) {
                Turn::Begin(hold, going_on) => {
                    start(&program, job, going_on).map(|child| (child, hold, going_on))
                }
                Turn::Done => {
                    ended[at] = Ended::Done;
                    tell(
                        job,
                        &format!("done by another: {}", result(at, Ended::Done)),
                    );
                    continue;
                }
                Turn::Left(holder) => {
                    ended[at] = Ended::Left;
                    tell(job, &format!("left to {holder}"));
                    continue;
                }
                Turn::Impossible(why) => Err(io::Error::other(why)),
            };
            match begun {
                Ok((child, hold, going_on)) => running.push(Running {
                    job: at,
                    child,
                    going_on,
                    hold,
                }),
                Err(error) => {
                    // The tables are made from what is in the folders.
                    let _ = fs::write(&job.log, format!("no process of its own: {error}\n"));
                    tell(job, &format!("failed: {error}"));
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
            let job = &jobs[one.job];
            // What cannot be gone on with, a damaged checkpoint for one, begins anew.
            if one.going_on && status.and_then(|status| status.code()) == Some(2) && pressed == 0 {
                if let Ok(child) = start(&program, job, false) {
                    running.push(Running {
                        child,
                        going_on: false,
                        ..one
                    });
                    continue;
                }
            }
            drop(one.hold);
            ended[one.job] = outcome(status, pressed > 0);
            if ended[one.job] == Ended::Done {
                forget(&job.log);
            }
            tell(job, &result(one.job, ended[one.job]));
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

/// A new file in the place of whatever is there, which may be one to open which is to wait for ever.
fn anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(path),
    }
}

fn start(program: &Path, job: &Job, going_on: bool) -> io::Result<Child> {
    let arguments = match going_on {
        true => &job.go_on,
        false => {
            match fs::remove_dir_all(&job.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            &job.anew
        }
    };
    let log = anew(&job.log)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // The terminal's Ctrl-C would reach it beside ours, and two of them end a run at once.
        .process_group(0);
    // A shell may have had interrupts ignored, which is inherited.
    ends_with_this_one(&mut command, libc::SIGTERM);
    command.spawn()
}

fn interrupt(child: &Child) {
    if let Ok(id) = libc::pid_t::try_from(child.id()) {
        // SAFETY: a signal to a child that was not waited for, whose number is therefore its own.
        unsafe { libc::kill(id, libc::SIGTERM) };
    }
}
