//! One budget per API request: its hooks and every nested call of their scripts draw on it.
//!
//! A run reserves its limits when it begins, and gives back what it has not used; one that is given up has used all
//! of it. Runs at the same depth (calls that a script makes at once) wait for each other where their limits
//! together are more than what is left; a run and those within it draw on the same, as it waits for them. So what a
//! request takes is never more than its budget at each of the three depths.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lode_worker::{Limits, Usage};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

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
    state: Mutex<State>,
    given_back: Notify,
}

#[derive(Debug)]
struct State {
    left: Spent,
    /// What runs under way have reserved, by their depth.
    reserved: [Spent; MAX_DEPTH as usize],
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
        before.less(self)
    }

    fn less(&self, spent: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(spent.cpu_ns),
            calls: self.calls.saturating_sub(spent.calls),
            runs: self.runs.saturating_sub(spent.runs),
        }
    }

    fn and(&self, more: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_add(more.cpu_ns),
            calls: self.calls.saturating_add(more.calls),
            runs: self.runs.saturating_add(more.runs),
        }
    }
}

/// What a run has reserved. Dropped without [`Held::charge`] (whoever asked for the run waits no more) it gives
/// nothing back: a script that gives its own calls up takes no more by that.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    reserved: Spent,
    /// All of it, until more is known.
    used: Spent,
    depth: usize,
    /// The run's.
    pub(crate) limits: Limits,
}

impl Held {
    /// Takes out what the run has used.
    pub(crate) fn charge(mut self, usage: &Usage) {
        self.used = Spent { cpu_ns: usage.cpu_ns, calls: usage.calls, runs: 0 };
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        if let Some(reserved) = state.reserved.get_mut(self.depth) {
            *reserved = reserved.less(&self.reserved);
        }
        state.left = state.left.less(&self.used);
        drop(state);
        self.budget.given_back.notify_waiters();
    }
}

impl Budget {
    /// One with so much left.
    pub(crate) fn of(deadline: Instant, left: &Spent) -> Self {
        let state = State { left: left.clone(), reserved: Default::default() };
        Self { deadline, state: Mutex::new(state), given_back: Notify::new() }
    }

    pub(crate) fn new(settings: &BudgetSettings) -> Self {
        let ms = |ms: Option<u32>, default: u64| ms.map_or(default, u64::from);
        let deadline = Instant::now() + Duration::from_millis(ms(settings.time_ms, 60_000));
        let left = Spent {
            cpu_ns: ms(settings.cpu_ms, 1_000) * 1_000_000,
            calls: settings.calls.unwrap_or(200),
            runs: settings.runs.unwrap_or(20),
        };
        Self::of(deadline, &left)
    }

