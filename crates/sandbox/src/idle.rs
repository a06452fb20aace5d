//! What waits, reset, for the next run of its image: slots, and instances over slots.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Up to `MOST` things, each with when it was put here, oldest first.
pub(crate) struct Idle<T, const MOST: usize>(Mutex<Vec<(T, Instant)>>);

impl<T, const MOST: usize> Default for Idle<T, MOST> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

// What is let go of is dropped after the lock: unmapping a slot takes long.
impl<T, const MOST: usize> Idle<T, MOST> {
    fn lock(&self) -> MutexGuard<'_, Vec<(T, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one used last among those that `fit`.
    pub(crate) fn take(&self, fit: impl Fn(&T) -> bool) -> Option<T> {
        let mut waiting = self.lock();
        let found = waiting.iter().rposition(|(thing, _)| fit(thing))?;
        Some(waiting.remove(found).0)
    }

    /// Adds one; if they are too many now, the one unused for longest goes.
    pub(crate) fn put(&self, thing: T) {
        let mut waiting = self.lock();
        waiting.push((thing, Instant::now()));
        let oldest = (waiting.len() > MOST).then(|| waiting.remove(0));
        drop(waiting);
        drop(oldest);
    }

    /// Lets go of those unused for `age`. Returns how many stay.
    pub(crate) fn release(&self, age: Duration) -> usize {
        let mut waiting = self.lock();
        let old = waiting.partition_point(|(_, since)| since.elapsed() >= age);
        let released: Vec<_> = waiting.drain(..old).collect();
        let left = waiting.len();
        drop(waiting);
        drop(released);
        left
    }
}
