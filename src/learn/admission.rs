//! Admission of jobs by memory: many workers share a host device, and none starts a job that would
//! not fit.

use crate::quantity::Bytes;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The memory of a host device, which is granted to one job after the other.
#[derive(Debug)]
pub struct Admission {
    budget: Bytes,
    used: Mutex<u64>,
    freed: Condvar,
}

/// The right to use some of the memory, until the value is dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    admission: &'a Admission,
    bytes: u64,
}

impl Admission {
    /// A device with `budget` bytes for the jobs of all its workers together.
    pub const fn new(budget: Bytes) -> Self {
        Self {
            budget,
            used: Mutex::new(0),
            freed: Condvar::new(),
        }
    }

    /// The memory for the jobs of all workers together.
    pub const fn budget(&self) -> Bytes {
        self.budget
    }

    /// Waits until `need` bytes are free beside those that other jobs use. A job that needs more
    /// than the whole budget runs alone: estimates are rather too large, and a job that really does
    /// not fit is cut into pieces.
    pub fn admit(&self, need: Bytes) -> Permit<'_> {
        let mut used = self.used();
        while *used > 0 && used.saturating_add(need.0) > self.budget.0 {
            used = self
                .freed
                .wait(used)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(need.0);
        Permit {
            admission: self,
            bytes: need.0,
        }
    }

    fn used(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut used = self.admission.used();
        *used = used.saturating_sub(self.bytes);
        self.admission.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn workers_never_use_more_together_than_there_is() {
        let admission = Admission::new(Bytes(100));
        let (used, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for worker in 0..4u64 {
                let (admission, used, most) = (&admission, &used, &most);
                scope.spawn(move || {
                    for job in 0..200 {
                        let need = (job * 37 + worker * 11) % 90 + 1;
                        let permit = admission.admit(Bytes(need));
                        let now = used.fetch_add(need, Ordering::SeqCst) + need;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        used.fetch_sub(need, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!((90..=100).contains(&most), "{most}");
        assert_eq!(*admission.used(), 0);
    }

    #[test]
    fn what_is_larger_than_the_device_goes_alone_instead_of_never() {
        let admission = Admission::new(Bytes(10));
        let large = admission.admit(Bytes(1_000));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| drop(admission.admit(Bytes(1))));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!other.is_finished(), "nobody beside it");
            drop(large);
        });
        assert_eq!(*admission.used(), 0);
    }

    #[test]
    fn a_job_that_panics_gives_its_memory_back() {
        let admission = Admission::new(Bytes(10));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _permit = admission.admit(Bytes(8));
            std::panic::panic_any("a job fails: expected on standard error");
        }));
        assert!(caught.is_err());
        assert_eq!(*admission.used(), 0);
    }
}
