//! What all apps share, and of which no app has more than its part: one that asks for all of it waits for
//! itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that there is so much of, such as bytes of memory. Clones are of the same.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Whole>);

#[derive(Debug)]
struct Whole {
    overall: usize,
    per_app: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_app: HashMap<String, usize>,
}

/// What one holder has of it, until it is dropped.
#[derive(Debug)]
pub struct Share {
    of: Shares,
    app: String,
    held: usize,
}

/// Why there is no more to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The app has its part. Others may still find some.
    App,
    /// All apps together have all there is.
    All,
}

impl Shares {
    /// As much as `overall`, of which one app has at most `per_app`, both in the holders' own unit.
    pub fn new(overall: usize, per_app: usize) -> Self {
        Self(Arc::new(Whole { overall, per_app, taken: Mutex::default() }))
    }

    /// A share of `app` that holds nothing yet.
    pub fn of(&self, app: &str) -> Share {
        Share { of: self.clone(), app: app.to_owned(), held: 0 }
    }

    /// How much of it one app may have.
    pub fn per_app(&self) -> usize {
        self.0.per_app
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes so much more. Nothing waits here, so that nothing piles up.
    ///
    /// # Errors
    /// There is not so much left, for this app or at all; what was held before still is.
    pub fn take(&mut self, more: usize) -> Result<(), Full> {
        let mut taken = self.of.taken();
        let of_app = taken.by_app.get(&self.app).copied().unwrap_or(0).saturating_add(more);
        if of_app > self.of.0.per_app {
            return Err(Full::App);
        }
        let all = taken.all.saturating_add(more);
        if all > self.of.0.overall {
            return Err(Full::All);
        }
        taken.all = all;
        taken.by_app.insert(self.app.clone(), of_app);
        self.held += more;
        Ok(())
    }

    /// How much it holds.
    pub fn held(&self) -> usize {
        self.held
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.held == 0 {
            return;
        }
        let mut taken = self.of.taken();
        taken.all = taken.all.saturating_sub(self.held);
        if let Some(of_app) = taken.by_app.get_mut(&self.app) {
            *of_app = of_app.saturating_sub(self.held);
            if *of_app == 0 {
                taken.by_app.remove(&self.app);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_app_has_more_than_its_part_and_all_have_no_more_than_there_is() {
        let ten = Shares::new(10, 5);
        let (mut ada, mut bob, mut eve) = (ten.of("ada"), ten.of("bob"), ten.of("eve"));
        ada.take(5).expect("its part");
        let mut more = ten.of("ada");
        assert_eq!(more.take(1), Err(Full::App));
        bob.take(4).expect("there is some");
        assert_eq!(eve.take(2), Err(Full::All));
        assert_eq!(eve.take(usize::MAX), Err(Full::App));
        eve.take(1).expect("the last one");
        assert_eq!((ada.held(), bob.held(), eve.held(), more.held()), (5, 4, 1, 0));
        drop(ada);
        more.take(5).expect("given back");
        drop((more, bob, eve));
        assert!(ten.taken().by_app.is_empty());
        assert_eq!(ten.taken().all, 0);
    }
}
