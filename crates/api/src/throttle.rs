//! Failed logins are slowed down, per name: guessing takes for ever, a mistyped password a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::secret;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 5;
/// The wait after the first failure that costs one; doubled by each further one.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait: an owner who was locked out by others gets in within it. Who has not failed for so long
/// begins anew.
const LONGEST: Duration = Duration::from_secs(300);
/// Names that are remembered of one app. Past it half of them are forgotten, those first that need not wait
/// yet: an attacker with more names than this has as many targets as guesses, and passwords are not verified
/// fast enough to make as many names wait within [`LONGEST`].
const MOST_OF_APP: usize = 10_000;
/// And of all apps: some 10 MB. Past it the app that has the most forgets.
const MOST: usize = 100_000;

/// A name, hashed: whatever a client sends takes 32 bytes.
type Name = [u8; 32];

#[derive(Default)]
pub(crate) struct Throttle(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    apps: HashMap<String, HashMap<Name, Failures>>,
    /// When those that mean nothing any more were forgotten last.
    tidied: Option<Instant>,
}

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

    fn is_over(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > LONGEST
    }

    /// What is forgotten last is the greatest.
    fn rank(self) -> (bool, Instant) {
        (self.count >= FREE, self.last)
    }
}

impl Remembered {
    fn tidy(&mut self, now: Instant) {
        if self.tidied.is_some_and(|at| now.saturating_duration_since(at) < LONGEST / 5) {
            return;
        }
        self.tidied = Some(now);
        self.apps.retain(|_, names| {
            names.retain(|_, failures| !failures.is_over(now));
            !names.is_empty()
        });
    }

    fn len(&self) -> usize {
        self.apps.values().map(HashMap::len).sum()
    }
}

/// Forgets half of an app's names.
fn forget_half(names: &mut HashMap<Name, Failures>) {
    let mut ranks: Vec<_> = names.values().map(|failures| failures.rank()).collect();
    if ranks.is_empty() {
        return;
    }
    let half = ranks.len() / 2;
    let (_, middle, _) = ranks.select_nth_unstable(half);
    let middle = *middle;
    names.retain(|_, failures| failures.rank() > middle);
}

impl Throttle {
    /// How long a name has to wait before it may try (again).
    pub(crate) fn wait(&self, app: &str, name: &str, now: Instant) -> Option<Duration> {
        let failures = *self.lock().apps.get(app)?.get(&secret::hash(name))?;
        let wait = failures.wait().saturating_sub(now.saturating_duration_since(failures.last));
        (!wait.is_zero()).then_some(wait)
    }

    /// Remembers that a name failed.
    pub(crate) fn failed(&self, app: &str, name: &str, now: Instant) {
        let mut all = self.lock();
        all.tidy(now);
        if all.len() >= MOST
            && let Some(most) = all.apps.values_mut().max_by_key(|names| names.len())
        {
            forget_half(most);
        }
        let names = all.apps.entry(app.to_owned()).or_default();
        let name = secret::hash(name);
        if names.len() >= MOST_OF_APP && !names.contains_key(&name) {
            forget_half(names);
        }
        let failures = names.entry(name).or_insert(Failures { count: 0, last: now });
        // Long ago: a new beginning.
        if failures.is_over(now) {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// Forgets the failures of a name, which has got in.
    pub(crate) fn succeeded(&self, app: &str, name: &str) {
        let mut all = self.lock();
        if let Some(names) = all.apps.get_mut(app) {
            names.remove(&secret::hash(name));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "kid_a";

    fn fail(throttle: &Throttle, name: &str, times: u32, now: Instant) {
        for _ in 0..times {
            throttle.failed(APP, name, now);
        }
    }

    #[test]
    fn waits_begin_after_five_failures_double_and_end() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let wait = |name, now| throttle.wait(APP, name, now);
        fail(&throttle, "ada", 4, now);
        assert_eq!(wait("ada", now), None);
        for seconds in [1, 2, 4, 8] {
            fail(&throttle, "ada", 1, now);
            assert_eq!(wait("ada", now), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(wait("bob", now), None);
        assert_eq!(throttle.wait("kid_b", "ada", now), None, "another app's ada");
        assert_eq!(wait("ada", now + Duration::from_secs(8)), None);
        fail(&throttle, "ada", 40, now);
        assert_eq!(wait("ada", now), Some(LONGEST));
        throttle.succeeded(APP, "ada");
        assert_eq!(wait("ada", now), None);
    }

    #[test]
    fn an_app_that_floods_forgets_its_own_and_never_those_that_wait() {
        let throttle = Throttle::default();
        let now = Instant::now();
        fail(&throttle, "victim", FREE, now);
        throttle.failed("kid_b", "other", now);
        for i in 0..u32::try_from(3 * MOST_OF_APP).expect("few") {
            throttle.failed(APP, &i.to_string(), now + Duration::from_micros(i.into()));
        }
        let all = throttle.lock();
        assert!(all.apps[APP].len() <= MOST_OF_APP, "{}", all.apps[APP].len());
        assert_eq!(all.apps["kid_b"].len(), 1);
        drop(all);
        assert!(throttle.wait(APP, "victim", now).is_some());
    }

    #[test]
    fn all_apps_together_have_a_bound_and_what_is_over_goes() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for i in 0..u32::try_from(MOST).expect("few") + 10 {
            let app = format!("kid_{}", i % 15);
            throttle.failed(&app, &i.to_string(), now + Duration::from_micros(i.into()));
        }
        assert!(throttle.lock().len() <= MOST);
        throttle.failed(APP, "ada", now + LONGEST + Duration::from_secs(60));
        assert_eq!(throttle.lock().len(), 1);
    }
}
