//! Processes that end with the one that started them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the system send `signal` to the process of this command when the thread that starts it is no
/// more, in whichever way it went; that is to be a thread which lives as long as this process. Only
/// Linux can do that.
pub fn ends_with_this_one(command: &mut Command, signal: libc::c_int) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only calls that are safe there are made: none allocates or locks.
    unsafe {
        command.pre_exec(move || follow(parent, signal));
    }
}

fn follow(parent: u32, signal: libc::c_int) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sets a property of this process; it touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have gone before that.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (parent, signal);
    Ok(())
}
