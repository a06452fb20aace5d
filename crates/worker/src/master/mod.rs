//! The Work Master: a pool of locked-down children, and which of them runs what, when.
//!
//! [`Master::run`] gives a [`Task`] its one [`Report`] by its deadline. A task is admitted or rejected
//! at once (`scheduler.rs`), waits in its app's queue for its turn, and goes to a child that holds its
//! app's snapshot if there is one (`state.rs`). A driver per child (`driver.rs`) reads what the child
//! says, has the broker answer its host calls, and kills it when it lies or is silent past a deadline; the keeper
//! (`keeper.rs`) keeps as many children as the load wants.

mod builder;
mod driver;
mod keeper;
mod lateness;
mod penalty;
mod process;
mod scheduler;
mod snapshots;
mod state;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lode_child::protocol::{
    Handler, Limit, Limits, LogLine, MAX_TEXT, Outcome, RunId, SnapshotId, Usage,
};
use tokio::sync::Notify;

pub use builder::{BuildError, Built};
pub use penalty::Standing;
pub use scheduler::{Overload, Quota};

use crate::broker::{AppContext, Broker, Origin};
use crate::metrics::Metrics;
use process::Spawner;
use snapshots::Snapshots;
use state::State;

/// An app's name: Kinvey's environment id, `kid_…`.
pub type AppName = Arc<str>;

/// After a task's deadline its child has this long to say how the run ended, which says more than that
/// it did not in time. Twice the time in which a busy child looks at its deadlines.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program whose `child` command is a child: `lode` itself.
    pub program: PathBuf,
    /// Children kept, however little there is to do.
    pub min_children: usize,
    /// Children at most. More than processors only serves trust groups.
    pub max_children: usize,
    /// Where snapshots rest. It must be this worker's alone.
    pub directory: PathBuf,
    /// Tasks that may wait, of all apps.
    pub queue: usize,
    /// How long a child may be silent past a run's deadline before it is killed. Time in which it waited for
    /// a processor does not count.
    pub patience: Duration,
    /// A child is replaced after this time…
    pub recycle_after: Duration,
    /// …or when it has more than this resident, in bytes.
    pub recycle_above: usize,
    /// A child with nothing to do for this long ends, if more than the minimum are there.
    pub idle_after: Duration,
    /// Layers of the children's lock-down that may be missing (`--allow-degraded-lockdown`).
    pub allowed_missing: Vec<String>,
}

impl Config {
    /// Two children or one per processor, whichever is more; the rest is what suits most.
    pub fn new(program: PathBuf, directory: PathBuf) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            program,
            min_children: 1,
            max_children: processors.max(2),
            directory,
            queue: 100_000,
            patience: Duration::from_secs(1),
            recycle_after: Duration::from_secs(3600),
            recycle_above: 2 << 30,
            idle_after: Duration::from_secs(60),
            allowed_missing: Vec::new(),
        }
    }
}

/// An app that can be run.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Its name.
    pub name: AppName,
    /// The limits of a run, unless its task says otherwise.
    pub limits: Limits,
    /// How much it may ask for.
    pub quota: Quota,
    /// Apps of different trust groups never share a child (a *cordon*). Those without one share with
    /// each other.
    pub trust_group: Option<Arc<str>>,
    /// What its host calls may reach.
    pub context: AppContext,
}

struct App {
    snapshot: SnapshotId,
    handlers: Arc<[Handler]>,
    limits: Limits,
    trust_group: Option<Arc<str>>,
    context: AppContext,
}

/// One run that is asked for.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub app: AppName,
    /// Index into the deployment's handlers.
    pub handler: u32,
    /// The request object, JSON. At most [`MAX_TEXT`] bytes.
    pub request: Arc<str>,
    /// When its answer is worth nothing any more.
    pub deadline: Instant,
    /// The run's limits, if not its app's.
    pub limits: Option<Limits>,
    /// The deployment that `handler` was looked up in, if the task is for no other.
    pub deployment: Option<DeploymentId>,
    /// The request it belongs to.
    pub origin: Arc<Origin>,
}

/// Names one [`Master::deploy`] of an app: unique for the life of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeploymentId(SnapshotId);

