//! Shards as actix actors, each on an arbiter (a thread) of its own.

use super::accounting::Tally;
use super::event::NodeId;
use super::node::World;
use super::shard::{Command, Shard, WindowDone};
use actix::prelude::*;
use crossbeam::channel::{bounded, unbounded, Receiver, Sender};

/// The actor that actix schedules: a shard and its channel back to the conductor.
struct ShardActor<W: World> {
    shard: Shard<W>,
    reports: Sender<WindowDone<W>>,
}

// Nothing in the actor is ever pinned, and the types of a `World` should not have to be `Unpin`.
impl<W: World> Unpin for ShardActor<W> {}

impl<W: World> Actor for ShardActor<W> {
    type Context = actix::Context<Self>;
}

struct Run<W: World>(Command<W>);

impl<W: World> actix::Message for Run<W> {
    type Result = ();
}

impl<W: World> Handler<Run<W>> for ShardActor<W> {
    type Result = ();

    fn handle(&mut self, run: Run<W>, _: &mut Self::Context) {
        let report = self.shard.run(run.0);
        // The conductor outlives its shards unless it failed; then nothing receives the report.
        let _ = self.reports.send(report);
    }
}

/// A question to the shard; the answer goes through a channel inside the question.
struct Ask<W: World>(Question<W>);

type Question<W> = Box<dyn FnOnce(&mut Shard<W>) + Send>;

impl<W: World> actix::Message for Ask<W> {
    type Result = ();
}

impl<W: World> Handler<Ask<W>> for ShardActor<W> {
    type Result = ();

    fn handle(&mut self, ask: Ask<W>, _: &mut Self::Context) {
        (ask.0)(&mut self.shard);
    }
}

/// The running shards. Dropping the host stops them.
pub(crate) struct Host<W: World> {
    addresses: Vec<Addr<ShardActor<W>>>,
    arbiters: Vec<Arbiter>,
    reports: Receiver<WindowDone<W>>,
    /// Arbiters belong to an actix system. The system needs no thread, and its own loop never has to
    /// run.
    _system: SystemRunner,
}

impl<W: World> Host<W> {
    /// Starts `shards` shards, each built on its own thread.
    pub fn start(shards: usize, mut make: impl FnMut(usize) -> Shard<W>) -> Result<Self, String> {
        let system = System::new();
        let (sender, reports) = unbounded();
        let mut addresses = Vec::new();
        let mut arbiters = Vec::new();
        for index in 0..shards {
            let arbiter = Arbiter::new();
            let shard = make(index);
            let reports = sender.clone();
            addresses.push(ShardActor::start_in_arbiter(&arbiter.handle(), move |_| {
                ShardActor { shard, reports }
            }));
            arbiters.push(arbiter);
        }
        Ok(Self {
            addresses,
            arbiters,
            reports,
            _system: system,
        })
    }

    pub fn shards(&self) -> usize {
        self.addresses.len()
    }

    pub fn command(&self, shard: usize, command: Command<W>) {
        if let Some(address) = self.addresses.get(shard) {
            address.do_send(Run(command));
        }
    }

    pub fn report(&self) -> Result<WindowDone<W>, String> {
        self.reports
            .recv()
            .map_err(|_| "all shards have ended".into())
    }

    /// Asks every shard one question; the answers come in the order of the shards.
    fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Shard<W>) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, String> {
        let pending: Vec<Receiver<T>> = self
            .addresses
            .iter()
            .map(|address| {
                let (answer, receiver) = unbounded();
                let question = question.clone();
                address.do_send(Ask(Box::new(move |shard| {
                    let _ = answer.send(question(shard));
                })));
                receiver
            })
            .collect();
        let answers = pending.into_iter().map(|receiver| receiver.recv());
        let answers: Result<Vec<T>, _> = answers.collect();
        answers.map_err(|_| "a shard has ended".into())
    }

    /// Asks one shard a question and waits for its answer.
    pub fn ask_one<T: Send + 'static>(
        &self,
        shard: usize,
        question: impl FnOnce(&mut Shard<W>) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (answer, receiver) = unbounded();
        let gone = || "a shard has ended".to_string();
        let address = self.addresses.get(shard).ok_or_else(gone)?;
        address.do_send(Ask(Box::new(move |shard| {
            let _ = answer.send(question(shard));
        })));
        receiver.recv().map_err(|_| gone())
    }

    /// The records of the state in which the nodes of a shard are left ([`World::left`]), node after
    /// node, at the pace of the receiver.
    pub fn left(&self, shard: usize) -> Receiver<Result<(NodeId, W::Record), String>> {
        // Only a few are under way at a time: all of them together may be larger than memory.
        let (answer, receiver) = bounded(4);
        if let Some(address) = self.addresses.get(shard) {
            address.do_send(Ask(Box::new(move |shard| shard.left(&answer))));
        }
        receiver
    }

    /// The first window of each shard of a resumed run.
    pub fn next_windows(&self) -> Result<Vec<Option<u64>>, String> {
        self.ask(Shard::next_window)
    }

    /// Queues the starts of nodes; returns the first window of each shard.
    pub fn prime(&self) -> Result<Vec<Option<u64>>, String> {
        self.ask(Shard::prime)
    }

    /// The nodes that wait, each with what it waits for.
    pub fn waiting(&self) -> Result<Vec<(NodeId, String)>, String> {
        let mut all: Vec<_> = self
            .ask(|shard| shard.waiting())?
            .into_iter()
            .flatten()
            .collect();
        all.sort_by_key(|(node, _)| *node);
        Ok(all)
    }

    /// The final counts of each shard.
    pub fn close(&self) -> Result<Vec<Vec<Tally>>, String> {
        self.ask(|shard| {
            shard.count_in_flight();
            shard.tallies.clone()
        })
    }
}

impl<W: World> Drop for Host<W> {
    fn drop(&mut self) {
        self.addresses.clear();
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
            let _ = arbiter.join();
        }
    }
}
