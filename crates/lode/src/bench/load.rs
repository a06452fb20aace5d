//! `lode bench load`: drives a worker with tasks, alone and beside apps that mean no good.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use lode_sandbox::{
    Engine, EngineOptions, Invocation, Limits, Snapshot, Source, deploy_limits, random_seed,
};
use lode_worker::broker::{AppContext, Broker};
use lode_worker::master::{AppName, AppSettings, Built, Master, Quota, Report, Task};

use super::hostile::BESIDE;
use super::soak;
use super::tally::{Row, Tally, tell};
use crate::run::{CommandLine, read_request};
use crate::{Failure, app, exit, limits};

#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// The app: a file or a folder.
    #[arg(long)]
    app: PathBuf,
    /// Which handler; not needed if there is only one.
    #[arg(long)]
    hook: Option<String>,
    /// The request: a file with a JSON object.
    #[arg(long)]
    request: Option<PathBuf>,
    /// Tasks under way at once.
    #[arg(long, default_value_t = 16)]
    pub(super) concurrency: usize,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// How much of the load comes from hostile apps, in percent: endless loops, memory bombs, runs that
    /// never complete, and runs that throw late. With 100, nothing else runs: apps of every kind come and
    /// go at random, and what they leave in memory, descriptors and children must be nothing.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    hostile: u8,
    /// With `--hostile 100`: repeats the choices of a run that printed this.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Beside it, an app of the same kind that keeps this many times as many tasks under way.
    #[arg(long, default_value_t = 0)]
    flood: usize,
    /// Children; by default one per processor.
    #[arg(long)]
    children: Option<usize>,
    /// The limits of a run.
    #[arg(long, value_parser = limits::parse, default_value = "", help = limits::HELP, hide_default_value = true)]
    limits: Limits,
    /// Layers of the children's lock-down that may be missing.
    #[arg(long, value_delimiter = ',', value_name = "LAYER")]
    allow_degraded_lockdown: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let sources = app::load(&arguments.app)?;
    let request = read_request(arguments.request.as_deref())?;
    let duration = Duration::try_from_secs_f64(arguments.duration)
        .map_err(|_| Failure::usage("--duration: a number of seconds is needed"))?;
    let mut rows = Vec::new();
    if arguments.hostile < 100 {
        rows.push(alone(arguments, &sources, &request, duration.min(Duration::from_secs(2)))?);
    }
    let load = load(arguments, sources, request.into(), duration);
    rows.extend(super::runtime()?.block_on(load)?);
    tell(&rows, arguments.json)?;
    Ok(0)
}

/// The sandbox by itself on one thread of this process: what the worker is measured against.
fn alone(
    arguments: &Arguments,
    sources: &[Source],
    request: &str,
    duration: Duration,
) -> Result<Row, Failure> {
    let engine = Engine::new(EngineOptions::default()).map_err(Failure::platform)?;
    let (snapshot, _) = Snapshot::build(&engine, sources, &deploy_limits());
    let snapshot =
        snapshot.map_err(|error| Failure { message: error.to_string(), code: exit::SCRIPT })?;
    let handler = app::select(snapshot.handlers(), arguments.hook.as_deref())?;
    let runtime = super::runtime()?;
    let (mut tally, host) = (Tally::default(), CommandLine::default());
    let began = Instant::now();
    while began.elapsed() < duration {
        let seed = random_seed().map_err(Failure::platform)?;
        let started = Instant::now();
        let invocation = Invocation { handler, request };
        let report = runtime.block_on(lode_sandbox::run(
            &snapshot,
            &invocation,
            &arguments.limits,
            seed,
            &host,
        ));
        tally.add(started.elapsed(), lode_worker::outcome_name(&report.outcome));
    }
    Ok(tally.row("sandbox alone, one thread", began.elapsed()))
}

