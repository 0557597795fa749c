//! Random losses, drawn as the number of packets between two of them.

use crate::net::binomial::geometric;
use crate::net::Loss;
use crate::sim::rng::{stream, Purpose, Stream};
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use rand::Rng;

/// The largest number of streams from which a message draws under the name of one node.
const DRAWS: u32 = 16;
/// The bit above the sequence number of a message, which never reaches it.
const DRAW_SHIFT: u32 = 48;

/// The random draws of one message. The n-th draw comes from the n-th of the message's own streams, so
/// that only a number has to be kept between two draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dice {
    seed: u64,
    source: u32,
    sequence: u64,
    draws: u64,
}

snapshot_struct!(Dice {
    seed,
    source,
    sequence,
    draws
});

impl Dice {
    /// The draws of message `sequence` of node `source`.
    pub const fn new(seed: u64, source: u32, sequence: u64) -> Self {
        Self {
            seed,
            source,
            sequence,
            draws: 0,
        }
    }

    pub(super) fn stream(&mut self) -> Stream {
        let (high, low) = (self.draws >> DRAWS, self.draws & ((1 << DRAWS) - 1));
        self.draws += 1;
        let node = u64::from(self.source) | (high << 32);
        let counter = self.sequence | (low << DRAW_SHIFT);
        stream(self.seed, node, Purpose::Tcp, counter)
    }
}

/// How many packets get through before the next one is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaps {
    loss: Loss,
    left: u64,
    /// The state of a burst process (1 is the bad one), which begins in either state by the long-run shares;
    /// for a law of the registry, the state that it keeps.
    state: u64,
}

impl Gaps {
    /// The gaps of a link that loses packets as `loss` says.
    pub fn new(loss: Loss, dice: &mut Dice) -> Self {
        let mut gaps = Self {
            loss,
            left: 0,
            state: 0,
        };
        if loss != Loss::None {
            let mut rng = dice.stream();
            gaps.state = u64::from(loss.begins_bad(&mut rng));
            gaps.draw(&mut rng);
        } else {
            gaps.left = u64::MAX;
        }
        gaps
    }

    fn draw(&mut self, rng: &mut Stream) {
        self.left = match self.loss {
            Loss::None => u64::MAX,
            Loss::Independent { p } => geometric(p.get(), rng).saturating_sub(1),
            Loss::Other(law) => law.get().gap(&mut self.state, rng),
            Loss::GilbertElliott {
                p_good_to_bad,
                p_bad_to_good,
                loss_good,
                loss_bad,
            } => {
                let mut through = 0u64;
                // A process that loses no packet in either state would never end this loop, so the loop
                // has a bound: a loss that far ahead does not happen.
                for _ in 0..1_000 {
                    let (lost, moves) = if self.state == 1 {
                        (loss_bad, p_bad_to_good)
                    } else {
                        (loss_good, p_good_to_bad)
                    };
                    let loss = geometric(lost.get(), rng);
                    let stay = geometric(moves.get(), rng);
                    if loss <= stay {
                        if loss == stay {
                            self.state ^= 1;
                        }
                        self.left = through.saturating_add(loss - 1);
                        return;
                    }
                    through = through.saturating_add(stay);
                    self.state ^= 1;
                }
                u64::MAX
            }
        };
    }

    /// The positions of the packets that are lost among the next `packets`.
    pub fn lost(mut self, packets: u64, dice: &mut Dice) -> Vec<u32> {
        self.pass(packets, dice)
    }

    pub(super) fn pass(&mut self, packets: u64, dice: &mut Dice) -> Vec<u32> {
        let mut lost = Vec::new();
        let mut at = 0u64;
        while self.left < packets - at {
            at += self.left;
            lost.push(u32::try_from(at).unwrap_or(u32::MAX));
            at += 1;
            self.draw(&mut dice.stream());
        }
        if self.left != u64::MAX {
            self.left -= packets - at;
        }
        lost
    }
}

