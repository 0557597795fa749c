//! A link of your own: a law of packet loss (`Fading`), a transport (`Patient`), and the times at which
//! clients are there (`Passes`), as of satellites that pass a ground station.
//!
//! ```sh
//! cargo run --release --example own_link -- run examples/own_link.ron
//! ```

use rand::Rng;
use serde::{Deserialize, Serialize};
use shoal::availability::{Client, Session, Timetable};
use shoal::net::{PacketLoss, Retransmission};
use shoal::quantity::{Span, VirtualTime};
use shoal::registry::{Registry, Taken};
use shoal::sim::rng::Stream;

/// Three lost packets in a row, then on average `between` that get through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fading {
    between: u64,
}

impl PacketLoss for Fading {
    fn rate(&self) -> f64 {
        3.0 / (3.0 + self.between as f64)
    }

    /// `state` is how many packets of a fade are still to be lost.
    fn gap(&self, state: &mut u64, rng: &mut Stream) -> u64 {
        if *state > 0 {
            *state -= 1;
            return 0;
        }
        *state = 2;
        rng.next_u64() % (2 * self.between + 1)
    }
}

/// Lost packets are sent again after one second, two, three, ten times at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Patient {}

impl Retransmission for Patient {
    fn wait(&self, attempt: u32) -> Option<Span> {
        (attempt < 10).then(|| Span::from_secs(u64::from(attempt) + 1))
    }
}

/// A client is there for ten minutes of each hour and a half, each beginning at another time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Passes {}

impl Timetable for Passes {
    fn session(&self, client: Client, now: VirtualTime) -> Option<Session> {
        let (orbit, pass) = (5_400_000_000_000, 600_000_000_000);
        let first = client.draws(0).next_u64() % orbit;
        // Passes that are over.
        let over = now.nanos().checked_sub(first + pass);
        let start = first + over.map_or(0, |since| since / orbit + 1) * orbit;
        Some(Session {
            start: VirtualTime::from_nanos(start),
            end: VirtualTime::from_nanos(start + pass),
        })
    }
}

/// What scenarios may name now. It fails where something else has the name.
pub fn add(registry: &mut Registry) -> Result<(), Taken> {
    registry.add::<dyn PacketLoss, Fading>("Fading", "Three packets lost in a row")?;
    registry.add::<dyn Retransmission, Patient>("Patient", "Again and again, ever later")?;
    registry.add::<dyn Timetable, Passes>("Passes", "Ten minutes an orbit")
}

fn main() -> Result<std::process::ExitCode, Taken> {
    let mut registry = Registry::standard();
    add(&mut registry)?;
    registry.install();
    Ok(shoal::cli::main())
}
