//! One budget per API request: its hooks and every nested call of their scripts draw on it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lode_worker::{Limits, Usage};
use serde::{Deserialize, Serialize};

use crate::error::{ApiError, Kind};
use crate::settings::Budget as BudgetSettings;

/// Requests within requests within requests: what a hook that calls the API, whose hook calls the API, needs;
/// a fourth level is a loop.
pub(crate) const MAX_DEPTH: u32 = 3;

/// What is left for one API request.
#[derive(Debug)]
pub(crate) struct Budget {
    /// When the client's answer is due.
    pub(crate) deadline: Instant,
    cpu_ns: AtomicU64,
    calls: AtomicU32,
    runs: AtomicU32,
}

/// Parts of a budget: what is left of one, or was taken from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) cpu_ns: u64,
    pub(crate) calls: u32,
    pub(crate) runs: u32,
}

impl Spent {
    /// What was taken from `before` until these were left.
    pub(crate) fn taken_from(&self, before: &Self) -> Self {
        Self {
            cpu_ns: before.cpu_ns.saturating_sub(self.cpu_ns),
            calls: before.calls.saturating_sub(self.calls),
            runs: before.runs.saturating_sub(self.runs),
        }
    }
}

impl Budget {
    /// One with so much left.
    pub(crate) fn of(deadline: Instant, left: &Spent) -> Self {
        Self {
            deadline,
            cpu_ns: AtomicU64::new(left.cpu_ns),
            calls: AtomicU32::new(left.calls),
            runs: AtomicU32::new(left.runs),
        }
    }

    pub(crate) fn new(settings: &BudgetSettings) -> Self {
        let ms = |ms: Option<u32>, default: u64| ms.map_or(default, u64::from);
        Self {
            deadline: Instant::now() + Duration::from_millis(ms(settings.time_ms, 60_000)),
            cpu_ns: AtomicU64::new(ms(settings.cpu_ms, 1_000) * 1_000_000),
            calls: AtomicU32::new(settings.calls.unwrap_or(200)),
            runs: AtomicU32::new(settings.runs.unwrap_or(20)),
        }
    }

    /// Takes one run out of it: the limits that `limits` leave when no more is used than is left.
    ///
    /// # Errors
    /// There is nothing left. Blame: the scripts of this request.
    pub(crate) fn begin(&self, limits: &Limits) -> Result<Limits, ApiError> {
        let spent = |what| {
            let debug = format!("the request's budget of {what} is used up");
            Err(ApiError::new(Kind::BLViolationError, debug))
        };
        if self
            .runs
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_err()
        {
            return spent("runs");
        }
        let cpu = Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed));
        if cpu.is_zero() {
            return spent("processor time");
        }
        let mut limits = limits.clone();
        limits.cpu = limits.cpu.min(cpu);
        limits.calls = limits.calls.min(self.calls.load(Ordering::Relaxed));
        Ok(limits)
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Spent {
        Spent {
            cpu_ns: self.cpu_ns.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            runs: self.runs.load(Ordering::Relaxed),
        }
    }

    /// Takes out what a run has used.
    pub(crate) fn charge(&self, usage: &Usage) {
        self.take(&Spent { cpu_ns: usage.cpu_ns, calls: usage.calls, runs: 0 });
    }

    /// Takes out what a run's nested calls have used.
    pub(crate) fn take(&self, spent: &Spent) {
        let cpu = |n: u64| Some(n.saturating_sub(spent.cpu_ns));
        let _ = self.cpu_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, cpu);
        for (from, what) in [(&self.calls, spent.calls), (&self.runs, spent.runs)] {
            let less = |n: u32| Some(n.saturating_sub(what));
            let _ = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_share_what_there_is() {
        let settings =
            BudgetSettings { cpu_ms: Some(150), calls: Some(120), runs: Some(3), time_ms: None };
        let budget = Budget::new(&settings);
        let limits = Limits::default();
        let first = budget.begin(&limits).expect("there is enough");
        assert_eq!((first.cpu, first.calls), (Duration::from_millis(100), 100));
        budget.charge(&Usage { cpu_ns: 90_000_000, calls: 100, ..Usage::default() });
        let second = budget.begin(&limits).expect("there is some");
        assert_eq!((second.cpu, second.calls), (Duration::from_millis(60), 20));
        budget.charge(&Usage { cpu_ns: 70_000_000, calls: 1, ..Usage::default() });
        let error = budget.begin(&limits).expect_err("no time is left");
        assert_eq!(error.kind, Kind::BLViolationError);
        assert!(error.debug.contains("processor time"), "{}", error.debug);
        assert!(budget.begin(&limits).expect_err("a fourth").debug.contains("runs"));
    }
}
