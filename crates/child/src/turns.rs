//! Whose turn it is: short runs first, hogs with what is left.
//!
//! A run that has held the thread for longer yields to those that have held it less, so that a handful
//! of hogs costs a small run at most the tick under way. Hogs are not starved: they get every turn that
//! nobody else wants, and a tick for every [`HOG_WAITS`] of the rest: a tenth.

use std::collections::VecDeque;
use std::time::Duration;

use crate::protocol::RunId;

/// Up to here a run counts as short: ten times what a usual hook takes.
const SHORT: Duration = Duration::from_millis(2);

/// From here on it is a hog.
const LONG: Duration = Duration::from_millis(10);

/// Thread time that others may have before one that waits behind them gets a tick.
const HOG_WAITS: Duration = Duration::from_millis(9);

#[derive(Default)]
pub(crate) struct Turns {
    levels: [VecDeque<RunId>; 3],
    /// Thread time given since one that waits behind short runs had its tick.
    owed: Duration,
    /// Which of the two long levels had it.
    last: usize,
}

impl Turns {
    pub(crate) fn push(&mut self, run: RunId, held: Duration) {
        let level = if held < SHORT {
            0
        } else if held < LONG {
            1
        } else {
            2
        };
        self.levels[level].push_back(run);
    }

    /// Puts a run before all others.
    pub(crate) fn push_first(&mut self, run: RunId) {
        self.levels[0].push_front(run);
    }

    pub(crate) fn next(&mut self) -> Option<RunId> {
        if self.owed >= HOG_WAITS {
            self.owed = Duration::ZERO;
            self.last = if self.last == 2 { 1 } else { 2 };
            let other = 3 - self.last;
            for level in [self.last, other] {
                if let Some(run) = self.levels[level].pop_front() {
                    return Some(run);
                }
            }
        }
        self.levels.iter_mut().find_map(VecDeque::pop_front)
    }

    /// Accounts a turn that took `time`.
    pub(crate) fn took(&mut self, time: Duration) {
        self.owed = if self.levels[1].is_empty() && self.levels[2].is_empty() {
            Duration::ZERO
        } else {
            self.owed + time
        };
    }

    /// Whether a run waits that is likely to be over soon.
    pub(crate) fn short_ones(&self) -> bool {
        !self.levels[0].is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.levels.iter().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `rounds` turns; every run wants to go on for ever. Returns the time each had.
    fn serve(held: &mut [Duration], rounds: usize) -> Vec<Duration> {
        let mut turns = Turns::default();
        for (run, held) in held.iter().enumerate() {
            turns.push(RunId(run as u64), *held);
        }
        let mut had = vec![Duration::ZERO; held.len()];
        for _ in 0..rounds {
            let Some(RunId(run)) = turns.next() else { break };
            let tick = Duration::from_millis(1);
            had[run as usize] += tick;
            turns.took(tick);
            turns.push(RunId(run), held[run as usize]);
        }
        had
    }

    #[test]
    fn short_runs_come_before_hogs_and_hogs_get_a_tenth() {
        let short = Duration::ZERO;
        let hog = Duration::from_secs(1);
        let had = serve(&mut [hog, hog, short], 1000);
        assert!((Duration::from_millis(850)..=Duration::from_millis(910)).contains(&had[2]));
        assert!(had[0] >= Duration::from_millis(45) && had[1] >= Duration::from_millis(45));
    }

    #[test]
    fn no_level_starves() {
        let had =
            serve(&mut [Duration::ZERO, Duration::from_millis(5), Duration::from_secs(1)], 1000);
        assert!(had.iter().all(|had| *had >= Duration::from_millis(45)), "{had:?}");
    }

    #[test]
    fn hogs_have_the_thread_when_nobody_else_wants_it() {
        let had = serve(&mut [Duration::from_secs(1)], 100);
        assert_eq!(had, [Duration::from_millis(100)]);
    }
}
