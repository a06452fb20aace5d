//! Runs test262 twice: in the sandbox, and in the same QuickJS-ng compiled natively. What the engine
//! itself gets wrong is not Lode's; whatever differs between the two is.
#![forbid(unsafe_code)]

mod expected;
mod frontmatter;
mod native;
mod report;
mod sandboxed;
mod suite;
mod verdict;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use lode_sandbox::{Engine, EngineOptions};

use crate::expected::Expected;
use crate::report::Report;
use crate::sandboxed::Sandboxes;
use crate::suite::Suite;
use crate::verdict::Ending;

/// Compares the sandbox with the native engine, test by test. Exits 1 for a difference that
/// expected.txt does not explain.
#[derive(Parser)]
struct Arguments {
    /// A test262 checkout: the folder of `harness/` and `test/`.
    #[arg(long)]
    suite: PathBuf,
    /// Only tests below these folders of `test/`.
    #[arg(long, num_args = 1.., default_values = ["language", "built-ins"])]
    only: Vec<String>,
    /// Only every N-th test.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Processor time for one test, in ms.
    #[arg(long, default_value_t = 10_000)]
    cpu: u64,
    /// Start no test after this many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// The explained differences, in place of this crate's own.
    #[arg(long)]
    expected: Option<PathBuf>,
    /// Where to write the report as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn compare(arguments: &Arguments) -> Result<usize, Box<dyn Error>> {
    let expected = match &arguments.expected {
        Some(path) => Expected::parse(&fs::read_to_string(path)?)?,
        None => Expected::parse(include_str!("../expected.txt"))?,
    };
    let suite = Suite::open(&arguments.suite)?;
    let tests: Vec<PathBuf> =
        suite.tests(&arguments.only)?.into_iter().step_by(arguments.every.max(1)).collect();
    let time = Duration::from_millis(arguments.cpu);
    let sandboxes = Sandboxes::new(Engine::new(EngineOptions::default())?, time)?;
    let (next, report) = (AtomicUsize::new(0), Mutex::new(Report::default()));
    let started = Instant::now();
    let late = || arguments.seconds.is_some_and(|most| started.elapsed().as_secs() >= most);
    let work = || {
        while let Some(file) = tests.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !late()) {
            let variants = match suite.variants(file) {
                Ok(variants) => variants,
                Err(why) => {
                    lock(&report).skip(why);
                    continue;
                }
            };
            for variant in variants {
                let sandboxed = sandboxes.run(&variant);
                let native = native::run(&variant, time * 4)
                    .unwrap_or_else(|error| Ending::Platform(error.to_string()));
                lock(&report).add(&variant, sandboxed, native);
            }
        }
    };
    thread::scope(|scope| -> Result<(), std::io::Error> {
        for _ in 0..arguments.jobs.max(1) {
            // The native engine counts its frames from where it was made.
            thread::Builder::new()
                .stack_size(4 * native::STACK_BYTES + (4 << 20))
                .spawn_scoped(scope, work)?;
        }
        Ok(())
    })?;
    let begun = next.load(Ordering::Relaxed).min(tests.len());
    println!("{begun} of {} files in {:.0} s", tests.len(), started.elapsed().as_secs_f64());
    let mut report = report.into_inner().map_err(|_| "a thread panicked")?;
    let unexplained = report.print(&expected);
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", report.json(&expected)))?;
    }
    Ok(unexplained)
}

fn lock(report: &Mutex<Report>) -> std::sync::MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
