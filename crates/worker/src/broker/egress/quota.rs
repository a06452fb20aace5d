//! What is under way, for each app and in all: requests, the bytes of their bodies, and bodies being
//! unpacked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::failure::{Failure, Kind};
use crate::{Full, Share, Shares};

/// Bodies unpacked or scrubbed at once: each may need 16 MiB for its window beside its result.
const TURNS: usize = 4;

/// Of these and of the memory, what one app may have: the others always find some.
const SHARE: usize = 2;

/// Counts what is under way.
pub(super) struct Quota {
    counts: Mutex<Counts>,
    turns: Arc<Semaphore>,
    per_app: usize,
    overall: usize,
    memory: Shares,
}

#[derive(Default)]
struct Counts {
    apps: HashMap<String, App>,
    requests: usize,
}

struct App {
    requests: usize,
    turns: Arc<Semaphore>,
}

/// A request under way with what it holds, until it is dropped.
pub(super) struct Permit {
    quota: Arc<Quota>,
    app: String,
    memory: Mutex<Share>,
    turns: Arc<Semaphore>,
}

/// The right to unpack a body.
pub(super) struct Turn {
    _app: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Quota {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            counts: Mutex::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
            per_app: limits.per_app,
            overall: limits.overall,
            memory: Shares::new(limits.memory, limits.memory / SHARE),
        }
    }

    /// Counts one more, or says that there are too many: nothing waits here, so that nothing piles up.
    pub(super) fn enter(self: &Arc<Self>, app: &str) -> Result<Permit, Failure> {
        let mut counts = lock(&self.counts);
        let mine = counts.apps.get(app).map_or(0, |app| app.requests);
        if mine >= self.per_app {
            return busy(format!(
                "this app has {mine} requests under way, which is the most it may"
            ));
        }
        if counts.requests >= self.overall {
            return busy("too many requests of all apps are under way: try again".into());
        }
        counts.requests += 1;
        let entry = counts
            .apps
            .entry(app.to_owned())
            .or_insert_with(|| App { requests: 0, turns: Arc::new(Semaphore::new(TURNS / SHARE)) });
        entry.requests += 1;
        let turns = entry.turns.clone();
        let memory = Mutex::new(self.memory.of(app));
        Ok(Permit { quota: self.clone(), app: app.to_owned(), memory, turns })
    }
}

impl Permit {
    /// Counts bytes that the request now holds as well, or says that there is no memory for them.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Failure> {
        match lock(&self.memory).take(bytes) {
            Ok(()) => Ok(()),
            Err(Full::App) => busy(format!(
                "the bodies of this app's requests under way need more than {} bytes of memory, which is \
                 the most they may",
                self.quota.memory.per_app()
            )),
            Err(Full::All) => {
                busy("the bodies of all apps' requests need too much memory: try again".into())
            }
        }
    }

    /// Waits for a turn to unpack. Of those that one app waits for, at most its share waits with others'.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let app = self.turns.clone().acquire_owned().await.ok()?;
        let all = self.quota.turns.clone().acquire_owned().await.ok()?;
        Some(Turn { _app: app, _all: all })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = lock(&self.quota.counts);
        counts.requests = counts.requests.saturating_sub(1);
        if let Some(app) = counts.apps.get_mut(&self.app) {
            app.requests = app.requests.saturating_sub(1);
            if app.requests == 0 {
                counts.apps.remove(&self.app);
            }
        }
    }
}

fn busy<T>(message: String) -> Result<T, Failure> {
    Err(Failure::new(Kind::Busy, message))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn one_app_has_at_most_half_of_the_turns() {
        let quota = Arc::new(Quota::new(&Limits::default()));
        let (mine, other) = (quota.enter("mine").expect("one"), quota.enter("other").expect("one"));
        let again = quota.enter("mine").expect("another");
        let first = mine.turn().await.expect("a turn");
        let _second = again.turn().await.expect("a turn");
        assert!(tokio::time::timeout(SOON, mine.turn()).await.is_err(), "a third turn");
        let _others = (other.turn().await.expect("a turn"), other.turn().await.expect("a turn"));
        drop(first);
        mine.turn().await.expect("a turn");
    }

    #[test]
    fn bodies_hold_so_much_memory_and_an_app_half_of_it() {
        let limits = Limits { memory: 100, ..Limits::default() };
        let quota = Arc::new(Quota::new(&limits));
        let enter = |app| quota.enter(app).expect("room");
        let (mine, again, other, third) = (enter("mine"), enter("mine"), enter("b"), enter("c"));
        mine.hold(30).expect("memory");
        let why = again.hold(21).expect_err("more than half");
        assert!(why.kind == Kind::Busy && why.message.contains("this app's"), "{why}");
        again.hold(20).expect("memory");
        other.hold(50).expect("memory");
        let why = third.hold(1).expect_err("more than there is");
        assert!(why.kind == Kind::Busy && why.message.contains("all apps"), "{why}");
        drop(again);
        third.hold(20).expect("memory");
        third.hold(usize::MAX).expect_err("too much");
        drop((mine, other, third));
        let counts = lock(&quota.counts);
        assert_eq!((counts.requests, counts.apps.len()), (0, 0));
    }
}
