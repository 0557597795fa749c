//! Soft targets: the distance between two sets of class scores.

/// The sum over the batch of `T² · KL(softmax(teacher / T) ‖ softmax(student / T))` between scores,
/// which are row-major `[batch, classes]`. Adds `weight` times the gradient of the **mean** with
/// respect to the student's scores to `gradient`: `T · (softmax(student / T) − softmax(teacher /
/// T)) / batch`. The teacher is treated as a constant. The factor T² keeps the size of the gradient
/// when the temperature changes (Hinton, Vinyals and Dean 2015, section 2).
///
/// Exponentials come from a portable routine, so equal scores give equal bits on every machine.
pub fn divergence(
    student: &[f32],
    teacher: &[f32],
    classes: usize,
    temperature: f64,
    weight: f64,
    gradient: &mut [f32],
) -> f64 {
    let classes = classes.max(1);
    let batch = (student.len() / classes).max(1) as f64;
    let factor = weight * temperature / batch;
    let (mut own, mut target) = (vec![0.0; classes], vec![0.0; classes]);
    let mut total = 0.0;
    let rows = student
        .chunks_exact(classes)
        .zip(teacher.chunks_exact(classes))
        .zip(gradient.chunks_exact_mut(classes));
    for ((student, teacher), gradient) in rows {
        log_softmax(student, temperature, &mut own);
        log_softmax(teacher, temperature, &mut target);
        for ((gradient, own), target) in gradient.iter_mut().zip(&own).zip(&target) {
            let (p, q) = (libm::exp(*target), libm::exp(*own));
            // The limit of p · ln p at 0 is 0.
            if p > 0.0 {
                total += p * (target - own);
            }
            *gradient += (factor * (q - p)) as f32;
        }
    }
    temperature * temperature * total
}

/// The logarithms of the softmax of one row of scores at a temperature.
fn log_softmax(scores: &[f32], temperature: f64, out: &mut [f64]) {
    for (out, &score) in out.iter_mut().zip(scores) {
        *out = f64::from(score) / temperature;
    }
    let top = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = out.iter().map(|score| libm::exp(score - top)).sum();
    let whole = top + libm::log(sum);
    out.iter_mut().for_each(|score| *score -= whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDENT: [f32; 6] = [1.0, -2.0, 0.5, 3.0, 2.5, -1.0];
    const TEACHER: [f32; 6] = [0.25, 1.0, -0.5, 2.0, 4.0, 1.0];

    /// The mean over two rows of three, from the definition.
    fn mean(student: &[f64], temperature: f64) -> f64 {
        let softmax = |scores: &[f64]| -> Vec<f64> {
            let exps: Vec<f64> = scores.iter().map(|s| (s / temperature).exp()).collect();
            let sum: f64 = exps.iter().sum();
            exps.iter().map(|e| e / sum).collect()
        };
        let teacher: Vec<f64> = TEACHER.iter().map(|&s| f64::from(s)).collect();
        let rows = student.chunks(3).zip(teacher.chunks(3));
        let each = rows.map(|(student, teacher)| {
            let (p, q) = (softmax(teacher), softmax(student));
            let terms = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln());
            temperature * temperature * terms.sum::<f64>()
        });
        each.sum::<f64>() / 2.0
    }

    #[test]
    fn the_gradient_is_that_of_central_differences() {
        for temperature in [1.0, 2.5] {
            let mut gradient = [0.125f32; 6];
            let total = divergence(&STUDENT, &TEACHER, 3, temperature, 0.5, &mut gradient);
            let exact: Vec<f64> = STUDENT.iter().map(|&s| f64::from(s)).collect();
            assert!((total / 2.0 - mean(&exact, temperature)).abs() < 1e-12);
            for i in 0..6 {
                let moved = |by: f64| {
                    let mut scores = exact.clone();
                    scores[i] += by;
                    mean(&scores, temperature)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                // Half of it, added to what was there.
                let found = f64::from(gradient[i]) - 0.125;
                assert!((found - 0.5 * slope).abs() < 1e-7, "{i}: {found}");
            }
        }
    }

    #[test]
    fn equal_scores_are_no_distance_apart_and_pull_nowhere() {
        let mut gradient = [0.0; 6];
        assert_eq!(
            divergence(&STUDENT, &STUDENT, 3, 2.0, 1.0, &mut gradient),
            0.0
        );
        assert_eq!(gradient, [0.0; 6]);
    }

    #[test]
    fn a_class_that_the_teacher_rules_out_counts_nothing() {
        let mut gradient = [0.0; 2];
        let total = divergence(&[0.0, 0.0], &[0.0, -1e9], 2, 1.0, 1.0, &mut gradient);
        assert!((total - 2f64.ln()).abs() < 1e-12);
        assert_eq!(gradient, [-0.5, 0.5]);
    }
}
