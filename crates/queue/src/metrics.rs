//! What a host counts of the queue, in Prometheus' text format (OpenMetrics 1.0).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// How far back quantiles look.
const WINDOW: Duration = Duration::from_secs(60);
/// The window moves in steps of this.
const STEP: Duration = Duration::from_secs(5);
/// Bucket `n` counts waits of up to 2^n times 100 µs; the last one is 100 µs × 2^21, 3.5 minutes.
pub(crate) const BUCKETS: usize = 22;

/// How long tasks waited of late, in buckets.
#[derive(Default)]
pub(crate) struct Waits(Mutex<VecDeque<(Instant, [u32; BUCKETS])>>);

impl Waits {
    pub(crate) fn add(&self, wait: Duration) {
        let now = Instant::now();
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.back().is_none_or(|(since, _)| now.saturating_duration_since(*since) > STEP) {
            steps.push_back((now, [0; BUCKETS]));
        }
        let units = u64::try_from(wait.as_micros() / 100).unwrap_or(u64::MAX);
        let bucket = usize::try_from(64 - units.leading_zeros()).unwrap_or(BUCKETS);
        if let Some((_, counts)) = steps.back_mut() {
            let count = &mut counts[bucket.min(BUCKETS - 1)];
            *count = count.saturating_add(1);
        }
    }

    /// The last minute's counts.
    pub(crate) fn counts(&self) -> [u32; BUCKETS] {
        let now = Instant::now();
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while steps.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) > WINDOW)
        {
            steps.pop_front();
        }
        let mut sum = [0_u32; BUCKETS];
        for (_, counts) in steps.iter() {
            for (all, count) in sum.iter_mut().zip(counts) {
                *all = all.saturating_add(*count);
            }
        }
        sum
    }
}

/// The wait that `share` (0 to 1) of the tasks did not exceed, in ms: its bucket's upper bound.
pub(crate) fn quantile(counts: &[u32], share: f64) -> Option<f64> {
    let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    if all == 0 {
        return None;
    }
    let wanted = share * all as f64;
    let mut seen = 0;
    for (bucket, count) in counts.iter().enumerate() {
        seen += u64::from(*count);
        if seen as f64 >= wanted {
            return Some(0.1 * 2_f64.powi(i32::try_from(bucket).unwrap_or(i32::MAX)));
        }
    }
    None
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) reconnects: Counter,
    pub(crate) lost: Counter,
    pub(crate) expired: Counter,
    rejected: Family<Why, Counter>,
    pub(crate) reaped: Counter,
    pub(crate) dropped: Counter,
    /// Tasks outstanding, as the last heartbeat found them.
    pub(crate) waiting: Gauge,
    wait: Histogram,
    p95: Gauge<f64, std::sync::atomic::AtomicU64>,
    pub(crate) waits: Waits,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("lode_queue");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let reconnects = counter("reconnects", "Times the connection to Redis was made again");
        let lost = counter("lost", "Tasks answered as lost to callers of this host");
        let expired = counter("expired", "Tasks that were not begun by their deadline");
        let reaped = counter("reaped", "Tasks of dead hosts that this host answered as lost");
        let dropped =
            counter("dropped", "Answers of this host that came after the task had another");
        let rejected = Family::default();
        registry.register("rejected", "Tasks that were not taken in, by reason", rejected.clone());
        let waiting = Gauge::default();
        registry.register("waiting", "Tasks that wait, on all hosts", waiting.clone());
        let wait = Histogram::new(exponential_buckets(0.0001, 2.0, BUCKETS as u16));
        registry.register("wait_seconds", "From a task's enqueuing to its worker", wait.clone());
        let p95 = Gauge::default();
        registry.register(
            "wait_p95_seconds",
            "The wait's 95th percentile in the last minute",
            p95.clone(),
        );
        Arc::new(Self {
            registry,
            reconnects,
            lost,
            expired,
            rejected,
            reaped,
            dropped,
            waiting,
            wait,
            p95,
            waits: Waits::default(),
        })
    }

    /// A task was not taken in.
    pub(crate) fn rejected(&self, why: &'static str) {
        self.rejected.get_or_create(&Why { why }).inc();
    }

    pub(crate) fn waited(&self, wait: Duration) {
        self.wait.observe(wait.as_secs_f64());
        self.waits.add(wait);
    }

    pub(crate) fn text(&self) -> String {
        self.p95.set(quantile(&self.waits.counts(), 0.95).unwrap_or(0.0) / 1000.0);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_upper_bound_of_its_bucket() {
        let waits = Waits::default();
        assert_eq!(quantile(&waits.counts(), 0.95), None);
        for _ in 0..95 {
            waits.add(Duration::from_micros(90));
        }
        for _ in 0..5 {
            waits.add(Duration::from_millis(10));
        }
        let counts = waits.counts();
        assert_eq!(quantile(&counts, 0.95), Some(0.1));
        assert_eq!(quantile(&counts, 0.99), Some(12.8));
        waits.add(Duration::from_secs(100_000));
        assert_eq!(waits.counts()[BUCKETS - 1], 1);
    }
}
