//! Which task is next: deficit round robin over apps, by the processor time their runs take.
//!
//! Each app has a queue of its own, so a flood delays the app that floods. An app that may run gets
//! [`QUANTUM`] of processor time per round; a run is charged what runs of its app have taken of late
//! when it starts, and set right when it ends (Shreedhar and Varghese, "Efficient fair queuing using
//! deficit round robin", SIGCOMM 1995, with costs known late).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use lode_child::protocol::RunId;
use serde::{Deserialize, Serialize};

use super::AppName;
use super::penalty::{Penalty, Standing};

/// Processor time an app gets per round: a few usual runs, so that rounds stay short.
const QUANTUM: Duration = Duration::from_millis(2);

/// What a run costs beyond its processor time: waking, sending, resetting.
const OVERHEAD: Duration = Duration::from_micros(20);

/// What an app's first run is taken to cost.
const FIRST_ESTIMATE: Duration = Duration::from_micros(500);

/// The most an app can owe, in ns: a hog that stops is forgiven within 100 rounds.
const MAX_DEBT: i64 = 200_000_000;

/// How much one app may ask for at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Runs under way at once.
    pub concurrency: usize,
    /// Tasks that may wait. More are rejected.
    pub queue: usize,
    /// Tasks per second that are admitted, and as many again in one burst; `None` for no such limit.
    pub rate: Option<f64>,
}

impl Default for Quota {
    /// 16 runs at once, 1,000 waiting, no limit of rate.
    fn default() -> Self {
        Self { concurrency: 16, queue: 1_000, rate: None }
    }
}

/// Why a task was not admitted. Blame: load, or the app's own conduct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overload {
    /// The app's queue is full.
    AppQueue,
    /// The app asks for more per second than its quota.
    Rate,
    /// All apps together have as much waiting as this worker holds.
    WorkerQueue,
    /// The app is paused: its runs kept hitting limits.
    Paused,
    /// The worker is shutting down.
    Draining,
    /// The app, or the deployment that the task names, is not deployed here (any more).
    NotDeployed,
}

pub(super) struct AppQueue {
    quota: Quota,
    waiting: VecDeque<RunId>,
    running: usize,
    /// Processor time it may still use in this round, in ns.
    deficit: i64,
    estimate: Duration,
    tokens: f64,
    refilled: Instant,
    pub(super) penalty: Penalty,
    /// It is in the round.
    active: bool,
}

#[derive(Default)]
pub(super) struct Scheduler {
    apps: HashMap<AppName, AppQueue>,
    /// The apps that have something waiting and may run it.
    round: VecDeque<AppName>,
    waiting: usize,
}

impl Scheduler {
    pub(super) fn set(&mut self, app: &AppName, quota: Quota, now: Instant) {
        let tokens = quota.rate.unwrap_or(0.0);
        match self.apps.get_mut(app) {
            Some(known) => known.quota = quota,
            None => {
                self.apps.insert(
                    app.clone(),
                    AppQueue {
                        quota,
                        waiting: VecDeque::new(),
                        running: 0,
                        deficit: 0,
                        estimate: FIRST_ESTIMATE,
                        tokens,
                        refilled: now,
                        penalty: Penalty::default(),
                        active: false,
                    },
                );
            }
        }
    }

    /// Forgets an app; returns what it had waiting.
    pub(super) fn remove(&mut self, app: &AppName) -> VecDeque<RunId> {
        self.round.retain(|name| name != app);
        let waiting = self.apps.remove(app).map(|queue| queue.waiting).unwrap_or_default();
        self.waiting -= waiting.len();
        waiting
    }

    pub(super) fn app(&self, app: &AppName) -> Option<&AppQueue> {
        self.apps.get(app)
    }

    /// Tasks waiting, of all apps.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Tasks waiting of apps that may run them.
    pub(super) fn ready(&self) -> usize {
        let waiting = |app| self.apps.get(app).map_or(0, |queue| queue.waiting.len());
        self.round.iter().map(waiting).sum()
    }

    /// The apps that have something waiting and may run it.
    pub(super) fn round(&self) -> impl Iterator<Item = &AppName> {
        self.round.iter()
    }

