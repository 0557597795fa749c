//! Synthetic(α, β) of FedProx (Li et al. 2020, section 5.1 and appendix C.1).
//!
//! For user k: u_k ~ N(0, α), every element of W_k (60×10) and b_k ~ N(u_k, 1); B_k ~ N(0, β), every
//! element of v_k ~ N(B_k, 1); x ~ N(v_k, Σ) with Σ diagonal, Σ_jj = j^-1.2; y = argmax(W_kᵀ x + b_k).
//! As in the authors' generator, α and β are used as standard deviations, a user has 50 samples plus a
//! log-normal number of them, and the last tenth of them is for testing. The IID variant is the
//! authors' too: one W and b ~ N(0, 1) for all users, and v = 0.
//!
//! A user's samples are a function of the seed and the user's number alone.

use super::dataset::{Dataset, Scaling, Split, Values, MAX_BYTES};
use super::error::DataError;
use super::source::SampleCounts;
use crate::quantity::{Distribution, Probability};
use crate::sim::rng::{stream, Purpose, Stream};

pub(super) const FEATURES: usize = 60;
pub(super) const CLASSES: usize = 10;

/// The counters of a user's streams.
const COUNT: u64 = 0;
const MODEL: u64 = 1;
const SAMPLES: u64 = 2;

/// The user whose model the IID variant uses; no real user has this number.
const EVERYONE: u64 = u64::MAX;

/// The parameters of the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Synthetic {
    pub alpha: f64,
    pub beta: f64,
    pub users: usize,
    pub samples: SampleCounts,
    pub iid: bool,
    pub test: Probability,
}

/// A linear model, class by class.
struct Model {
    weights: Vec<[f64; FEATURES]>,
    bias: Vec<f64>,
}

fn normal(rng: &mut Stream, mean: f64, std: f64) -> f64 {
    Distribution::Normal { mean, std }.sample(rng)
}

impl Model {
    fn draw(rng: &mut Stream, mean: f64) -> Self {
        Self {
            weights: (0..CLASSES)
                .map(|_| std::array::from_fn(|_| normal(rng, mean, 1.0)))
                .collect(),
            bias: (0..CLASSES).map(|_| normal(rng, mean, 1.0)).collect(),
        }
    }

    /// The class with the highest logit, the lowest index of equals. Softmax would not change the
    /// choice.
    fn classify(&self, x: &[f64; FEATURES]) -> u32 {
        let mut best = (f64::NEG_INFINITY, 0);
        for (class, (weights, bias)) in self.weights.iter().zip(&self.bias).enumerate() {
            let logit = weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias;
            if logit > best.0 {
                best = (logit, class as u32);
            }
        }
        best.1
    }
}

impl Synthetic {
    /// The numbers of samples for training and for testing of each user.
    ///
    /// It fails if a parameter is out of range, or if the samples would take too much memory.
    pub fn counts(&self, seed: u64) -> Result<Vec<(usize, usize)>, DataError> {
        let wrong =
            |expected: &str, found: String| Err(DataError::invalid("Synthetic", expected, found));
        let spread = |x: f64| (0.0..=1e6).contains(&x);
        if !spread(self.alpha) || !spread(self.beta) {
            return wrong(
                "alpha and beta in [0, 1e6]",
                format!("{} and {}", self.alpha, self.beta),
            );
        }
        if self.users == 0 {
            return wrong("at least one user", "0".into());
        }
        if let SampleCounts::LogNormal {
            log_mean, log_std, ..
        } = self.samples
        {
            if !(log_mean.is_finite() && log_std.is_finite() && log_std >= 0.0) {
                let found = format!("{log_mean} and {log_std}");
                return wrong(
                    "a finite log_mean and log_std, the latter not below 0",
                    found,
                );
            }
        }
        let most = MAX_BYTES / (4 * FEATURES as u64);
        if self.users as u64 > most / 2 {
            let expected = format!("2 samples a user or more, and {most} in all at most");
            return wrong(&expected, format!("{} users", self.users));
        }
        let mut total = 0u64;
        let mut counts = Vec::new();
        for user in 0..self.users {
            let count = self.count(seed, user as u64);
            total = total.saturating_add(count);
            if count < 2 || total > most {
                let expected = format!("2 samples a user or more, and {most} in all at most");
                return wrong(
                    &expected,
                    format!("{count} of user {user}, {total} up to there"),
                );
            }
            // Each user keeps samples for training and for testing, whatever the fraction is.
            let test = libm::ceil(self.test.get() * count as f64).clamp(1.0, count as f64 - 1.0);
            counts.push((count as usize - test as usize, test as usize));
        }
        Ok(counts)
    }

