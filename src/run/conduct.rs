//! A run from the moment at which everything is ready: the kernel runs, and what came of it is written.

use super::parting::Parting;
use super::ranks::Head;
use super::record::messages;
use super::recorder::{Closed, RunRecorder};
use super::simulate::{simulate, Executors};
use super::{dealt, models, page, Finished, Options, RunError};
use crate::disk::lock::Lock;
use crate::federation::{DeviceMemory, Federation};
use crate::model::Spill;
use crate::observe::folder::{write_record, RunFolder};
use crate::observe::histograms::Histograms;
use crate::observe::ledger::Sums;
use crate::observe::record::{utc, RunRecord, Status, Totals};
use crate::observe::summary::Summary;
use crate::scenario::Scenario;
use crate::sim::Ending;
use crate::snapshot::Reader;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

/// A run, ready to begin or to go on.
pub(super) struct Run {
    pub federation: Federation,
    pub recorder: RunRecorder,
    pub record: RunRecord,
    /// The checkpoint to go on from, behind what the recorder has of it.
    pub from: Option<Reader>,
    pub parting: Parting,
    pub _lock: Lock,
}

/// Lets it run, and writes down how it ended.
pub(super) fn conduct(
    run: Run,
    scenario: &Scenario,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    let Run {
        mut federation,
        mut recorder,
        mut record,
        from,
        parting,
        _lock,
    } = run;
    recorder.folder().write_record(&record)?;
    recorder.folder().reserve();
    let path = recorder.folder().path().to_path_buf();
    let dealt = dealt::write(
        recorder.folder(),
        federation.plan(),
        scenario.record.clients,
    );
    let described = dealt
        .and_then(|()| models::describe(recorder.folder(), federation.plan(), federation.sizes()));
    let spill = described.map_err(RunError::from).and_then(|()| {
        Spill::create(&path, options.kept_memory.0).map_err(|source| RunError::File {
            path: path.clone(),
            source,
        })
    });
    match spill {
        Ok(spill) => federation.spill_to(spill),
        Err(error) => {
            recorder.folder().release();
            return Err(failed(&path, &record, error));
        }
    }
    let executors = Executors::of(options);
    let simulated = simulate(
        federation,
        from,
        scenario.seed,
        executors,
        DeviceMemory::new(options.memory, options.device.available()),
        &mut recorder,
        stop,
    );
    let end = simulated.as_ref().map(|summary| summary.now);
    let end = end.unwrap_or_default().max(recorder.last());
    let Closed {
        mut folder,
        kept,
        checkpoints,
        real,
        unwritten,
    } = recorder.close(end);
    record.ranks = executors.record();
    let lost = executors.ranks.and_then(Head::lost);
    let lost = lost.map(|what| RunError::lost(what, folder.path(), checkpoints.is_some()));
    let (ending, mut error) = match (simulated, kept.fatal) {
        (Ok(summary), None) if summary.ending == Ending::Finished => (Some(summary), None),
        // Whatever else went wrong, or stopped it, went wrong or stopped it for that.
        (_, _) if lost.is_some() => (None, lost),
        (_, Some(reason)) => (None, Some(RunError::Fatal(reason))),
        (Ok(summary), None) => (Some(summary), None),
        (Err(error), None) => (None, Some(error)),
    };
    let now = ending
        .as_ref()
        .map_or(kept.last, |summary| summary.now.max(kept.last));
    let events = ending.as_ref().map_or(0, |summary| summary.delivered);
    let totals = Totals {
        scheduled: scenario.schedule.rounds,
        bytes_unheard: kept.ledger.unheard(),
        epsilon_pld: kept.epsilon_pld,
        ..Totals::of(&kept.rounds, now, events, real)
    };
    record.status = match &ending {
        Some(summary) if summary.ending != Ending::Finished => Status::Interrupted,
        Some(_) if totals.completed == 0 => Status::NoRoundCompleted,
        Some(_) => Status::Completed,
        None => Status::Failed,
    };
    record.error = error.as_ref().map(ToString::to_string);
    if record.status == Status::NoRoundCompleted {
        record.error = Some(totals.why_none_completed(&kept.rounds));
    }
    record.invitations = Some(kept.sums.total());
    record.trace_hash = ending.as_ref().map(|summary| summary.hash.to_string());
    let peers = scenario.gossip().is_some();
    let messages = ending.as_ref().map(|summary| messages(summary, peers));
    record.messages = messages.unwrap_or_default();
    record.rejections = kept.rejections;
    record.declined = kept.declined;
    let clients = scenario.clients();
    record.participation = kept.invitations.map(|all| all.participation(clients));
    record.staleness = kept.staleness;
    record.totals = Some(totals.clone());
    record.finished = Some(utc(SystemTime::now()));
    let histograms = match scenario.record.histograms {
        true => kept.histograms,
        false => Histograms::new(),
    };
    record.clipped = histograms.clipped();
    let ended = Ended {
        record: &record,
        totals: &totals,
        histograms: &histograms,
        sums: &kept.sums,
    };
    // What cannot be written at the end fails the run, and yet the record says so.
    let failed = unwritten.map(RunError::from);
    let failed = failed.or_else(|| ended.write(&mut folder, scenario, options).err());
    if let Some(failed) = failed {
        record.status = Status::Failed;
        let first = error.get_or_insert(failed);
        record.error = Some(first.to_string());
    }
    record.files = folder.files().unwrap_or_default();
    folder.release();
    let written = parting.give_way(|| folder.write_record(&record));
    if let Some(error) = error {
        return Err(error);
    }
    written?;
    if let Some(checkpoints) = checkpoints.filter(|_| record.status.is_at_end()) {
        checkpoints.clear()?;
    }
    let table = Summary {
        name: &scenario.name,
        seed: scenario.seed,
        status: record.status,
        compute: record.compute.as_deref(),
        totals: &totals,
        histograms: &histograms,
        messages: &record.messages,
        rejections: &record.rejections,
        declined: &record.declined,
        participation: record.participation.as_ref(),
        staleness: &record.staleness,
        invitations: record.invitations.as_ref(),
        costs: kept.sums.costs(),
        hash: record.trace_hash.as_deref(),
        folder: folder.path(),
    }
    .to_string();
    match ending {
        Some(summary) => Ok(Finished {
            status: record.status,
            folder: folder.path().to_path_buf(),
            hash: summary.hash,
            totals,
            table,
            reason: record.error,
        }),
        None => Err(RunError::Fatal("the run ended in no way at all".into())),
    }
}

/// Says in the record that the run failed before its first event, and with what.
pub(super) fn failed(folder: &Path, record: &RunRecord, error: RunError) -> RunError {
    let record = RunRecord {
        status: Status::Failed,
        error: Some(error.to_string()),
        finished: Some(utc(SystemTime::now())),
        ..record.clone()
    };
    // The first thing that went wrong is told, not that it could not be written down.
    let _ = write_record(folder, &record);
    error
}

/// What is known once a run has ended.
struct Ended<'a> {
    record: &'a RunRecord,
    totals: &'a Totals,
    histograms: &'a Histograms,
    sums: &'a Sums,
}

impl Ended<'_> {
    /// Writes all but the record.
    fn write(
        &self,
        folder: &mut RunFolder,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<(), RunError> {
        folder.flush()?;
        folder.write_costs(self.sums.costs())?;
        folder.write_invitations(self.sums.rounds())?;
        if scenario.record.histograms {
            folder.write_histograms(self.histograms)?;
        }
        if scenario.record.report {
            let Self {
                record,
                totals,
                histograms,
                ..
            } = self;
            let page = page::render(scenario, options, folder, record, totals, histograms)?;
            folder.write_report(&page)?;
        }
        Ok(())
    }
}
