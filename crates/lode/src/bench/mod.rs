//! `lode bench`: drives a worker in this process, with real children, and says what it takes.

mod cold;
mod footprint;
mod hostile;
mod load;
mod queue;
mod soak;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Subcommand;
use lode_worker::master::Config;
use tokio::runtime::Runtime;

use crate::Failure;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Drive a worker with an app's handler, alone and beside hostile apps or a flood.
    Load(Box<load::Arguments>),
    /// Deploy many apps, and run each once: what an idle app costs, and a cold one.
    Cold(cold::Arguments),
    /// Send tasks through a queue in Redis and back.
    Queue(queue::Arguments),
}

pub(crate) fn run(bench: &Bench) -> Result<u8, Failure> {
    match bench {
        Bench::Load(arguments) => load::run(arguments),
        Bench::Cold(arguments) => cold::run(arguments),
        Bench::Queue(arguments) => queue::run(arguments),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::platform)
}

/// Becomes true when this process is asked to end: what is under way is then drained, and told.
fn stop_signal() -> Result<Arc<AtomicBool>, Failure> {
    let asked = crate::serve::stop_signal()?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    tokio::spawn(async move {
        asked.await;
        told.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}

/// Where a worker keeps its snapshots while it is measured.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("lode-bench-{}", std::process::id())))
    }

    fn config(&self) -> Result<Config, Failure> {
        let program = std::env::current_exe().map_err(Failure::platform)?;
        Ok(Config::new(program, self.0.clone()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Only snapshots are in it, and nobody needs them any more.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
