//! What carries frames between ranks.

/// The way to the other ranks, used by one thread. Nothing here waits: what is under way moves on with
/// every call.
pub trait Link {
    /// The number of this process.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// Sends a frame; frames to one rank arrive in their order.
    ///
    /// # Errors
    /// What the network says.
    fn send(&mut self, to: usize, frame: Vec<u8>) -> Result<(), String>;

    /// The next frame that has come, and from whom.
    ///
    /// # Errors
    /// What the network says.
    fn receive(&mut self) -> Result<Option<(usize, Vec<u8>)>, String>;

    /// Whether something is half way.
    fn is_busy(&self) -> bool;

    /// Lets what was sent arrive, and parts from the others, who do the same.
    fn close(self);

    /// Ends all ranks.
    fn abort(self);
}

#[cfg(test)]
pub mod testing {
    //! Ranks that are threads.

    use super::Link;
    use crossbeam::channel::{unbounded, Receiver, Sender};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;

    type Mail = (usize, Vec<u8>);

    pub struct Threads {
        rank: usize,
        to: Vec<Sender<Mail>>,
        from: Receiver<Mail>,
        /// Nothing leaves it any more.
        pub mute: Arc<AtomicBool>,
    }

    /// Links of so many ranks.
    pub fn threads(ranks: usize) -> Vec<Threads> {
        let (to, from): (Vec<_>, Vec<_>) = (0..ranks).map(|_| unbounded()).unzip();
        let ends = from.into_iter().enumerate();
        ends.map(|(rank, from)| Threads {
            rank,
            to: to.clone(),
            from,
            mute: Arc::default(),
        })
        .collect()
    }

    impl Link for Threads {
        fn rank(&self) -> usize {
            self.rank
        }

        fn ranks(&self) -> usize {
            self.to.len()
        }

        fn send(&mut self, to: usize, frame: Vec<u8>) -> Result<(), String> {
            if !self.mute.load(Ordering::Relaxed) {
                // A rank that has ended reads nothing.
                let _ = self.to[to].send((self.rank, frame));
            }
            Ok(())
        }

        fn receive(&mut self) -> Result<Option<Mail>, String> {
            Ok(self.from.try_recv().ok())
        }

        fn is_busy(&self) -> bool {
            false
        }

        fn close(self) {}

        fn abort(self) {}
    }
}
