//! The side of a rank other than 0: it builds what rank 0 builds, and does jobs until it is told that
//! it is over.

use super::agreement;
use super::frame::{self, Ready, Setup};
use super::head::{LONG, SHORT};
use super::line::{Line, News};
use super::link::Link;
use crate::federation::{DeviceMemory, DeviceWorker, Held, Job, Output, Wire};
use crate::learn::HostDevice;
use crate::observe::record::Host;
use crate::quantity::{Bytes, VirtualTime};
use crate::run::{assemble, RunError};
use crate::scenario::Scenario;
use crate::sim::{Key, NodeId, Unit, Workers};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What does the jobs of a run.
struct Crew {
    identity: u64,
    wire: Wire,
    held: Held,
    pool: Workers<Job, Output>,
    /// Units under way: what came of each job so far.
    units: BTreeMap<u64, Vec<Option<Output>>>,
}

/// A rank that serves.
struct Member<L> {
    line: Line<L>,
    /// It is being prepared; with how many workers.
    coming: Option<(JoinHandle<Result<Crew, RunError>>, u32)>,
    crew: Option<Crew>,
    lost_head: bool,
}

/// Serves rank 0 until that ends.
///
/// # Errors
/// When rank 0 is lost, in words.
pub fn serve<L: Link>(line: Line<L>) -> Result<(), String> {
    let mut member = Member {
        line,
        coming: None,
        crew: None,
        lost_head: false,
    };
    let mut served = member.live();
    if let Err(problem) = &served {
        member.complain(problem);
    }
    if let Some(crew) = &member.crew {
        // Nobody waits for what still runs.
        crew.pool.abandon();
    }
    match member.lost_head {
        true => member.line.abort(),
        // Rank 0 knows, and says it.
        false => {
            served = Ok(());
            member.line.close();
        }
    }
    served
}

impl<L: Link> Member<L> {
    fn live(&mut self) -> Result<(), String> {
        let mut pause = SHORT;
        loop {
            let mut idle = true;
            while let Some(news) = self.line.poll()? {
                idle = false;
                let frame = match news {
                    News::Hello(..) => continue,
                    News::Lost(words) => {
                        self.lost_head = true;
                        return Err(words);
                    }
                    News::Frame { frame, .. } => frame,
                };
                match frame.first() {
                    Some(&frame::END) => return Ok(()),
                    Some(&frame::SETUP) => self.prepare(&frame)?,
                    Some(&frame::UNIT) => {
                        if let Err(problem) = self.begin(frame) {
                            self.line.send(0, frame::of(frame::BROKEN, &problem)?)?;
                        }
                    }
                    _ => return Err("rank 0 says what nobody understands".into()),
                }
            }
            self.prepared()?;
            pause = match idle && !self.line.is_busy() {
                true => LONG.min(pause * 2),
                false => SHORT,
            };
            match &mut self.crew {
                None => std::thread::sleep(pause),
                Some(crew) => {
                    if let Some(frame) = crew.finish(pause)? {
                        self.line.send(0, frame)?;
                        pause = SHORT;
                    }
                }
            }
        }
    }

    /// Tells rank 0 that this one cannot go on, and waits for what it says to that.
    fn complain(&mut self, problem: &String) {
        let told = !self.lost_head
            && frame::of(frame::BROKEN, problem)
                .and_then(|frame| self.line.send(0, frame))
                .is_ok();
        self.lost_head = !told;
        while !self.lost_head {
            match self.line.poll() {
                Ok(Some(News::Frame { frame, .. })) if frame.first() == Some(&frame::END) => return,
                Ok(Some(News::Lost(_))) | Err(_) => self.lost_head = true,
                Ok(Some(_)) => {}
                Ok(None) => std::thread::sleep(LONG),
            }
        }
    }

