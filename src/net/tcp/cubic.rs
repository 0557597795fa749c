//! CUBIC (RFC 9438) as Linux counts it: the pace is the number of acknowledged packets for which the
//! window grows by one.

use crate::snapshot::snapshot_struct;

const C: f64 = 0.4;
/// The share of the window that is kept at a loss: 717/1024.
const BETA: f64 = 717.0 / 1024.0;
/// While the window stays as it is, its pace is computed again only after this many seconds (`HZ / 32`,
/// in whole ticks of 4 ms). On short paths this slows growth down.
const PATIENCE: f64 = 0.032;
/// Before the first loss a window grows by at least 5 % a round trip.
const FIRST_PACE: f64 = 20.0;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cubic {
    /// The window at the last loss, reduced where the flow yields to others (fast convergence).
    last_max: f64,
    epoch: Option<f64>,
    /// When the window will be back at `origin`, in seconds from the start of the epoch.
    k: f64,
    origin: f64,
    /// The window that Reno would have at this moment.
    reno: f64,
    acked: f64,
    pace: f64,
    worked_out: Option<(u32, f64)>,
}

snapshot_struct!(Cubic {
    last_max,
    epoch,
    k,
    origin,
    reno,
    acked,
    pace,
    worked_out
});

impl Cubic {
    pub const fn new() -> Self {
        Self {
            last_max: 0.0,
            epoch: None,
            k: 0.0,
            origin: 0.0,
            reno: 0.0,
            acked: 0.0,
            pace: 2.0,
            worked_out: None,
        }
    }

    /// The window after a loss.
    pub fn reduce(&mut self, window: u32) -> u32 {
        self.epoch = None;
        let w = f64::from(window);
        self.last_max = if w < self.last_max {
            libm::floor(w * (1.0 + BETA) / 2.0)
        } else {
            w
        };
        ((w * BETA) as u32).max(2)
    }

    /// The number of acknowledged packets for which the window grows by one, when `acked` more packets
    /// are acknowledged at `now`.
    pub fn pace(&mut self, window: u32, acked: f64, now: f64, least_rtt: f64) -> f64 {
        let w = f64::from(window);
        self.acked += acked;
        if let Some((last, at)) = self.worked_out {
            if last == window && now - at < PATIENCE {
                return self.pace;
            }
        }
        self.worked_out = Some((window, now));
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.acked = acked;
            self.reno = w;
            if self.last_max <= w {
                self.k = 0.0;
                self.origin = w;
            } else {
                self.k = libm::cbrt((self.last_max - w) / C);
                self.origin = self.last_max;
            }
            now
        });
        let t = now - epoch + least_rtt - self.k;
        let target = self.origin + C * t * t * t;
        let mut pace = if target > w {
            w / (target - w)
        } else {
            100.0 * w
        };
        if self.last_max == 0.0 {
            pace = pace.min(FIRST_PACE);
        }
        // Never slower than Reno with the same average window (RFC 9438, 4.3).
        let step = libm::floor(w * 15.0 / 8.0).max(1.0);
        if self.acked > step {
            let steps = libm::floor((self.acked - 1e-9) / step);
            self.acked -= steps * step;
            self.reno += steps;
        }
        if self.reno > w {
            pace = pace.min(w / (self.reno - w));
        }
        self.pace = pace.max(2.0);
        self.pace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_back_where_it_was_after_the_cubic_time() {
        // From 1,000 to 700: back at 1,000 after cbrt(300 / 0.4) s, slowest around it.
        let mut cubic = Cubic::new();
        let mut window = cubic.reduce(1_000);
        assert_eq!(window, 700);
        let (rtt, mut now, mut grown) = (0.1, 0.0, 0.0);
        let k = libm::cbrt(300.0 / C);
        while now < k {
            let acked = f64::from(window);
            grown += acked / cubic.pace(window, acked, now, rtt);
            let whole = libm::floor(grown);
            grown -= whole;
            window += whole as u32;
            now += rtt;
        }
        assert!((990..=1_002).contains(&window), "{window}");
    }

    #[test]
    fn a_loss_below_the_last_one_gives_way_to_others() {
        let mut cubic = Cubic::new();
        cubic.reduce(100);
        cubic.reduce(80);
        // (1 + 0.7) / 2 of 80.
        assert!((cubic.last_max - 68.0).abs() < 1e-12);
    }
}
