//! Shards as actix actors, each on an arbiter (a thread) of its own.

use super::accounting::Tally;
use super::event::NodeId;
use super::node::World;
use super::shard::{Command, Report, Shard};
use actix::prelude::*;
use crossbeam::channel::{bounded, unbounded, Receiver, Sender};

/// What actix schedules: a shard and its line back to the conductor.
struct ShardActor<W: World> {
    shard: Shard<W>,
    reports: Sender<Report<W>>,
}

// Nothing in it is ever pinned; the parameters of `World` should not have to say so.
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
        // The conductor outlives its shards unless it failed; then nobody is left to tell.
        let _ = self.reports.send(report);
    }
}

/// A question to the shard, answered through the channel inside.
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

/// The running shards. Dropping it stops them.
pub(crate) struct Host<W: World> {
    addresses: Vec<Addr<ShardActor<W>>>,
    arbiters: Vec<Arbiter>,
    reports: Receiver<Report<W>>,
    /// Arbiters belong to a system; it needs no thread, and no turn of its loop.
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

    pub fn report(&self) -> Result<Report<W>, String> {
        self.reports
            .recv()
            .map_err(|_| "all shards have ended".into())
    }

    /// Asks every shard the same question; answers in the order of the shards.
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

    /// Asks one shard.
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

    /// What the nodes of a shard are left with, node after node, as fast as it is taken.
    pub fn left(&self, shard: usize) -> Receiver<Result<(NodeId, W::Record), String>> {
        // A few at a time: all of them together may be more than the memory holds.
        let (answer, receiver) = bounded(4);
        if let Some(address) = self.addresses.get(shard) {
            address.do_send(Ask(Box::new(move |shard| shard.left(&answer))));
        }
        receiver
    }

    /// The first window of each shard that goes on.
    pub fn next_windows(&self) -> Result<Vec<Option<u64>>, String> {
        self.ask(Shard::next_window)
    }

    /// Queues the starts; the first window of each shard.
    pub fn prime(&self) -> Result<Vec<Option<u64>>, String> {
        self.ask(Shard::prime)
    }

    /// Who waits for what, by node.
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
