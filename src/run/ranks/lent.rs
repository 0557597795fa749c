//! What somebody else still reads or writes.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// A value whose memory is in use outside of Rust until it is taken [`back`](Lent::back). One that is
/// dropped before that lives on for good: memory that is lost is better than memory that is given to
/// others while somebody writes to it.
pub(super) struct Lent<T>(ManuallyDrop<T>);

impl<T> Lent<T> {
    pub fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }

    /// The value, once nobody else uses it any more.
    pub fn back(self) -> T {
        ManuallyDrop::into_inner(self.0)
    }
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_frame_that_is_dropped_while_it_is_lent_is_not_given_back_to_the_system() {
        let frame = Arc::new(vec![1u8, 2, 3]);
        {
            let _lent = Lent::new(Arc::clone(&frame));
        }
        assert_eq!(Arc::strong_count(&frame), 2, "somebody still has it");
        let lent = Lent::new(Arc::clone(&frame));
        assert_eq!(lent.len(), 3);
        drop(lent.back());
        assert_eq!(Arc::strong_count(&frame), 2, "this one is back");
    }
}
