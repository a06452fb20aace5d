//! Recording a run and running it again: everything that reached the guest, in order.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::{Host, Report, drive};
use crate::outcome::{Limits, Outcome, Usage};
use crate::sandbox::{Event, Invocation, Sandbox, Step};
use crate::snapshot::{Handler, Snapshot};

/// All a run depended on besides its snapshot, and the outcome it had. The same snapshot and recording
/// give the same outcome byte for byte, on every machine of the same architecture.
///
/// Limits of time are the exception: a run ended by `cpu` or `wall` was ended by a clock outside the
/// sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// The snapshot's key: engine digest and source digest.
    pub snapshot: ([u8; 32], [u8; 32]),
    /// The handler that ran.
    pub handler: Handler,
    /// The request, as JSON text.
    pub request: String,
    /// The run's randomness.
    pub seed: [u8; 32],
    /// Its clock at the start, in µs since the Unix epoch.
    pub started_us: u64,
    /// What it was resumed with, and its clock then, in µs since the Unix epoch.
    pub events: Vec<(u64, Event)>,
    /// The outcome's JSON.
    pub outcome: String,
    /// The cost, when the engine metered it.
    pub cost: Option<u64>,
}

/// Why a recording cannot be run again, or went another way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// It was made with another snapshot: other sources, or another engine version.
    OtherSnapshot,
    /// The snapshot has no such handler.
    NoHandler,
    /// The run still waits when the recording ends.
    Unfinished,
    /// The outcome differs: what it is now, as JSON.
    Differs(String),
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherSnapshot => f.write_str(
                "the recording was made with other sources or another version of the engine",
            ),
            Self::NoHandler => f.write_str("the recording's handler is not in this snapshot"),
            Self::Unfinished => f.write_str("the recording ends before the run does"),
            Self::Differs(outcome) => {
                write!(f, "the outcome differs from the recorded one: {outcome}")
            }
        }
    }
}

impl std::error::Error for ReplayError {}

impl Recording {
    /// As [`crate::run`], and records it. No recording comes of an invocation without a handler.
    pub async fn record<H: Host>(
        snapshot: &Snapshot,
        invocation: &Invocation<'_>,
        limits: &Limits,
        seed: [u8; 32],
        host: &H,
    ) -> (Report, Option<Self>) {
        // Whole microseconds, so that the recording's clock is exactly the run's.
        let whole = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let started_us = whole(host.now());
        let mut events = Vec::new();
        let now = Duration::from_micros(started_us);
        let report = drive(snapshot, invocation, limits, seed, host, now, |now, event: &Event| {
            events.push((whole(now), event.clone()));
        })
        .await;
        let handler = snapshot.handlers().get(invocation.handler).cloned();
        let recording = handler.map(|handler| Self {
            snapshot: snapshot.key(),
            handler,
            request: invocation.request.to_owned(),
            seed,
            started_us,
            events,
            outcome: serde_json::to_string(&report.outcome).unwrap_or_default(),
            cost: report.usage.cost,
        });
        (report, recording)
    }

    /// Runs it again. The host is not asked for anything. `Ok` means the outcome was the same.
    pub async fn replay(
        &self,
        snapshot: &Snapshot,
        limits: &Limits,
    ) -> (Result<(), ReplayError>, Report) {
        let nothing = |error: ReplayError| {
            let outcome = Outcome::NeverCompleted;
            (Err(error), Report { outcome, logs: Vec::new(), usage: Usage::default() })
        };
        if snapshot.key() != self.snapshot {
            return nothing(ReplayError::OtherSnapshot);
        }
        let Some(handler) = snapshot.handlers().iter().position(|h| *h == self.handler) else {
            return nothing(ReplayError::NoHandler);
        };
        let mut sandbox = match Sandbox::new(snapshot, limits.clone()) {
            Ok(sandbox) => sandbox,
            Err(outcome) => {
                let report = Report { outcome, logs: Vec::new(), usage: Usage::default() };
                return self.compare(report);
            }
        };
        let invocation = Invocation { handler, request: &self.request };
        let mut step =
            sandbox.start(&invocation, self.seed, Duration::from_micros(self.started_us)).await;
        for (now, event) in &self.events {
            if let Step::Ended(_) = step {
                break;
            }
            step = sandbox.resume(event.clone(), Duration::from_micros(*now)).await;
        }
        let logs = sandbox.take_logs();
        let usage = sandbox.usage();
        match step {
            Step::Ended(outcome) => self.compare(Report { outcome, logs, usage }),
            Step::Waiting { .. } => {
                let report = Report { outcome: Outcome::NeverCompleted, logs, usage };
                (Err(ReplayError::Unfinished), report)
            }
        }
    }

    fn compare(&self, report: Report) -> (Result<(), ReplayError>, Report) {
        let outcome = serde_json::to_string(&report.outcome).unwrap_or_default();
        let same = outcome == self.outcome;
        (if same { Ok(()) } else { Err(ReplayError::Differs(outcome)) }, report)
    }
}
