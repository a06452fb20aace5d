//! `lode`: runs customers' business logic in microsecond sandboxes.
#![forbid(unsafe_code)]

mod app;
mod apps;
mod bench;
mod child;
mod client;
mod dev;
mod doctor;
mod host;
mod init;
mod limits;
mod queue;
mod replay;
mod report;
mod run;
mod serve;
mod status;
mod testing;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

/// A self-hosted, Kinvey-compatible backend whose business logic runs in a microsecond sandbox.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve apps: the API, the worker and the store in one.
    Serve(Box<serve::Arguments>),
    /// Run what API servers put into a queue.
    Worker(Box<worker::Arguments>),
    /// Show a queue's hosts, and what waits.
    Status(status::Arguments),
    /// Serve an app from a folder, and deploy it anew whenever a file changes.
    Dev(Box<dev::Arguments>),
    /// Write a working example app into a new folder.
    Init(init::Arguments),
    /// Run an app's tests, each in a sandbox of its own.
    Test(testing::Arguments),
    /// Run a failed run of a server again, here.
    Replay(replay::Arguments),
    /// Make, list, set up and delete apps of a server.
    #[command(subcommand)]
    App(apps::App),
    /// Deploy an app's scripts to a server.
    Deploy(apps::Deploy),
    /// Make an earlier deployment the active one.
    Rollback(apps::Rollback),
    /// Show what an app's scripts log.
    Logs(apps::Logs),
    /// List, retry and forget runs that are owed: asynchronous and scheduled ones.
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Run one hook or endpoint once, with no server.
    ///
    /// In the sandbox, but in this process, without the lock-down that a server's children have: for your own code.
    Run(Box<run::Arguments>),
    /// Show what this machine offers the sandbox.
    Doctor(doctor::Arguments),
    /// Measure.
    #[command(subcommand)]
    Bench(bench::Bench),
    #[command(hide = true)]
    Child(child::Arguments),
}

/// Exit codes, beside clap's own 2 for usage.
mod exit {
    /// The run was not what was asked for in some way the caller can mend.
    pub(crate) const USAGE: u8 = 2;
    /// The script failed.
    pub(crate) const SCRIPT: u8 = 1;
    /// The run exceeded a limit.
    pub(crate) const LIMIT: u8 = 3;
    /// The run never completed.
    pub(crate) const NEVER_COMPLETED: u8 = 4;
    /// Our own failure.
    pub(crate) const PLATFORM: u8 = 5;
}

/// What a command ends with besides success: a line for stderr, and the exit code.
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: exit::USAGE }
    }

    fn platform(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: exit::PLATFORM }
    }
}

/// Sends what the program traces to standard error: warnings, or as much as `LODE_LOG` says (`error`,
/// `warn`, `info`, `debug`, `trace` or `off`).
fn log_to_stderr() {
    let level = std::env::var("LODE_LOG").ok().and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::WARN))
        .with_writer(std::io::stderr)
        .init();
}

fn main() -> ExitCode {
    // Where it cannot be done, memory stays longer, and that is all.
    let _ = lode_child::lockdown::give_back_large_blocks();
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => {
            log_to_stderr();
            serve::run(&arguments)
        }
        Command::Worker(arguments) => {
            log_to_stderr();
            worker::run(&arguments)
        }
        Command::Status(arguments) => status::run(&arguments),
        Command::Dev(arguments) => {
            log_to_stderr();
            dev::run(&arguments)
        }
        Command::Init(arguments) => init::run(&arguments),
        Command::Test(arguments) => testing::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::App(command) => apps::run(&command),
        Command::Deploy(arguments) => apps::deploy(&arguments),
        Command::Rollback(arguments) => apps::rollback(&arguments),
        Command::Logs(arguments) => apps::logs(&arguments),
        Command::Queue(command) => queue::run(&command),
        Command::Run(arguments) => run::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Bench(bench) => {
            log_to_stderr();
            bench::run(&bench)
        }
        Command::Child(arguments) => return child::run(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