impl Loss {
    /// Draws whether a burst process that has run for long is in its bad state.
    fn begins_bad(&self, rng: &mut Stream) -> bool {
        let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        unit < self.time_in_bad()
    }
}

impl Snapshot for Gaps {
    fn save(&self, to: &mut Writer) {
        let Self { loss, left, state } = self;
        loss.save(to);
        left.save(to);
        state.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(Self {
            loss: Snapshot::load(from)?,
            left: Snapshot::load(from)?,
            state: Snapshot::load(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Probability;

    fn rate(loss: Loss) -> f64 {
        let mut dice = Dice::new(1, 2, 3);
        let mut gaps = Gaps::new(loss, &mut dice);
        let packets = 400_000;
        let lost: usize = (0..packets / 100)
            .map(|_| gaps.pass(100, &mut dice).len())
            .sum();
        lost as f64 / f64::from(packets)
    }

    #[test]
    fn gaps_lose_what_the_link_loses_in_the_long_run() {
        let p = |p: f64| Probability::new(p).unwrap();
        let independent = Loss::Independent { p: p(0.02) };
        assert!((rate(independent) - 0.02).abs() < 0.001);
        let bursts = Loss::GilbertElliott {
            p_good_to_bad: p(0.01),
            p_bad_to_good: p(0.2),
            loss_good: p(0.001),
            loss_bad: p(0.5),
        };
        let expected = bursts.rate();
        assert!((rate(bursts) / expected - 1.0).abs() < 0.06, "{expected}");
        assert_eq!(rate(Loss::None), 0.0);
    }

    #[test]
    fn bursts_and_gaps_last_as_long_as_the_chain_says() {
        let p = |p: f64| Probability::new(p).unwrap();
        let loss = Loss::GilbertElliott {
            p_good_to_bad: p(0.02),
            p_bad_to_good: p(0.25),
            loss_good: p(0.0),
            loss_bad: p(1.0),
        };
        let mut dice = Dice::new(4, 1, 1);
        let mut gaps = Gaps::new(loss, &mut dice);
        let packets = 400_000u64;
        let mut lost = Vec::new();
        for train in 0..packets / 40 {
            let places = gaps.pass(40, &mut dice);
            lost.extend(
                places
                    .into_iter()
                    .map(|place| train * 40 + u64::from(place)),
            );
        }
        let bursts = lost.windows(2).filter(|pair| pair[1] > pair[0] + 1).count() as f64 + 1.0;
        // Geometric lengths: mean 1/r = 4 packets with deviation sqrt(1 - r) / r, 1/p = 50 in between; some
        // 7,400 bursts. Of the bursts a quarter is one packet long.
        let burst = lost.len() as f64 / bursts;
        let gap = (packets as f64 - lost.len() as f64) / bursts;
        let single = (1..lost.len() - 1)
            .filter(|&i| lost[i] > lost[i - 1] + 1 && lost[i + 1] > lost[i] + 1)
            .count() as f64
            / bursts;
        let count = bursts.sqrt();
        assert!((burst - 4.0).abs() < 5.0 * 3.464 / count, "{burst}");
        assert!((gap - 50.0).abs() < 5.0 * 49.5 / count, "{gap}");
        assert!((single - 0.25).abs() < 5.0 * 0.433 / count, "{single}");
    }

    #[test]
    fn trains_of_any_length_meet_the_same_losses() {
        let loss = Loss::Independent {
            p: Probability::new(0.03).unwrap(),
        };
        let places = |step: u64| {
            let mut dice = Dice::new(9, 1, 1);
            let mut gaps = Gaps::new(loss, &mut dice);
            let mut all = Vec::new();
            for i in 0..600 / step {
                let lost = gaps.pass(step, &mut dice);
                all.extend(lost.into_iter().map(|place| i * step + u64::from(place)));
            }
            all
        };
        assert_eq!(places(1), places(600));
        assert_eq!(places(7), {
            let mut all = places(1);
            all.retain(|place| *place < 595);
            all
        });
    }
}
