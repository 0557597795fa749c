//! How likely a random cohort has more of some clients than it should.

/// What adds less than this to a sum is left out.
const NEGLIGIBLE: f64 = 1e-18;

/// ln C(n, k)
fn log_choose(n: u32, k: u32) -> f64 {
    let log_factorial = |n: u32| libm::lgamma(f64::from(n) + 1.0);
    log_factorial(n) - log_factorial(k) - log_factorial(n - k)
}

/// The probability that a uniformly drawn cohort of `cohort` clients has more than `bears` of the
/// `hostile` among `clients`: the upper tail of a hypergeometric distribution.
pub fn chance_of_more_than(bears: u32, hostile: u32, clients: u32, cohort: u32) -> f64 {
    let (hostile, cohort) = (hostile.min(clients), cohort.min(clients));
    let friendly = clients - hostile;
    let (least, most) = (cohort.saturating_sub(friendly), cohort.min(hostile));
    if bears >= most {
        return 0.0;
    }
    if bears < least {
        return 1.0;
    }
    let whole = log_choose(clients, cohort);
    let chance =
        |k: u32| libm::exp(log_choose(hostile, k) + log_choose(friendly, cohort - k) - whole);
    // Terms fall from the mean on, both ways: whichever tail begins beyond it is soon summed up.
    let mean = f64::from(cohort) * f64::from(hostile) / f64::from(clients);
    let sum = |each: &mut dyn Iterator<Item = u32>| {
        let mut sum = 0.0;
        for k in each {
            let term = chance(k);
            sum += term;
            if term < NEGLIGIBLE * sum || sum == 0.0 && term == 0.0 {
                break;
            }
        }
        sum
    };
    let tail = match f64::from(bears) + 1.0 > mean {
        true => sum(&mut (bears + 1..=most)),
        false => 1.0 - sum(&mut (least..=bears).rev()),
    };
    tail.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten clients, four of them hostile, a cohort of three: C(4, k) C(6, 3 − k) / 120 is 20, 60, 36 and
    /// 4 of 120.
    #[test]
    fn a_small_case_is_exact() {
        let expected = [100.0 / 120.0, 40.0 / 120.0, 4.0 / 120.0, 0.0];
        for (bears, expected) in (0..).zip(expected) {
            let found = chance_of_more_than(bears, 4, 10, 3);
            assert!((found - expected).abs() < 1e-12, "{bears}: {found}");
        }
    }

    #[test]
    fn what_must_happen_happens_and_what_cannot_does_not() {
        assert_eq!(chance_of_more_than(0, 0, 100, 10), 0.0);
        assert_eq!(chance_of_more_than(0, 100, 100, 10), 1.0);
        assert_eq!(chance_of_more_than(10, 100, 100, 10), 0.0);
        // Of six clients two are honest: a cohort of five has three hostile ones at least.
        assert_eq!(chance_of_more_than(2, 4, 6, 5), 1.0);
        assert_eq!(chance_of_more_than(0, 3, 0, 0), 0.0);
    }

    /// Both tails are summed in logarithms; for numbers beyond what factorials fit, the normal
    /// approximation with continuity correction is near.
    #[test]
    fn large_populations_are_near_the_normal_law() {
        let (hostile, clients, cohort) = (10_000_000u32, 100_000_000u32, 1_000_000u32);
        let (n, p) = (f64::from(cohort), 0.1);
        let mean = n * p;
        let finite = (1e8 - n) / (1e8 - 1.0);
        let deviation = (n * p * (1.0 - p) * finite).sqrt();
        for z in [-2.0, -0.5, 0.0, 0.5, 2.0] {
            let bears = (mean + z * deviation).floor();
            let found = chance_of_more_than(bears as u32, hostile, clients, cohort);
            let normal = crate::quantity::normal_cdf(-(bears + 0.5 - mean) / deviation);
            assert!(
                (found - normal).abs() < 1e-3,
                "{z}: {found} against {normal}"
            );
        }
    }

    #[test]
    fn the_tails_of_every_small_population_add_up() {
        for clients in 1..=12u32 {
            for hostile in 0..=clients {
                for cohort in 0..=clients {
                    let all = (0..=cohort).map(|k| {
                        let count = |n: u32, k: u32| -> f64 {
                            (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1))
                        };
                        match k <= hostile && cohort - k <= clients - hostile {
                            true => count(hostile, k) * count(clients - hostile, cohort - k),
                            false => 0.0,
                        }
                    });
                    let all: Vec<f64> = all.collect();
                    let whole: f64 = all.iter().sum();
                    for bears in 0..cohort {
                        let tail: f64 = all[bears as usize + 1..].iter().sum();
                        let found = chance_of_more_than(bears, hostile, clients, cohort);
                        assert!(
                            (found - tail / whole).abs() < 1e-10,
                            "{clients} {hostile} {cohort} {bears}"
                        );
                    }
                }
            }
        }
    }
}
