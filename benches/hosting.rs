//! Two ways of hosting nodes, measured before one was chosen: an actix actor a node, and a slab
//! inside the shard that is the actor.
//!
//! Both get the same windows of events for the same handlers, on one arbiter; what is measured is
//! only the way from the shard to the handler. Floor: the handlers called in a plain loop.

mod support;

use actix::prelude::*;
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use support::{alone, in_own_process, line, median, peak_resident, seconds, wanted};

const EVENTS: u64 = 4_000_000;
const WINDOW: u64 = 5_000;

/// What a node of a storm keeps.
#[derive(Default)]
struct State {
    turn: u64,
    memory: u64,
}

impl State {
    fn on(&mut self, ball: u64) -> u64 {
        self.turn += 1;
        self.memory = (self.memory ^ ball).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.memory
    }
}

/// The targets of a window: half to the hub of a star, half to nodes in no order.
fn window(nodes: u64, first: u64) -> impl Iterator<Item = (usize, u64)> {
    (first..first + WINDOW).map(move |event| {
        let target = event.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        (
            if event % 2 == 0 {
                0
            } else {
                (target % nodes) as usize
            },
            event,
        )
    })
}

/// Events a second when nodes lie in a slab, dormant until their first event.
fn slab(nodes: u64) -> f64 {
    let mut slots: Vec<Option<Box<State>>> = (0..nodes).map(|_| None).collect();
    let mut sum = 0u64;
    let (time, ()) = seconds(|| {
        for first in (0..EVENTS).step_by(WINDOW as usize) {
            for (target, ball) in window(nodes, first) {
                let state = slots[target].get_or_insert_with(Box::default);
                sum = sum.wrapping_add(state.on(ball));
            }
        }
    });
    black_box(sum);
    EVENTS as f64 / time
}

/// Events a second when handlers are called in a plain loop, all states in one array.
fn bare(nodes: u64) -> f64 {
    let mut states: Vec<State> = (0..nodes).map(|_| State::default()).collect();
    let mut sum = 0u64;
    let (time, ()) = seconds(|| {
        for first in (0..EVENTS).step_by(WINDOW as usize) {
            for (target, ball) in window(nodes, first) {
                sum = sum.wrapping_add(states[target].on(ball));
            }
        }
    });
    black_box(sum);
    EVENTS as f64 / time
}

struct NodeActor {
    state: State,
    shared: Rc<Shared>,
}

/// What the actors of one arbiter share with their shard.
#[derive(Default)]
struct Shared {
    sum: Cell<u64>,
    left: Cell<u64>,
    done: signal::Signal,
}

/// A wake-up between the actors and their shard, on one thread.
mod signal {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::task::{Poll, Waker};

    #[derive(Default)]
    pub struct Signal {
        set: Cell<bool>,
        waker: RefCell<Option<Waker>>,
    }

    impl Signal {
        pub fn set(&self) {
            self.set.set(true);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }

        pub async fn wait(&self) {
            poll_fn(|cx| {
                if self.set.replace(false) {
                    return Poll::Ready(());
                }
                self.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
        }
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;
}

struct Ball(u64);

impl Message for Ball {
    type Result = ();
}

impl Handler<Ball> for NodeActor {
    type Result = ();

    fn handle(&mut self, ball: Ball, _: &mut Self::Context) {
        let shared = &self.shared;
        shared
            .sum
            .set(shared.sum.get().wrapping_add(self.state.on(ball.0)));
        shared.left.set(shared.left.get() - 1);
        if shared.left.get() == 0 {
            shared.done.set();
        }
    }
}

/// Events a second when each node is an actix actor, started at its first event.
fn actors(nodes: u64) -> f64 {
    System::new().block_on(async move {
        let shared = Rc::new(Shared::default());
        let mut slots: Vec<Option<Addr<NodeActor>>> = (0..nodes).map(|_| None).collect();
        let began = std::time::Instant::now();
        for first in (0..EVENTS).step_by(WINDOW as usize) {
            shared.left.set(WINDOW);
            for (target, ball) in window(nodes, first) {
                let address = slots[target].get_or_insert_with(|| {
                    let (state, shared) = (State::default(), Rc::clone(&shared));
                    NodeActor { state, shared }.start()
                });
                address.do_send(Ball(ball));
            }
            shared.done.wait().await;
        }
        black_box(shared.sum.get());
        EVENTS as f64 / began.elapsed().as_secs_f64()
    })
}

fn main() {
    if let Some(what) = alone() {
        let before = peak_resident();
        let nodes = 1_000_000;
        if what == "slab" {
            slab(nodes)
        } else {
            actors(nodes)
        };
        println!("{}", (peak_resident() - before) / nodes as f64);
        return;
    }
    for (nodes, size) in [(10_000, "10k"), (1_000_000, "1m")] {
        let floor = median((0..3).map(|_| bare(nodes)).collect());
        for (name, run) in [("slab", slab as fn(u64) -> f64), ("actors", actors)] {
            let name = format!("hosting/{name}-{size}");
            if wanted(&name) {
                let figure = median((0..3).map(|_| run(nodes)).collect());
                line(
                    &name,
                    figure / 1e6,
                    "Mevents/s",
                    floor / 1e6,
                    figure / floor,
                );
            }
        }
    }
    for name in ["slab", "actors"] {
        let title = format!("hosting/{name}-memory");
        if wanted(&title) {
            let bytes = in_own_process(name);
            let least = std::mem::size_of::<State>() as f64;
            line(&title, bytes, "B/node", least, least / bytes);
        }
    }
}
