//! How many requests are under way, for each app and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::{Failure, Kind};

/// Counts requests under way.
pub(super) struct Quota {
    counts: Mutex<Counts>,
    per_app: usize,
    overall: usize,
}

#[derive(Default)]
struct Counts {
    apps: HashMap<String, usize>,
    all: usize,
}

/// A request under way, until it is dropped.
pub(super) struct Permit {
    quota: Arc<Quota>,
    app: String,
}

impl Quota {
    pub(super) fn new(per_app: usize, overall: usize) -> Self {
        Self { counts: Mutex::default(), per_app, overall }
    }

    /// Counts one more, or says that there are too many: nothing waits here, so that nothing piles up.
    pub(super) fn enter(self: &Arc<Self>, app: &str) -> Result<Permit, Failure> {
        let busy = |message: String| Err(Failure::new(Kind::Busy, message));
        let mut counts = self.counts();
        let mine = counts.apps.get(app).copied().unwrap_or(0);
        if mine >= self.per_app {
            return busy(format!(
                "this app has {mine} requests under way, which is the most it may"
            ));
        }
        if counts.all >= self.overall {
            return busy("too many requests of all apps are under way: try again".into());
        }
        counts.all += 1;
        counts.apps.insert(app.to_owned(), mine + 1);
        Ok(Permit { quota: self.clone(), app: app.to_owned() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.quota.counts();
        counts.all = counts.all.saturating_sub(1);
        if let Some(mine) = counts.apps.get_mut(&self.app) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                counts.apps.remove(&self.app);
            }
        }
    }
}
