//! Laws of packet loss that a scenario can name in addition to those of [`super::Loss`].

use crate::registry::kind;
use crate::sim::rng::{below, Stream};
use serde::{Deserialize, Serialize};

/// Which packets a link loses, as a random process that begins anew with each message.
///
/// For example, [`EveryNth`] with `packets: 3` loses the packets 1, 4, 7, … of a message, or 2, 5, 8, …,
/// or 0, 3, 6, ….
pub trait PacketLoss: Send + Sync {
    /// What is wrong with the settings, in words, for example `"packets 0 is outside [1, ...]"`.
    fn problem(&self) -> Option<String> {
        None
    }

    /// The share of packets that are lost in the long run, in [0, 1]. Estimates and forecasts use it.
    fn rate(&self) -> f64;

    /// The number of packets that get through before the next one is lost. `state` is all that the process
    /// may keep between two losses of a message; it is 0 before the first loss. All randomness has to come
    /// from `rng`.
    fn gap(&self, state: &mut u64, rng: &mut Stream) -> u64;
}

kind! {
    dyn PacketLoss, "a law of packet loss";
    /// Every n-th packet is lost, from a place on that is drawn for each message
    EveryNth: EveryNth,
}

/// Every n-th packet is lost. The position of a message's first lost packet is drawn uniformly from the
/// first n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EveryNth {
    /// The distance n from one lost packet to the next, in packets; at least 1.
    pub packets: u64,
}

impl PacketLoss for EveryNth {
    fn problem(&self) -> Option<String> {
        let wrong = self.packets == 0;
        wrong.then(|| "packets: expected 1 or more, found 0".into())
    }

    fn rate(&self) -> f64 {
        1.0 / self.packets.max(1) as f64
    }

    fn gap(&self, state: &mut u64, rng: &mut Stream) -> u64 {
        let first = std::mem::replace(state, 1) == 0;
        match first {
            true => below(rng, self.packets.max(1)),
            false => self.packets.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tcp::{Dice, Gaps};
    use super::super::Loss;
    use super::*;
    use crate::registry::{Interned, Spec};
    use crate::sim::rng::{stream, Purpose};

    fn every(packets: u64) -> Loss {
        Loss::Other(Interned::new(Spec::from(EveryNth { packets })))
    }

    /// Of k packets either floor(k / n) or one more are lost, whatever the transport.
    #[test]
    fn every_nth_packet_is_lost_under_every_transport() {
        for (n, packets) in [(1, 5), (3, 10), (7, 7), (10, 4), (13, 1_000)] {
            let mut rng = stream(1, n, Purpose::Link, packets);
            let lost = every(n).lost(packets, &mut None, &mut rng);
            assert!(
                (packets / n..=packets / n + 1).contains(&lost),
                "{n} {packets}: {lost}"
            );
            let mut dice = Dice::new(1, 2, n);
            let places = Gaps::new(every(n), &mut dice).lost(packets, &mut dice);
            let apart = places.windows(2).all(|two| u64::from(two[1] - two[0]) == n);
            assert!(
                apart && places.len() as u64 >= packets / n,
                "{n} {packets}: {places:?}"
            );
        }
    }

    #[test]
    fn in_the_long_run_the_rate_is_what_it_says() {
        let mut rng = stream(1, 2, Purpose::Link, 3);
        let lost: u64 = (0..20_000)
            .map(|_| every(8).lost(5, &mut None, &mut rng))
            .sum();
        // Five of eight messages lose one packet: binomial, within five deviations.
        let (mean, deviation) = (12_500.0, (20_000.0f64 * 0.625 * 0.375).sqrt());
        assert!((lost as f64 - mean).abs() < 5.0 * deviation, "{lost}");
        assert_eq!(every(8).rate(), 0.125);
    }

    #[test]
    fn laws_that_are_written_alike_are_kept_once_and_survive_a_checkpoint() {
        let [a, b] =
            [EveryNth { packets: 3 }; 2].map(|law| Interned::<dyn PacketLoss>::new(law.into()));
        assert!(std::ptr::eq(a.get(), b.get()));
        assert_ne!(every(3), every(4));
        let read = crate::snapshot::testing::again(&every(3)).unwrap();
        assert_eq!(read, every(3));
    }
}
