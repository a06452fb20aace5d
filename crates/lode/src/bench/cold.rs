//! `lode bench cold`: many apps, of which each is run once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use lode_sandbox::{Limits, Source, deploy_limits};
use lode_worker::broker::{AppContext, Broker};
use lode_worker::master::{AppName, AppSettings, Master, Quota, Task};
use serde_json::json;

use super::tally::{Tally, tell};
use super::{Directory, runtime};
use crate::Failure;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many apps.
    #[arg(long, default_value_t = 10_000)]
    apps: usize,
    /// How many of them to run, each for the first time.
    #[arg(long, default_value_t = 2_000)]
    runs: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A small hook, as apps have.
const APP: &str = "function onPreSave(request, response) {
  request.body.total = request.body.lines.reduce((sum, line) => sum + line.price * line.count, 0);
  response.continue();
}";

const REQUEST: &str = r#"{"body":{"lines":[{"price":2,"count":3},{"price":5,"count":1}]}}"#;

/// Bytes this process has resident.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    runtime()?.block_on(measure(arguments))
}

async fn measure(arguments: &Arguments) -> Result<u8, Failure> {
    let directory = Directory::new();
    let config = directory.config()?;
    let master = Master::start(config, Broker::default()).await.map_err(Failure::platform)?;
    let sources = vec![Source::entry("collections/orders/onPreSave.js", APP)];
    let built = master.build(sources, deploy_limits()).await.map_err(Failure::platform)?;
    let name = |app: usize| AppName::from(format!("app-{app}"));
    let before = resident();
    for app in 0..arguments.apps {
        // Each has a snapshot of its own: the same bytes, which nothing knows.
        let settings = AppSettings {
            name: name(app),
            limits: Limits::default(),
            quota: Quota::default(),
            trust_group: None,
            context: AppContext::new(format!("app-{app}")),
        };
        master.deploy(settings, &built).map_err(Failure::platform)?;
    }
    let per_app = resident().saturating_sub(before) / arguments.apps.max(1);

    let (mut cold, mut warm) = (Tally::default(), Tally::default());
    let began = Instant::now();
    let step = (arguments.apps / arguments.runs.max(1)).max(1);
    for app in (0..arguments.apps).step_by(step) {
        for tally in [&mut cold, &mut warm] {
            let task = Task {
                app: name(app),
                handler: 0,
                request: REQUEST.into(),
                deadline: Instant::now() + Duration::from_secs(10),
                limits: None,
                deployment: None,
                origin: Arc::default(),
            };
            let started = Instant::now();
            let report = master.run(task).await;
            tally.add(started.elapsed(), lode_worker::outcome_name(&report.outcome));
        }
    }
    let took = began.elapsed();
    let rows = [cold.row("first run of an app", took), warm.row("second run", took)];
    if arguments.json {
        let said =
            json!({ "apps": arguments.apps, "residentBytesPerIdleApp": per_app, "runs": rows });
        println!("{said:#}");
        return Ok(0);
    }
    tell(&rows, false)?;
    println!("{} apps, {per_app} bytes resident for each idle one", arguments.apps);
    Ok(0)
}
