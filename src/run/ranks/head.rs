//! Rank 0's side: a thread that talks to the others, and for each of their workers one that stands for
//! it.

use super::frame::{self, Ready, Setup};
use super::line::{Line, News, Whereabouts};
use super::link::Link;
use crate::federation::{Federation, Job, Output, Sent, Wire};
use crate::observe::record::{Host, Rank};
use crate::sim::{RemoteWorker, RemoteWorkers};
use crossbeam::channel::{bounded, unbounded, Receiver, RecvTimeoutError, Sender};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the thread that talks waits between two looks at what has come, at least and at most.
pub const SHORT: Duration = Duration::from_micros(50);
pub const LONG: Duration = Duration::from_millis(1);

/// How often somebody who waits looks whether it is still to.
const GLANCE: Duration = Duration::from_millis(50);

/// What became of a unit on another rank.
type Answer = Result<Vec<u8>, String>;

/// What the thread that talks is asked for.
enum Ask {
    /// To send a frame to every rank.
    Tell(Vec<u8>),
    /// To send a unit, and to hand on the answer.
    Call {
        rank: usize,
        number: u64,
        frame: Vec<u8>,
        reply: Sender<Answer>,
    },
    /// To part from the others; or to end them, one being lost.
    End { abort: bool },
}

/// What is known of another rank.
#[derive(Debug, Default)]
struct Other {
    who: Mutex<Option<Whereabouts>>,
    workers: AtomicU64,
    units: AtomicU64,
    /// Bytes of units, and of what came of them.
    sent: AtomicU64,
    received: AtomicU64,
}

/// What both threads see.
#[derive(Debug)]
struct Board {
    others: Vec<Other>,
    /// Who was lost first, in words.
    lost: Mutex<Option<String>>,
    numbers: AtomicU64,
}

impl Board {
    fn lost(&self) -> Option<String> {
        lock(&self.lost).clone()
    }
}

/// Rank 0 among others.
#[derive(Debug)]
pub struct Head {
    asks: Sender<Ask>,
    ready: Receiver<(usize, Ready)>,
    board: Arc<Board>,
    workers: Option<u32>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The other end of a [`Head`]: what its thread works with.
pub struct Desk {
    asks: Receiver<Ask>,
    ready: Sender<(usize, Ready)>,
    board: Arc<Board>,
    /// Who waits for which unit of which rank.
    waiting: BTreeMap<u64, (usize, Sender<Answer>)>,
}

/// Both ends, for so many ranks.
pub fn pair(ranks: usize) -> (Head, Desk) {
    let (asks, asked) = unbounded();
    let (tell, ready) = unbounded();
    let others = (1..ranks).map(|_| Other::default()).collect();
    let board = Arc::new(Board {
        others,
        lost: Mutex::new(None),
        numbers: AtomicU64::new(0),
    });
    let head = Head {
        asks,
        ready,
        board: Arc::clone(&board),
        workers: None,
        thread: Mutex::new(None),
    };
    let desk = Desk {
        asks: asked,
        ready: tell,
        board,
        waiting: BTreeMap::new(),
    };
    (head, desk)
}

impl Head {
    pub(super) fn runs_on(&mut self, thread: JoinHandle<()>) {
        self.thread = Mutex::new(Some(thread));
    }

    /// How many workers each of the others is to have; as many as it has cores where nothing is said.
    pub fn set_workers(&mut self, workers: Option<u16>) {
        self.workers = workers.map(u32::from);
    }

    /// What workers it asks the others to have.
    pub(super) const fn workers(&self) -> Option<u32> {
        self.workers
    }

    /// Tells the others what is run; they prepare while this rank does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::run) fn begin(&self, setup: &Setup) -> Result<(), String> {
        self.ask(Ask::Tell(frame::of(frame::SETUP, setup)?));
        Ok(())
    }

    /// Waits until all others are ready to run what `identity` names.
    ///
    /// # Errors
    /// When one of them is not, in words; or when it is interrupted.
    pub(in crate::run) fn agree(&self, identity: u64, stop: &AtomicBool) -> Result<(), String> {
        let cpu = Host::detect("").cpu;
        let mut wrong = Vec::new();
        for _ in &self.board.others {
            let (rank, ready) = loop {
                if let Ok(told) = self.ready.recv_timeout(GLANCE) {
                    break told;
                }
                if let Some(lost) = self.board.lost() {
                    return Err(lost);
                }
                if stop.load(Ordering::Relaxed) {
                    return Err("interrupted before all ranks were ready".into());
                }
            };
            let who = self.name(rank);
            match ready.identity {
                Err(problem) => wrong.push(format!("{who}: {problem}")),
                Ok(theirs) if theirs != identity => wrong.push(format!(
                    "{who} has other data or makes something else of the scenario"
                )),
                Ok(_) => {}
            }
            if ready.cpu != cpu {
                tracing::warn!(
                    "{who} has another processor ({}, here {cpu}): the last bits of its results can differ, \
                     and with them the trace hash",
                    ready.cpu
                );
            }
            if let Some(other) = self.other(rank) {
                let workers = u64::from(ready.workers);
                other.workers.store(workers, Ordering::Relaxed);
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("\n")),
        }
    }