async fn load(
    arguments: &Arguments,
    sources: Vec<Source>,
    request: Arc<str>,
    duration: Duration,
) -> Result<Vec<Row>, Failure> {
    let directory = super::Directory::new();
    let mut config = directory.config()?;
    if let Some(children) = arguments.children {
        config.max_children = children.max(1);
    }
    config.min_children = config.max_children;
    config.allowed_missing = arguments.allow_degraded_lockdown.clone();
    let master = Master::start(config, Broker::default()).await.map_err(Failure::platform)?;

    let stop = super::stop_signal()?;
    if arguments.hostile == 100 {
        let row = soak::run(&master, arguments, request, duration, stop).await?;
        master.drain(Duration::from_secs(5)).await;
        return Ok(vec![row]);
    }
    let good = AppName::from("good");
    deploy(&master, &good, sources.clone(), arguments).await?;
    let handlers = master.handlers(&good).unwrap_or_default();
    let handler = u32::try_from(app::select(&handlers, arguments.hook.as_deref())?)
        .map_err(Failure::platform)?;
    let flood = AppName::from("flood");
    if arguments.flood > 0 {
        deploy(&master, &flood, sources, arguments).await?;
    }
    let mut bad = Vec::new();
    if arguments.hostile > 0 {
        for (name, text) in BESIDE {
            let name = AppName::from(name);
            deploy(&master, &name, vec![Source::entry("hostile.js", text)], arguments).await?;
            bad.push(name);
        }
    }

    let good = Load { master: master.clone(), app: good, handler, request, stop };
    let (tally, _, took) = good.drive(arguments.concurrency, duration, &[], 0).await?;
    let mut rows = vec![tally.row("worker", took)];
    if arguments.hostile > 0 {
        let hostile = usize::from(arguments.hostile);
        let driven = good.drive(arguments.concurrency, duration, &bad, hostile).await?;
        let (beside, hostile, took) = driven;
        rows.push(beside.row("worker, beside hostile apps", took));
        rows.push(hostile.row("hostile apps", took));
    }
    if arguments.flood > 0 {
        let flood = Load { app: flood, ..good.clone() };
        let many = arguments.concurrency * arguments.flood;
        let (calm, flooding) = tokio::join!(
            good.drive(arguments.concurrency, duration, &[], 0),
            flood.drive(many, duration, &[], 0)
        );
        let ((calm, _, took), (flooding, ..)) = (calm?, flooding?);
        rows.push(calm.row("worker, beside a flood", took));
        rows.push(flooding.row("the flood", took));
    }
    master.drain(Duration::from_secs(5)).await;
    Ok(rows)
}

/// What the load asks for.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) master: Master,
    pub(super) app: AppName,
    pub(super) handler: u32,
    pub(super) request: Arc<str>,
    /// Asks for an early end of this and all that would follow.
    pub(super) stop: Arc<AtomicBool>,
}

impl Load {
    pub(super) async fn once(&self) -> (Duration, Report) {
        let task = Task {
            app: self.app.clone(),
            handler: self.handler,
            request: self.request.clone(),
            deadline: Instant::now() + Duration::from_secs(10),
            limits: None,
            deployment: None,
            origin: Arc::default(),
        };
        let started = Instant::now();
        let report = self.master.run(task).await;
        (started.elapsed(), report)
    }

    /// Keeps `concurrency` tasks under way for `duration`. For every hundred of them and of hostile
    /// ones together, `hostile` are hostile, and nobody waits for those before going on. Returns both
    /// tallies, and how long it took.
    async fn drive(
        &self,
        concurrency: usize,
        duration: Duration,
        bad: &[AppName],
        hostile: usize,
    ) -> Result<(Tally, Tally, Duration), Failure> {
        let next = Arc::new(AtomicUsize::new(0));
        let ill = Arc::new(Mutex::new(Tally::default()));
        let began = Instant::now();
        let clients: Vec<_> = (0..concurrency.max(1))
            .map(|_| {
                let (load, next, ill) = (self.clone(), next.clone(), ill.clone());
                let bad = bad.to_vec();
                tokio::spawn(async move {
                    let mut well = Tally::default();
                    while began.elapsed() < duration && !load.stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        // 37 is prime to 100: hostile ones are spread evenly over each hundred.
                        if number * 37 % 100 < hostile {
                            let app = bad[number / 7 % bad.len()].clone();
                            let (load, ill) =
                                (Self { app, handler: 0, ..load.clone() }, ill.clone());
                            tokio::spawn(async move {
                                let (latency, report) = load.once().await;
                                let mut ill = ill.lock().unwrap_or_else(PoisonError::into_inner);
                                ill.add(latency, lode_worker::outcome_name(&report.outcome));
                            });
                            continue;
                        }
                        let (latency, report) = load.once().await;
                        well.add(latency, lode_worker::outcome_name(&report.outcome));
                        if report.overload.is_some() {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                    well
                })
            })
            .collect();
        let mut well = Tally::default();
        for client in clients {
            well.merge(client.await.map_err(Failure::platform)?);
        }
        let ill = std::mem::take(&mut *ill.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((well, ill, began.elapsed()))
    }
}

async fn deploy(
    master: &Master,
    name: &AppName,
    sources: Vec<Source>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let built = master
        .build(sources, deploy_limits())
        .await
        .map_err(|error| Failure { message: error.to_string(), code: exit::SCRIPT })?;
    deploy_built(master, name, &built, arguments)
}

pub(super) fn deploy_built(
    master: &Master,
    name: &AppName,
    built: &Built,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let settings = AppSettings {
        name: name.clone(),
        limits: arguments.limits.clone(),
        quota: Quota { concurrency: arguments.concurrency.max(16), ..Quota::default() },
        trust_group: None,
        context: AppContext::new(&**name),
    };
    master.deploy(settings, built).map_err(Failure::platform)?;
    Ok(())
}
