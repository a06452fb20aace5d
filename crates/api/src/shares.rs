//! What all apps share, and of which no app has more than half: one that asks for all of it waits for itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{ApiError, Kind};

/// How long those wait who get nothing: what others hold is given back within moments.
const WAIT: Duration = Duration::from_secs(1);

/// Something that there is so much of.
pub(crate) struct Shares {
    most: usize,
    taken: Mutex<Taken>,
}

struct Taken {
    all: usize,
    by_app: BTreeMap<String, usize>,
}

/// What one request holds of it, until it is dropped.
pub(crate) struct Share {
    of: &'static Shares,
    app: String,
    held: usize,
}

impl Shares {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, taken: Mutex::new(Taken { all: 0, by_app: BTreeMap::new() }) }
    }

    /// A share of `app` that holds nothing yet.
    pub(crate) fn of(&'static self, app: &str) -> Share {
        Share { of: self, app: app.to_owned(), held: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes so much more.
    ///
    /// # Errors
    /// `KinveyInternalErrorRetry`: there is no more, or the app has its half. `what` says of what.
    pub(crate) fn take(&mut self, more: usize, what: &str) -> Result<(), ApiError> {
        let mut taken = self.of.taken();
        let of_app = taken.by_app.get(&self.app).copied().unwrap_or(0).saturating_add(more);
        let all = taken.all.saturating_add(more);
        let debug = match (of_app > self.of.most / 2, all > self.of.most) {
            (true, _) => format!("this app has too many {what} under way"),
            (_, true) => format!("the server has too many {what} under way"),
            _ => {
                taken.all = all;
                taken.by_app.insert(self.app.clone(), of_app);
                self.held += more;
                return Ok(());
            }
        };
        Err(ApiError::new(Kind::KinveyInternalErrorRetry, debug).after(WAIT))
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.all = taken.all.saturating_sub(self.held);
        let left = taken.by_app.get(&self.app).copied().unwrap_or(0).saturating_sub(self.held);
        match left {
            0 => drop(taken.by_app.remove(&self.app)),
            left => drop(taken.by_app.insert(self.app.clone(), left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_app_has_more_than_half_and_all_have_no_more_than_there_is() {
        static TEN: Shares = Shares::new(10);
        let (mut ada, mut bob, mut eve) = (TEN.of("ada"), TEN.of("bob"), TEN.of("eve"));
        ada.take(5, "things").expect("half of it");
        let mut more = TEN.of("ada");
        let refused = more.take(1, "things").expect_err("more than half");
        assert_eq!(
            (refused.kind, refused.retry_after),
            (Kind::KinveyInternalErrorRetry, Some(WAIT))
        );
        assert!(refused.debug.starts_with("this app"), "{}", refused.debug);
        bob.take(4, "things").expect("there is some");
        assert!(eve.take(2, "things").expect_err("full").debug.starts_with("the server"));
        eve.take(1, "things").expect("the last one");
        drop(ada);
        more.take(5, "things").expect("given back");
        drop((more, bob, eve));
        assert!(TEN.taken().by_app.is_empty());
        assert_eq!(TEN.taken().all, 0);
    }
}
