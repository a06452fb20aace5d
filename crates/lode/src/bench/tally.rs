//! Latencies and outcomes, counted and told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::footprint::Footprint;
use crate::Failure;

/// Latencies and outcomes of one class of tasks.
#[derive(Default)]
pub(super) struct Tally {
    latencies: Vec<Duration>,
    outcomes: BTreeMap<&'static str, usize>,
}

/// One line of the table.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    who: &'static str,
    tasks: usize,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    outcomes: BTreeMap<&'static str, usize>,
    /// What the worker held before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    footprint: Option<[Footprint; 2]>,
}

impl Row {
    pub(super) fn with_footprint(self, before: Footprint, after: Footprint) -> Self {
        Self { footprint: Some([before, after]), ..self }
    }
}

impl Tally {
    pub(super) fn add(&mut self, latency: Duration, outcome: &'static str) {
        self.latencies.push(latency);
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub(super) fn merge(&mut self, part: Self) {
        self.latencies.extend(part.latencies);
        for (outcome, count) in part.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }

    pub(super) fn count(&self, outcome: &str) -> usize {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    pub(super) fn row(mut self, who: &'static str, took: Duration) -> Row {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            let latency = self.latencies.get(index.min(self.latencies.len().saturating_sub(1)));
            latency.map_or(0.0, |latency| latency.as_nanos() as f64 / 1e3)
        };
        Row {
            who,
            tasks: self.latencies.len(),
            per_second: self.latencies.len() as f64 / took.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            outcomes: self.outcomes,
            footprint: None,
        }
    }
}

/// Prints the rows, as JSON or as a table.
pub(super) fn tell(rows: &[Row], json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows).map_err(Failure::platform)?);
        return Ok(());
    }
    println!(
        "{:26} {:>9} {:>10} {:>10} {:>10}  outcomes",
        "", "tasks", "per s", "p50 µs", "p99 µs"
    );
    for row in rows {
        let outcomes: Vec<String> =
            row.outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!(
            "{:26} {:>9} {:>10.0} {:>10.1} {:>10.1}  {}",
            row.who,
            row.tasks,
            row.per_second,
            row.p50_us,
            row.p99_us,
            outcomes.join(", ")
        );
    }
    Ok(())
}
