//! Jobs and their outputs as bytes, for device workers in other processes.
//!
//! Both processes have built the same federation, so the bytes of a job contain only what does not follow
//! from the plan: the client, the round, how much of its training is done, the task, and what the client
//! kept. Values are written as in a checkpoint, bit by bit. A parameter set that many jobs share (the
//! model of a task, the model that is measured) is sent to a process once: the process keeps the last few
//! sets, and is told which to forget.
//!
//! A method's work at the server is a function, which cannot be written as bytes; it is done in the
//! process of the server.

use super::evaluation::Place;
use super::job::{ClientJob, Job, Output};
use super::query::QueryPlace;
use super::world::{Federation, Shared};
use crate::learn::{Amount, LocalTraining};
use crate::method::{ClientState, Payload};
use crate::model::{Layout, ParamSet};
use crate::sim::Digest;
use crate::snapshot::{memory, snapshot_enum, snapshot_struct, Damaged, Reader, Snapshot};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

/// The most parameter sets that a process keeps.
const MOST_SETS: usize = 64;
/// The most bytes of parameter sets that a process keeps; it always keeps the last set, however large.
const MOST_BYTES: u64 = 512 << 20;

/// The parameter sets that a process was sent and still has, as the sender knows it.
#[derive(Debug, Default)]
pub struct Sent {
    entries: VecDeque<Entry>,
    bytes: u64,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    name: u64,
    digest: u64,
    layout: Arc<Layout>,
    bytes: u64,
}

/// The parameter sets that a process was sent and still has, in that process.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<u64, ParamSet>);

/// The jobs of a unit, as they are written.
struct UnitForm {
    /// The sets that the receiver does not have yet, with their names.
    new: Vec<(u64, ParamSet)>,
    forms: Vec<Form>,
    /// The names of sets that the receiver need not keep after this unit.
    forget: Vec<u64>,
}

enum Form {
    Client(Box<ClientForm>),
    Evaluation(EvaluationForm),
    Statistics(StatisticsForm),
}

struct ClientForm {
    client: u32,
    round: u32,
    /// How much is trained, where a fault cuts the training of the client's group short.
    amount: Option<Amount>,
    /// The task, with an empty set in the place of each parameter set.
    task: Payload,
    /// The names of the task's parameter sets, in order.
    sets: Vec<u64>,
    state: ClientState,
}

struct EvaluationForm {
    place: Place,
    set: u64,
}

struct StatisticsForm {
    place: QueryPlace,
    set: u64,
}

snapshot_struct!(UnitForm { new, forms, forget });
snapshot_struct!(ClientForm {
    client,
    round,
    amount,
    task,
    sets,
    state
});
snapshot_struct!(EvaluationForm { place, set });
snapshot_struct!(StatisticsForm { place, set });
snapshot_enum!(Form {
    0 => Client(form),
    1 => Evaluation(form),
    2 => Statistics(form),
});

impl Sent {
    /// The name of a set. A set that the receiver does not have is added to `new`.
    fn name(&mut self, set: &ParamSet, new: &mut Vec<(u64, ParamSet)>) -> io::Result<u64> {
        let digest = set.digest().map_err(io::Error::other)?;
        let same = |entry: &&Entry| entry.digest == digest && entry.layout == *set.layout();
        if let Some(entry) = self.entries.iter().rev().find(same) {
            return Ok(entry.name);
        }
        let name = self.next;
        self.next += 1;
        new.push((name, set.clone()));
        let bytes = set.bytes().0;
        self.bytes += bytes;
        self.entries.push_back(Entry {
            name,
            digest,
            layout: Arc::clone(set.layout()),
            bytes,
        });
        Ok(name)
    }

    /// The names of the oldest sets, where the receiver has too many.
    fn forget(&mut self) -> Vec<u64> {
        let mut names = Vec::new();
        while self.entries.len() > MOST_SETS || (self.entries.len() > 1 && self.bytes > MOST_BYTES)
        {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
            names.push(oldest.name);
        }
        names
    }
}

impl Held {
    fn get(&self, name: u64) -> Result<ParamSet, Damaged> {
        let unknown = || Damaged::new(format!("there is no parameter set {name}"));
        self.0.get(&name).cloned().ok_or_else(unknown)
    }
}

