//! What `run.json` says of a run before it begins, and what is counted in the end.

use super::Options;
use crate::federation::{Message, Plan};
use crate::learn::HostDevice;
use crate::observe::record::{
    utc, Clipped, Declined, Host, MessageCount, Messages, Rejections, RunRecord, Status,
};
use crate::observe::staleness::Staleness;
use crate::quantity::Bytes;
use crate::scenario::Scenario;
use crate::sim::{mix_words, Observe};
use std::time::SystemTime;
use xxhash_rust::xxh3::xxh3_64;

/// The version of libtorch that this binary was built for.
pub(crate) const LIBTORCH: &str = "2.11.0";

/// The record of a run that is about to begin.
pub(super) fn new_record(scenario: &Scenario, options: &Options) -> RunRecord {
    // A pipe's own name says nothing, and paths of a scenario from there start elsewhere.
    let known = (!Scenario::is_from_pipe(&options.file)).then(|| options.file.canonicalize().ok());
    let file = known.flatten().unwrap_or_else(|| options.file.clone());
    RunRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        status: Status::Running,
        error: None,
        name: scenario.name.clone(),
        seed: scenario.seed,
        scenario_file: file.display().to_string(),
        // A scenario is numbers, text and lists; it always has a JSON form.
        scenario: serde_json::to_value(scenario).unwrap_or_default(),
        overrides: options.overrides.clone(),
        workers: u32::try_from(options.workers).unwrap_or(u32::MAX),
        ranks: Vec::new(),
        device: options.device.to_string(),
        memory: options.memory.map(|memory| memory.0),
        compute: scenario.compute.in_words(),
        host: Host::detect(LIBTORCH),
        classes: Vec::new(),
        resumed_on: Vec::new(),
        started: utc(SystemTime::now()),
        resumed: 0,
        identity: None,
        finished: None,
        trace_hash: None,
        totals: None,
        messages: Messages::new(),
        rejections: Rejections::new(),
        declined: Declined::new(),
        participation: None,
        staleness: Staleness::default(),
        invitations: None,
        clipped: Clipped::new(),
        files: Vec::new(),
    }
}

/// The messages of each kind that can be spoken of in this federation.
pub(super) fn messages(summary: &crate::sim::Summary, without_server: bool) -> Messages {
    let kinds = summary.accounting.kinds.iter();
    let kinds = kinds.filter(|(kind, _)| Message::is_spoken(kind, without_server));
    kinds
        .map(|(kind, tally)| {
            let count = MessageCount {
                sent: tally.sent,
                duplicated: tally.duplicated,
                delivered: tally.delivered,
                lost: tally.lost,
                dropped: tally.dropped,
                in_flight: tally.in_flight,
                bytes: tally.bytes,
                bytes_delivered: tally.bytes_delivered,
                bytes_setup: tally.bytes_setup,
                bytes_acks: tally.bytes_acks,
            };
            ((*kind).to_string(), count)
        })
        .collect()
}

/// Names what is run, for a checkpoint to be held against: scenario, data, and where it computes.
pub(super) fn identity(
    scenario: &Scenario,
    device: HostDevice,
    memory: Option<Bytes>,
    plan: &Plan,
) -> u64 {
    // A scenario is numbers, text and lists; it always has a JSON form.
    let text = serde_json::to_vec(scenario).unwrap_or_default();
    let place = format!("{device} {memory:?}");
    mix_words(&[
        xxh3_64(&text),
        xxh3_64(place.as_bytes()),
        plan.fingerprint(),
    ])
}

/// What is asked of the kernel for a scenario's record.
pub(super) fn observe(scenario: &Scenario) -> Observe {
    let record = &scenario.record;
    Observe {
        deliveries: record.histograms || record.trace || record.events.is_some(),
        left: record.model.is_some() || scenario.layers.privacy.is_some(),
    }
}
