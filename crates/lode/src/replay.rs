//! `lode replay`: a failed run of a server, again, on this machine.

use std::path::PathBuf;

use clap::Args;
use lode_sandbox::{Engine, EngineOptions, Limits, Recording, Snapshot, Source, deploy_limits};
use serde_json::Value;

use crate::client::Server;
use crate::report::{self, Timing};
use crate::{Failure, apps};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The run: the id of its API request (`X-Kinvey-Request-ID`). Without one, those that are kept are
    /// listed, newest first.
    run: Option<String>,
    /// The app's key.
    #[arg(long, value_name = "KEY")]
    app: String,
    /// Write the recording too, for `lode run --replay`.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let client = arguments.server.client()?;
    let app = apps::segment(&arguments.app);
    let Some(run) = &arguments.run else {
        for run in client.get(&format!("/admin/apps/{app}/runs"))?.as_array().into_iter().flatten()
        {
            println!("{}", run.as_str().unwrap_or_default());
        }
        return Ok(0);
    };
    let kept = client.get(&format!("/admin/apps/{app}/runs/{}", apps::segment(run)))?;
    let number = kept["deployment"].as_u64();
    let number = number.ok_or_else(|| Failure::usage("the run belongs to no deployment"))?;
    let deployment = client.get(&format!("/admin/apps/{app}/deployments/{number}"))?;
    let recording: Recording = serde_json::from_value(kept["recording"].clone())
        .map_err(|error| Failure::usage(format!("not a recording: {error}")))?;
    if let Some(path) = &arguments.save {
        std::fs::write(path, kept["recording"].to_string())
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    }
    again(&recording, &sources(&deployment), &limits(&kept["limits"]), arguments.json)
}

fn again(
    recording: &Recording,
    sources: &[Source],
    limits: &Limits,
    json: bool,
) -> Result<u8, Failure> {
    // The cost is that of the run wherever it is counted; servers do not count it.
    let options = EngineOptions { metering: true, ..EngineOptions::default() };
    let engine = Engine::new(options).map_err(Failure::platform)?;
    let (snapshot, logs) = Snapshot::build(&engine, sources, &deploy_limits());
    let snapshot = snapshot.map_err(|error| Failure::usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(Failure::platform)?;
    let started = std::time::Instant::now();
    let (result, again) = runtime.block_on(recording.replay(&snapshot, limits));
    let timing = Timing { deploy: std::time::Duration::ZERO, times: vec![started.elapsed()] };
    if json {
        report::json(&again, &logs, &timing);
    } else {
        report::human(&again, &logs, &timing, sources);
    }
    match result {
        Ok(()) => println!("the outcome is the recorded one"),
        Err(error) => eprintln!("warning: {error}"),
    }
    Ok(report::exit_code(&again.outcome))
}

fn sources(deployment: &Value) -> Vec<Source> {
    let files = deployment["files"].as_array().into_iter().flatten().map(|file| {
        let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
        (text("name"), text("text"))
    });
    Source::deployment(files)
}

fn limits(given: &Value) -> Limits {
    let mut limits = Limits::default();
    let ms = |name: &str| given[name].as_u64().map(std::time::Duration::from_millis);
    // Processor time is this machine's own: a run ended by it ends elsewhere on each.
    limits.cpu = ms("cpuMs").unwrap_or(limits.cpu);
    limits.wall = ms("wallMs").unwrap_or(limits.wall);
    let count = |name: &str| given[name].as_u64();
    limits.memory = count("memory").and_then(|n| n.try_into().ok()).unwrap_or(limits.memory);
    limits.calls = count("calls").and_then(|n| n.try_into().ok()).unwrap_or(limits.calls);
    limits
}