    fn count(&self, seed: u64, user: u64) -> u64 {
        match self.samples {
            SampleCounts::Constant(n) => n as u64,
            SampleCounts::LogNormal {
                log_mean,
                log_std,
                least,
            } => {
                let mut rng = stream(seed, user, Purpose::Data, COUNT);
                let extra = libm::exp(normal(&mut rng, log_mean, log_std));
                (extra as u64).saturating_add(least as u64)
            }
        }
    }

    /// Draws the samples.
    pub fn load(&self, seed: u64) -> Result<Split, DataError> {
        let counts = self.counts(seed)?;
        let (mut train, mut test) = (Part::default(), Part::default());
        let everyone = self
            .iid
            .then(|| Model::draw(&mut stream(seed, EVERYONE, Purpose::Data, MODEL), 0.0));
        let deviations: [f64; FEATURES] =
            std::array::from_fn(|j| libm::sqrt(libm::pow(j as f64 + 1.0, -1.2)));
        for (user, (train_count, test_count)) in counts.into_iter().enumerate() {
            let mut rng = stream(seed, user as u64, Purpose::Data, MODEL);
            let mut own = None;
            let mut centre = [0.0; FEATURES];
            if everyone.is_none() {
                let shift = normal(&mut rng, 0.0, self.alpha);
                own = Some(Model::draw(&mut rng, shift));
                let shift = normal(&mut rng, 0.0, self.beta);
                centre
                    .iter_mut()
                    .for_each(|v| *v = normal(&mut rng, shift, 1.0));
            }
            let mut rng = stream(seed, user as u64, Purpose::Data, SAMPLES);
            for i in 0..train_count + test_count {
                let x: [f64; FEATURES] =
                    std::array::from_fn(|j| normal(&mut rng, centre[j], deviations[j]));
                let part = if i < train_count {
                    &mut train
                } else {
                    &mut test
                };
                part.values.extend(x.iter().map(|x| *x as f32));
                let model = everyone.as_ref().or(own.as_ref());
                part.labels
                    .push(model.map_or(0, |model| model.classify(&x)));
                part.users.push(user as u32);
            }
        }
        Split::new(train.into_dataset(), test.into_dataset())
    }
}

#[derive(Default)]
struct Part {
    values: Vec<f32>,
    labels: Vec<u32>,
    users: Vec<u32>,
}

