//! When a child that has not answered in time counts as silent.

use std::time::{Duration, Instant};

/// Since when a child has had some run that is past its time.
#[derive(Debug)]
pub(super) struct Lateness {
    /// When that was noticed: on such a machine the master, too, comes late.
    noticed: Instant,
    /// What its process had waited for a processor by then, since its start.
    waited: Duration,
}

impl Lateness {
    /// Whether the child, which owes an answer, has owed one without a break for `patience` since that was
    /// noticed: one that answers the oldest run just in time for each next gains nothing by it. What its
    /// process `waited` for a processor in the meantime does not count: on a machine that has too much to do
    /// a child is late, and killing it would lose the runs of others with it.
    pub(super) fn is_silent(
        late: &mut Option<Self>,
        waited: Duration,
        patience: Duration,
        now: Instant,
    ) -> bool {
        let late = late.get_or_insert(Self { noticed: now, waited });
        let starved = waited.saturating_sub(late.waited);
        now.saturating_duration_since(late.noticed).saturating_sub(starved) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_time_in_which_the_child_could_have_answered() {
        let start = Instant::now();
        let mut late = None;
        let mut silent = |seconds, waited| {
            let now = start + SECOND * seconds;
            Lateness::is_silent(&mut late, SECOND * waited, SECOND, now)
        };
        // However late it is noticed.
        assert!(!silent(10, 7));
        // Two seconds pass, and it waited for a processor in both.
        assert!(!silent(12, 9));
        // Another passes in which it had one.
        assert!(silent(13, 9));
        // A number that shrinks is no excuse either.
        assert!(silent(13, 0));
    }
}
