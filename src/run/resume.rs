//! Going on with a run that was stopped: killed, interrupted, or failed for want of something.

use super::checkpoint::Checkpoints;
use super::parting::Parting;
use super::ranks::{self, Head};
use super::recorder::RunRecorder;
use super::tidy::{remove_strays, tidy};
use super::{assemble, conduct, identity, Finished, Options, Run, RunError, LIBTORCH, SCENARIO};
use crate::disk;
use crate::learn::HostDevice;
use crate::observe::folder::{has_not_begun, RECORD};
use crate::observe::record::{Host, RunRecord, Status};
use crate::quantity::Bytes;
use crate::scenario::Scenario;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// How a run is gone on with; nothing here changes a result.
#[derive(Debug, Clone)]
pub struct ResumeOptions {
    /// Threads that run jobs; as many as wanted.
    pub workers: usize,
    /// Where they compute; the device that the run began on.
    pub device: HostDevice,
    /// As in [`Options`].
    pub kept_memory: Bytes,
    /// As in [`Options`].
    pub quiet: bool,
    /// As in [`Options`].
    pub ranks: Option<Arc<Head>>,
}

/// Goes on with the run in `folder` from its newest checkpoint that is whole, or from its start where
/// none was made yet. It ends as if it had never been stopped.
///
/// # Errors
/// When the folder is not one of a run that makes checkpoints and has not ended, when it is in use,
/// when no checkpoint can be used; and as [`super::run`].
pub fn resume(
    folder: &Path,
    options: &ResumeOptions,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    let refuse = |problem: String| RunError::NotResumable {
        folder: folder.to_path_buf(),
        problem,
    };
    let mut record = RunRecord::read(&folder.join(RECORD)).map_err(|error| {
        refuse(match has_not_begun(folder) {
            true => "the run was stopped before it began, and there is nothing to go on with; \
                     shoal run with --out and this folder begins it"
                .into(),
            false => format!("{error}; expected the folder of a run"),
        })
    })?;
    if record.status.is_at_end() {
        let told = match tidy(folder)? {
            true => "the run has come to its end; what it had left behind is removed",
            false => "the run has come to its end",
        };
        return Err(refuse(told.into()));
    }
    if record.version != env!("CARGO_PKG_VERSION") {
        let (theirs, ours) = (&record.version, env!("CARGO_PKG_VERSION"));
        return Err(refuse(format!(
            "the run is of shoal {theirs}, and this is shoal {ours}; go on with that version"
        )));
    }
    let device = options.device.to_string();
    if record.device != device {
        return Err(refuse(format!(
            "the run is on {0}, not on {device}; give --device {0}",
            record.device
        )));
    }
    let text = disk::read_to_string(&folder.join(SCENARIO))
        .map_err(|error| refuse(format!("{SCENARIO}: {error}; expected the folder of a run")))?;
    let scenario = Scenario::parse(&text, Path::new(&record.scenario_file), &record.overrides)?;
    let Some(checkpoint) = scenario.checkpoint else {
        return Err(refuse(
            "its scenario has no checkpoint: (every: N); run it again".into(),
        ));
    };
    let lock = super::lock::hold(folder)?;
    remove_strays(folder)?;
    let as_begun = Options {
        workers: options.workers,
        device: options.device,
        memory: record.memory.map(Bytes),
        out: Some(folder.to_path_buf()),
        file: PathBuf::from(&record.scenario_file),
        text,
        overrides: record.overrides.clone(),
        kept_memory: options.kept_memory,
        quiet: options.quiet,
        ranks: options.ranks.clone(),
    };
    let (device, memory) = (as_begun.device, as_begun.memory);
    ranks::call(&as_begun)?;
    let federation = assemble(&scenario, device)?.within(device.stack_limit(memory));
    let identity = identity(&scenario, device, memory, federation.plan());
    if record.identity.as_deref() != Some(&format!("{identity:016x}")) {
        return Err(refuse(
            "its scenario or its data have been changed since it began; run it again".into(),
        ));
    }
    ranks::agree(&scenario, &as_begun, federation.plan(), stop)?;
    let checkpoints = Checkpoints::new(folder, checkpoint.keep, identity);
    let mut from = checkpoints.newest()?;
    if let Some(from) = &mut from {
        from.know(federation.layouts());
    }
    let recorder = match &mut from {
        Some(from) => {
            RunRecorder::reopen(folder, &scenario, federation.sizes(), options.quiet, from)?
        }
        None => RunRecorder::restart(folder, &scenario, federation.sizes(), options.quiet)?,
    };
    let host = Host::detect(LIBTORCH);
    let differences = record
        .resumed_on
        .last()
        .unwrap_or(&record.host)
        .differences(&host);
    if !differences.is_empty() {
        tracing::warn!(
            "{}: the run began where numbers may be rounded differently, so its end may differ from that of a \
             run that was never stopped ({})",
            folder.display(),
            differences.join("; ")
        );
        record.resumed_on.push(host);
    }
    record.resumed = record.resumed.saturating_add(1);
    record.status = Status::Running;
    record.workers = u32::try_from(options.workers).unwrap_or(u32::MAX);
    record.error = None;
    record.finished = None;
    // They are those of the end before.
    record.files = Vec::new();
    let run = Run {
        parting: Parting::ready(folder.to_path_buf(), &record),
        federation,
        recorder: recorder.with(Some(checkpoints)),
        record,
        from,
        _lock: lock,
    };
    conduct(run, &scenario, &as_begun, stop)
}