    /// Takes one run out of it, and reserves what it may use: `limits`, or what is left if that is less. Waits
    /// while runs of the same depth (from 1 on) hold it.
    ///
    /// # Errors
    /// There is nothing left. Blame: the scripts of this request.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        limits: &Limits,
        depth: u32,
    ) -> Result<Held, ApiError> {
        let depth = usize::try_from(depth.clamp(1, MAX_DEPTH) - 1).unwrap_or(0);
        self.begin_run()?;
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // Before it is looked: what is given back in between counts.
            given_back.as_mut().enable();
            if let Some(held) = self.reserve(limits, depth)? {
                return Ok(held);
            }
            if tokio::time::timeout_at(self.deadline.into(), given_back).await.is_err() {
                return spent("time");
            }
        }
    }

    fn begin_run(&self) -> Result<(), ApiError> {
        let mut state = self.state();
        match state.left.runs.checked_sub(1) {
            Some(runs) => state.left.runs = runs,
            None => return spent("runs"),
        }
        Ok(())
    }

    /// `None` if others hold too much.
    fn reserve(self: &Arc<Self>, limits: &Limits, depth: usize) -> Result<Option<Held>, ApiError> {
        let mut state = self.state();
        let State { left, reserved } = &mut *state;
        if left.cpu_ns == 0 {
            return spent("processor time");
        }
        let cpu = limits.cpu.min(Duration::from_nanos(left.cpu_ns));
        let wanted = Spent {
            cpu_ns: u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
            calls: limits.calls.min(left.calls),
            runs: 0,
        };
        let Some(reserved) = reserved.get_mut(depth) else { return spent("depth") };
        let free = left.less(reserved);
        if free.cpu_ns < wanted.cpu_ns || free.calls < wanted.calls {
            return Ok(None);
        }
        *reserved = reserved.and(&wanted);
        let limits = Limits { cpu, calls: wanted.calls, ..limits.clone() };
        let used = wanted.clone();
        Ok(Some(Held { budget: self.clone(), reserved: wanted, used, depth, limits }))
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Spent {
        self.state().left.clone()
    }

    /// Takes out what a run's nested calls have used.
    pub(crate) fn take(&self, spent: &Spent) {
        let mut state = self.state();
        state.left = state.left.less(spent);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spent<T>(what: &str) -> Result<T, ApiError> {
    let debug = format!("the request's budget of {what} is used up");
    Err(ApiError::new(Kind::BLViolationError, debug))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(cpu_ms: u32, calls: u32, runs: u32) -> Arc<Budget> {
        let (cpu_ms, calls, runs) = (Some(cpu_ms), Some(calls), Some(runs));
        Arc::new(Budget::new(&BudgetSettings { cpu_ms, calls, runs, time_ms: None }))
    }

    #[tokio::test]
    async fn runs_share_what_there_is() {
        let budget = budget(150, 120, 3);
        let limits = Limits::default();
        let first = budget.begin(&limits, 1).await.expect("there is enough");
        assert_eq!((first.limits.cpu, first.limits.calls), (Duration::from_millis(100), 100));
        first.charge(&Usage { cpu_ns: 90_000_000, calls: 100, ..Usage::default() });
        let second = budget.begin(&limits, 1).await.expect("there is some");
        assert_eq!((second.limits.cpu, second.limits.calls), (Duration::from_millis(60), 20));
        second.charge(&Usage { cpu_ns: 70_000_000, calls: 1, ..Usage::default() });
        let error = budget.begin(&limits, 1).await.expect_err("no time is left");
        assert_eq!(error.kind, Kind::BLViolationError);
        assert!(error.debug.contains("processor time"), "{}", error.debug);
        let fourth = budget.begin(&limits, 1).await.expect_err("a fourth");
        assert!(fourth.debug.contains("runs"));
    }

    /// Each once had all that was left, so that a request took as many times its budget as it made calls.
    #[tokio::test]
    async fn runs_at_once_have_no_more_than_there_is_between_them() {
        let budget = budget(250, 1_000, 20);
        let limits = Limits::default();
        let outer = budget.begin(&limits, 1).await.expect("there is enough");
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(budget.begin(&limits, 2).await.expect("there is enough"));
        }
        let soon = Duration::from_millis(20);
        let waits = budget.begin(&limits, 2);
        assert!(tokio::time::timeout(soon, waits).await.is_err(), "a third has to wait");
        // What goes on within one of them does not wait for the others.
        let within = budget.begin(&limits, 3).await.expect("there is enough");
        within.charge(&Usage::default());
        let third = tokio::spawn({
            let (budget, limits) = (budget.clone(), limits.clone());
            async move { budget.begin(&limits, 2).await }
        });
        tokio::time::sleep(soon).await;
        held.pop().expect("there are two").charge(&Usage::default());
        let third = third.await.expect("no panic").expect("there is room again");
        assert_eq!(third.limits.cpu, Duration::from_millis(100));
        third.charge(&Usage { cpu_ns: 100_000_000, ..Usage::default() });
        held.into_iter().chain([outer]).for_each(|held| held.charge(&Usage::default()));
        assert_eq!(budget.state().reserved, <[Spent; MAX_DEPTH as usize]>::default());
        assert_eq!(budget.left().cpu_ns, 150_000_000);
    }

    /// Calls with a short time of their own gave all back, and so took as many times the budget as there were.
    #[tokio::test]
    async fn a_run_that_is_given_up_has_used_all_it_had() {
        let budget = budget(150, 120, 3);
        drop(budget.begin(&Limits::default(), 2).await.expect("there is enough"));
        assert_eq!(budget.left(), Spent { cpu_ns: 50_000_000, calls: 20, runs: 2 });
        let next = budget.begin(&Limits::default(), 2).await.expect("there is some");
        assert_eq!((next.limits.cpu, next.limits.calls), (Duration::from_millis(50), 20));
    }
}
