//! What tests of whole federations share.

use super::{Federation, Record};
use crate::observe::rows::{ClientRow, RejectionRow, RoundRow, ServerRow};
use crate::sim::{Delivery, Key, Observe, Recorder, RecorderError};
use std::collections::BTreeMap;

/// Keeps what is recorded.
#[derive(Default)]
pub struct Heard {
    pub rounds: Vec<RoundRow>,
    pub clients: Vec<ClientRow>,
    pub servers: Vec<ServerRow>,
    pub rejections: Vec<RejectionRow>,
    pub staleness: BTreeMap<u32, u32>,
    pub fatal: Option<String>,
}

impl Recorder<Federation> for Heard {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        match record {
            Record::Round(row) => self.rounds.push(*row),
            Record::Server(row) => self.servers.push(*row),
            Record::Client(row) => self.clients.push(*row),
            Record::Rejection(row) => self.rejections.push(*row),
            Record::Staleness(counts) => {
                for (tau, reports) in counts {
                    *self.staleness.entry(tau).or_default() += reports;
                }
            }
            Record::Fatal(reason) => self.fatal = Some(reason),
            _ => {}
        }
        Ok(())
    }
}
