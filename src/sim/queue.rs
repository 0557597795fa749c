//! The event queue of a shard: a calendar queue whose buckets are windows.
//!
//! With the width `w` (the lookahead, or 1 ns where that is zero), window `k` is `[k·w, (k+1)·w)`. An
//! event is appended to the bucket of its window, and a bucket is sorted once, when its window is run.
//! Events of windows far ahead wait in a tree. Adding an event is O(1), where a binary heap has O(log
//! n) cache misses.

use super::event::Event;
use crate::quantity::{Span, VirtualTime};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The number of windows that have a bucket of their own in the ring.
const RING: usize = 1024;
const WORDS: usize = RING / 64;

pub(crate) struct EventQueue<M, O> {
    width: u64,
    /// The earliest window of the ring, which covers `RING` windows from there on.
    base: u64,
    ring: Vec<Vec<Event<M, O>>>,
    /// One bit for each bucket, set where the bucket is not empty.
    occupied: [u64; WORDS],
    far: BTreeMap<u64, Vec<Event<M, O>>>,
    /// An emptied bucket, kept so that its memory is used again.
    spare: Vec<Event<M, O>>,
}

impl<M, O> EventQueue<M, O> {
    pub fn new(lookahead: Span) -> Self {
        Self {
            width: lookahead.nanos().max(1),
            base: 0,
            ring: (0..RING).map(|_| Vec::new()).collect(),
            occupied: [0; WORDS],
            far: BTreeMap::new(),
            spare: Vec::new(),
        }
    }

    /// The window that `time` belongs to.
    pub fn window_of(&self, time: VirtualTime) -> u64 {
        time.nanos() / self.width
    }

    pub fn push(&mut self, event: Event<M, O>) {
        // An event never precedes the window that is being run; at zero lookahead it may fall into that
        // window.
        let window = self.window_of(event.key.time).max(self.base);
        if window - self.base < RING as u64 {
            let slot = (window % RING as u64) as usize;
            self.ring[slot].push(event);
            self.occupied[slot / 64] |= 1 << (slot % 64);
        } else {
            self.far.entry(window).or_default().push(event);
        }
    }

    /// The first window that holds an event.
    pub fn next_window(&self) -> Option<u64> {
        let start = (self.base % RING as u64) as usize;
        // Goes through the ring's bits from `base` on, all the way round.
        for step in 0..=WORDS {
            let word = (start / 64 + step) % WORDS;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= !0 << (start % 64);
            } else if step == WORDS {
                bits &= !(!0 << (start % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                return Some(self.base + ((slot + RING - start) % RING) as u64);
            }
        }
        self.far.keys().next().copied()
    }

    /// Takes all events of `window`, the latest first, and moves the queue on to that window. The
    /// emptied vector should be given back with [`EventQueue::recycle`].
    pub fn take(&mut self, window: u64) -> Vec<Event<M, O>> {
        self.base = self.base.max(window);
        while let Some(entry) = self.far.first_entry() {
            if *entry.key() - self.base >= RING as u64 {
                break;
            }
            let slot = (*entry.key() % RING as u64) as usize;
            let events = entry.remove();
            self.occupied[slot / 64] |= 1 << (slot % 64);
            if self.ring[slot].is_empty() {
                self.ring[slot] = events;
            } else {
                self.ring[slot].extend(events);
            }
        }
        let slot = (window % RING as u64) as usize;
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        let mut events = std::mem::replace(&mut self.ring[slot], std::mem::take(&mut self.spare));
        events.sort_unstable_by_key(|event| Reverse(event.rank()));
        events
    }

    pub fn recycle(&mut self, emptied: Vec<Event<M, O>>) {
        if emptied.is_empty() && emptied.capacity() > self.spare.capacity() {
            self.spare = emptied;
        }
    }

    /// Every event that still waits, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Event<M, O>> {
        self.ring
            .iter()
            .flatten()
            .chain(self.far.values().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Body, Key, NodeId};
    use super::*;
    use proptest::prelude::*;

    fn event(time: u64, source: u32, sequence: u64) -> Event<(), ()> {
        Event {
            key: Key {
                time: VirtualTime::from_nanos(time),
                source: NodeId(source),
                sequence,
            },
            sent: VirtualTime::ZERO,
            target: NodeId(0),
            body: Body::Timer(0),
        }
    }

    proptest! {
        /// Whatever the width, and with pushes between windows, events come out in key order.
        #[test]
        fn events_come_out_in_order(
            width in 0u64..2_000,
            first in prop::collection::vec((0u64..5_000_000, 0u32..9), 1..60),
            later in prop::collection::vec((0u64..5_000_000, 0u32..9), 0..60),
        ) {
            let mut queue = EventQueue::new(Span::from_nanos(width));
            let mut expected = 0;
            for (n, (time, source)) in first.iter().enumerate() {
                queue.push(event(*time, *source, n as u64));
                expected += 1;
            }
            let mut later = later.into_iter().enumerate();
            let mut last = None;
            let mut seen = 0;
            while let Some(window) = queue.next_window() {
                let mut events = queue.take(window);
                for e in events.iter().rev() {
                    prop_assert_eq!(queue.window_of(e.key.time), window);
                    prop_assert!(last < Some(e.key));
                    last = Some(e.key);
                    seen += 1;
                }
                events.clear();
                queue.recycle(events);
                // What a window causes is due in later windows.
                if let Some((n, (gap, source))) = later.next() {
                    let time = (window + 1) * width.max(1) + gap;
                    queue.push(event(time, source, 1_000 + n as u64));
                    expected += 1;
                }
            }
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(queue.iter().count(), 0);
        }
    }

    #[test]
    fn at_zero_lookahead_an_event_may_join_the_timestamp_being_run() {
        let mut queue = EventQueue::new(Span::ZERO);
        queue.push(event(5, 1, 0));
        assert_eq!(queue.next_window(), Some(5));
        assert_eq!(queue.take(5).len(), 1);
        queue.push(event(5, 2, 0));
        assert_eq!(queue.next_window(), Some(5));
        assert_eq!(queue.take(5).len(), 1);
        assert_eq!(queue.next_window(), None);
    }
}
