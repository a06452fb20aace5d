//! What `lode run` prints.

use std::time::Duration;

use lode_sandbox::{LogLevel, LogLine, Outcome, Report, ScriptError, Source};
use serde_json::json;

use crate::exit;

/// How long things took.
pub(crate) struct Timing {
    /// Building the snapshot.
    pub(crate) deploy: Duration,
    /// Each run, sandbox creation and reset included.
    pub(crate) times: Vec<Duration>,
}

impl Timing {
    /// The time below which `share` of the runs stayed.
    fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort();
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// The exit code that an outcome means.
pub(crate) fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Completed { .. } | Outcome::Continued { .. } => 0,
        Outcome::Error(_) => exit::SCRIPT,
        Outcome::Limit { .. } => exit::LIMIT,
        Outcome::NeverCompleted => exit::NEVER_COMPLETED,
        Outcome::Expired | Outcome::Rejected | Outcome::Platform { .. } => exit::PLATFORM,
    }
}

fn micros(duration: Duration) -> f64 {
    (duration.as_nanos() as f64 / 100.0).round() / 10.0
}

/// One JSON object on stdout.
pub(crate) fn json(report: &Report, build_logs: &[LogLine], timing: &Timing) {
    let mut object = json!({
        "outcome": report.outcome,
        "logs": report.logs,
        "deployLogs": build_logs,
        "usage": report.usage,
        "deployUs": micros(timing.deploy),
        "timeUs": micros(timing.quantile(0.5)),
    });
    if timing.times.len() > 1 {
        object["runs"] = timing.times.len().into();
        object["p99Us"] = micros(timing.quantile(0.99)).into();
    }
    println!("{object}");
}

/// For people.
pub(crate) fn human(report: &Report, build_logs: &[LogLine], timing: &Timing, sources: &[Source]) {
    match &report.outcome {
        Outcome::Completed { status, headers, body, .. } => {
            println!("completed, status {status}");
            for (name, value) in headers {
                println!("{}: {}", printable(name), printable(value));
            }
            print_body(body.as_deref());
        }
        Outcome::Continued { body, .. } => {
            println!("continued");
            print_body(body.as_deref());
        }
        Outcome::Error(error) => println!("error: {}", script_error(error, sources)),
        other => println!("{}", words(other)),
    }
    for line in build_logs.iter().chain(&report.logs) {
        let level = match line.level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        println!("  {level:5} {}", printable(&line.text));
    }
    let usage = &report.usage;
    print!(
        "time {} · cpu {} · memory {:.1} MiB · deploy {}",
        time(timing.quantile(0.5)),
        time(Duration::from_nanos(usage.cpu_ns)),
        usage.memory_peak as f64 / f64::from(1 << 20),
        time(timing.deploy),
    );
    if let Some(cost) = usage.cost {
        print!(" · cost {cost}");
    }
    println!();
    if timing.times.len() > 1 {
        println!(
            "{} runs: p50 {} · p99 {} · fastest {}",
            timing.times.len(),
            time(timing.quantile(0.5)),
            time(timing.quantile(0.99)),
            time(timing.quantile(0.0)),
        );
    }
}

/// How a run ended that did not answer.
pub(crate) fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Error(error) => printable(&error.to_string()),
        Outcome::Limit { limit } => format!("limit: the run exceeded its {limit} limit"),
        Outcome::NeverCompleted => {
            "never completed: the handler returned, nothing is pending, and \
            nobody called response.complete or response.continue"
                .into()
        }
        Outcome::Platform { detail } => format!("platform error: {detail}"),
        other => format!("{other:?}"),
    }
}

fn time(duration: Duration) -> String {
    match micros(duration) {
        us if us < 1000.0 => format!("{us:.1} µs"),
        us => format!("{:.2} ms", us / 1000.0),
    }
}

fn print_body(body: Option<&serde_json::value::RawValue>) {
    let Some(body) = body else { return };
    let pretty = serde_json::from_str::<serde_json::Value>(body.get())
        .and_then(|value| serde_json::to_string_pretty(&value));
    println!("{}", pretty.unwrap_or_else(|_| body.get().to_owned()));
}

/// Hostile text without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(
            |c| {
                if c.is_control() && c != '\n' && c != '\t' {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            },
        )
        .collect()
}

/// An error with its stack, and the line of source it points at.
pub(crate) fn script_error(error: &ScriptError, sources: &[Source]) -> String {
    let mut text = printable(&error.to_string());
    if let Some((file, line, column)) = error.position()
        && let Some(source) = sources.iter().find(|source| source.name == file)
        && let Some(code) = source.text.lines().nth(line.saturating_sub(1) as usize)
    {
        // A minified line is not worth a screen.
        let code: String = code.chars().take(200).collect();
        let gutter = line.to_string();
        text += &format!("\n  {file}:{line}:{column}\n  {gutter} | {}\n", printable(&code));
        if (column as usize) <= code.chars().count() + 1 {
            text += &" ".repeat(gutter.len() + 5 + (column as usize).saturating_sub(1));
            text.push('^');
        }
    }
    if !error.stack.is_empty() {
        text.push('\n');
        text += printable(&error.stack).trim_end();
    }
    text
}
