//! The narrow network under masks, in double precision.

use super::narrow::{toy, NarrowDescent};
use super::{local, samples_of, Toy, BATCH, SEED};
use crate::method::{Method, Payload};
use crate::sim::rng::{shuffle, stream, Purpose};

/// A federation of three clients with the whole network.
pub fn whole(method: &dyn Method) -> Toy<'_> {
    toy(method, &local(), [1.0; 3])
}

/// The values under the mask `kept`, and zeros elsewhere.
pub fn under(values: &[f64], kept: &[bool]) -> Vec<f64> {
    let each = values.iter().zip(kept);
    each.map(|(&value, &kept)| if kept { value } else { 0.0 })
        .collect()
}

/// A client's training in `round` from `start`, in which only the values under the mask change.
pub fn train(start: &[f64], kept: &[bool], client: u32, round: u32) -> Vec<f64> {
    let descent = NarrowDescent::of_local();
    let counter = u64::from(round - 1);
    let mut rng = stream(SEED, u64::from(client), Purpose::Shuffle, counter);
    let mut order = samples_of(client);
    let mut w = under(start, kept);
    for _ in 0..descent.epochs {
        shuffle(&mut rng, &mut order);
        for chosen in order.chunks(BATCH) {
            let g = under(&descent.gradient(&w, chosen), kept);
            w.iter_mut().zip(g).for_each(|(w, g)| *w -= descent.lr * g);
        }
    }
    w
}

/// A trained network: its values, the mask of those it has, and its weight.
pub type Part = (Vec<f64>, Vec<bool>, f64);

/// The mean of each value over the networks that have it; a value that none has stays.
pub fn mean(global: &[f64], parts: &[Part]) -> Vec<f64> {
    let at = |i: usize| {
        let holders = parts.iter().filter(|part| part.1[i]);
        let (sum, weight) = holders.fold((0.0, 0.0), |(sum, weight), part| {
            (sum + part.2 * part.0[i], weight + part.2)
        });
        match weight > 0.0 {
            true => sum / weight,
            false => global[i],
        }
    };
    (0..global.len()).map(at).collect()
}

/// Asserts that a masked model sends only what it keeps, and that all other values are zero.
#[track_caller]
pub fn holds_nothing_else(payload: &Payload, like: &Toy) {
    let model = like.input(0, Payload::Nothing).model;
    let masked = payload.as_masked(model.layout()).unwrap();
    let values = masked.values().as_slice().unwrap();
    for (place, (value, kept)) in values.iter().zip(&**masked.mask().kept()).enumerate() {
        assert!(*kept || value.to_bits() == 0, "{place}: {value}");
    }
    let bytes = 8 + 4 * masked.mask().count() as u64 + masked.mask().wire_bytes().0;
    assert_eq!(payload.wire_bytes().0, bytes);
}