    /// Takes a task in, or says why not and after how long to try again.
    pub(super) fn push(
        &mut self,
        app: &AppName,
        run: RunId,
        now: Instant,
    ) -> Result<(), (Overload, Duration)> {
        let Some(queue) = self.apps.get_mut(app) else { return Ok(()) };
        if let Standing::Paused { left } = queue.penalty.standing(now) {
            return Err((Overload::Paused, left));
        }
        if queue.waiting.len() >= queue.quota.queue {
            // What is before it will take about this long.
            let all = queue.estimate * u32::try_from(queue.waiting.len()).unwrap_or(u32::MAX);
            return Err((Overload::AppQueue, all.max(Duration::from_millis(100))));
        }
        if let Some(rate) = queue.quota.rate {
            let since = now.saturating_duration_since(queue.refilled).as_secs_f64();
            queue.tokens = (queue.tokens + since * rate).min(rate.max(1.0));
            queue.refilled = now;
            if queue.tokens < 1.0 {
                let wait = (1.0 - queue.tokens) / rate.max(1e-6);
                return Err((Overload::Rate, Duration::from_secs_f64(wait.min(3600.0))));
            }
            queue.tokens -= 1.0;
        }
        queue.waiting.push_back(run);
        self.waiting += 1;
        self.activate(app, now);
        Ok(())
    }

    /// Puts an app into the round if it has something to run and may.
    fn activate(&mut self, app: &AppName, now: Instant) {
        let Some(queue) = self.apps.get_mut(app) else { return };
        if !queue.active && queue.may_run(now) {
            queue.active = true;
            // Like every newcomer, it begins with a quantum; a debt stays.
            queue.deficit = queue.deficit.min(0) + nanos(QUANTUM);
            self.round.push_back(app.clone());
        }
    }

    /// The next task to run that `place` finds a place for, with that place.
    pub(super) fn next<P>(
        &mut self,
        now: Instant,
        mut place: impl FnMut(&AppName) -> Option<P>,
    ) -> Option<(AppName, RunId, P)> {
        // Apps in a row for which there was no place.
        let mut refused = 0;
        while refused < self.round.len() {
            let app = self.round.front()?;
            let queue = self.apps.get_mut(app)?;
            if !queue.may_run(now) {
                queue.active = false;
                self.round.pop_front();
                continue;
            }
            if queue.deficit <= 0 {
                queue.deficit += nanos(QUANTUM);
                self.round.rotate_left(1);
                refused = 0;
                continue;
            }
            let Some(place) = place(app) else {
                refused += 1;
                self.round.rotate_left(1);
                continue;
            };
            let run = queue.waiting.pop_front()?;
            self.waiting -= 1;
            queue.running += 1;
            queue.deficit -= nanos(queue.estimate + OVERHEAD);
            return Some((app.clone(), run, place));
        }
        None
    }

    /// Puts a task that could not be started back in front.
    pub(super) fn put_back(&mut self, app: &AppName, run: RunId, now: Instant) {
        if let Some(queue) = self.apps.get_mut(app) {
            queue.running = queue.running.saturating_sub(1);
            queue.waiting.push_front(run);
            self.waiting += 1;
        }
        self.activate(app, now);
    }

    /// Takes a task that nobody waits for out of its queue.
    pub(super) fn withdraw(&mut self, app: &AppName, run: RunId) {
        if let Some(queue) = self.apps.get_mut(app)
            && let Some(at) = queue.waiting.iter().position(|waiting| *waiting == run)
        {
            queue.waiting.remove(at);
            self.waiting -= 1;
        }
    }

    /// Takes all that an app has waiting out of its queue.
    pub(super) fn take_waiting(&mut self, app: &AppName) -> VecDeque<RunId> {
        let Some(queue) = self.apps.get_mut(app) else { return VecDeque::new() };
        self.waiting -= queue.waiting.len();
        std::mem::take(&mut queue.waiting)
    }

    /// Accounts a run that has ended. `fault`: how surely it was at fault, 0 to 1.
    pub(super) fn ended(&mut self, app: &AppName, cpu: Duration, fault: f64, now: Instant) {
        if let Some(queue) = self.apps.get_mut(app) {
            queue.running = queue.running.saturating_sub(1);
            let correction = nanos(queue.estimate) - nanos(cpu);
            queue.deficit = (queue.deficit + correction).clamp(-MAX_DEBT, nanos(QUANTUM));
            // An eighth of the new to seven of the old: it follows within a dozen runs.
            queue.estimate = (queue.estimate * 7 + cpu) / 8;
            queue.penalty.record(fault, now);
        }
        self.activate(app, now);
    }
}

