//! Clients that were asked and have not answered, across rounds, so that each invitation has exactly one
//! outcome, which is recorded once it is known.

use crate::quantity::VirtualTime;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;

/// A task that has not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The round in which the client was asked.
    pub round: u32,
    /// When the client was asked.
    pub at: VirtualTime,
}

/// The latest unanswered task of each client.
#[derive(Debug, Default)]
pub struct Outstanding(BTreeMap<u32, Asked>);

snapshot_struct!(Asked { round, at });

impl Snapshot for Outstanding {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Snapshot::load(from).map(Self)
    }
}

impl Outstanding {
    /// Notes that a client is asked. Returns an older task that the client has not answered: a client gives
    /// up an older task for a newer one, so the older task is lost.
    pub fn ask(&mut self, client: u32, asked: Asked) -> Option<Asked> {
        self.0.insert(client, asked)
    }

    /// Notes that a client answers for a round, and returns the task. Returns `None` if no answer for that
    /// round is outstanding: the answer is a second one, or its task is already counted as lost.
    pub fn answer(&mut self, client: u32, round: u32) -> Option<Asked> {
        let asked = *self.0.get(&client).filter(|asked| asked.round == round)?;
        self.0.remove(&client);
        Some(asked)
    }

    /// Takes out all unanswered tasks, by client.
    pub fn drain(&mut self) -> impl Iterator<Item = (u32, Asked)> {
        std::mem::take(&mut self.0).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(round: u32) -> Asked {
        Asked {
            round,
            at: VirtualTime::from_nanos(u64::from(round)),
        }
    }

    #[test]
    fn every_task_has_one_outcome() {
        let mut outstanding = Outstanding::default();
        assert_eq!(outstanding.ask(7, asked(1)), None);
        assert_eq!(outstanding.ask(8, asked(1)), None);
        assert_eq!(outstanding.answer(7, 1), Some(asked(1)));
        assert_eq!(outstanding.answer(7, 1), None, "a second answer");
        assert_eq!(
            outstanding.ask(8, asked(2)),
            Some(asked(1)),
            "given up for a newer task"
        );
        assert_eq!(outstanding.answer(8, 1), None, "counted as lost already");
        assert_eq!(outstanding.drain().collect::<Vec<_>>(), [(8, asked(2))]);
        assert_eq!(outstanding.drain().count(), 0);
    }
}
