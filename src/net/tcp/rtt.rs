//! Round-trip estimation and the retransmission timeout (RFC 6298). As in Linux the floor of 200 ms is
//! under the variance term, not under the whole timeout, and the variance falls at most once a round
//! trip.

use crate::snapshot::snapshot_struct;

/// The least time that is added to the smoothed round trip, in seconds.
pub(super) const LEAST_MARGIN: f64 = 0.2;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rtt {
    pub smoothed: f64,
    pub least: f64,
    pub latest: f64,
    deviation: f64,
    /// Four times the largest deviation since the round began.
    round: f64,
    margin: f64,
    /// The round is over when a packet after this one is acknowledged.
    until: u64,
}

snapshot_struct!(Rtt {
    smoothed,
    least,
    latest,
    deviation,
    round,
    margin,
    until
});

impl Rtt {
    /// The estimate after a handshake that took `rtt` seconds.
    pub fn new(rtt: f64) -> Self {
        let margin = (2.0 * rtt).max(LEAST_MARGIN);
        Self {
            smoothed: rtt,
            least: rtt,
            latest: rtt,
            deviation: rtt / 2.0,
            round: margin,
            margin,
            until: 0,
        }
    }

    /// Adds `samples` measurements of about `rtt`, from the acknowledgement of packet `acked` when
    /// `sent` packets have been sent.
    pub fn sample(&mut self, rtt: f64, samples: f64, acked: u64, sent: u64) {
        let error = (rtt - self.smoothed).abs();
        self.smoothed += (rtt - self.smoothed) * (1.0 - libm::pow(7.0 / 8.0, samples));
        self.deviation += (error - self.deviation) * (1.0 - libm::pow(3.0 / 4.0, samples));
        self.round = self.round.max(4.0 * self.deviation);
        self.margin = self.margin.max(self.round);
        if acked > self.until {
            if self.round < self.margin {
                self.margin -= (self.margin - self.round) / 4.0;
            }
            self.until = sent;
            self.round = LEAST_MARGIN;
        }
        self.least = self.least.min(rtt);
        self.latest = rtt;
    }

    /// The seconds without an acknowledgement after which a packet is sent again.
    pub fn timeout(&self) -> f64 {
        self.smoothed + self.margin
    }

    /// The seconds by which a packet may come later than one sent after it (RFC 8985, section 6.2).
    pub fn reordering(&self) -> f64 {
        self.least / 4.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_falls_from_three_round_trips_to_one_and_a_fifth_of_a_second() {
        let mut rtt = Rtt::new(0.3);
        assert!((rtt.timeout() - 0.9).abs() < 1e-12);
        for round in 1..60 {
            rtt.sample(0.3, 10.0, 10 * round, 10 * round + 10);
        }
        assert!((rtt.timeout() - 0.5).abs() < 1e-3, "{}", rtt.timeout());
        // A short path has it from the start.
        assert!((Rtt::new(0.02).timeout() - 0.22).abs() < 1e-12);
    }
}
