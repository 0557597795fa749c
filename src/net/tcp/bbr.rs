//! BBR, version 1 (Cardwell et al. 2016; Linux's tcp_bbr.c): the sending rate follows the measured
//! delivery rate, and the window is twice the number of packets in flight at that rate.

use crate::snapshot::{snapshot_enum, snapshot_struct};
use std::collections::VecDeque;

/// 2 / ln 2: the least gain that doubles the rate each round trip.
const HIGH: f64 = 2.885;
/// BBR sends 1 % slower than it measures, so that queues drain.
const MARGIN: f64 = 0.99;
/// How long a measured rate counts, in round trips; also how long a least round trip counts, in
/// seconds.
const ROUNDS: u64 = 10;
const STALE: f64 = 10.0;
/// The gains of the cycle in which BBR probes for a higher rate.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bbr {
    mode: Mode,
    /// The best rate of each of the last rounds, with the number of the round.
    rates: VecDeque<(u64, f64)>,
    round: u64,
    round_end: u64,
    /// The rate that has stopped growing, and the number of rounds in which it did not grow.
    full: f64,
    full_count: u32,
    min_rtt: f64,
    min_at: f64,
    cycle: u64,
    cycle_at: f64,
    /// When the probing for the least round trip ends.
    probe_until: Option<f64>,
    /// Whether this is the first round of a recovery: one packet is sent for each one delivered.
    pub conserve: bool,
    /// The window before the recovery.
    prior: u32,
    /// The first estimate of the rate.
    initial: f64,
}

snapshot_enum!(Mode { 0 => Startup, 1 => Drain, 2 => ProbeBw, 3 => ProbeRtt });
snapshot_struct!(Bbr {
    mode,
    rates,
    round,
    round_end,
    full,
    full_count,
    min_rtt,
    min_at,
    cycle,
    cycle_at,
    probe_until,
    conserve,
    prior,
    initial
});

/// A measurement of the delivery rate from acknowledged packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub packets: u32,
    /// The number of packets delivered when the last of these packets was sent; `delivered` is the
    /// number now.
    pub before: u64,
    pub delivered: u64,
    /// The seconds between these two moments.
    pub interval: f64,
    pub rtt: f64,
    pub now: f64,
    /// Whether the sender had no more packets to send.
    pub limited: bool,
}

impl Bbr {
    pub fn new(window: u32, rtt: f64, now: f64, phase: u64) -> Self {
        Self {
            mode: Mode::Startup,
            rates: VecDeque::new(),
            round: 0,
            round_end: 0,
            full: 0.0,
            full_count: 0,
            min_rtt: rtt,
            min_at: now,
            cycle: 2 + phase % 6,
            cycle_at: 0.0,
            probe_until: None,
            conserve: false,
            prior: 0,
            initial: f64::from(window) / rtt,
        }
    }

    fn bandwidth(&self) -> f64 {
        self.rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }

    /// The rate at which BBR sends, in packets a second.
    pub fn pace(&self) -> f64 {
        let bw = self.bandwidth();
        match self.mode {
            Mode::Startup => HIGH * bw.max(self.initial) * MARGIN,
            Mode::Drain => bw / HIGH * MARGIN,
            Mode::ProbeBw => CYCLE[self.cycle as usize % 8] * bw * MARGIN,
            Mode::ProbeRtt => bw * MARGIN,
        }
    }

    fn target(&self, gain: f64) -> u32 {
        let bdp = self.bandwidth() * self.min_rtt;
        let quanta = 3.0 * 2.0
            + if self.mode == Mode::ProbeBw && self.cycle == 0 {
                2.0
            } else {
                0.0
            };
        ((bdp * gain).ceil() + quanta) as u32
    }

    /// Called when a recovery begins.
    pub fn enter(&mut self, cwnd: u32, delivered: u64) {
        if !self.conserve {
            self.prior = self.prior.max(cwnd);
        }
        self.conserve = true;
        self.round_end = delivered;
    }

    /// Called when a recovery ends; returns the window before the recovery.
    pub fn leave(&mut self, cwnd: u32) -> u32 {
        self.conserve = false;
        let window = cwnd.max(self.prior);
        self.prior = 0;
        window
    }

