//! How long work takes on a client's device, across all faults and absences that lie ahead, and what
//! the device spends on it.
//!
//! All of it is known when the work begins, since faults and absences are functions of the seed, the
//! client and the moment. For example, training that takes 10 s by itself and begins 4 s before a pause
//! of a minute ends after 70 s, and the device computes for 10 s of them.

use super::world::Shared;
use crate::learn::Cost;
use crate::observe::ledger::Work;
use crate::quantity::{Span, VirtualTime};

/// How long work takes that is done in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceTime {
    /// From the beginning of the work to its end, absences included.
    pub span: Span,
    /// The part of `span` in which the client is not absent: what energy is counted for.
    pub computing: Span,
}

/// Steps in the search for the moment at which a device stands still for good.
const STEPS: u32 = 20;

/// How long a client takes from `now` for work that takes `alone` by itself and has this cost, and what
/// its device spends on the work. The time is `None` if nobody will hear of the work, because the device
/// stands still for good or the client leaves the work; what is spent is known all the same.
pub(super) fn of_work(
    shared: &Shared,
    client: u32,
    alone: Span,
    cost: Cost,
    now: VirtualTime,
) -> (Option<DeviceTime>, Work) {
    let time = takes(shared, client, alone, now);
    (time, spends(shared, client, (alone, time), cost, now))
}

/// How long a client takes from `now` for work that takes `asked` by itself; `None` if nobody will hear
/// of the work.
fn takes(shared: &Shared, client: u32, asked: Span, now: VirtualTime) -> Option<DeviceTime> {
    let (faults, presence) = (&shared.faults.clients, &shared.presence);
    let time = |span, computing| DeviceTime { span, computing };
    if faults.is_empty() && !presence.matters() {
        return Some(time(asked, asked));
    }
    let alone = faults.finish(client, now, asked);
    let anew = presence.in_one_go(client, now, |start| faults.finish(client, start, asked));
    if let Some((end, worked)) = anew {
        return (end < VirtualTime::NEVER).then(|| time(end.since(now), worked));
    }
    let end = match presence.working_times(client) {
        Some(open) => faults.finish_while(client, now, asked, open),
        None => alone,
    };
    let lost = end == VirtualTime::NEVER || presence.abandons(client, now, end);
    (!lost).then(|| time(end.since(now), alone.since(now)))
}

/// When a client is done with work that it begins at `now`, that takes `alone` by itself and that it
/// does not leave: the absences of a client that abandons its work are no part of it.
pub(super) fn end_of(shared: &Shared, client: u32, alone: Span, now: VirtualTime) -> VirtualTime {
    let (faults, presence) = (&shared.faults.clients, &shared.presence);
    match presence.working_times(client) {
        Some(open) => faults.finish_while(client, now, alone, open),
        None => faults.finish(client, now, alone),
    }
}

/// What a client's device spends from `now` on work that takes `asked` by itself and `time` in all; also
/// where nobody will hear of the work.
fn spends(
    shared: &Shared,
    client: u32,
    (asked, time): (Span, Option<DeviceTime>),
    cost: Cost,
    now: VirtualTime,
) -> Work {
    let (faults, presence) = (&shared.faults.clients, &shared.presence);
    let device = shared.plan.client(client).device;
    let work = |until: VirtualTime, breaks: VirtualTime, computing: Span| Work {
        until,
        breaks,
        compute: until.since(now),
        flops: cost.flops.0,
        memory: cost.memory.0,
        energy: device.power.energy(computing),
        trains: true,
    };
    if let Some(time) = time {
        let until = now + time.span;
        let crash = match faults.is_empty() {
            true => None,
            false => faults.first_crash(client, now, until),
        };
        return work(until, crash.unwrap_or(VirtualTime::NEVER), time.computing);
    }
    let end_of = |asked: Span| end_of(shared, client, asked, now);
    let restarts = presence.in_one_go(client, now, |start| faults.finish(client, start, asked));
    if let Some((_, worked)) = restarts {
        // The client begins the work again and again, and never completes it.
        let until = now + worked;
        return Work {
            trains: false,
            ..work(until, until, worked)
        };
    }
    let end = end_of(asked);
    if end < VirtualTime::NEVER {
        // The client leaves work that would be done at `end`.
        let leaves = presence.leaves_within(client, now, end);
        let crash = faults.first_crash(client, now, end);
        let breaks = leaves.into_iter().chain(crash).min();
        let alone = faults.finish(client, now, asked).since(now);
        return work(end, breaks.unwrap_or(end), alone);
    }
    // The device stands still for good after a share of the work, which is found by bisection.
    let (mut share, mut step, mut until) = (0.0, 0.5, now);
    for _ in 0..STEPS {
        let end = end_of(asked.scaled(share + step));
        if end < VirtualTime::NEVER {
            share += step;
            until = end;
        }
        step /= 2.0;
    }
    let leaves = presence.leaves_within(client, now, until);
    let whole = work(until, leaves.unwrap_or(until), asked.scaled(share));
    Work {
        flops: (cost.flops.0 as f64 * share) as u64,
        trains: false,
        ..whole
    }
}