    /// Starts to prepare, on another thread: signs of life must go on.
    fn prepare(&mut self, frame: &[u8]) -> Result<(), String> {
        let setup: Setup = frame::read(frame)?;
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = setup.workers.unwrap_or_else(|| cores() as u32).max(1);
        let thread = std::thread::Builder::new().name("prepare".into());
        let thread = thread.spawn(move || prepare(&setup, workers as usize));
        self.coming = Some((thread.map_err(|error| error.to_string())?, workers));
        Ok(())
    }

    /// Tells rank 0 what came of the preparation, once it is over.
    fn prepared(&mut self) -> Result<(), String> {
        let over = |(thread, _): &mut (JoinHandle<_>, u32)| thread.is_finished();
        let Some((thread, workers)) = self.coming.take_if(over) else {
            return Ok(());
        };
        let identity = match thread.join() {
            Ok(Ok(crew)) => {
                let identity = crew.identity;
                self.crew = Some(crew);
                Ok(identity)
            }
            Ok(Err(problem)) => Err(problem.to_string()),
            Err(_) => Err("preparing the run panicked".into()),
        };
        let ready = Ready {
            identity,
            workers,
            cpu: Host::detect("").cpu,
        };
        self.line.send(0, frame::of(frame::READY, &ready)?)
    }

    /// Hands the jobs of a unit to the workers.
    fn begin(&mut self, frame: Vec<u8>) -> Result<(), String> {
        let (number, packed) = frame::number(frame)?;
        let crew = self.crew.as_mut().ok_or("jobs before it was ready")?;
        let jobs = crew.wire.unpack(packed, &mut crew.held);
        let jobs = jobs.map_err(|problem| format!("jobs cannot be read: {problem}"))?;
        let due = |job| Key {
            time: VirtualTime::from_nanos(number),
            source: NodeId(0),
            sequence: job,
        };
        crew.units
            .insert(number, jobs.iter().map(|_| None).collect());
        crew.pool.submit(Unit {
            dues: (0..jobs.len() as u64).map(due).collect(),
            jobs,
            lost: 0,
        });
        Ok(())
    }
}

impl Crew {
    /// The frame of the next unit of which all is done.
    fn finish(&mut self, patience: std::time::Duration) -> Result<Option<Vec<u8>>, String> {
        let Some(outputs) = self.pool.finished(patience)? else {
            return Ok(None);
        };
        let mut touched = None;
        for (due, output) in outputs {
            let number = due.time.nanos();
            let unit = self.units.get_mut(&number);
            // Jobs of a unit that were run apart come one by one.
            if let Some(place) = unit.and_then(|unit| unit.get_mut(due.sequence as usize)) {
                *place = Some(output);
                touched = Some(number);
            }
        }
        let whole = |number: &u64| self.units[number].iter().all(Option::is_some);
        let Some(number) = touched.filter(whole) else {
            return Ok(None);
        };
        let outputs = self.units.remove(&number).unwrap_or_default();
        let outputs: Vec<Output> = outputs.into_iter().flatten().collect();
        let packed = self.wire.pack_outputs(&outputs);
        let packed = packed.map_err(|error| format!("outputs cannot be written: {error}"))?;
        Ok(Some(frame::numbered(frame::DONE, number, &packed)))
    }
}

/// Builds the federation of a scenario, as rank 0 does, and starts workers.
fn prepare(setup: &Setup, workers: usize) -> Result<Crew, RunError> {
    let file = Path::new(&setup.file);
    let scenario = Scenario::parse(&setup.text, file, &setup.overrides)?;
    let device: HostDevice = setup.device.parse()?;
    let memory = setup.memory.map(Bytes);
    let federation = assemble(&scenario, device)?;
    let identity = agreement(&scenario, device, memory, federation.plan());
    let shared = Arc::new(DeviceMemory::new(memory, device.available()));
    let worker = move || DeviceWorker::sharing(Arc::clone(&shared));
    Ok(Crew {
        identity,
        wire: federation.wire().map_err(RunError::Threads)?,
        held: Held::default(),
        pool: Workers::start(workers, worker).map_err(RunError::Threads)?,
        units: BTreeMap::new(),
    })
}
