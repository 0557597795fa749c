//! Sparsification: the values of largest magnitude are sent.

use super::bits::{width, Reader, Writer};
use super::{check_share, kept, Scheme};
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// The `share` of the values with the largest magnitudes is sent, and all others count as zero (Aji
/// and Heafield, "Sparse Communication for Distributed Gradient Descent", EMNLP 2017). Of equal
/// magnitudes the first is taken. The error feedback is that of Stich et al., "Sparsified SGD with
/// Memory", NeurIPS 2018.
///
/// On the wire, the places of the values are one bit for each value of the vector or an index of
/// ⌈log₂ n⌉ bits for each value sent, whichever is shorter; then come 4 bytes for each value sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopK {
    /// The share of the values that is sent, in (0, 1].
    pub share: f64,
    /// Whether the values that were not sent are added to the next report.
    pub error_feedback: bool,
}

impl Default for TopK {
    fn default() -> Self {
        Self {
            share: 0.01,
            error_feedback: true,
        }
    }
}

/// The indices of the `k` values of largest magnitude, in ascending order.
fn largest(values: &[f32], k: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    if k < order.len() {
        let magnitude = |index: &u32| values[*index as usize].abs();
        order.select_nth_unstable_by(k, |a, b| {
            magnitude(b).total_cmp(&magnitude(a)).then(a.cmp(b))
        });
        order.truncate(k);
        order.sort_unstable();
    }
    order
}

/// Whether one bit for each of `n` values is no longer than `k` indices.
fn as_flags(n: usize, k: usize) -> bool {
    n <= k * width(n) as usize
}

impl Scheme for TopK {
    fn check(&self) -> Vec<(&'static str, String)> {
        check_share(self.share)
    }

    fn feedback(&self) -> bool {
        self.error_feedback
    }

    fn encode(&self, values: &[f32], _: &[usize], _: &mut Stream) -> Vec<u8> {
        let n = values.len();
        let k = kept(n, self.share);
        let chosen = largest(values, k);
        let mut writer = Writer::with_capacity(n.div_ceil(8).min(4 * k) + 4 * k);
        if as_flags(n, k) {
            let mut next = chosen.iter().copied().peekable();
            for index in 0..n as u32 {
                writer.bits(u32::from(next.next_if_eq(&index).is_some()), 1);
            }
        } else {
            chosen
                .iter()
                .for_each(|index| writer.bits(*index, width(n)));
        }
        writer.align();
        for index in chosen {
            writer.float(values[index as usize]);
        }
        writer.finish()
    }

    fn decode(&self, bytes: &[u8], _: &[usize], values: &mut [f32]) -> Option<()> {
        let n = values.len();
        let k = kept(n, self.share);
        let mut reader = Reader::new(bytes);
        let mut chosen = Vec::with_capacity(k);
        if as_flags(n, k) {
            for index in 0..n {
                if reader.bits(1)? == 1 {
                    chosen.push(index);
                }
            }
        } else {
            for _ in 0..k {
                chosen.push(reader.bits(width(n))? as usize);
            }
        }
        if chosen.len() != k || !chosen.is_sorted_by(|a, b| a < b) {
            return None;
        }
        reader.align();
        values.fill(0.0);
        for index in chosen {
            *values.get_mut(index)? = reader.float()?;
        }
        reader.end()
    }

    fn operations(&self) -> u64 {
        // The selection looks at each value a few times.
        6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::tests::{rng, round_trip};
    use proptest::prelude::*;

    fn of(share: f64) -> TopK {
        TopK {
            share,
            error_feedback: false,
        }
    }

    proptest! {
        #[test]
        fn exactly_the_largest_magnitudes_arrive_and_ties_go_to_the_first(
            values in prop::collection::vec((-4i8..=4).prop_map(f32::from), 1..300),
            share in 0.001f64..=1.0,
        ) {
            let scheme = of(share);
            let got = round_trip(&scheme, &values, &mut rng(1));
            let k = ((values.len() as f64 * share).round() as usize).max(1);
            let mut order: Vec<usize> = (0..values.len()).collect();
            // A stable sort leaves equal magnitudes in the order of their indices.
            order.sort_by(|a, b| values[*b].abs().partial_cmp(&values[*a].abs()).unwrap());
            let mut expected = vec![0.0; values.len()];
            order[..k].iter().for_each(|&index| expected[index] = values[index]);
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_shorter_form() {
        let bytes = |n: usize, share| of(share).encode(&vec![1.0; n], &[n], &mut rng(1)).len();
        // Ten indices of ten bits against 1,000 flags.
        assert_eq!(bytes(1_000, 0.01), 13 + 40);
        // Half of them: flags.
        assert_eq!(bytes(1_000, 0.5), 125 + 2_000);
        assert_eq!(bytes(1, 0.01), 4);
    }

    #[test]
    fn bytes_of_another_length_or_order_are_refused() {
        let scheme = of(0.01);
        let bytes = scheme.encode(&[1.0; 1_000], &[1_000], &mut rng(1));
        let mut values = [0.0; 1_000];
        assert!(scheme.decode(&bytes, &[1_000], &mut values).is_some());
        assert!(scheme.decode(&bytes[1..], &[1_000], &mut values).is_none());
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(scheme.decode(&longer, &[1_000], &mut values).is_none());
        let same_index = vec![0; bytes.len()];
        assert!(scheme.decode(&same_index, &[1_000], &mut values).is_none());
        let mut not_finite = bytes;
        let end = not_finite.len();
        not_finite[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(scheme.decode(&not_finite, &[1_000], &mut values).is_none());
    }
}
