//! The cross entropy of class scores.

/// The sum over the batch of the cross entropy between `scores` (row-major `[batch, classes]`) and
/// `labels`. If `gradient` is given, the gradient of the **mean** with respect to the scores is
/// written to it: (softmax − one-hot) / batch. Every label must be below `classes`.
///
/// Exponentials come from a portable routine, so equal scores give equal bits on every machine.
pub fn cross_entropy(
    scores: &[f32],
    classes: usize,
    labels: &[u32],
    mut gradient: Option<&mut [f32]>,
) -> f64 {
    let share = 1.0 / labels.len().max(1) as f32;
    let mut total = 0.0;
    for (i, (row, &label)) in scores.chunks_exact(classes.max(1)).zip(labels).enumerate() {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0f64;
        match gradient.as_deref_mut() {
            Some(gradient) => {
                let out = &mut gradient[i * classes..][..classes];
                for (e, &score) in out.iter_mut().zip(row) {
                    *e = libm::expf(score - top);
                    sum += f64::from(*e);
                }
                let factor = (1.0 / sum) as f32 * share;
                for (class, e) in out.iter_mut().enumerate() {
                    let hit = if class == label as usize { share } else { 0.0 };
                    *e = *e * factor - hit;
                }
            }
            None => {
                sum = row
                    .iter()
                    .map(|&score| f64::from(libm::expf(score - top)))
                    .sum()
            }
        }
        let own = row.get(label as usize).copied().unwrap_or(f32::NAN);
        total += libm::log(sum) + f64::from(top) - f64::from(own);
    }
    total
}

/// As [`cross_entropy`] with a gradient, except that the scores of classes that are not `counted`
/// (one flag for each class) are replaced by 0, so that their gradient is 0 (Diao et al. 2021,
/// section 3).
pub fn masked_cross_entropy(
    scores: &mut [f32],
    classes: usize,
    labels: &[u32],
    counted: Option<&[bool]>,
    gradient: &mut [f32],
) -> f64 {
    let silence = |rows: &mut [f32]| {
        let Some(counted) = counted else { return };
        for row in rows.chunks_exact_mut(classes.max(1)) {
            let silent = row
                .iter_mut()
                .zip(counted)
                .filter(|(_, counted)| !**counted);
            silent.for_each(|(value, _)| *value = 0.0);
        }
    };
    silence(scores);
    let loss = cross_entropy(scores, classes, labels, Some(&mut *gradient));
    silence(gradient);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_gradient_are_those_of_double_precision() {
        let scores = [1.0f32, -2.0, 0.5, 100.0, 99.0, -100.0];
        let labels = [2u32, 1];
        let mut gradient = [0.0f32; 6];
        let loss = cross_entropy(&scores, 3, &labels, Some(&mut gradient));
        let mut expected = 0.0;
        for (row, &label) in labels.iter().enumerate() {
            let z: Vec<f64> = scores[row * 3..][..3]
                .iter()
                .map(|&s| f64::from(s))
                .collect();
            let top = z.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = z.iter().map(|s| (s - top).exp()).sum();
            expected += sum.ln() + top - z[label as usize];
            for class in 0..3 {
                let p = (z[class] - top).exp() / sum;
                let g = (p - f64::from(u8::from(class == label as usize))) / 2.0;
                assert!((f64::from(gradient[row * 3 + class]) - g).abs() < 1e-7);
            }
        }
        assert!((loss - expected).abs() < 1e-6, "{loss} against {expected}");
        assert_eq!(cross_entropy(&scores, 3, &labels, None), loss);
    }

    #[test]
    fn scores_that_are_not_numbers_give_a_loss_that_is_not() {
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(!cross_entropy(&[0.0, bad], 2, &[0], None).is_finite());
            assert!(!cross_entropy(&[bad, bad], 2, &[1], None).is_finite());
        }
    }
}
