//! Faults of samples: noise on labels and on features.

use super::dataset::{Dataset, Values};
use crate::fault::DataFault;
use crate::quantity::standard_normal;
use crate::sim::rng::{below, stream, Purpose};
use rand::Rng;

impl Dataset {
    /// Spoils these samples; `entry` separates the draws of different faults. The noise of a sample is
    /// a function of the seed, the entry and its own number.
    pub fn spoil(
        &mut self,
        fault: DataFault,
        samples: impl Iterator<Item = u32>,
        entry: u32,
        seed: u64,
    ) {
        let width: usize = self.shape.iter().product();
        let plane = width / self.shape.first().copied().unwrap_or(1).max(1);
        for sample in samples {
            let counter = 1 << 62 | u64::from(entry);
            let mut rng = stream(seed, u64::from(sample), Purpose::Fault, counter);
            let sample = sample as usize;
            match fault {
                DataFault::LabelNoise(p) => {
                    let hit = p.hit(rng.next_u64());
                    let other = below(&mut rng, (self.classes as u64).saturating_sub(1)) as u32;
                    if let Some(label) = self.labels.get_mut(sample).filter(|_| hit) {
                        // Any class but the sample's own.
                        *label = if other >= *label { other + 1 } else { other };
                        *label = (*label).min(self.classes as u32 - 1);
                    }
                }
                DataFault::FeatureNoise(std) => {
                    let place = sample * width..(sample + 1) * width;
                    let scaling = &self.scaling;
                    // From x = (raw · scale − mean) / std follows how much noise on raw makes this
                    // deviation on x.
                    let unit = |index: usize| {
                        let channel = index / plane.max(1);
                        let deviation = scaling.std.get(channel).or(scaling.std.first());
                        std * f64::from(deviation.copied().unwrap_or(1.0))
                            / f64::from(scaling.scale)
                    };
                    match &mut self.values {
                        Values::U8(values) => {
                            for (index, value) in values[place].iter_mut().enumerate() {
                                let noisy =
                                    f64::from(*value) + unit(index) * standard_normal(&mut rng);
                                *value = libm::round(noisy.clamp(0.0, 255.0)) as u8;
                            }
                        }
                        Values::F32(values) => {
                            for (index, value) in values[place].iter_mut().enumerate() {
                                *value += (unit(index) * standard_normal(&mut rng)) as f32;
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Scaling;
    use crate::quantity::Probability;

    fn flat(classes: usize) -> Dataset {
        Dataset {
            name: "flat".into(),
            shape: vec![1, 4, 4],
            values: Values::U8(vec![128; 16 * 5_000]),
            scaling: Scaling::uniform(1.0 / 255.0, 0.5, 0.25),
            labels: (0..5_000).map(|i| i % classes as u32).collect(),
            classes,
            users: None,
        }
    }

    #[test]
    fn labels_are_replaced_by_other_classes_at_the_rate_and_only_where_it_was_said() {
        let mut data = flat(10);
        let clean = data.labels.clone();
        let noise = DataFault::LabelNoise(Probability::new(0.3).unwrap());
        data.spoil(noise, 0..4_000, 0, 1);
        let changed = (0..4_000).filter(|&i| data.labels[i] != clean[i]).count();
        // Binomial(4000, 0.3): mean 1200, deviation 29.
        assert!((1_055..1_345).contains(&changed), "{changed}");
        assert_eq!(data.labels[4_000..], clean[4_000..]);
        assert!(data.labels.iter().all(|&label| label < 10));
        let mut counts = [0u32; 10];
        for i in (0..4_000).filter(|&i| data.labels[i] != clean[i] && clean[i] == 0) {
            counts[data.labels[i] as usize] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!(
            counts[1..].iter().all(|&n| n > 0),
            "every other class: {counts:?}"
        );
    }

    #[test]
    fn noise_on_features_has_the_deviation_of_the_normalised_input() {
        let mut data = flat(10);
        data.spoil(DataFault::FeatureNoise(0.5), 0..5_000, 0, 1);
        let Values::U8(values) = &data.values else {
            unreachable!()
        };
        let normalised = values.iter().map(|&v| (f64::from(v) / 255.0 - 0.5) / 0.25);
        let n = values.len() as f64;
        let mean = normalised.clone().sum::<f64>() / n;
        let std = (normalised.map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!((std - 0.5).abs() < 0.01, "{std}");
        // 128 is not exactly the middle of the range.
        assert!((mean - (128.0 / 255.0 - 0.5) / 0.25).abs() < 0.01, "{mean}");
    }

    #[test]
    fn two_entries_draw_apart_and_one_draws_the_same_again() {
        let noise = DataFault::LabelNoise(Probability::new(0.5).unwrap());
        let of = |entry| {
            let mut data = flat(10);
            data.spoil(noise, 0..5_000, entry, 1);
            data.labels
        };
        assert_eq!(of(0), of(0));
        assert_ne!(of(0), of(1));
    }
}