/// Writes and reads the jobs of one federation.
#[derive(Clone)]
pub struct Wire {
    shared: Arc<Shared>,
    /// The empty set that stands for a set which is written by name.
    empty: ParamSet,
}

impl Federation {
    /// The writer and reader of the federation's jobs. Call this when nothing of the federation will be
    /// changed any more.
    ///
    /// # Errors
    /// When memory ran out.
    pub fn wire(&self) -> io::Result<Wire> {
        let empty = ParamSet::from_slice(&Arc::new(Layout::flat(0)), &[]);
        Ok(Wire {
            shared: self.share(),
            empty: empty.map_err(io::Error::other)?,
        })
    }
}

impl Wire {
    /// Whether another process can do this job: it can be written, and everything else follows from the
    /// plan.
    pub fn travels(&self, job: &Job) -> bool {
        match job {
            Job::Client(job) => self.client_travels(job),
            Job::Evaluation(job) => job.place().is_some(),
            Job::Statistics(_) => true,
            // A method's work at the server cannot be written. Mixing is arithmetic on many models, which
            // costs less than sending them.
            Job::Server(_) | Job::Mix(_) | Job::Consensus(_) => false,
        }
    }

    fn client_travels(&self, job: &ClientJob) -> bool {
        let (shared, input) = (&self.shared, &job.input);
        Arc::ptr_eq(&job.half, &shared.client_half)
            && Arc::ptr_eq(&input.model, &shared.sizes.of(input.client).model)
            && input.train == shared.train_samples(input.client, input.round)
            && self.amount(input.client, &input.local).is_ok()
    }

    /// How much is trained, if that is not what the client's group trains. It is an error if anything else
    /// about the training differs from that of the group.
    fn amount(&self, client: u32, local: &Arc<LocalTraining>) -> io::Result<Option<Amount>> {
        let other = || io::Error::other("training that is not that of the client's group");
        let group = self.shared.plan.group_of(client);
        let usual = self.shared.local.get(group).ok_or_else(other)?;
        if Arc::ptr_eq(usual, local) {
            return Ok(None);
        }
        let amount = local.amount;
        match **local == with_amount(usual, amount) {
            true => Ok(Some(amount)),
            false => Err(other()),
        }
    }

    /// Writes the jobs of a unit as bytes, for a process that has been `sent` these sets before.
    ///
    /// # Errors
    /// When one of them does not travel, or a value cannot be written.
    pub fn pack(&self, jobs: &[Job], sent: &mut Sent) -> io::Result<Vec<u8>> {
        let mut new = Vec::new();
        let forms: io::Result<Vec<Form>> = jobs
            .iter()
            .map(|job| self.form(job, sent, &mut new))
            .collect();
        let unit = UnitForm {
            forms: forms?,
            new,
            forget: sent.forget(),
        };
        memory::write(|to| unit.save(to))
    }

    fn form(&self, job: &Job, sent: &mut Sent, new: &mut Vec<(u64, ParamSet)>) -> io::Result<Form> {
        let no_bytes = || io::Error::other("a job that has no bytes");
        match job {
            Job::Client(job) => {
                let input = &job.input;
                let mut sets = Vec::new();
                let task = input.task.clone().map_sets(&mut |set| {
                    sets.push(sent.name(&set, new));
                    self.empty.clone()
                });
                Ok(Form::Client(Box::new(ClientForm {
                    client: input.client,
                    round: input.round,
                    amount: self.amount(input.client, &input.local)?,
                    task,
                    sets: sets.into_iter().collect::<io::Result<_>>()?,
                    state: input.state.clone(),
                })))
            }
            Job::Evaluation(job) => Ok(Form::Evaluation(EvaluationForm {
                place: job.place().ok_or_else(no_bytes)?,
                set: sent.name(job.params(), new)?,
            })),
            Job::Statistics(job) => Ok(Form::Statistics(StatisticsForm {
                place: job.place(),
                set: sent.name(job.params(), new)?,
            })),
            Job::Server(_) | Job::Mix(_) | Job::Consensus(_) => Err(no_bytes()),
        }
    }