    /// Their workers, for jobs of `federation`, of which nothing will be changed any more.
    ///
    /// # Errors
    /// When memory ran out.
    pub(in crate::run) fn elsewhere(
        &self,
        federation: &Federation,
    ) -> io::Result<RemoteWorkers<Job, Output>> {
        let wire = federation.wire()?;
        let mut workers: Vec<Arc<dyn RemoteWorker<Job, Output>>> = Vec::new();
        for (place, other) in self.board.others.iter().enumerate() {
            let sent = Arc::default();
            for _ in 0..other.workers.load(Ordering::Relaxed) {
                workers.push(Arc::new(Slot {
                    rank: place + 1,
                    asks: self.asks.clone(),
                    board: Arc::clone(&self.board),
                    wire: wire.clone(),
                    sent: Arc::clone(&sent),
                    leaving: AtomicBool::new(false),
                }));
            }
        }
        let accepts = Box::new(move |job: &Job| wire.travels(job));
        Ok(RemoteWorkers { workers, accepts })
    }

    /// The first rank that was lost, and how, in words.
    pub(in crate::run) fn lost(&self) -> Option<String> {
        self.board.lost()
    }

    /// All ranks, for the record of a run on which this one has `workers`.
    pub(in crate::run) fn record(&self, workers: usize) -> Vec<Rank> {
        let mut ranks = vec![Rank {
            rank: 0,
            host: Whereabouts::of_this_process().host,
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            units: None,
            bytes_sent: None,
            bytes_received: None,
        }];
        for (number, other) in (1u32..).zip(&self.board.others) {
            let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let host = lock(&other.who).as_ref().map(|who| who.host.clone());
            ranks.push(Rank {
                rank: number,
                host: host.unwrap_or_else(|| "unknown host".into()),
                workers: u32::try_from(read(&other.workers)).unwrap_or(u32::MAX),
                units: Some(read(&other.units)),
                bytes_sent: Some(read(&other.sent)),
                bytes_received: Some(read(&other.received)),
            });
        }
        ranks
    }

    /// Ends the others, and waits until they are told. Where one was lost there is no parting in peace:
    /// all are ended, this process among them.
    pub fn end(&self) {
        let abort = self.lost().is_some();
        self.ask(Ask::End { abort });
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn other(&self, rank: usize) -> Option<&Other> {
        self.board.others.get(rank.checked_sub(1)?)
    }

    fn name(&self, rank: usize) -> String {
        let known = self.other(rank).and_then(|other| lock(&other.who).clone());
        match known {
            Some(who) => format!("rank {rank} ({who})"),
            None => format!("rank {rank}"),
        }
    }

    fn ask(&self, ask: Ask) {
        // If the thread has ended it has said why.
        let _ = self.asks.send(ask);
    }
}

impl Desk {
    /// The life of the thread that talks.
    pub fn converse<L: Link>(mut self, mut line: Line<L>) {
        let mut pause = SHORT;
        loop {
            let mut ask = match self.asks.recv_timeout(pause) {
                Ok(ask) => Some(ask),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Ask::End { abort: false }),
            };
            let mut idle = ask.is_none();
            while let Some(asked) = ask {
                match asked {
                    Ask::End { abort: true } => return line.abort(),
                    Ask::End { abort: false } => return self.part(line),
                    Ask::Tell(frame) => self.tell(&mut line, &frame),
                    Ask::Call {
                        rank,
                        number,
                        frame,
                        reply,
                    } => self.call(&mut line, rank, (number, reply), frame),
                }
                ask = self.asks.try_recv().ok();
            }
            loop {
                match line.poll() {
                    Ok(Some(news)) => self.hear(news),
                    Ok(None) => break,
                    Err(problem) => {
                        self.lose(format!("the other ranks cannot be reached: {problem}"));
                        break;
                    }
                }
                idle = false;
            }
            pause = match idle && !line.is_busy() {
                true => LONG.min(pause * 2),
                false => SHORT,
            };
        }
    }

