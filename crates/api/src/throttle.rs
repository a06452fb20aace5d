//! Failed logins are slowed down, per name: guessing takes for ever, a mistyped password a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that cost nothing: people mistype.
const FREE: u32 = 5;
/// The wait after the first failure that costs one; doubled by each further one.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait: an owner who was locked out by others gets in within it.
const LONGEST: Duration = Duration::from_secs(300);
/// Names that are remembered. Past it the oldest half is forgotten: an attacker with more names has as many
/// targets as guesses.
const MOST: usize = 100_000;

#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(self) -> Duration {
        match self.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => FIRST.saturating_mul(1 << more.min(16)).min(LONGEST),
        }
    }
}

impl Throttle {
    /// How long `name` has to wait before it may try (again).
    pub(crate) fn wait(&self, name: &str, now: Instant) -> Option<Duration> {
        let failures = *self.names().get(name)?;
        let wait = failures.wait().saturating_sub(now.saturating_duration_since(failures.last));
        (!wait.is_zero()).then_some(wait)
    }

    /// Remembers that `name` failed.
    pub(crate) fn failed(&self, name: &str, now: Instant) {
        let mut names = self.names();
        if names.len() >= MOST && !names.contains_key(name) {
            let mut times: Vec<Instant> = names.values().map(|failures| failures.last).collect();
            let (_, middle, _) = times.select_nth_unstable(MOST / 2);
            let middle = *middle;
            names.retain(|_, failures| failures.last > middle);
        }
        let failures = names.entry(name.to_owned()).or_insert(Failures { count: 0, last: now });
        // Long ago: a new beginning.
        if now.saturating_duration_since(failures.last) > LONGEST {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// Forgets the failures of `name`, which has got in.
    pub(crate) fn succeeded(&self, name: &str) {
        self.names().remove(name);
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_begin_after_five_failures_double_and_end() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..4 {
            throttle.failed("ada", now);
        }
        assert_eq!(throttle.wait("ada", now), None);
        for seconds in [1, 2, 4, 8] {
            throttle.failed("ada", now);
            assert_eq!(throttle.wait("ada", now), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(throttle.wait("bob", now), None);
        assert_eq!(throttle.wait("ada", now + Duration::from_secs(8)), None);
        for _ in 0..40 {
            throttle.failed("ada", now);
        }
        assert_eq!(throttle.wait("ada", now), Some(LONGEST));
        throttle.succeeded("ada");
        assert_eq!(throttle.wait("ada", now), None);
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for i in 0..u32::try_from(MOST).expect("few") + 10 {
            throttle.failed(&i.to_string(), now + Duration::from_micros(i.into()));
        }
        assert!(throttle.names().len() <= MOST);
    }
}
