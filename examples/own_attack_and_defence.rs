//! An attack and a defence of your own. `Drown(by: 100)` makes an adversary's update so many times as
//! large; `Capped(norm: 1)` shortens updates that are longer than a norm before they are averaged.
//!
//! ```sh
//! cargo run --release --example own_attack_and_defence -- run examples/own_attack_and_defence.ron
//! ```

use serde::{Deserialize, Serialize};
use shoal::attack::{Attack, Forge, Forging};
use shoal::defend::{Access, Defence, Streaming, Sum, Update};
use shoal::registry::{Registry, Taken};
use shoal::sim::rng::Stream;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Drown {
    by: f32,
}

impl Attack for Drown {
    /// It changes the adversary's own report, and neither its data nor the reports of others.
    fn forge(&self) -> Option<&dyn Forge> {
        Some(self)
    }
}

impl Forge for Drown {
    fn forge(&self, update: &mut [f32], _: &mut Forging) {
        update.iter_mut().for_each(|value| *value *= self.by);
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Capped {
    norm: f64,
}

impl Defence for Capped {
    /// It needs one report at a time, so memory does not grow with the cohort.
    fn access(&self) -> Access<'_> {
        Access::Streaming(self)
    }

    /// What the virtual server is charged: about four operations a value of each of `n` reports.
    fn flops(&self, n: u64, d: u64) -> u64 {
        n.saturating_mul(d).saturating_mul(4)
    }
}

impl Streaming for Capped {
    fn add(&self, sum: &mut Sum, update: &Update<'_>) {
        let squares = update.values.iter().map(|v| f64::from(*v).powi(2));
        let norm = squares.sum::<f64>().sqrt();
        let factor = (self.norm / norm.max(self.norm)).min(1.0);
        sum.add(update.values, factor, f64::from(update.samples));
    }

    fn finish(&self, sum: &Sum, _: &mut Stream) -> Vec<f32> {
        sum.mean().into_iter().map(|value| value as f32).collect()
    }
}

/// What scenarios may name now. It fails where something else has the name.
pub fn add(registry: &mut Registry) -> Result<(), Taken> {
    registry.add::<dyn Attack, Drown>("Drown", "The update, many times as large")?;
    registry.add::<dyn Defence, Capped>("Capped", "Long updates shortened")
}

fn main() -> Result<std::process::ExitCode, Taken> {
    let mut registry = Registry::standard();
    add(&mut registry)?;
    registry.install();
    Ok(shoal::cli::main())
}