impl Part {
    fn into_dataset(self) -> Dataset {
        Dataset {
            name: "Synthetic".into(),
            shape: vec![FEATURES],
            values: Values::F32(self.values),
            scaling: Scaling::identity(),
            labels: self.labels,
            classes: CLASSES,
            users: Some(self.users),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(users: usize) -> Synthetic {
        Synthetic {
            alpha: 1.0,
            beta: 1.0,
            users,
            samples: SampleCounts::FEDPROX,
            iid: false,
            test: Probability::new(0.1).unwrap(),
        }
    }

    fn values(data: &Dataset) -> &[f32] {
        match &data.values {
            Values::F32(values) => values,
            Values::U8(_) => &[],
        }
    }

    #[test]
    fn a_user_does_not_depend_on_how_many_others_there_are() {
        let (few, many) = (
            spec(3).load(5).unwrap().train,
            spec(8).load(5).unwrap().train,
        );
        assert_eq!(values(&few), &values(&many)[..values(&few).len()]);
        assert_eq!(few.labels, many.labels[..few.len()]);
        assert_eq!((few.user_count(), many.user_count()), (Some(3), Some(8)));
    }

    #[test]
    fn sizes_are_fifty_and_a_log_normal_number() {
        let counts = spec(2000).counts(1).unwrap();
        let mut extra: Vec<usize> = counts.iter().map(|(a, b)| a + b - 50).collect();
        extra.sort_unstable();
        // exp(4) = 54.6 is the median, exp(4 ± 2) the points one deviation away.
        assert!((45..=62).contains(&extra[1000]), "median {}", extra[1000]);
        assert!(
            (6..=9).contains(&extra[317]),
            "16th percentile {}",
            extra[317]
        );
        assert!(
            (330..=490).contains(&extra[1683]),
            "84th percentile {}",
            extra[1683]
        );
        assert!(counts
            .iter()
            .all(|(train, test)| *test == (train + test).div_ceil(10)));
    }

    #[test]
    fn feature_variance_falls_as_j_to_the_minus_one_point_two() {
        let mut spec = spec(1);
        spec.samples = SampleCounts::Constant(40_000);
        let data = spec.load(2).unwrap().train;
        let n = data.len() as f64;
        for j in [0, 1, 9, 59] {
            let column = || {
                values(&data)
                    .iter()
                    .skip(j)
                    .step_by(FEATURES)
                    .map(|x| f64::from(*x))
            };
            let mean = column().sum::<f64>() / n;
            let variance = column().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            let wanted = (j as f64 + 1.0).powf(-1.2);
            assert!(
                (variance / wanted - 1.0).abs() < 0.05,
                "{j}: {variance} against {wanted}"
            );
        }
    }

    #[test]
    fn heterogeneity_sets_users_apart_and_iid_does_not() {
        // Spread over users of the mean of the last feature, whose own variance is 60^-1.2 = 0.007.
        let spread = |iid| {
            let mut spec = spec(60);
            spec.iid = iid;
            spec.samples = SampleCounts::Constant(100);
            let data = spec.load(4).unwrap().train;
            let means: Vec<f64> = values(&data)
                .chunks(90 * FEATURES)
                .map(|user| {
                    user.iter()
                        .skip(59)
                        .step_by(FEATURES)
                        .map(|x| f64::from(*x))
                        .sum::<f64>()
                        / 90.0
                })
                .collect();
            means.iter().map(|m| m * m).sum::<f64>() / 60.0
        };
        // B_k has variance 1 and v_k another 1 about it.
        assert!((1.2..3.2).contains(&spread(false)), "{}", spread(false));
        assert!(spread(true) < 0.001, "{}", spread(true));
    }

    #[test]
    fn labels_follow_from_one_linear_model_in_the_iid_variant() {
        let mut spec = spec(4);
        spec.iid = true;
        let data = spec.load(6).unwrap().train;
        let model = Model::draw(&mut stream(6, EVERYONE, Purpose::Data, MODEL), 0.0);
        let mut differ = 0;
        for (x, label) in values(&data).chunks(FEATURES).zip(&data.labels) {
            let logits: Vec<f64> = (0..CLASSES)
                .map(|c| {
                    (0..FEATURES)
                        .map(|j| model.weights[c][j] * f64::from(x[j]))
                        .sum::<f64>()
                        + model.bias[c]
                })
                .collect();
            let top = (0..CLASSES)
                .max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
                .unwrap();
            differ += u32::from(top as u32 != *label);
        }
        // Labels are computed before features are rounded to single precision.
        assert!(differ <= 1, "{differ} of {}", data.len());
        assert!(data.labels.iter().any(|l| *l != data.labels[0]));
    }

    #[test]
    fn a_parameter_out_of_range_is_an_error() {
        let error = |change: &dyn Fn(&mut Synthetic)| {
            let mut spec = spec(3);
            change(&mut spec);
            spec.load(1).unwrap_err().to_string()
        };
        assert!(error(&|s| s.alpha = f64::NAN).contains("alpha and beta in [0, 1e6]"));
        assert!(error(&|s| s.beta = -1.0).contains("alpha and beta in [0, 1e6]"));
        assert!(error(&|s| s.users = 0).contains("at least one user"));
        assert!(error(&|s| s.users = usize::MAX).contains("in all at most"));
        assert!(
            error(&|s| s.samples = SampleCounts::Constant(usize::MAX)).contains("in all at most")
        );
        assert!(error(&|s| s.samples = SampleCounts::Constant(1)).contains("2 samples a user"));
        let wild = SampleCounts::LogNormal {
            log_mean: 1e300,
            log_std: 1.0,
            least: 0,
        };
        assert!(error(&|s| s.samples = wild).contains("in all at most"));
    }
}
