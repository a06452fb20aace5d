//! One budget per API request: its hooks and every nested call of their scripts draw on it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lode_worker::{Limits, Usage};

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

impl Budget {
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

    /// Takes out what a run has used.
    pub(crate) fn charge(&self, usage: &Usage) {
        take(&self.cpu_ns, usage.cpu_ns);
        let calls = |n: u32| Some(n.saturating_sub(usage.calls));
        let _ = self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, calls);
    }
}

fn take(from: &AtomicU64, what: u64) {
    let _ =
        from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(what)));
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
