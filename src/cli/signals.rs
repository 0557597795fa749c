//! Ctrl-C, and being told to end: SIGINT, SIGTERM and SIGHUP are one thing here.

use crate::note;
use crate::run::end_at_once;
use crate::say::note_at_once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

/// What a process that was told to end ends with, whichever signal it was.
pub const INTERRUPTED: i32 = 130;

/// Sets a flag at the first signal. The second ends the process at once: its run folder is whole, and
/// says that it was interrupted.
pub fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    on_signal(move || {
        if flag.swap(true, Ordering::Relaxed) {
            end_at_once(INTERRUPTED);
        }
        note_at_once(format_args!(
            "\nstopping at the next window; Ctrl-C again to stop at once"
        ));
    });
    stop
}

/// Counts signals.
pub fn interruptions() -> Arc<AtomicU32> {
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    on_signal(move || {
        if counter.fetch_add(1, Ordering::Relaxed) == 0 {
            note_at_once(format_args!(
                "\nstopping all runs at their next window; Ctrl-C again to kill them"
            ));
        }
    });
    count
}

/// Calls `act` at every signal, on a thread that does nothing else.
fn on_signal(act: impl FnMut() + Send + 'static) {
    // Under `nohup` a terminal that goes away is to be no reason to end.
    let deaf = ignores_hangups();
    if let Err(error) = ctrlc::set_handler(act) {
        note!("warning: Ctrl-C will end the process at once: {error}");
    }
    if deaf {
        // SAFETY: sets how this process takes a signal; no handler of ours is involved.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    }
}

/// Whether whoever started this process wants hang-ups ignored.
fn ignores_hangups() -> bool {
    // SAFETY: zeros are a valid `sigaction`, and the call only writes to it.
    unsafe {
        let mut there: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut there) == 0
            && there.sa_sigaction == libc::SIG_IGN
    }
}
