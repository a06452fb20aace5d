//! Searches of one app take turns: its slow ones must not hold all that reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::StoreError;

/// Who searches.
pub(crate) struct Turns {
    per_app: usize,
    busy: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// One of an app's turns, until it is dropped.
pub(crate) type Turn = OwnedSemaphorePermit;

impl Turns {
    /// One app may search with half of so many, and with one at least.
    pub(crate) fn of(all: usize) -> Self {
        Self { per_app: (all / 2).max(1), busy: Mutex::default() }
    }

    /// Waits for one of the app's turns.
    pub(crate) async fn take(&self, app: &str) -> Result<Turn, StoreError> {
        let turn = self.of_app(app).acquire_owned().await;
        turn.map_err(|e| StoreError::unavailable("waiting for a turn to search", e))
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
    async fn one_app_searches_with_half_and_no_other_waits_for_it() {
        let turns = Turns::of(4);
        let first = turns.take("a").await.unwrap();
        let _second = turns.take("a").await.unwrap();
        let third = tokio::time::timeout(Duration::from_millis(20), turns.take("a"));
        assert!(third.await.is_err(), "a third of four");
        drop(turns.take("b").await.unwrap());
        drop(first);
        drop(turns.take("a").await.unwrap());
        // What nobody holds is forgotten when another app comes.
        drop(turns.take("c").await.unwrap());
        assert!(!turns.busy.lock().unwrap().contains_key("b"));
        assert_eq!(Turns::of(1).per_app, 1);
    }
}
