//! What a run asks of its host, and a driver for hosts that answer with futures.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::{self, Either};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};

use crate::outcome::{Json, Limit, Limits, Outcome, Usage};
use crate::sandbox::{Event, Invocation, Sandbox, Step};
use crate::snapshot::Snapshot;

/// A request from a sandbox to the outside. It waits for its answer; the run's other code goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostCall {
    /// Which call of the run it is: the answer names it.
    pub id: u32,
    /// What is asked for. Hostile text.
    pub name: String,
    /// Its arguments. Hostile, well-formed JSON.
    pub args: Json,
}

/// What a host answers.
pub type HostReply = Result<Json, HostError>;

/// Why a host call failed, as the script sees it: an `Error` with this name and message, which it may
/// catch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostError {
    /// The error's `name`.
    pub name: String,
    /// The error's `message`.
    pub message: String,
}

/// How important a line of log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogLevel {
    /// `console.debug`, `logger.trace`.
    Debug,
    /// `console.log`, `logger.info`.
    Info,
    /// `console.warn`, `logger.warn`.
    Warn,
    /// `console.error`, `logger.error`, `logger.fatal`.
    Error,
}

impl LogLevel {
    pub(crate) fn from_guest(level: i32) -> Self {
        match level {
            0 => Self::Debug,
            2 => Self::Warn,
            3 => Self::Error,
            _ => Self::Info,
        }
    }
}

/// One line a script logged. Hostile text: it may hold control characters and newlines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its level.
    pub level: LogLevel,
    /// Its text.
    pub text: String,
}

impl LogLine {
    /// Bytes a line counts beyond its text, so that empty lines cannot go on for ever.
    pub const OVERHEAD: usize = 16;
}

/// The outside of a run, for [`run`].
pub trait Host {
    /// Answers a host call. Several may be under way at once.
    fn call(&self, call: HostCall) -> impl Future<Output = HostReply>;

    /// Waits. On most runtimes: their `sleep`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// The time since the Unix epoch that the script is told. It stands still while the script runs.
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A finished run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its one answer.
    pub outcome: Outcome,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// What it used.
    pub usage: Usage,
}

/// A seed from the operating system's random source.
pub fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let filled = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    // The kernel fills up to 256 bytes whole once its generator is ready, for which it waits.
    debug_assert_eq!(filled, seed.len());
    Ok(seed)
}

/// Runs one handler in a fresh sandbox until it ends. `seed` is all its randomness: a new one from
/// [`random_seed`] for every run, or two runs repeat each other.
///
/// Dropping the future ends the run.
pub async fn run<H: Host>(
    snapshot: &Snapshot,
    invocation: &Invocation<'_>,
    limits: &Limits,
    seed: [u8; 32],
    host: &H,
) -> Report {
    drive(snapshot, invocation, limits, seed, host, host.now(), |_, _| ()).await
}

/// As [`run`], with the run's clock starting at `now` and every resumption shown to `observe`.
pub(crate) async fn drive<H: Host>(
    snapshot: &Snapshot,
    invocation: &Invocation<'_>,
    limits: &Limits,
    seed: [u8; 32],
    host: &H,
    now: Duration,
    mut observe: impl FnMut(Duration, &Event),
) -> Report {
    let started = Instant::now();
    let mut sandbox = match Sandbox::new(snapshot, limits.clone()) {
        Ok(sandbox) => sandbox,
        Err(outcome) => return Report { outcome, logs: Vec::new(), usage: Usage::default() },
    };
    let mut answers = FuturesUnordered::new();
    let mut step = sandbox.start(invocation, seed, now).await;
    let outcome = loop {
        let timer = match step {
            Step::Ended(outcome) => break outcome,
            Step::Waiting { calls, timer } => {
                for call in calls {
                    let id = call.id;
                    answers.push(async move { (id, host.call(call).await) });
                }
                timer
            }
        };
        let left = limits.wall.saturating_sub(started.elapsed());
        let due = timer.map(|due| due.saturating_sub(host.now()));
        let sleep = host.sleep(due.unwrap_or(left).min(left));
        let answer = if answers.is_empty() {
            sleep.await;
            None
        } else {
            // Answers first: a sleep that is over at once must not keep them out.
            match future::select(answers.next(), pin!(sleep)).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => None,
            }
        };
        if started.elapsed() >= limits.wall {
            break Outcome::Limit { limit: Limit::Wall };
        }
        let event = match answer {
            Some((call, reply)) => Event::Reply { call, reply },
            None => Event::Timers,
        };
        let now = host.now();
        observe(now, &event);
        step = sandbox.resume(event, now).await;
    };
    let logs = sandbox.take_logs();
    Report { outcome, logs, usage: sandbox.usage() }
}
