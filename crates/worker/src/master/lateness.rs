//! When a child that has not answered in time counts as silent.

use std::time::{Duration, Instant};

use lode_child::protocol::RunId;

/// The run of a child that is past its time for longest.
#[derive(Debug)]
pub(super) struct Lateness {
    run: RunId,
    /// What its process had waited for a processor when that was noticed, since its start.
    waited: Duration,
}

impl Lateness {
    /// Whether the child that owed `run` at `due` has been silent for `patience` since. What its process
    /// `waited` for a processor in the meantime does not count: on a machine that has too much to do a
    /// child is late, and killing it would lose the runs of others with it.
    pub(super) fn is_silent(
        late: &mut Option<Self>,
        (run, due): (RunId, Instant),
        waited: Duration,
        patience: Duration,
        now: Instant,
    ) -> bool {
        let late = match late {
            Some(late) if late.run == run => late,
            late => late.insert(Self { run, waited }),
        };
        let starved = waited.saturating_sub(late.waited);
        now.saturating_duration_since(due).saturating_sub(starved) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_time_in_which_the_child_could_have_answered() {
        let due = Instant::now();
        let mut late = None;
        let mut silent = |run, seconds, waited| {
            let now = due + SECOND * seconds;
            Lateness::is_silent(&mut late, (RunId(run), due), SECOND * waited, SECOND, now)
        };
        assert!(!silent(1, 0, 7));
        // Two seconds pass, and it waited for a processor in both.
        assert!(!silent(1, 2, 9));
        // Another passes in which it had one.
        assert!(silent(1, 3, 9));
        // What it waited before another run was late excuses nothing of that one.
        assert!(silent(2, 1, 9));
        // A number that shrinks is no excuse either.
        assert!(silent(2, 1, 0));
    }
}
