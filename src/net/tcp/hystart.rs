//! HyStart (Ha and Rhee, "Taming the elephants", 2011) as in Linux: slow start ends when
//! acknowledgements close together go on for longer than half a round trip, or when the least delay of
//! a round has grown by an eighth.

use crate::snapshot::snapshot_struct;

/// Below this window, in packets, HyStart does not act.
const LOW: u32 = 16;
/// Acknowledgements at most this many seconds apart are close together.
const CLOSE: f64 = 0.002;
/// The number of samples of a round from which the least delay is taken.
const SAMPLES: u32 = 8;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct HyStart {
    pub found: bool,
    began: f64,
    last: f64,
    /// The round is over when this packet is acknowledged.
    end: u64,
    least: f64,
    samples: u32,
}

snapshot_struct!(HyStart {
    found,
    began,
    last,
    end,
    least,
    samples
});

/// A group of packets that are acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acked {
    /// The serial number of the first packet.
    pub serial: u64,
    pub packets: u32,
    /// The number of acknowledgements.
    pub acks: u32,
    /// When the first packet is acknowledged, in seconds; each further packet follows `gap` later.
    pub at: f64,
    pub gap: f64,
    /// The round trips of the first and the last packet.
    pub rtts: (f64, f64),
}

impl HyStart {
    pub const fn new() -> Self {
        Self {
            found: false,
            began: 0.0,
            last: 0.0,
            end: 0,
            least: f64::INFINITY,
            samples: 0,
        }
    }

    /// The number of packets from `serial` on that belong to the current round, where that matters.
    pub fn boundary(&self, serial: u64) -> Option<u32> {
        let left = self.end.checked_sub(serial).filter(|left| *left > 0)?;
        (!self.found).then(|| u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// The number of packets after which slow start ends, if it does; `sent` is the number of packets
    /// sent so far.
    pub fn update(&mut self, window: u32, acked: &Acked, sent: u64, least_rtt: f64) -> Option<u32> {
        let Acked {
            packets, acks, at, ..
        } = *acked;
        if acked.serial >= self.end {
            self.began = at;
            self.last = at;
            self.end = sent;
            self.least = f64::INFINITY;
            self.samples = 0;
        }
        if acks == 0 {
            return None;
        }
        let per = f64::from(packets) / f64::from(acks);
        let below = f64::from(LOW.saturating_sub(window));
        let skip = libm::ceil(below / per) as u32;
        if skip >= acks {
            return None;
        }
        let spacing = acked.gap * per;
        let train = self.train(at, spacing, acks, skip, least_rtt);
        let delay = self.delay(acked, skip, least_rtt);
        let end = match (train, delay) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        self.found = true;
        // The window does not grow by the acknowledgement that ends it.
        Some((libm::round(f64::from(end - 1) * per) as u32).min(packets))
    }

    fn train(&mut self, at: f64, spacing: f64, acks: u32, skip: u32, least: f64) -> Option<u32> {
        let close = at + f64::from(skip) * spacing - self.last <= CLOSE;
        if !close || (spacing > CLOSE && acks > 1) {
            return None;
        }
        let last = at + f64::from(acks - 1) * spacing;
        self.last = last;
        let long = (least + 0.001) / 2.0;
        (last - self.began > long).then(|| {
            let before = libm::floor((self.began + long - at) / spacing.max(1e-9));
            (before.max(0.0) as u32 + 1).clamp(skip + 1, acks)
        })
    }

    fn delay(&mut self, acked: &Acked, skip: u32, least: f64) -> Option<u32> {
        let acks = acked.acks;
        let (first, last) = acked.rtts;
        let rtt = |ack: u32| first + (last - first) * f64::from(ack) / f64::from(acks.max(2) - 1);
        let early = (SAMPLES - self.samples.min(SAMPLES)).min(acks - skip);
        self.least = self.least.min(rtt(skip));
        if early > 0 {
            self.least = self.least.min(rtt(skip + early - 1));
        }
        self.samples += early;
        if self.samples < SAMPLES || early == acks - skip {
            return None;
        }
        self.least = self.least.min(rtt(acks - 1));
        let limit = least + (least / 8.0).clamp(0.004, 0.016);
        (self.least > limit).then_some(skip + early + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acked(serial: u64, packets: u32, at: f64, gap: f64, rtt: f64) -> Acked {
        Acked {
            serial,
            packets,
            acks: packets,
            at,
            gap,
            rtts: (rtt, rtt),
        }
    }

    #[test]
    fn a_long_train_of_acknowledgements_ends_slow_start() {
        let mut hystart = HyStart::new();
        // Half of 60 ms and a bit are over with the 31st.
        let end = hystart.update(40, &acked(0, 40, 0.0, 0.001, 0.06), 80, 0.06);
        assert_eq!(end, Some(30));
        // Those further apart are no train.
        let mut hystart = HyStart::new();
        let end = hystart.update(40, &acked(0, 40, 0.0, 0.003, 0.06), 80, 0.06);
        assert_eq!(end, None);
    }

    #[test]
    fn a_round_with_more_delay_ends_slow_start_at_its_ninth_acknowledgement() {
        let mut hystart = HyStart::new();
        assert_eq!(
            hystart.update(40, &acked(0, 40, 0.0, 0.003, 0.08), 80, 0.06),
            Some(8)
        );
        // Short or small rounds do not count.
        let mut hystart = HyStart::new();
        assert_eq!(
            hystart.update(10, &acked(0, 6, 0.0, 0.003, 0.08), 20, 0.06),
            None
        );
    }
}