    fn tell<L: Link>(&mut self, line: &mut Line<L>, frame: &[u8]) {
        for rank in 1..=self.board.others.len() {
            if let Err(problem) = line.send(rank, frame.to_vec()) {
                self.lose(format!("rank {rank} cannot be reached: {problem}"));
            }
        }
    }

    fn call<L: Link>(
        &mut self,
        line: &mut Line<L>,
        rank: usize,
        (number, reply): (u64, Sender<Answer>),
        frame: Vec<u8>,
    ) {
        if let Some(lost) = self.board.lost() {
            let _ = reply.send(Err(lost));
            return;
        }
        self.count(rank, |other| &other.sent, frame.len());
        self.waiting.insert(number, (rank, reply));
        if let Err(problem) = line.send(rank, frame) {
            self.lose(format!("rank {rank} cannot be reached: {problem}"));
        }
    }

    fn hear(&mut self, news: News) {
        let (from, frame) = match news {
            News::Hello(rank, them) => {
                if let Some(other) = self.board.others.get(rank - 1) {
                    *lock(&other.who) = Some(them);
                }
                return;
            }
            News::Lost(words) => return self.lose(words),
            News::Frame { from, frame } => (from, frame),
        };
        let understood = match frame.first() {
            Some(&frame::READY) => frame::read(&frame).map(|ready| {
                let _ = self.ready.send((from, ready));
            }),
            Some(&frame::DONE) => {
                self.count(from, |other| &other.received, frame.len());
                self.count(from, |other| &other.units, 1);
                frame::number(frame).map(|(number, outputs)| {
                    // Nobody waits for what was given up.
                    if let Some((_, reply)) = self.waiting.remove(&number) {
                        let _ = reply.send(Ok(outputs));
                    }
                })
            }
            Some(&frame::BROKEN) => frame::read(&frame).and_then(Err),
            _ => Err("it says what nobody understands".into()),
        };
        if let Err(problem) = understood {
            self.lose(format!("rank {from} is lost: {problem}"));
        }
    }

    /// Somebody is lost: nobody is to wait any more.
    fn lose(&mut self, words: String) {
        lock(&self.board.lost).get_or_insert_with(|| words.clone());
        for (_, reply) in std::mem::take(&mut self.waiting).into_values() {
            let _ = reply.send(Err(words.clone()));
        }
    }

    fn count(&self, rank: usize, which: impl Fn(&Other) -> &AtomicU64, n: usize) {
        if let Some(other) = rank
            .checked_sub(1)
            .and_then(|place| self.board.others.get(place))
        {
            which(other).fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    fn part<L: Link>(&mut self, mut line: Line<L>) {
        self.tell(&mut line, &[frame::END]);
        match self.board.lost() {
            Some(_) => line.abort(),
            None => line.close(),
        }
    }
}

/// Stands for a worker of another rank.
struct Slot {
    rank: usize,
    asks: Sender<Ask>,
    board: Arc<Board>,
    wire: Wire,
    /// What its rank was sent, by whichever of its workers.
    sent: Arc<Mutex<Sent>>,
    leaving: AtomicBool,
}

impl RemoteWorker<Job, Output> for Slot {
    fn run(&self, jobs: &[Job]) -> Result<Vec<Output>, String> {
        let failed = |what: &str, problem: &dyn std::fmt::Display| {
            Err(format!("rank {}: {what}: {problem}", self.rank))
        };
        let (reply, answer) = bounded(1);
        {
            // Units leave in the order in which they were packed: one may name what another brings.
            let mut sent = lock(&self.sent);
            let packed = match self.wire.pack(jobs, &mut sent) {
                Ok(packed) => packed,
                Err(problem) => return failed("jobs cannot be sent", &problem),
            };
            let number = self.board.numbers.fetch_add(1, Ordering::Relaxed);
            let asked = self.asks.send(Ask::Call {
                rank: self.rank,
                number,
                frame: frame::numbered(frame::UNIT, number, &packed),
                reply,
            });
            if asked.is_err() {
                return Err("the thread that talks to other ranks ended".into());
            }
        }
        let outputs = loop {
            match answer.recv_timeout(GLANCE) {
                Ok(outputs) => break outputs?,
                Err(RecvTimeoutError::Timeout) if self.leaving.load(Ordering::Relaxed) => {
                    return Err("given up".into());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the thread that talks to other ranks ended".into());
                }
            }
        };
        match self.wire.unpack_outputs(outputs) {
            Ok(outputs) => Ok(outputs),
            Err(problem) => failed("what came of its jobs cannot be read", &problem),
        }
    }

    fn give_up(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

/// What a lock protects, also after its last holder ended in the midst of things.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