impl AppQueue {
    fn may_run(&self, now: Instant) -> bool {
        let concurrency = match self.penalty.standing(now) {
            Standing::Good => self.quota.concurrency,
            // What was admitted before the pause still runs, one at a time.
            Standing::Slowed | Standing::Paused { .. } => 1,
        };
        !self.waiting.is_empty() && self.running < concurrency
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(apps: &[&str], quota: &Quota) -> (Scheduler, Instant) {
        let now = Instant::now();
        let mut scheduler = Scheduler::default();
        for app in apps {
            scheduler.set(&AppName::from(*app), quota.clone(), now);
        }
        (scheduler, now)
    }

    /// Lets one run at a time be under way until `rounds` have ended, each app's taking what it says,
    /// and every app always having a task waiting. Returns the time each had.
    fn serve(costs: &[(&str, Duration)], rounds: usize) -> HashMap<String, Duration> {
        let names: Vec<&str> = costs.iter().map(|(app, _)| *app).collect();
        let (mut scheduler, now) = scheduler(&names, &Quota::default());
        let mut next = 0;
        for _ in 0..20 {
            for app in &names {
                scheduler.push(&AppName::from(*app), RunId(next), now).expect("room");
                next += 1;
            }
        }
        let mut had: HashMap<String, Duration> = HashMap::new();
        for _ in 0..rounds {
            let (app, _, ()) = scheduler.next(now, |_| Some(())).expect("something waits");
            let cost = costs.iter().find(|(name, _)| *name == &*app).expect("known").1;
            *had.entry(app.to_string()).or_default() += cost;
            scheduler.ended(&app, cost, 0.0, now);
            scheduler.push(&app, RunId(next), now).expect("room");
            next += 1;
        }
        had
    }

    #[test]
    fn apps_get_equal_processor_time_whatever_their_runs_take() {
        let ms = Duration::from_millis;
        let had = serve(&[("small", Duration::from_micros(100)), ("large", ms(5))], 20_000);
        let ratio = had["large"].as_secs_f64() / had["small"].as_secs_f64();
        // The overhead counts against small runs.
        assert!((0.9..1.4).contains(&ratio), "{had:?}");
    }

    #[test]
    fn a_flood_delays_only_the_app_that_floods() {
        let (mut scheduler, now) = scheduler(&["flood", "calm"], &Quota::default());
        for run in 0..500 {
            scheduler.push(&"flood".into(), RunId(run), now).expect("room");
        }
        scheduler.push(&"calm".into(), RunId(1000), now).expect("room");
        let position = (0..500).position(|_| {
            let (app, run, ()) = scheduler.next(now, |_| Some(())).expect("something waits");
            scheduler.ended(&app, Duration::from_micros(500), 0.0, now);
            run == RunId(1000)
        });
        assert!(position.is_some_and(|position| position < 8), "{position:?}");
    }

    #[test]
    fn concurrency_queue_and_rate_are_bounded_per_app() {
        let quota = Quota { concurrency: 2, queue: 3, rate: None };
        let (mut scheduler, now) = scheduler(&["a"], &quota);
        let app = AppName::from("a");
        for run in 0..3 {
            scheduler.push(&app, RunId(run), now).expect("room");
        }
        assert!(matches!(scheduler.push(&app, RunId(3), now), Err((Overload::AppQueue, _))));
        assert!(scheduler.next(now, |_| Some(())).is_some());
        assert!(scheduler.next(now, |_| Some(())).is_some());
        assert!(scheduler.next(now, |_| Some(())).is_none());
        scheduler.ended(&app, Duration::ZERO, 0.0, now);
        assert!(scheduler.next(now, |_| Some(())).is_some());
        assert_eq!(scheduler.waiting(), 0);

        let quota = Quota { rate: Some(2.0), ..Quota::default() };
        scheduler.set(&"b".into(), quota, now);
        let app = AppName::from("b");
        scheduler.push(&app, RunId(10), now).expect("a token");
        scheduler.push(&app, RunId(11), now).expect("a token");
        let (overload, wait) = scheduler.push(&app, RunId(12), now).expect_err("no token");
        assert_eq!((overload, wait), (Overload::Rate, Duration::from_millis(500)));
        scheduler.push(&app, RunId(13), now + wait).expect("a token by then");
    }

    #[test]
    fn an_app_without_a_place_does_not_hold_up_the_others() {
        let (mut scheduler, now) = scheduler(&["a", "b"], &Quota::default());
        scheduler.push(&"a".into(), RunId(1), now).expect("room");
        scheduler.push(&"b".into(), RunId(2), now).expect("room");
        let next = scheduler.next(now, |app| (&**app == "b").then_some(()));
        assert_eq!(next.map(|(_, run, ())| run), Some(RunId(2)));
        assert!(scheduler.next(now, |app| (&**app == "b").then_some(())).is_none());
        assert_eq!(scheduler.waiting(), 1);
    }
}
