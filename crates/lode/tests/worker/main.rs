//! The worker with real children: this program's own `lode child`.

mod chaos;
mod many_apps;
mod outcomes;
mod sharing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lode_child::protocol::{Limits, Source, deploy_limits};
use lode_worker::broker::{AppContext, Broker};
use lode_worker::master::{AppName, AppSettings, Built, Config, Master, Quota, Report, Task};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A master, and the directory of its snapshots.
struct Worker {
    master: Master,
    directory: TempDir,
}

impl Worker {
    async fn start(children: usize) -> Self {
        Self::with(|config| (config.min_children, config.max_children) = (children, children)).await
    }

    async fn with(set: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let program = env!("CARGO_BIN_EXE_lode").into();
        let mut config = Config::new(program, directory.path().join("snapshots"));
        set(&mut config);
        let master = Master::start(config, Broker::default()).await.expect("it starts");
        Self { master, directory }
    }

    async fn build(&self, text: &str) -> Built {
        let source = Source::entry("main.js", text);
        self.master.build(vec![source], deploy_limits()).await.expect("it builds")
    }

    /// Deploys a script as an app with settings changed by `set`.
    async fn deploy_with(&self, app: &str, text: &str, set: impl FnOnce(&mut AppSettings)) {
        let mut settings = settings(app);
        set(&mut settings);
        self.master.deploy(settings, &self.build(text).await).expect("it is deployed");
    }

    async fn deploy(&self, app: &str, text: &str) {
        self.deploy_with(app, text, |_| ()).await;
    }

    /// Runs without waiting for the report.
    fn spawn(&self, app: &str, body: &str, time: Duration) -> JoinHandle<Report> {
        let (master, task) = (self.master.clone(), task(app, body, time));
        tokio::spawn(async move { master.run(task).await })
    }

    async fn run(&self, app: &str, body: &str) -> Report {
        self.run_within(app, body, Duration::from_secs(30)).await
    }

    async fn run_within(&self, app: &str, body: &str, time: Duration) -> Report {
        self.master.run(task(app, body, time)).await
    }
}

fn settings(app: &str) -> AppSettings {
    AppSettings {
        name: app.into(),
        // Machines that run tests are slow at times: only hostile scripts reach these.
        limits: Limits { cpu: Duration::from_secs(2), ..Limits::default() },
        quota: Quota::default(),
        trust_group: None,
        context: AppContext::default(),
    }
}

fn task(app: &str, body: &str, time: Duration) -> Task {
    Task {
        app: AppName::from(app),
        handler: 0,
        request: Arc::from(format!("{{\"body\": {body}}}")),
        deadline: Instant::now() + time,
        limits: None,
        deployment: None,
        origin: Arc::default(),
    }
}

/// The outcome as JSON, for comparing.
fn outcome(report: &Report) -> serde_json::Value {
    serde_json::to_value(&report.outcome).expect("it serialises")
}
