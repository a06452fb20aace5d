//! `lode run`: one run with no server.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use lode_sandbox::{
    BuildError, Engine, EngineOptions, Host, HostCall, HostError, HostReply, Invocation, Limits,
    Recording, Report, Snapshot, Source, deploy_limits, random_seed,
};

use crate::report::{self, Timing};
use crate::{Failure, app, exit, limits};

#[derive(Args)]
pub(crate) struct Arguments {
    /// A script, or a folder in Kinvey's layout or of modules.
    path: PathBuf,
    /// The handler: `onPreSave`, `orders/onPreSave`, an endpoint's name, or `file#function`.
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// The request as a JSON object (body, params, headers, entityId, …), or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Answers to host calls: a JSON object from a call's name to its result.
    #[arg(long, value_name = "FILE")]
    replies: Option<PathBuf>,
    #[arg(long, value_name = "LIMITS", default_value = "", hide_default_value = true,
        value_parser = limits::parse, help = limits::HELP)]
    limits: Limits,
    /// Run this many times, each in a fresh sandbox.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Count the run's exact cost.
    #[arg(long)]
    metered: bool,
    /// Write a recording of the run.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["repeat", "replay"])]
    record: Option<PathBuf>,
    /// Run a recording again instead of a request, and compare the outcomes.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["repeat", "request", "hook", "replies"])]
    replay: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The outside of a run on the command line: real time, and prepared answers.
#[derive(Default)]
pub(crate) struct CommandLine {
    replies: serde_json::Map<String, serde_json::Value>,
}

impl Host for CommandLine {
    async fn call(&self, call: HostCall) -> HostReply {
        let reply = self.replies.get(&call.name).ok_or_else(|| HostError {
            name: "NotAvailableError".into(),
            message: format!(
                "nothing answers `{}` here: give `lode run` a file with --replies",
                call.name.escape_debug()
            ),
        })?;
        serde_json::value::to_raw_value(reply)
            .map_err(|e| HostError { name: "Error".into(), message: e.to_string() })
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let sources = app::load(&arguments.path)?;
    let recording = arguments.replay.as_deref().map(read_recording).transpose()?;
    let request = read_request(arguments.request.as_deref())?;
    let host = CommandLine { replies: read_replies(arguments.replies.as_deref())? };

    // A recording with a cost can only be compared on an engine that counts.
    let metering = arguments.metered || recording.as_ref().is_some_and(|r| r.cost.is_some());
    let engine = Engine::new(EngineOptions { metering, ..EngineOptions::default() })
        .map_err(Failure::platform)?;
    let started = Instant::now();
    let (snapshot, build_logs) = Snapshot::build(&engine, &sources, &deploy_limits());
    let deploy = started.elapsed();
    let snapshot = snapshot.map_err(|error| build_failure(&error, &sources))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Failure::platform)?;
    let (report, timing) = runtime.block_on(async {
        if let Some(recording) = &recording {
            replay(recording, &snapshot, arguments).await
        } else {
            let handler = app::select(snapshot.handlers(), arguments.hook.as_deref())?;
            let invocation = Invocation { handler, request: &request };
            repeat(&snapshot, &invocation, &host, arguments).await
        }
    })?;
    let timing = Timing { deploy, ..timing };
    if arguments.json {
        report::json(&report, &build_logs, &timing);
    } else {
        report::human(&report, &build_logs, &timing, &sources);
    }
    Ok(report::exit_code(&report.outcome))
}

async fn repeat(
    snapshot: &Snapshot,
    invocation: &Invocation<'_>,
    host: &CommandLine,
    arguments: &Arguments,
) -> Result<(Report, Timing), Failure> {
    let seed = || random_seed().map_err(Failure::platform);
    let limits = &arguments.limits;
    if let Some(path) = &arguments.record {
        let started = Instant::now();
        let (report, recording) =
            Recording::record(snapshot, invocation, limits, seed()?, host).await;
        let times = vec![started.elapsed()];
        let recording =
            recording.ok_or_else(|| Failure::usage("there is no such handler to record"))?;
        let text = serde_json::to_string_pretty(&recording).map_err(Failure::platform)?;
        std::fs::write(path, text)
            .map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
        return Ok((report, Timing { deploy: Duration::ZERO, times }));
    }
    let mut times = Vec::new();
    loop {
        let started = Instant::now();
        let report = lode_sandbox::run(snapshot, invocation, limits, seed()?, host).await;
        times.push(started.elapsed());
        if times.len() >= arguments.repeat as usize {
            return Ok((report, Timing { deploy: Duration::ZERO, times }));
        }
    }
}

async fn replay(
    recording: &Recording,
    snapshot: &Snapshot,
    arguments: &Arguments,
) -> Result<(Report, Timing), Failure> {
    let started = Instant::now();
    let (result, report) = recording.replay(snapshot, &arguments.limits).await;
    let times = vec![started.elapsed()];
    result.map_err(|e| Failure::usage(e.to_string()))?;
    if recording.cost.is_some() && recording.cost != report.usage.cost {
        return Err(Failure::usage(format!(
            "the outcome is the recorded one, but its cost is {:?} and was {:?}",
            report.usage.cost, recording.cost
        )));
    }
    Ok((report, Timing { deploy: Duration::ZERO, times }))
}

pub(crate) fn build_failure(error: &BuildError, sources: &[Source]) -> Failure {
    let code = match error {
        BuildError::Limit(_) => exit::LIMIT,
        BuildError::NeverSettles => exit::NEVER_COMPLETED,
        BuildError::NoHandler => exit::USAGE,
        BuildError::Platform(_) => exit::PLATFORM,
        _ => exit::SCRIPT,
    };
    let message = match error {
        BuildError::Syntax(script) | BuildError::Script(script) | BuildError::TopLevel(script) => {
            report::script_error(script, sources)
        }
        other => other.to_string(),
    };
    Failure { message, code }
}

pub(crate) fn read_request(path: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = path else { return Ok("{}".into()) };
    let (name, text) = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| Failure::usage(format!("cannot read standard input: {e}")))?;
        ("standard input".to_owned(), text)
    } else {
        (path.display().to_string(), app::read(path)?)
    };
    object(&name, &text)?;
    Ok(text)
}

fn read_replies(
    path: Option<&Path>,
) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    match path {
        Some(path) => object(&path.display().to_string(), &app::read(path)?),
        None => Ok(serde_json::Map::new()),
    }
}

fn object(name: &str, text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!(
            "{name}:{}:{}: not a JSON object: {error}",
            error.line(),
            error.column()
        ))
    })
}

fn read_recording(path: &Path) -> Result<Recording, Failure> {
    serde_json::from_str(&app::read(path)?)
        .map_err(|e| Failure::usage(format!("{}: not a recording: {e}", path.display())))
}
