//! What the worker counts, in Prometheus' text format (OpenMetrics 1.0).

use std::sync::Arc;
use std::time::Duration;

use lode_child::protocol::{Limit, Outcome, ResetMethod, Usage};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::master::AppName;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AppLabel {
    app: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

/// Why a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to: age, memory, idleness, or the worker's end.
    Recycled,
    /// It was silent past a deadline.
    Silent,
    /// It took far more memory than one may, before its runs were over.
    Memory,
    /// It said what no sound child says.
    Lied,
    /// It tried a forbidden system call.
    Violation,
    /// It ended by itself.
    Crashed,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recycled => "recycled",
            Self::Silent => "silent",
            Self::Memory => "memory",
            Self::Lied => "lied",
            Self::Violation => "violation",
            Self::Crashed => "crashed",
        }
    }
}

/// The counters. Every run of every app touches them, so they are atomics.
pub(crate) struct Metrics {
    registry: Registry,
    outcomes: Family<OutcomeLabel, Counter>,
    runs: Family<AppLabel, Counter>,
    run_seconds: Family<AppLabel, Counter<f64, std::sync::atomic::AtomicU64>>,
    cpu_seconds: Family<AppLabel, Counter<f64, std::sync::atomic::AtomicU64>>,
    wait: Histogram,
    run: Histogram,
    memory: Histogram,
    resets: Family<MethodLabel, Counter>,
    pub(crate) queued: Gauge,
    pub(crate) running: Gauge,
    pub(crate) alive: Gauge,
    pub(crate) started: Counter,
    ended_children: Family<ReasonLabel, Counter>,
}

/// From 16 µs, where a small run lies, to a minute, by doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(16e-6, 2.0, 22))
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("lode");
        let outcomes = Family::default();
        registry.register("runs", "Tasks answered, by outcome", outcomes.clone());
        let runs = Family::default();
        registry.register("app_runs", "Runs, by app", runs.clone());
        let run_seconds = Family::default();
        registry.register("app_run_seconds", "Time from start to end, by app", run_seconds.clone());
        let cpu_seconds = Family::default();
        registry.register("app_cpu_seconds", "Processor time of runs, by app", cpu_seconds.clone());
        let wait = seconds();
        registry.register("task_wait_seconds", "Time from admission to start", wait.clone());
        let run = seconds();
        registry.register("run_seconds", "Time from start to outcome", run.clone());
        // From 1 MiB, below the smallest app, to 4 GiB, the end of a 32-bit memory.
        let memory = Histogram::new(exponential_buckets(f64::from(1 << 20), 2.0, 13));
        registry.register(
            "sandbox_memory_peak_bytes",
            "Memory of runs at its largest",
            memory.clone(),
        );
        let resets = Family::default();
        registry.register("sandbox_resets", "Sandboxes reset, by method", resets.clone());
        let (queued, running, alive) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("tasks_queued", "Tasks waiting for a child", queued.clone());
        registry.register("tasks_running", "Tasks in children", running.clone());
        registry.register("children_alive", "Children serving", alive.clone());
        let started = Counter::default();
        registry.register("children_started", "Children started", started.clone());
        let ended_children = Family::default();
        registry.register("children_ended", "Children ended, by reason", ended_children.clone());
        Arc::new(Self {
            registry,
            outcomes,
            runs,
            run_seconds,
            cpu_seconds,
            wait,
            run,
            memory,
            resets,
            queued,
            running,
            alive,
            started,
            ended_children,
        })
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.wait.observe(time.as_secs_f64());
    }

    /// A task was answered.
    pub(crate) fn ended(&self, app: &AppName, outcome: &Outcome, took: Duration, usage: &Usage) {
        self.outcomes.get_or_create(&OutcomeLabel { outcome: name(outcome) }).inc();
        if usage.memory_peak == 0 {
            return; // it never ran
        }
        let app = AppLabel { app: app.to_string() };
        self.runs.get_or_create(&app).inc();
        self.run_seconds.get_or_create(&app).inc_by(took.as_secs_f64());
        self.cpu_seconds.get_or_create(&app).inc_by(usage.cpu_ns as f64 / 1e9);
        self.run.observe(took.as_secs_f64());
        self.memory.observe(usage.memory_peak as f64);
    }

    /// A task was not admitted.
    pub(crate) fn rejected(&self) {
        self.outcomes.get_or_create(&OutcomeLabel { outcome: name(&Outcome::Rejected) }).inc();
    }

    /// A run's sandbox was reset by its child.
    pub(crate) fn reset(&self, method: ResetMethod) {
        let method = match method {
            ResetMethod::CopyBack => "copy_back",
            ResetMethod::Discard => "discard",
        };
        self.resets.get_or_create(&MethodLabel { method }).inc();
    }

    pub(crate) fn child_ended(&self, end: End) {
        self.alive.dec();
        self.ended_children.get_or_create(&ReasonLabel { reason: end.name() }).inc();
    }

    /// Forgets what was counted of an app.
    pub(crate) fn forget(&self, app: &AppName) {
        let app = AppLabel { app: app.to_string() };
        self.runs.remove(&app);
        self.run_seconds.remove(&app);
        self.cpu_seconds.remove(&app);
    }

    /// Everything, as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// The outcome's name in metrics, logs and reports.
pub fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed { .. } => "completed",
        Outcome::Continued { .. } => "continued",
        Outcome::Error(_) => "error",
        Outcome::Limit { limit: Limit::Cpu } => "limit_cpu",
        Outcome::Limit { limit: Limit::Wall } => "limit_wall",
        Outcome::Limit { limit: Limit::Memory } => "limit_memory",
        Outcome::Limit { limit: Limit::Output } => "limit_output",
        Outcome::Limit { limit: Limit::Log } => "limit_log",
        Outcome::Limit { limit: Limit::Calls } => "limit_calls",
        Outcome::NeverCompleted => "never_completed",
        Outcome::Expired => "expired",
        Outcome::Rejected => "rejected",
        Outcome::Platform { .. } => "platform",
    }
}
