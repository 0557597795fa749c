//! Clipping, which bounds what one client can change, and Gaussian noise.

use super::NAME;
use crate::learn::Cost;
use crate::method::{ClientInput, ClientLayer, ClientWork, Form, MethodError, Payload};
use crate::model::Buffer;
use crate::quantity::{Bytes, Distribution, Flops};
use crate::sim::rng::{stream, Purpose, Stream};

/// The Euclidean norm of `change`, in double precision.
pub(super) fn norm(change: &Buffer) -> Result<f64, MethodError> {
    let squares = change
        .as_slice()?
        .iter()
        .map(|v| f64::from(*v) * f64::from(*v));
    Ok(libm::sqrt(squares.sum()))
}

/// Scales `change` down to the norm `bound` if it is longer. Returns the norm before.
///
/// # Errors
/// When some values are not finite, since nothing can be guaranteed for them.
pub(super) fn clip(change: &mut Buffer, bound: f64) -> Result<f64, MethodError> {
    let before = norm(change)?;
    if !before.is_finite() {
        let what = "an update that is not finite cannot be clipped: training has diverged";
        return Err(MethodError::layer(NAME, what));
    }
    if before > bound {
        change.scale((bound / before) as f32)?;
    }
    Ok(before)
}

/// Adds independent Gaussian noise of standard deviation `std` to every value.
pub(super) fn add_noise(
    change: &mut Buffer,
    std: f64,
    rng: &mut Stream,
) -> Result<(), MethodError> {
    let noise = Distribution::Normal { mean: 0.0, std };
    for value in change.as_mut_slice()? {
        *value = (f64::from(*value) + noise.sample(rng)) as f32;
    }
    Ok(())
}

/// The one update that a report carries, as a difference to the model that was `sent`.
///
/// # Errors
/// When the report carries no update or several.
pub(super) fn change_of(report: &Payload, sent: &Payload) -> Result<(Form, Buffer), MethodError> {
    let change = report.change(sent)?;
    change.ok_or_else(|| MethodError::payload("one model or update", report))
}

/// The client's end of the layer: the update is clipped and, with local privacy, gets noise.
#[derive(Debug)]
pub struct Clipper {
    /// The largest Euclidean norm of an update.
    pub bound: f64,
    /// The standard deviation of the noise on each value; `None` if clients add no noise.
    pub noise: Option<f64>,
}

impl ClientLayer for Clipper {
    fn wrap(&self, input: &ClientInput, work: ClientWork) -> Result<ClientWork, MethodError> {
        let (form, mut change) = change_of(&work.report, &input.task)?;
        clip(&mut change, self.bound)?;
        if let Some(std) = self.noise {
            let (node, round) = (u64::from(input.client) + 1, u64::from(input.round));
            let mut rng = stream(input.seed, node, Purpose::Privacy, round);
            add_noise(&mut change, std, &mut rng)?;
        }
        Ok(ClientWork {
            report: form.restore(change.freeze(), &input.task)?,
            ..work
        })
    }

    fn cost(&self, sets: usize, values: usize) -> Cost {
        let values = sets as u64 * values as u64;
        // The operations are the difference, its norm, the scaling and the sum, and about twenty
        // for each draw from a normal distribution.
        let each = 5 + if self.noise.is_some() { 20 } else { 0 };
        Cost {
            flops: Flops(values.saturating_mul(each)),
            memory: Bytes(values.saturating_mul(8)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::testing::Round;

    #[test]
    fn a_long_change_is_scaled_to_the_bound_and_a_short_one_left_alone() {
        let round = Round::new();
        let (_, free) = round.change(1);
        let long = free.iter().map(|v| v * v).sum::<f64>().sqrt();
        for bound in [0.3 * long, 2.0 * long] {
            let layer = Clipper { bound, noise: None };
            let clipped = round.wrapped(1, &layer);
            let scale = (bound / long).min(1.0);
            for (got, free) in clipped.iter().zip(&free) {
                assert!((got - free * scale).abs() < 1e-6, "{got} against {free}");
            }
        }
    }

    #[test]
    fn noise_has_its_deviation_and_is_another_for_each_client_and_round() {
        let layout = Round::new().layout();
        let mut change = Buffer::zeros(layout, tch::Device::Cpu).unwrap();
        let (mut sum, mut squares, mut n) = (0.0, 0.0, 0.0);
        for round in 0..2_000 {
            change.clear().unwrap();
            let mut rng = stream(3, 5, Purpose::Privacy, round);
            add_noise(&mut change, 0.5, &mut rng).unwrap();
            for value in change.as_slice().unwrap() {
                sum += f64::from(*value);
                squares += f64::from(*value).powi(2);
                n += 1.0;
            }
        }
        let (mean, variance) = (sum / n, squares / n);
        // n draws: five standard errors of the mean and of the variance.
        assert!(mean.abs() < 5.0 * 0.5 / f64::sqrt(n), "{mean}");
        assert!(
            (variance - 0.25).abs() < 5.0 * 0.25 * f64::sqrt(2.0 / n),
            "{variance}"
        );
        let layer = Clipper {
            bound: 1.0,
            noise: Some(0.1),
        };
        let round = Round::new();
        assert_eq!(round.wrapped(1, &layer), round.wrapped(1, &layer));
        let noise = |client| {
            let plain = round.wrapped(
                client,
                &Clipper {
                    bound: 1.0,
                    noise: None,
                },
            );
            let noisy = round.wrapped(client, &layer);
            noisy
                .iter()
                .zip(plain)
                .map(|(a, b)| a - b)
                .collect::<Vec<f64>>()
        };
        assert!(noise(0)
            .iter()
            .zip(noise(1))
            .all(|(a, b)| (a - b).abs() > 1e-6));
    }

    #[test]
    fn what_is_not_finite_or_no_model_is_refused() {
        let layout = Round::new().layout();
        let mut change = Buffer::zeros(layout, tch::Device::Cpu).unwrap();
        change.as_mut_slice().unwrap()[1] = f32::INFINITY;
        assert!(clip(&mut change, 1.0).is_err());
        let error = change_of(&Payload::scalars([1.0]), &Payload::Nothing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected one model or update, got scalars"
        );
    }
}
