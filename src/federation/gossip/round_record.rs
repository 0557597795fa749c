//! What the observer knows of one round of a federation without a server.

use super::notice::Notice;
use crate::model::ParamSet;
use crate::observe::rows::{Outcome, RoundRow};
use crate::quantity::VirtualTime;
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// The record of one round. Clients are in different rounds at the same time, so several records are
/// open.
#[derive(Debug, Default)]
pub(super) struct RoundRecord {
    /// When the first client began the round, and when the last one ended it; `None` before any client
    /// has ended it.
    times: Option<(VirtualTime, VirtualTime)>,
    reported: u32,
    refused: u32,
    late: u32,
    sent: u64,
    received: u64,
    loss_sum: f64,
    loss_weight: f64,
    diverged: u32,
    /// The clients' models after the round, where they are measured.
    models: BTreeMap<u32, ParamSet>,
}

snapshot_struct!(RoundRecord {
    times,
    reported,
    refused,
    late,
    sent,
    received,
    loss_sum,
    loss_weight,
    diverged,
    models,
});

impl RoundRecord {
    /// Whether no client has ended the round.
    pub const fn is_empty(&self) -> bool {
        self.times.is_none()
    }

    /// Adds what a client's notice says of the round.
    pub fn count(&mut self, client: u32, notice: &Notice) {
        let (began, ended) = self.times.unwrap_or((notice.began, notice.ended));
        self.times = Some((began.min(notice.began), ended.max(notice.ended)));
        match notice.refused {
            Some(_) => self.refused += 1,
            None => self.reported += 1,
        }
        self.late += notice.late;
        self.diverged += u32::from(notice.diverged);
        self.sent += notice.sent;
        self.received += notice.received;
        if let Some(loss) = notice.metrics.loss {
            let weight = f64::from(notice.samples);
            self.loss_sum += loss * weight;
            self.loss_weight += weight;
        }
        if let Ok(model) = notice.model.as_model() {
            self.models.insert(client, model.clone());
        }
    }

    /// Takes the clients' models out of the record.
    pub fn take_models(&mut self) -> BTreeMap<u32, ParamSet> {
        std::mem::take(&mut self.models)
    }

    /// The round's line in `rounds.csv`, without accuracy and loss. `clients` is the population, and `now`
    /// stands in where no client has ended the round.
    pub fn row(&self, round: u32, clients: u32, now: VirtualTime) -> RoundRow {
        let (started, ended) = self.times.unwrap_or((now, now));
        let heard = self.reported + self.refused;
        RoundRow {
            round,
            started,
            ended,
            invited: clients,
            reported: self.reported,
            refused: self.refused,
            unanswered: clients.saturating_sub(heard),
            late_arrivals: self.late,
            bytes_up: self.sent,
            bytes_down: self.received,
            train_loss: (self.loss_weight > 0.0).then(|| self.loss_sum / self.loss_weight),
            outcome: match heard {
                0 => Outcome::Abandoned,
                _ => Outcome::Completed,
            },
            diverged: Some(self.diverged),
            ..RoundRow::default()
        }
    }
}