    /// The window after some packets were acknowledged, with `pipe` packets still in flight.
    pub fn acked(&mut self, cwnd: u32, pipe: u32, sample: &Sample) -> u32 {
        let Sample {
            packets: acked,
            before,
            delivered,
            interval,
            rtt,
            now,
            limited,
        } = *sample;
        let mut start = false;
        if before >= self.round_end {
            self.round_end = delivered;
            self.round += 1;
            self.conserve = false;
            start = true;
        }
        let rate = (delivered - before) as f64 / interval;
        if !limited || rate >= self.bandwidth() {
            match self.rates.back_mut() {
                Some((round, best)) if *round == self.round => *best = best.max(rate),
                _ => self.rates.push_back((self.round, rate)),
            }
        }
        while self.rates.len() > 1
            && self
                .rates
                .front()
                .is_some_and(|(round, _)| round + ROUNDS <= self.round)
        {
            self.rates.pop_front();
        }
        if start && self.full_count < 3 && !limited {
            let bw = self.bandwidth();
            if bw >= self.full * 1.25 {
                self.full = bw;
                self.full_count = 0;
            } else {
                self.full_count += 1;
            }
        }
        if self.mode == Mode::Startup && self.full_count >= 3 {
            self.mode = Mode::Drain;
        }
        if self.mode == Mode::Drain && f64::from(pipe) <= self.bandwidth() * self.min_rtt {
            self.mode = Mode::ProbeBw;
            self.cycle_at = now;
        }
        if self.mode == Mode::ProbeBw {
            let long = now - self.cycle_at > self.min_rtt;
            let (pipe, bdp) = (f64::from(pipe), self.bandwidth() * self.min_rtt);
            let next = match self.cycle {
                // Long enough, and until the queue shows the higher rate, unless the rate limits that.
                0 => long && (pipe >= 1.25 * bdp || now - self.cycle_at > 4.0 * self.min_rtt),
                1 => long || pipe <= bdp,
                _ => long,
            };
            if next {
                self.cycle = (self.cycle + 1) % 8;
                self.cycle_at = now;
            }
        }
        let expired = now - self.min_at > STALE;
        if rtt <= self.min_rtt || expired {
            self.min_rtt = rtt;
            self.min_at = now;
        }
        if expired && self.mode != Mode::ProbeRtt {
            self.prior = self.prior.max(cwnd);
            self.mode = Mode::ProbeRtt;
            self.probe_until = None;
        }
        if self.mode == Mode::ProbeRtt {
            if self.probe_until.is_none() && pipe <= 4 {
                self.probe_until = Some(now + 0.2);
            }
            if self.probe_until.is_some_and(|until| now > until) {
                self.min_at = now;
                self.mode = if self.full_count >= 3 {
                    Mode::ProbeBw
                } else {
                    Mode::Startup
                };
                self.cycle_at = now;
                return self.leave(cwnd);
            }
            return cwnd.min(4);
        }
        if self.conserve {
            return cwnd.max(pipe + acked);
        }
        let gain = if self.mode == Mode::ProbeBw {
            2.0
        } else {
            HIGH
        };
        let target = self.target(gain);
        let window = if self.full_count >= 3 {
            (cwnd + acked).min(target)
        } else if cwnd < target || delivered < 10 {
            cwnd + acked
        } else {
            cwnd
        };
        window.max(4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_rate_and_keeps_two_round_trips_of_it_in_flight() {
        // 1,000 packets/s over 0.1 s: acknowledgements of each round say what got through.
        let mut bbr = Bbr::new(10, 0.1, 0.0, 0);
        let (mut window, mut delivered, mut now) = (10u32, 0u64, 0.1);
        for _ in 0..40 {
            let through = window.min(100);
            let before = delivered;
            delivered += u64::from(through);
            let rtt = (f64::from(window) / 1_000.0).max(0.1);
            let sample = Sample {
                packets: through,
                before,
                delivered,
                interval: 0.1,
                rtt,
                now,
                limited: false,
            };
            window = bbr.acked(window, window.min(100), &sample);
            now += 0.1;
        }
        assert!((bbr.bandwidth() - 1_000.0).abs() < 1e-6);
        assert!((200..=210).contains(&window), "{window}");
        assert!((bbr.pace() / 1_000.0 - 1.0).abs() < 0.3);
    }
}