    /// Reads the jobs of a unit, in a process that has `held` these sets.
    ///
    /// # Errors
    /// When the bytes are not jobs of this federation.
    pub fn unpack(&self, bytes: Vec<u8>, held: &mut Held) -> Result<Vec<Job>, Damaged> {
        let UnitForm { new, forms, forget } = self.read(bytes, UnitForm::load)?;
        held.0.extend(new);
        let jobs: Result<Vec<Job>, Damaged> =
            forms.into_iter().map(|form| self.job(form, held)).collect();
        for name in forget {
            held.0.remove(&name);
        }
        jobs
    }

    fn job(&self, form: Form, held: &Held) -> Result<Job, Damaged> {
        let shared = &self.shared;
        match form {
            Form::Client(form) => {
                let ClientForm {
                    client,
                    round,
                    amount,
                    task,
                    sets,
                    state,
                } = *form;
                if client >= shared.plan.population() {
                    return Err(Damaged::new(format!("there is no client {client}")));
                }
                let usual = &shared.local[shared.plan.group_of(client)];
                let local = match amount {
                    None => Arc::clone(usual),
                    Some(amount) => Arc::new(with_amount(usual, amount)),
                };
                let train = shared.train_samples(client, round);
                let task = fill(task, &sets, held)?;
                Ok(Job::Client(Box::new(ClientJob {
                    half: Arc::clone(&shared.client_half),
                    input: shared.input((client, round), local, train, task, state),
                })))
            }
            Form::Evaluation(EvaluationForm { place, set }) => {
                let params = held.get(set)?;
                let job = shared.evaluator.job(&shared.plan, place, params);
                let unknown = || Damaged::new(format!("there is no {place:?} of an evaluation"));
                Ok(Job::Evaluation(Box::new(job.ok_or_else(unknown)?)))
            }
            Form::Statistics(StatisticsForm { place, set }) => {
                let params = held.get(set)?;
                let Shared {
                    query, plan, sizes, ..
                } = &**shared;
                let job = query.job(plan, sizes, place, params);
                let unknown = || Damaged::new(format!("there is no {place:?} of a query"));
                Ok(Job::Statistics(Box::new(job.ok_or_else(unknown)?)))
            }
        }
    }

    /// Writes the outputs of a unit as bytes.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub fn pack_outputs(&self, outputs: &[Output]) -> io::Result<Vec<u8>> {
        memory::write(|to| {
            to.number(outputs.len() as u64);
            for output in outputs {
                output.save(to);
                output.digest().save(to);
            }
        })
    }

    /// Reads the outputs of a unit, and checks that each has the digest that it had where it was made.
    ///
    /// # Errors
    /// When the bytes are not outputs of this federation, bit by bit.
    pub fn unpack_outputs(&self, bytes: Vec<u8>) -> Result<Vec<Output>, Damaged> {
        let outputs: Vec<(Output, u64)> = self.read(bytes, Snapshot::load)?;
        let checked = outputs
            .into_iter()
            .map(|(output, digest)| match output.digest() == digest {
                true => Ok(output),
                false => Err(Damaged::new("an output is not what was sent")),
            });
        checked.collect()
    }

    fn read<T>(
        &self,
        bytes: Vec<u8>,
        load: impl FnOnce(&mut Reader) -> Result<T, Damaged>,
    ) -> Result<T, Damaged> {
        let mut from = memory::open(&Arc::new(bytes))?;
        from.know(self.shared.layouts());
        let value = load(&mut from)?;
        match from.left() {
            0 => Ok(value),
            left => Err(Damaged::new(format!("{left} bytes too many"))),
        }
    }
}

fn with_amount(usual: &LocalTraining, amount: Amount) -> LocalTraining {
    LocalTraining {
        amount,
        ..usual.clone()
    }
}

/// A task with the named sets in the places of the empty ones.
fn fill(task: Payload, names: &[u64], held: &Held) -> Result<Payload, Damaged> {
    let (mut names, mut wrong) = (names.iter(), None);
    let task = task.map_sets(&mut |empty| {
        let none = || Damaged::new("a task has more parameter sets than names");
        let set = names.next().ok_or_else(none);
        set.and_then(|name| held.get(*name))
            .unwrap_or_else(|error| {
                wrong = Some(error);
                empty
            })
    });
    match wrong {
        Some(error) => Err(error),
        None => Ok(task),
    }
}

#[cfg(test)]
mod tests;
