//! The numbers of the timers that a server sets.

/// The virtual time at which the schedule ends.
pub(super) const STOP: u64 = u64::MAX;
/// The server goes down.
pub(super) const CRASH: u64 = u64::MAX - 1;
/// The server comes up again after a crash.
pub(super) const UP: u64 = u64::MAX - 2;
/// A client that was away may be back, where clients are asked one by one.
pub(super) const BACK: u64 = u64::MAX - 3;
/// The deadline of a round.
pub(super) const fn deadline(round: u32) -> u64 {
    round as u64
}
/// The end of the virtual server's computations for a round.
pub(super) const fn closing(round: u32) -> u64 {
    1 << 32 | round as u64
}
/// Clients that were away may be back for a round.
pub(super) const fn waiting(round: u32) -> u64 {
    1 << 33 | round as u64
}
/// The end of a job that is only modelled, by its place among those of its phase.
pub(super) const fn modelled(place: u64) -> u64 {
    1 << 34 | place
}
/// The end of the time that a client has for a task, where clients are asked one by one.
pub(super) const fn task(client: u32, task: u32) -> u64 {
    TASK | ((task & MOST_TASKS) as u64) << 32 | client as u64
}
/// The client and the task of a timer from [`task`]; `None` for any other timer. The timer has only the
/// last 30 bits of the task's number, which [`is_of`] compares.
pub(super) const fn of_task(token: u64) -> Option<(u32, u32)> {
    if token >> 62 == 1 {
        Some((token as u32, (token >> 32) as u32 & MOST_TASKS))
    } else {
        None
    }
}
/// Whether a timer for `task`, from [`of_task`], is the timer of the task with the number `full`.
pub(super) const fn is_of(task: u32, full: u32) -> bool {
    full & MOST_TASKS == task
}
const TASK: u64 = 1 << 62;
const MOST_TASKS: u32 = (1 << 30) - 1;
