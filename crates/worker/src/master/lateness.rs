//! When a child that has not answered in time counts as silent.

use std::time::{Duration, Instant};

use lode_child::protocol::RunId;

/// The run of a child that is past its time for longest.
#[derive(Debug)]
pub(super) struct Lateness {
    run: RunId,
    /// When that was noticed: on such a machine the master, too, comes late.
    noticed: Instant,
    /// What its process had waited for a processor by then, since its start.
    waited: Duration,
}

impl Lateness {
    /// Whether the child that owes `run`, whose time was up, has been silent for `patience` since that was
    /// noticed. What its process `waited` for a processor in the meantime does not count: on a machine that
    /// has too much to do a child is late, and killing it would lose the runs of others with it.
    pub(super) fn is_silent(
        late: &mut Option<Self>,
        run: RunId,
        waited: Duration,
        patience: Duration,
        now: Instant,
    ) -> bool {
        let late = match late {
            Some(late) if late.run == run => late,
            late => late.insert(Self { run, noticed: now, waited }),
        };
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
        let mut silent = |run, seconds, waited| {
            let now = start + SECOND * seconds;
            Lateness::is_silent(&mut late, RunId(run), SECOND * waited, SECOND, now)
        };
        // However late it is noticed.
        assert!(!silent(1, 10, 7));
        // Two seconds pass, and it waited for a processor in both.
        assert!(!silent(1, 12, 9));
        // Another passes in which it had one.
        assert!(silent(1, 13, 9));
        // What it waited before another run was late excuses nothing of that one.
        assert!(!silent(2, 20, 9));
        assert!(silent(2, 21, 9));
        // A number that shrinks is no excuse either.
        assert!(silent(2, 21, 0));
    }
}
