//! A source of data of your own: `Rings(inner: 1.0, outer: 2.0)`, points of the plane on one of two circles,
//! with noise; which circle is the class.
//!
//! ```sh
//! cargo run --release --example own_data -- run examples/own_data.ron
//! ```

use rand::Rng;
use serde::{Deserialize, Serialize};
use shoal::data::{DataError, DataSource, Dataset, Reading, Scaling, Split, Values};
use shoal::registry::{Registry, Taken};
use shoal::sim::rng::{stream, Purpose, Stream};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rings {
    inner: f32,
    outer: f32,
}

/// Between 0 and 1.
fn unit(rng: &mut Stream) -> f32 {
    (rng.next_u64() >> 40) as f32 / (1u64 << 24) as f32
}

impl Rings {
    /// The samples of one part. Each part draws from a stream of its own.
    fn part(&self, part: u64, samples: usize, seed: u64) -> Dataset {
        let mut rng = stream(seed, part, Purpose::Data, 0);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for sample in 0..samples {
            let label = sample % 2;
            let radius = [self.inner, self.outer][label] + 0.2 * (unit(&mut rng) - 0.5);
            let angle = std::f32::consts::TAU * unit(&mut rng);
            values.extend([radius * angle.cos(), radius * angle.sin()]);
            labels.push(label as u32);
        }
        Dataset {
            name: "Rings".into(),
            shape: vec![2],
            values: Values::F32(values),
            scaling: Scaling::identity(),
            labels,
            classes: 2,
            users: None,
        }
    }
}

impl DataSource for Rings {
    /// `Split::new` checks both parts, and that they fit each other.
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        Split::new(
            self.part(1, 1_000, reading.seed),
            self.part(2, 200, reading.seed),
        )
    }
}

/// What scenarios may name now. It fails where something else has the name.
pub fn add(registry: &mut Registry) -> Result<(), Taken> {
    registry.add::<dyn DataSource, Rings>("Rings", "Points on two circles")
}

fn main() -> Result<std::process::ExitCode, Taken> {
    let mut registry = Registry::standard();
    add(&mut registry)?;
    registry.install();
    Ok(shoal::cli::main())
}
