//! A policy of selection of your own: `Fastest()` asks those who are there and are expected to be done
//! soonest.
//!
//! ```sh
//! cargo run --release --example own_selection -- run examples/own_selection.ron
//! ```

use serde::{Deserialize, Serialize};
use shoal::registry::{Registry, Taken};
use shoal::select::{Ask, Policy, Selection};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Fastest {}

impl Selection for Fastest {
    /// Nothing is kept between rounds, so the settings are the policy.
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(*self)
    }
}

impl Policy for Fastest {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let all = 0..ask.population.size();
        // A draw of 0 counts whoever may be there as there.
        let mut there: Vec<u32> = all
            .filter(|client| ask.population.is_there(*client, 0))
            .collect();
        // Equally fast clients are asked in the order of their numbers: a sort that kept no order
        // would make runs differ.
        there.sort_by_key(|client| (ask.population.expected(*client).total(), *client));
        there.truncate(ask.wanted as usize);
        there
    }
}

/// What scenarios may name now. It fails where something else has the name.
pub fn add(registry: &mut Registry) -> Result<(), Taken> {
    let about = "Those who are expected to be done soonest";
    registry.add::<dyn Selection, Fastest>("Fastest", about)
}

fn main() -> Result<std::process::ExitCode, Taken> {
    let mut registry = Registry::standard();
    add(&mut registry)?;
    registry.install();
    Ok(shoal::cli::main())
}
