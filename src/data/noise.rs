//! Noise of any shape: features drawn from N(0, 1) and labels drawn uniformly, independent of each
//! other. Noise costs as much memory and time as real data, and nothing can be learned from it.

use super::dataset::{Dataset, Scaling, Split, Values, MAX_BYTES, MAX_CLASSES};
use super::error::DataError;
use super::source::Element;
use crate::sim::rng::{below, stream, Purpose, Stream};
use rand::Rng;

/// Features are drawn as the sum of four uniform bytes, which has this mean and this variance. It is
/// close to normal, and one random word gives four bytes.
const MEAN: f32 = 510.0;
const VARIANCE: f32 = 4.0 * (256.0 * 256.0 - 1.0) / 12.0;

/// The parameters of the noise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise<'a> {
    pub shape: &'a [usize],
    pub classes: usize,
    pub train: usize,
    pub test: usize,
    pub element: Element,
}

impl Noise<'_> {
    /// Fails if the samples would take too much memory, or if none are asked for.
    pub fn check(&self) -> Result<(), DataError> {
        let width = match self.element {
            Element::U8 => 1u64,
            Element::F32 => 4,
        };
        let samples = (self.train as u64).saturating_add(self.test as u64);
        let sizes = self.shape.iter().map(|d| *d as u64);
        let bytes = sizes.fold(samples.saturating_mul(width), u64::saturating_mul);
        if bytes > MAX_BYTES || samples > u64::from(u32::MAX) {
            let expected = format!("at most {MAX_BYTES} bytes and 2^32 - 1 samples");
            let found = format!("{samples} samples of shape {:?}", self.shape);
            return Err(DataError::invalid("Random", expected, found));
        }
        if self.train == 0 || self.test == 0 || bytes == 0 || self.shape.is_empty() {
            let expected = "samples for training and for testing, and a shape above 0";
            let found = format!("{} and {} of shape {:?}", self.train, self.test, self.shape);
            return Err(DataError::invalid("Random", expected, found));
        }
        if self.classes == 0 || self.classes > MAX_CLASSES {
            let expected = format!("1 to {MAX_CLASSES} classes");
            return Err(DataError::invalid(
                "Random",
                expected,
                self.classes.to_string(),
            ));
        }
        Ok(())
    }

    /// Draws the samples; each sample is a function of the seed and its own number.
    pub fn load(&self, seed: u64) -> Result<Split, DataError> {
        self.check()?;
        let part = |first: usize, count: usize| {
            let width = self.shape.iter().product::<usize>();
            let mut labels = Vec::with_capacity(count);
            let mut each = |draw: &mut dyn FnMut(&mut Stream)| {
                for i in first..first + count {
                    let mut rng = stream(seed, i as u64, Purpose::Data, 0);
                    labels.push(below(&mut rng, self.classes as u64) as u32);
                    (0..width).for_each(|_| draw(&mut rng));
                }
            };
            let (values, scaling) = match self.element {
                Element::U8 => {
                    let mut values = Vec::with_capacity(count * width);
                    // A quarter of the sum fits a byte.
                    each(&mut |rng| values.push((sum(rng) / 4) as u8));
                    let std = libm::sqrtf(VARIANCE) / 4.0 / 255.0;
                    (
                        Values::U8(values),
                        Scaling::uniform(1.0 / 255.0, MEAN / 4.0 / 255.0, std),
                    )
                }
                Element::F32 => {
                    let mut values = Vec::with_capacity(count * width);
                    let std = libm::sqrtf(VARIANCE);
                    each(&mut |rng| values.push((sum(rng) as f32 - MEAN) / std));
                    (Values::F32(values), Scaling::identity())
                }
            };
            Dataset {
                name: "Random".into(),
                shape: self.shape.to_vec(),
                values,
                scaling,
                labels,
                classes: self.classes,
                users: None,
            }
        };
        Split::new(part(0, self.train), part(self.train, self.test))
    }
}

fn sum(rng: &mut Stream) -> u32 {
    rng.next_u32()
        .to_le_bytes()
        .iter()
        .map(|b| u32::from(*b))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(element: Element) -> Noise<'static> {
        Noise {
            shape: &[3, 4, 4],
            classes: 7,
            train: 2000,
            test: 30,
            element,
        }
    }

    /// Mean and variance of the normalised features.
    fn moments(data: &Dataset) -> (f64, f64) {
        let s = &data.scaling;
        let raw: Vec<f32> = match &data.values {
            Values::U8(v) => v.iter().map(|x| f32::from(*x)).collect(),
            Values::F32(v) => v.clone(),
        };
        let x: Vec<f64> = raw
            .iter()
            .map(|x| f64::from((x * s.scale - s.mean[0]) / s.std[0]))
            .collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        (
            mean,
            x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / x.len() as f64,
        )
    }

    #[test]
    fn features_are_standard_once_scaled_and_labels_are_uniform() {
        for element in [Element::U8, Element::F32] {
            let split = noise(element).load(3).unwrap();
            let (mean, variance) = moments(&split.train);
            // 96,000 draws: five standard errors of the mean are 0.016; bytes are rounded down.
            assert!(mean.abs() < 0.02, "{element:?}: {mean}");
            assert!((variance - 1.0).abs() < 0.03, "{element:?}: {variance}");
            for class in 0..7 {
                let n = split.train.labels.iter().filter(|l| **l == class).count();
                assert!((200..380).contains(&n), "class {class}: {n}");
            }
        }
    }

    #[test]
    fn samples_depend_on_seed_and_number_alone() {
        let whole = noise(Element::F32).load(3).unwrap();
        let mut shorter = noise(Element::F32);
        shorter.train = 5;
        let part = shorter.load(3).unwrap();
        assert_eq!(part.train, whole.train.select(&[0, 1, 2, 3, 4]));
        assert_ne!(noise(Element::F32).load(4).unwrap(), whole);
    }

    #[test]
    fn a_huge_or_empty_request_is_an_error() {
        let ask = |change: &dyn Fn(&mut Noise<'static>)| {
            let mut noise = noise(Element::U8);
            change(&mut noise);
            noise.load(1).unwrap_err().to_string()
        };
        assert!(ask(&|n| n.train = usize::MAX).contains("at most"));
        assert!(ask(&|n| n.shape = &[usize::MAX, usize::MAX]).contains("at most"));
        assert!(ask(&|n| n.test = 0).contains("samples for training and for testing"));
        assert!(ask(&|n| n.shape = &[0]).contains("a shape above 0"));
        assert!(ask(&|n| n.shape = &[]).contains("a shape above 0"));
        assert!(ask(&|n| n.classes = 0).contains("classes"));
    }
}
