//! The penalty box: an app whose runs keep hitting limits is slowed, then paused, and let go by itself.

use std::fmt;
use std::time::{Duration, Instant};

/// How much one run moves the share of faults: about the last 16 count.
const WEIGHT: f64 = 1.0 / 16.0;

/// Faults in a row, or nearly, before anything happens: a deployment's first runs may be unlucky.
const PATIENCE: f64 = 8.0;

/// What a run counts that ended with its child, when other apps had runs there, too: more than [`PAUSE_FROM`],
/// so that an app which keeps bringing its children down is paused though it never is alone in one; less than
/// a fault of its own, so that a neighbour is slowed only when nearly half of its runs end so.
pub(super) const SUSPECT: f64 = 0.7;

/// An app with more faults than this among its runs is slowed: it runs one at a time.
const SLOW_FROM: f64 = 0.3;

/// One with more than this, slowed already, is paused.
const PAUSE_FROM: f64 = 0.6;

/// One with less than this is forgiven.
const FORGIVE_BELOW: f64 = 0.1;

/// The first pause; each further one is twice as long, until the app is forgiven.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How an app stands with the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing against it.
    Good,
    /// Its runs keep hitting limits: it runs one at a time.
    Slowed,
    /// They went on: its tasks are rejected for a while.
    Paused {
        /// How long still.
        left: Duration,
    },
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Slowed => {
                f.write_str("slowed: its runs keep exceeding limits, so one runs at a time")
            }
            Self::Paused { left } => {
                write!(f, "paused for {} s: its runs kept exceeding limits", left.as_secs() + 1)
            }
        }
    }
}

/// One that has hit no limit for this long is forgiven, however few runs it had.
const FORGET: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Penalty {
    /// Share of faults among recent runs, 0 to 1.
    share: f64,
    /// Faults since it was last moved to another standing.
    faults: f64,
    slowed: bool,
    last_fault: Option<Instant>,
    until: Option<Instant>,
    pauses: u32,
}

impl Penalty {
    pub(super) fn standing(&self, now: Instant) -> Standing {
        match self.until {
            Some(until) if until > now => Standing::Paused { left: until - now },
            _ if self.slowed && !self.lapsed(now) => Standing::Slowed,
            _ => Standing::Good,
        }
    }

    fn lapsed(&self, now: Instant) -> bool {
        let since = self.until.max(self.last_fault);
        since.is_none_or(|since| now.saturating_duration_since(since) >= FORGET)
    }

    /// Counts a run. `fault`: how surely it was at fault, 0 to 1.
    pub(super) fn record(&mut self, fault: f64, now: Instant) {
        if self.lapsed(now) {
            *self = Self::default();
        }
        if fault > 0.0 {
            self.last_fault = Some(now);
        }
        self.share += WEIGHT * (fault - self.share);
        self.faults += fault;
        if !self.slowed {
            if self.share > SLOW_FROM && self.faults >= PATIENCE {
                (self.slowed, self.faults) = (true, 0.0);
            }
        } else if self.share < FORGIVE_BELOW {
            *self = Self::default();
        } else if self.share > PAUSE_FROM
            && self.faults >= PATIENCE
            && !matches!(self.standing(now), Standing::Paused { .. })
        {
            let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.pauses.min(16));
            self.until = Some(now + pause.min(LONGEST_PAUSE));
            self.pauses += 1;
            self.faults = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(runs: &[(u32, bool)], penalty: &mut Penalty, now: Instant) -> Standing {
        for (count, fault) in runs {
            for _ in 0..*count {
                penalty.record(f64::from(u8::from(*fault)), now);
            }
        }
        penalty.standing(now)
    }

    #[test]
    fn few_faults_among_good_runs_cost_nothing() {
        let mut penalty = Penalty::default();
        let now = Instant::now();
        for _ in 0..200 {
            assert_eq!(after(&[(9, false), (1, true)], &mut penalty, now), Standing::Good);
        }
        assert_eq!(after(&[(7, true)], &mut Penalty::default(), now), Standing::Good);
    }

    #[test]
    fn an_app_is_slowed_then_paused_then_released_then_paused_for_longer() {
        let mut penalty = Penalty::default();
        let now = Instant::now();
        assert_eq!(after(&[(8, true)], &mut penalty, now), Standing::Slowed);
        let left = FIRST_PAUSE;
        assert_eq!(after(&[(14, true)], &mut penalty, now), Standing::Paused { left });
        let later = now + left;
        assert_eq!(penalty.standing(later), Standing::Slowed);
        let left = FIRST_PAUSE * 2;
        assert_eq!(after(&[(8, true)], &mut penalty, later), Standing::Paused { left });
    }

    #[test]
    fn an_app_whose_runs_all_end_with_a_shared_child_is_paused_and_a_neighbour_is_not() {
        let now = Instant::now();
        let (mut all, mut some) = (Penalty::default(), Penalty::default());
        for _ in 0..60 {
            all.record(SUSPECT, now);
            some.record(SUSPECT, now);
            after(&[(2, false)], &mut some, now);
        }
        assert!(matches!(all.standing(now), Standing::Paused { .. }));
        assert_eq!(some.standing(now), Standing::Good);
    }

    #[test]
    fn good_conduct_is_forgiven() {
        let mut penalty = Penalty::default();
        let now = Instant::now();
        after(&[(40, true)], &mut penalty, now);
        let later = now + FIRST_PAUSE;
        assert_eq!(penalty.standing(later), Standing::Slowed);
        assert_eq!(after(&[(60, false)], &mut penalty, later), Standing::Good);
        assert_eq!(penalty.pauses, 0);
    }

    #[test]
    fn an_app_that_stays_away_is_forgiven() {
        let mut penalty = Penalty::default();
        let now = Instant::now();
        assert_eq!(after(&[(8, true)], &mut penalty, now), Standing::Slowed);
        assert_eq!(penalty.standing(now + FORGET), Standing::Good);
    }
}
