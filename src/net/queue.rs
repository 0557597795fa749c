//! One side of a link with a limited rate: how its messages share the rate, and when each is through.
//!
//! Time and work are integers in units of 2⁻⁴⁸ ns, so that results are equal on every machine. A
//! finishing time is rounded up to a whole nanosecond, except that a remainder left over by division
//! counts as nothing.

use super::link::Sharing;
use crate::fault::Drop;
use crate::quantity::{Bandwidth, Bytes, Span, VirtualTime};
use crate::sim::rng::{below, Stream};
use crate::snapshot::{snapshot_enum, snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Fractional bits of a nanosecond.
const FRACTION: u32 = 48;
/// Work below this amount counts as none: 2⁻¹² ns.
const SLIVER: u128 = 1 << (FRACTION - 12);

/// The time that an item needs when it has the whole rate for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Work(u128);

impl Work {
    /// The work of sending `bytes` at `rate`; at most the whole of virtual time.
    pub fn of(bytes: u128, rate: Bandwidth) -> Self {
        let nanos = bytes as f64 * 8e9 / rate.get();
        let scaled = nanos * (1u64 << FRACTION) as f64;
        // `as` saturates.
        Self((scaled as u128).min(u128::from(u64::MAX) << FRACTION))
    }
}

impl Work {
    /// The part of the work that is done in a span, in whole nanoseconds, and the work that is left.
    pub fn split(self, span: Span) -> (Span, Self) {
        let left = self.0.saturating_sub(u128::from(span.nanos()) << FRACTION);
        let done = (self.0 - left).div_ceil(1 << FRACTION);
        let done = Span::from_nanos(u64::try_from(done).unwrap_or(u64::MAX));
        (done.min(span), Self(left))
    }

    /// Whether the work is as good as done.
    pub const fn is_none(self) -> bool {
        self.0 <= SLIVER
    }
}

fn scaled(time: VirtualTime) -> u128 {
    u128::from(time.nanos()) << FRACTION
}

/// The first whole nanosecond at or after `time`.
fn round_up(time: u128) -> VirtualTime {
    let nanos = time.saturating_sub(SLIVER).div_ceil(1 << FRACTION);
    VirtualTime::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The messages on one side of a link.
pub(super) enum Queue<T> {
    Fair(Fair<T>),
    Fifo(Fifo<T>),
}

impl<T> Queue<T> {
    pub fn new(sharing: Sharing) -> Self {
        match sharing {
            Sharing::Fair => Self::Fair(Fair {
                items: BinaryHeap::new(),
                through: VecDeque::new(),
                service: 0,
                at: 0,
                serial: 0,
            }),
            Sharing::Fifo => Self::Fifo(Fifo {
                items: VecDeque::new(),
                free: 0,
            }),
        }
    }

    /// Adds `item` at `now`, which must not be before the `now` of an earlier call.
    pub fn push(&mut self, now: VirtualTime, work: Work, item: T) {
        match self {
            Self::Fair(queue) => queue.push(now, work, Some(item)),
            Self::Fifo(queue) => queue.push(now, work, Some(item)),
        }
    }

    /// Adds work that nothing waits for: it takes its share of the rate and has no item.
    pub fn load(&mut self, now: VirtualTime, work: Work) {
        match self {
            Self::Fair(queue) => queue.push(now, work, None),
            Self::Fifo(queue) => queue.push(now, work, None),
        }
    }

    /// When the next item, or work without an item, is through if nothing is added before.
    pub fn next(&self) -> Option<VirtualTime> {
        match self {
            Self::Fair(queue) => queue.next(),
            Self::Fifo(queue) => queue.next(),
        }
    }

    /// Takes out the next item that is through by `now`.
    pub fn pop(&mut self, now: VirtualTime) -> Option<T> {
        match self {
            Self::Fair(queue) => queue.pop(now),
            Self::Fifo(queue) => queue.pop(now),
        }
    }

    /// Takes items out until one of `bytes` fits beside the others into `capacity`. Returns `None`, and
    /// takes nothing out, if the new item is the one to go. Work done for the items taken out is lost;
    /// the others share the rate from now on.
    pub fn make_room(
        &mut self,
        now: VirtualTime,
        (capacity, drop): (Bytes, Drop),
        bytes: Bytes,
        size: impl Fn(&T) -> Bytes,
        rng: &mut Stream,
    ) -> Option<Vec<T>> {
        if let Self::Fair(queue) = self {
            queue.advance(now);
        }
        let mut held = 0u64;
        self.for_each(&mut |item| held = held.saturating_add(size(item).0));
        let fits = |held: u64| held.saturating_add(bytes.0) <= capacity.0;
        if fits(held) {
            return Some(Vec::new());
        }
        if drop == Drop::Newest || bytes > capacity {
            return None;
        }
        let mut gone = Vec::new();
        while !fits(held) {
            let count = self.waiting();
            let place = match drop {
                Drop::Random => below(rng, count as u64) as usize,
                Drop::Oldest | Drop::Newest => 0,
            };
            let Some(item) = self.remove(now, place) else {
                break;
            };
            held = held.saturating_sub(size(&item).0);
            gone.push(item);
        }
        Some(gone)
    }

    /// The number of items that are not through.
    fn waiting(&self) -> usize {
        match self {
            Self::Fair(queue) => queue.items.iter().flat_map(|entry| &entry.item).count(),
            Self::Fifo(queue) => queue.items.iter().flat_map(|(_, item)| item).count(),
        }
    }

    /// Takes out the item at `place` in the order of arrival.
    fn remove(&mut self, now: VirtualTime, place: usize) -> Option<T> {
        match self {
            Self::Fair(queue) => queue.remove(place),
            Self::Fifo(queue) => queue.remove(now, place),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Fair(queue) => queue.items.is_empty() && queue.through.is_empty(),
            Self::Fifo(queue) => queue.items.is_empty(),
        }
    }

    /// Visits the items that wait here, in no particular order.
    pub fn for_each(&self, visit: &mut dyn FnMut(&T)) {
        match self {
            Self::Fair(queue) => {
                queue
                    .items
                    .iter()
                    .flat_map(|entry| &entry.item)
                    .for_each(&mut *visit);
                queue.through.iter().for_each(|(_, item)| visit(item));
            }
            Self::Fifo(queue) => queue
                .items
                .iter()
                .flat_map(|(_, item)| item)
                .for_each(visit),
        }
    }
}

/// Processor sharing by virtual service time (Parekh and Gallager 1993, with equal weights). The
/// service that each present item has had grows at 1/n of the rate; an item is through when its service
/// since it came equals its work.
pub(super) struct Fair<T> {
    items: BinaryHeap<Item<T>>,
    /// Items that are through, each with the exact time, and not yet fetched.
    through: VecDeque<(u128, T)>,
    /// The service of an item that has been here since the queue was last empty.
    service: u128,
    /// The moment to which `service` belongs.
    at: u128,
    serial: u64,
}

impl<T: Snapshot> Snapshot for Fair<T> {
    fn save(&self, to: &mut Writer) {
        let Self {
            items,
            through,
            service,
            at,
            serial,
        } = self;
        to.number(items.len() as u64);
        items.iter().for_each(|entry| entry.save(to));
        through.save(to);
        service.save(to);
        at.save(to);
        serial.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(Self {
            // The order of a heap's storage has no effect; only the order in which items leave it has.
            items: Vec::load(from)?.into(),
            through: Snapshot::load(from)?,
            service: Snapshot::load(from)?,
            at: Snapshot::load(from)?,
            serial: Snapshot::load(from)?,
        })
    }
}

snapshot_struct!(impl<T> Item<T> { finish, serial, item });
snapshot_struct!(impl<T> Fifo<T> { items, free });
snapshot_enum!(impl<T> Queue<T> { 0 => Fair(queue), 1 => Fifo(queue) });

/// An item that is through when the service reaches `finish`; of two with equal `finish`, the one that
/// came first. An entry without an item is work that nothing waits for.
struct Item<T> {
    finish: u128,
    serial: u64,
    item: Option<T>,
}

impl<T> Item<T> {
    /// The order is reversed, since the top of the heap is the greatest.
    fn order(&self, other: &Self) -> Ordering {
        (other.finish, other.serial).cmp(&(self.finish, self.serial))
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}
impl<T> Eq for Item<T> {}
impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

impl<T> Fair<T> {
    /// Moves to `now` from the end of one item to the end of the next. Each item leaves its share to
    /// the others at the exact moment, not at the whole nanosecond in which it is fetched.
    fn advance(&mut self, now: VirtualTime) {
        let over = now == VirtualTime::NEVER;
        let now = scaled(now);
        while let Some(end) = self.end_of_first() {
            if end > now + SLIVER && !over {
                break;
            }
            let Some(entry) = self.items.pop() else {
                break;
            };
            self.at = end;
            self.service = entry.finish;
            self.through.extend(entry.item.map(|item| (end, item)));
        }
        self.service = match self.items.len() as u128 {
            0 => 0,
            present => self
                .service
                .saturating_add(now.saturating_sub(self.at) / present),
        };
        self.at = self.at.max(now);
    }

    fn push(&mut self, now: VirtualTime, work: Work, item: Option<T>) {
        self.advance(now);
        self.items.push(Item {
            finish: self.service.saturating_add(work.0),
            serial: self.serial,
            item,
        });
        self.serial += 1;
    }

    fn remove(&mut self, place: usize) -> Option<T> {
        let mut present = std::mem::take(&mut self.items).into_vec();
        present.sort_unstable_by_key(|entry| entry.serial);
        let mut items = (0..present.len()).filter(|index| present[*index].item.is_some());
        let gone = items.nth(place).map(|index| present.remove(index));
        self.items = present.into();
        gone?.item
    }

    /// When the first item will be through.
    fn end_of_first(&self) -> Option<u128> {
        let left = self.items.peek()?.finish.saturating_sub(self.service);
        // A product that saturates lies 2^80 ns ahead: past the end of virtual time.
        let wait = left.saturating_mul(self.items.len() as u128);
        Some(self.at.saturating_add(wait))
    }

    fn next(&self) -> Option<VirtualTime> {
        let waiting = self.through.front().map(|(end, _)| *end);
        waiting.or_else(|| self.end_of_first()).map(round_up)
    }

    fn pop(&mut self, now: VirtualTime) -> Option<T> {
        self.advance(now);
        self.through.pop_front().map(|(_, item)| item)
    }
}

/// One item after the other.
pub(super) struct Fifo<T> {
    /// The items, each with the exact time at which it is through; an entry without an item is work
    /// that nothing waits for.
    items: VecDeque<(u128, Option<T>)>,
    /// When the last entry is through.
    free: u128,
}

impl<T> Fifo<T> {
    fn push(&mut self, now: VirtualTime, work: Work, item: Option<T>) {
        self.free = self.free.max(scaled(now)).saturating_add(work.0);
        self.items.push_back((self.free, item));
    }

    /// The entries behind the removed one move forward by the work that it still had.
    fn remove(&mut self, now: VirtualTime, place: usize) -> Option<T> {
        let mut items = (0..self.items.len()).filter(|index| self.items[*index].1.is_some());
        let place = items.nth(place)?;
        let before = place
            .checked_sub(1)
            .and_then(|before| self.items.get(before));
        let begins = before.map_or(scaled(now), |(through, _)| *through);
        let (through, item) = self.items.remove(place)?;
        let saved = through.saturating_sub(begins);
        for (end, _) in self.items.iter_mut().skip(place) {
            *end = end.saturating_sub(saved);
        }
        self.free = self.free.saturating_sub(saved);
        item
    }

    fn next(&self) -> Option<VirtualTime> {
        self.items.front().map(|(through, _)| round_up(*through))
    }

    fn pop(&mut self, now: VirtualTime) -> Option<T> {
        while self.next()? <= now {
            let item = self.items.pop_front().and_then(|(_, item)| item);
            if item.is_some() {
                return item;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mbit(rate: f64) -> Bandwidth {
        Bandwidth::bits_per_second(rate * 1e6).unwrap()
    }

    /// When each of `(arrival in ns, bytes)`, in order of arrival, is through.
    fn run(sharing: Sharing, rate: Bandwidth, jobs: &[(u64, u128)]) -> Vec<u64> {
        let mut queue = Queue::new(sharing);
        let mut through = vec![0; jobs.len()];
        let mut coming = jobs.iter().enumerate().peekable();
        loop {
            let next = queue.next().map(VirtualTime::nanos);
            match (coming.peek(), next) {
                (Some((_, (at, _))), next) if next.is_none_or(|next| *at < next) => {
                    let (index, (at, bytes)) = coming.next().unwrap();
                    queue.push(VirtualTime::from_nanos(*at), Work::of(*bytes, rate), index);
                }
                (_, Some(next)) => {
                    while let Some(index) = queue.pop(VirtualTime::from_nanos(next)) {
                        through[index] = next;
                    }
                    assert!(queue.next().is_none_or(|later| later.nanos() > next));
                }
                _ => return through,
            }
        }
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn fair_sharing_matches_the_case_computed_by_hand() {
        // 8 Mbit/s = 1 kB/ms. A: 3 kB at 0; B: 3 kB at 1 ms; C: 1 kB at 2 ms.
        // 0–1: A alone, 2 kB left. 1–2: A and B at 1/2: A 1.5 left, B 2.5.
        // 2–5: three at 1/3 until C's 1 kB is through at 5: A 0.5, B 1.5.
        // 5–6: two at 1/2: A through at 6, B 1 left, alone: through at 7.
        let jobs = [(0, 3_000), (MS, 3_000), (2 * MS, 1_000)];
        assert_eq!(
            run(Sharing::Fair, mbit(8.0), &jobs),
            [6 * MS, 7 * MS, 5 * MS]
        );
    }

    #[test]
    fn one_after_the_other_matches_the_case_computed_by_hand() {
        let jobs = [(0, 3_000), (MS, 3_000), (2 * MS, 1_000), (9 * MS, 500)];
        assert_eq!(
            run(Sharing::Fifo, mbit(8.0), &jobs),
            [3 * MS, 6 * MS, 7 * MS, 9 * MS + MS / 2]
        );
    }

    #[test]
    fn work_that_nothing_waits_for_takes_its_share() {
        // 1 kB/ms. An item of 2 kB and a load of 1 kB at once: both at half the rate until the load is
        // through at 2 ms, the item at 3 ms; one after the other, the item that comes last at 3 ms.
        for sharing in [Sharing::Fair, Sharing::Fifo] {
            let mut queue = Queue::new(sharing);
            let now = VirtualTime::ZERO;
            queue.load(now, Work::of(1_000, mbit(8.0)));
            queue.push(now, Work::of(2_000, mbit(8.0)), 'a');
            let mut found = Vec::new();
            while let Some(next) = queue.next() {
                found.push((next.nanos() / MS, queue.pop(next)));
            }
            assert_eq!(found.last(), Some(&(3, Some('a'))), "{found:?}");
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn equal_items_that_come_together_go_together_under_fair_sharing() {
        let jobs = [(0, 1_000); 10];
        assert_eq!(run(Sharing::Fair, mbit(8.0), &jobs), [10 * MS; 10]);
        let one_by_one: Vec<u64> = (1..=10).map(|i| i * MS).collect();
        assert_eq!(run(Sharing::Fifo, mbit(8.0), &jobs), one_by_one);
    }

    #[test]
    fn a_third_of_a_nanosecond_rounds_up_once_not_once_an_item() {
        // 24 Gbit/s: one byte takes a third of a nanosecond; three take exactly one.
        let jobs = [(0, 1); 3];
        assert_eq!(run(Sharing::Fifo, mbit(24_000.0), &jobs), [1, 1, 1]);
        assert_eq!(run(Sharing::Fair, mbit(24_000.0), &jobs), [1, 1, 1]);
    }

    #[test]
    fn work_without_end_is_through_at_the_end_of_time() {
        let slowest = Bandwidth::bits_per_second(f64::MIN_POSITIVE).unwrap();
        let jobs = [(0, u128::MAX), (5, 1), (9, u128::from(u64::MAX))];
        for sharing in [Sharing::Fair, Sharing::Fifo] {
            assert_eq!(run(sharing, slowest, &jobs), [u64::MAX; 3]);
        }
    }

    #[test]
    fn nothing_to_send_takes_no_time() {
        for sharing in [Sharing::Fair, Sharing::Fifo] {
            assert_eq!(run(sharing, mbit(8.0), &[(7, 0)]), [7]);
        }
    }

    /// Processor sharing in float64, moving from event to event.
    fn reference(rate_bits: f64, jobs: &[(u64, u128)]) -> Vec<f64> {
        let mut left: Vec<f64> = jobs
            .iter()
            .map(|(_, b)| *b as f64 * 8e9 / rate_bits)
            .collect();
        let mut through = vec![f64::NAN; jobs.len()];
        let mut now = 0.0;
        loop {
            let open = |i: &usize| through[*i].is_nan();
            let present: Vec<usize> = (0..jobs.len())
                .filter(open)
                .filter(|i| jobs[*i].0 as f64 <= now)
                .collect();
            let coming = (0..jobs.len())
                .filter(open)
                .map(|i| jobs[i].0 as f64)
                .filter(|at| *at > now)
                .fold(f64::INFINITY, f64::min);
            let n = present.len() as f64;
            let least = present
                .iter()
                .map(|i| left[*i])
                .fold(f64::INFINITY, f64::min);
            let step = (least * n).min(coming - now);
            if !step.is_finite() {
                return through;
            }
            now += step;
            for i in present {
                left[i] -= step / n;
                if left[i] <= 1e-6 {
                    through[i] = now;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn fair_sharing_follows_its_definition(
            mut jobs in prop::collection::vec((0u64..2_000_000, 1u128..20_000), 1..40),
            rate in 1.0f64..100.0,
        ) {
            jobs.sort();
            let expected = reference(rate * 1e6, &jobs);
            for (found, expected) in run(Sharing::Fair, mbit(rate), &jobs).iter().zip(expected) {
                prop_assert!((*found as f64 - expected).abs() <= 1.01, "{found} {expected}");
            }
        }

        #[test]
        fn both_disciplines_are_done_at_the_same_moment(
            mut jobs in prop::collection::vec((0u64..2_000_000, 1u128..20_000), 1..40),
        ) {
            // Neither idles while there is work.
            jobs.sort();
            let last = |sharing| run(sharing, mbit(10.0), &jobs).into_iter().max();
            let (fair, fifo) = (last(Sharing::Fair).unwrap(), last(Sharing::Fifo).unwrap());
            prop_assert!(fair.abs_diff(fifo) <= 1, "{fair} {fifo}");
        }
    }
}
