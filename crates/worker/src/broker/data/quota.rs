//! What calls to the store hold that wait or are in work: their arguments, for each app and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::broker::egress::{Failure, Kind};

/// Bytes of arguments of one app's calls: eight of the largest. A run's calls may come all at once, from as many
/// runs as an app may have under way.
const PER_APP: usize = 32 << 20;

/// Bytes of arguments of all apps' calls: no fourth of what a small machine has beside its children.
const OVERALL: usize = 128 << 20;

/// What a call holds beside its arguments, generously: small ones are bounded in number by it, too.
const CALL: usize = 1 << 10;

#[derive(Default)]
pub(super) struct Quota(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    apps: HashMap<String, usize>,
    bytes: usize,
}

/// What one call holds, until it is dropped.
pub(super) struct Held {
    counts: Arc<Mutex<Counts>>,
    app: String,
    bytes: usize,
}

impl Quota {
    /// Counts a call with so many bytes of arguments, or says that there are too many.
    pub(super) fn hold(&self, app: &str, arguments: usize) -> Result<Held, Failure> {
        let bytes = arguments.saturating_add(CALL);
        let mut counts = lock(&self.0);
        let mine = counts.apps.get(app).map_or(0, |mine| *mine).saturating_add(bytes);
        if mine > PER_APP {
            return busy(format!(
                "this app's data calls under way have more than {} MiB of arguments, which is the most they may",
                PER_APP >> 20
            ));
        }
        let all = counts.bytes.saturating_add(bytes);
        if all > OVERALL {
            return busy("too many data calls of all apps are under way: try again".into());
        }
        counts.bytes = all;
        counts.apps.insert(app.to_owned(), mine);
        Ok(Held { counts: self.0.clone(), app: app.to_owned(), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.bytes = counts.bytes.saturating_sub(self.bytes);
        if let Some(mine) = counts.apps.get_mut(&self.app) {
            *mine = mine.saturating_sub(self.bytes);
            if *mine == 0 {
                counts.apps.remove(&self.app);
            }
        }
    }
}

fn busy<T>(message: String) -> Result<T, Failure> {
    Err(Failure::new(Kind::Busy, message))
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_calls_under_way_are_bounded_for_each_app_and_in_all() {
        let quota = Quota::default();
        let largest = (PER_APP / 2) - CALL;
        let mut held = Vec::new();
        for app in 0..OVERALL / PER_APP {
            let app = format!("kid_{app}");
            held.push(quota.hold(&app, largest).expect("room"));
            held.push(quota.hold(&app, largest).expect("room"));
            let why = quota.hold(&app, 0).err().expect("its share is taken");
            assert!(why.kind == Kind::Busy && why.message.contains("this app's"), "{why}");
        }
        let why = quota.hold("kid_other", 0).err().expect("all is taken");
        assert!(why.kind == Kind::Busy && why.message.contains("all apps"), "{why}");
        held.pop();
        quota.hold("kid_other", largest).expect("room again");
        assert!(quota.hold("kid_other", usize::MAX).is_err());
        drop(held);
        let counts = lock(&quota.0);
        assert_eq!((counts.bytes, counts.apps.len()), (0, 0));
    }
}