/// The one answer to a task.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What the script logged. Hostile text.
    pub logs: Vec<LogLine>,
    /// What the run used, as its child says; no more processor time than has passed.
    pub usage: Usage,
    /// From admission to start.
    pub waited: Duration,
    /// From start to end.
    pub took: Duration,
    /// What it takes to run a failed run again, a `lode_sandbox::Recording` as JSON, as its child says.
    pub recording: Option<Box<str>>,
    /// For a rejected task: why, and after how long to try again.
    pub overload: Option<(Overload, Duration)>,
}

impl Report {
    /// Of a task that no child began.
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            logs: Vec::new(),
            usage: Usage::default(),
            waited: Duration::ZERO,
            took: Duration::ZERO,
            recording: None,
            overload: None,
        }
    }

    /// Of a task that was not taken in: why, and after how long to try again.
    pub fn rejected(overload: Overload, wait: Duration) -> Self {
        Self { overload: Some((overload, wait)), ..Self::of(Outcome::Rejected) }
    }
}

/// What a worker has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Children it has.
    pub children: usize,
    /// Runs under way.
    pub running: usize,
    /// Tasks that wait.
    pub waiting: usize,
    /// Those of them whose apps have no more under way than they may.
    pub ready: usize,
}

/// Why a worker does not start. Blame: the host, or its operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The first child refused: a layer of lock-down is missing, or its engine does not start. Its own
    /// words.
    Child(String),
    /// The operating system would not give what is needed.
    Io(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Child(words) => f.write_str(words),
            Self::Io(error) => write!(f, "the worker cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

struct Shared {
    config: Config,
    state: Mutex<State>,
    broker: Broker,
    spawner: Spawner,
    metrics: Arc<Metrics>,
    /// Something happened that the keeper may want to act on.
    changed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held is a defect; the state it left is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Work Master. Cheap to clone.
#[derive(Clone)]
pub struct Master {
    shared: Arc<Shared>,
}

impl Master {
    /// Starts the children. Needs a Tokio runtime with time and I/O; it lives as long as that.
    pub async fn start(config: Config, broker: Broker) -> Result<Self, StartError> {
        let mut arguments = Vec::new();
        if !config.allowed_missing.is_empty() {
            arguments = vec!["--allow-degraded-lockdown".into(), config.allowed_missing.join(",")];
        }
        let spawner = Spawner::start(config.program.clone(), arguments)?;
        let snapshots = Snapshots::new(config.directory.clone())?;
        let metrics = Metrics::new();
        let state = State::new(snapshots, &config, metrics.clone());
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            broker,
            spawner,
            metrics,
            changed: Notify::new(),
        });
        for _ in 0..shared.config.min_children.max(1) {
            driver::start(&shared).await?;
        }
        tokio::spawn(keeper::keep(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// Makes an app runnable, or replaces its deployment and settings. Runs under way go on with what
    /// they began with; tasks that wait are rejected ([`Overload::NotDeployed`]), as they are for what was
    /// replaced.
    pub fn deploy(&self, settings: AppSettings, built: &Built) -> std::io::Result<DeploymentId> {
        let (snapshot, path) = self.shared.state().snapshots.reserve();
        // Not under the lock: tasks need not wait for the disk.
        snapshots::keep(&built.file, &path)?;
        let now = Instant::now();
        let mut state = self.shared.state();
        state.scheduler.set(&settings.name, settings.quota, now);
        let app = App {
            snapshot,
            handlers: built.handlers.clone(),
            limits: settings.limits,
            trust_group: settings.trust_group,
            context: settings.context,
        };
        state.set_app(settings.name, app);
        Ok(DeploymentId(snapshot))
    }

    /// Changes how much a deployed app may ask for.
    pub fn set_quota(&self, app: &AppName, quota: Quota) {
        let now = Instant::now();
        let mut state = self.shared.state();
        if state.apps.contains_key(app) {
            state.scheduler.set(app, quota, now);
            state.pump(now);
        }
    }

    /// What there is to do.
    pub fn backlog(&self) -> Backlog {
        let state = self.shared.state();
        Backlog {
            children: state.children.len(),
            running: state.children.values().map(|child| child.runs.len()).sum(),
            waiting: state.scheduler.waiting(),
            ready: state.scheduler.ready(),
        }
    }

    /// Forgets an app. What it has waiting is rejected ([`Overload::NotDeployed`]).
    pub fn remove(&self, app: &AppName) {
        self.shared.state().remove_app(app);
        self.shared.metrics.forget(app);
    }

    /// The handlers of an app's deployment, in order.
    pub fn handlers(&self, app: &AppName) -> Option<Arc<[Handler]>> {
        self.shared.state().apps.get(app).map(|app| app.handlers.clone())
    }

    /// How an app stands: whether it is slowed or paused for hitting limits.
    pub fn standing(&self, app: &AppName) -> Option<Standing> {
        let state = self.shared.state();
        state.scheduler.app(app).map(|queue| queue.penalty.standing(Instant::now()))
    }

    /// Runs a task. Comes back by its deadline and a moment, whatever its script or child does.
    /// Dropping the future ends the run.
    pub async fn run(&self, task: Task) -> Report {
        let begun = self.run_or_not(task, None).await;
        begun.unwrap_or_else(|| Report::of(Outcome::Expired))
    }

    /// Runs a task as [`Master::run`] does, but for one that no child has been given after `patience`: that
    /// one is forgotten, and `None` says so.
    pub async fn run_soon(&self, task: Task, patience: Duration) -> Option<Report> {
        self.run_or_not(task, Some(patience)).await
    }

    async fn run_or_not(&self, task: Task, patience: Option<Duration>) -> Option<Report> {
        let deadline = task.deadline;
        if task.request.len() > MAX_TEXT {
            let detail =
                format!("the request has {} bytes, of at most {MAX_TEXT}", task.request.len());
            return Some(Report::of(Outcome::Platform { detail }));
        }
        let submitted = self.shared.state().submit(task, Instant::now());
        let (run, answer) = match submitted {
            Ok(submitted) => submitted,
            Err((overload, wait)) => {
                self.shared.metrics.rejected();
                return Some(Report::rejected(overload, wait));
            }
        };
        let guard = Abandon { shared: &self.shared, run };
        let mut answer = std::pin::pin!(answer);
        let first = patience.and_then(|patience| Instant::now().checked_add(patience));
        let first = first.map_or(deadline, |first| first.min(deadline));
        let mut report = tokio::time::timeout_at(first.into(), &mut answer).await;
        if report.is_err() && first < deadline {
            if self.shared.state().withdraw(run) {
                return None;
            }
            report = tokio::time::timeout_at(deadline.into(), &mut answer).await;
        }
        if report.is_err() && !self.shared.state().expired(run, Instant::now()) {
            report = tokio::time::timeout_at((deadline + LAST_WORDS).into(), &mut answer).await;
        } else if report.is_err() {
            report = Ok(answer.await);
        }
        Some(match report {
            Ok(Ok(report)) => {
                std::mem::forget(guard);
                report
            }
            // The child is silent; its driver will see to it.
            Err(_) => Report::of(Outcome::Limit { limit: Limit::Wall }),
            Ok(Err(_)) => Report::of(Outcome::Platform { detail: "the run was forgotten".into() }),
        })
    }

    /// Admits nothing more and comes back when all that was admitted is answered, or after `grace`.
    pub async fn drain(&self, grace: Duration) {
        self.shared.state().draining = true;
        let until = Instant::now() + grace;
        while !self.shared.state().flights.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The counters, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let metrics = &self.shared.metrics;
        {
            let state = self.shared.state();
            metrics.queued.set(state.scheduler.waiting().try_into().unwrap_or(i64::MAX));
            let running: usize = state.children.values().map(|child| child.runs.len()).sum();
            metrics.running.set(running.try_into().unwrap_or(i64::MAX));
        }
        metrics.text()
    }

    /// The process ids of the children, outermost process first, as this process's namespace numbers
    /// them.
    pub fn children(&self) -> Vec<[i32; 2]> {
        self.shared.state().children.values().map(|child| child.process.ids()).collect()
    }
}

/// Gives a run up when its caller does.
struct Abandon<'m> {
    shared: &'m Shared,
    run: RunId,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.shared.state().abandon(self.run);
    }
}

/// All of one run's randomness.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    // The kernel fills up to 256 bytes whole and does not fail once its generator is ready, which it is
    // by the time a service starts.
    let filled = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    debug_assert_eq!(filled, Ok(seed.len()));
    seed
}
