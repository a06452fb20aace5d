//! What one app has under way at once is bounded: others of its own wait for their turn, and no other app's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Turns of each app, so many at once.
#[derive(Debug)]
pub struct Turns {
    per_app: usize,
    busy: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// One of an app's turns, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    // There always is one: an error would say that the semaphore was closed, which nobody does.
    _held: Result<OwnedSemaphorePermit, AcquireError>,
}

impl Turns {
    /// Each app has at most so many turns at once.
    #[must_use]
    pub fn new(per_app: usize) -> Self {
        Self { per_app, busy: Mutex::default() }
    }

    /// Waits for one of the app's turns; who waits longest has the next.
    pub async fn take(&self, app: &str) -> Turn {
        Turn { _held: self.of_app(app).acquire_owned().await }
    }

    fn of_app(&self, app: &str) -> Arc<Semaphore> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = busy.get(app).and_then(Weak::upgrade) {
            return turns;
        }
        busy.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.per_app));
        busy.insert(app.to_owned(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_app_has_so_many_turns_and_no_other_waits_for_it() {
        let turns = Turns::new(2);
        let first = turns.take("a").await;
        let _second = turns.take("a").await;
        let third = tokio::time::timeout(Duration::from_millis(20), turns.take("a"));
        assert!(third.await.is_err(), "a third of two");
        drop(turns.take("b").await);
        drop(first);
        drop(turns.take("a").await);
        // What nobody holds is forgotten when another app comes.
        drop(turns.take("c").await);
        assert!(!turns.busy.lock().unwrap().contains_key("b"));
    }
}
