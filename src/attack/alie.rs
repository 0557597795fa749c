//! A Little Is Enough: in every value, the update is as far from the mean as enough honest updates
//! are (Baruch, Baruch and Goldberg, NeurIPS 2019, algorithm 3).

use super::{Attack, Craft, Knowledge, Known, Line};
use serde::{Deserialize, Serialize};

/// All adversaries send `mean − z · deviation` of the known updates, value by value. By default z
/// is the largest factor at which so many honest updates lie further out that, together with the
/// adversaries, they are the majority: `Φ(z) = (n − m − s) / (n − m)` with `s = ⌊n / 2 + 1⌋ − m`,
/// for n reports and m adversaries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alie {
    /// The factor z; computed from the numbers of the round if not given.
    pub z: Option<f64>,
    /// How much the adversaries know.
    pub knowledge: Knowledge,
}

/// The paper's factor z for `n` reports of which `m` come from adversaries; 0 where the formula has
/// no positive solution.
pub(super) fn z_max(n: usize, m: usize) -> f64 {
    let honest = n.saturating_sub(m);
    let needed = (n / 2 + 1).saturating_sub(m);
    if honest == 0 || needed >= honest {
        return 0.0;
    }
    let share = (honest - needed) as f64 / honest as f64;
    // Adversaries that are the majority need no honest client on their side. They then go as far
    // out as 1 honest client in 10,000 is.
    quantile(share.min(0.9999)).max(0.0)
}

/// The quantile Φ⁻¹ of the normal distribution, by bisection of the error function; a few dozen
/// steps reach double precision.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-10.0f64, 10.0f64);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
        if below < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

impl Attack for Alie {
    fn check(&self) -> Vec<(&'static str, String)> {
        let most = crate::quantity::bounds::MOST;
        let wrong = self.z.filter(|z| !(-most..=most).contains(z));
        let message = wrong.map(|z| ("z", format!("{z:e} is outside [-{most:e}, {most:e}]")));
        message.into_iter().collect()
    }

    fn craft(&self) -> Option<&dyn Craft> {
        Some(self)
    }
}

impl Craft for Alie {
    fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    fn line(&self, known: &Known<'_>) -> Line {
        let mean = known.mean();
        let deviation = known.deviation(&mean);
        Line {
            along: deviation.iter().map(|d| -d).collect(),
            from: mean,
            scale: self
                .z
                .unwrap_or_else(|| z_max(known.reports, known.colluders)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{known, updates};
    use super::*;
    use proptest::prelude::*;

    /// The example of the paper's section 3.2 and table: n = 50, m = 24 gives s = 2 and z at
    /// Φ = 24/26; quantiles from a table of the normal distribution.
    #[test]
    fn z_is_the_papers_quantile() {
        assert!(
            (z_max(50, 24) - 1.426_077).abs() < 1e-5,
            "{}",
            z_max(50, 24)
        );
        // n = 10, m = 2: s = 4, Φ(z) = 4/8.
        assert!(z_max(10, 2).abs() < 1e-9);
        // n = 20, m = 4: s = 7, Φ(z) = 9/16.
        assert!((z_max(20, 4) - 0.157_311).abs() < 1e-5);
        // Where more honest ones are needed than half of them, nothing can be gained.
        assert_eq!(z_max(10, 0), 0.0);
        assert_eq!(z_max(1, 1), 0.0);
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn every_value_is_the_mean_less_z_deviations(updates in updates(2..9), z in -3.0f64..3.0) {
            let line = known(&updates, 3, |known| Alie { z: Some(z), ..Alie::default() }.line(known));
            let crafted = line.at(line.scale);
            let n = updates.len() as f64;
            for (i, crafted) in crafted.iter().enumerate() {
                let column: Vec<f64> = updates.iter().map(|u| f64::from(u[i])).collect();
                let mean = column.iter().sum::<f64>() / n;
                let variance = column.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
                prop_assert!((f64::from(*crafted) - (mean - z * variance.sqrt())).abs() < 1e-4);
            }
        }
    }
}
