//! How the queue and its hosts are, as Redis knows it.

use std::time::{Duration, Instant};

use redis::{RedisError, Value};
use serde::{Deserialize, Serialize};

use crate::entries;
use crate::keys::{self, GROUP, HOSTS, LANES, LOAD};
use crate::link::{Config, ConnectError, Link, now_ms};
use crate::metrics::{BUCKETS, Metrics, quantile};

/// A moment's picture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The queue.
    pub queue: QueueStatus,
    /// The hosts, by name.
    pub hosts: Vec<HostStatus>,
}

/// The queue as a whole. Times in ms.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Tasks that no worker was given: the lag of the consumer group.
    pub waiting: u64,
    /// Tasks that a worker was given and has not answered.
    pub pending: u64,
    /// Bytes of all these.
    pub bytes: u64,
    /// How long ago the oldest of them was enqueued.
    pub oldest_ms: u64,
    /// How long tasks waited in the last minute: the median; `None` if there were none.
    pub wait_p50_ms: Option<f64>,
    /// The 95th percentile.
    pub wait_p95_ms: Option<f64>,
    /// The 99th.
    pub wait_p99_ms: Option<f64>,
}

/// One host.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// `api` or `worker`.
    pub kind: String,
    /// Its program's version.
    pub version: String,
    /// Children of its Work Master.
    pub children: u64,
    /// Runs under way.
    pub running: u64,
    /// Tasks that it has and has not begun.
    pub waiting: u64,
    /// When it joined, in its own ms since 1970.
    pub since_ms: i64,
    /// How long its lease goes on, in ms; 0 if it has ended.
    pub lease_ms: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Known {
    version: String,
    since_ms: i64,
    children: u64,
    running: u64,
    waiting: u64,
    waits: Vec<u32>,
}

/// Looks at a queue, without joining it.
pub struct Watch {
    link: std::sync::Arc<Link>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(config: &Config) -> Result<Self, ConnectError> {
        Ok(Self { link: Link::open(config, Metrics::new()).await? })
    }

    /// The state now.
    ///
    /// # Errors
    /// Redis could not be asked: why.
    pub async fn status(&self) -> Result<Status, String> {
        let until = Instant::now() + Duration::from_secs(2);
        let mut connection =
            self.link.connection(until).await.map_err(|failure| format!("{failure:?}"))?;
        let failed = |error: RedisError| error.to_string();
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(HOSTS);
        ask.cmd("GET").arg(LOAD);
        for lane in LANES {
            ask.cmd("XLEN").arg(lane);
            ask.cmd("XPENDING").arg(lane).arg(GROUP);
            ask.cmd("XRANGE").arg(lane).arg("-").arg("+").arg("COUNT").arg(1);
        }
        let mut values: Vec<Value> = ask.query_async(&mut connection).await.map_err(failed)?;
        let lanes = values.split_off(2);
        let load = values.pop().and_then(|value| integer(&value)).unwrap_or(0);
        let (_, bytes) = keys::weighed(load);
        let known: Vec<(String, String)> = values
            .pop()
            .map_or_else(|| Ok(Vec::new()), redis::from_redis_value)
            .map_err(|error| error.to_string())?;
        let mut queue = QueueStatus { bytes, ..QueueStatus::default() };
        let now = self.link.redis_ms(Instant::now());
        for lane in lanes.chunks(3) {
            let all = lane.first().and_then(integer).unwrap_or(0);
            let summary = entries::array(lane.get(1).cloned().unwrap_or(Value::Nil));
            let pending = summary.first().and_then(integer).unwrap_or(0);
            queue.pending += pending;
            queue.waiting += all.saturating_sub(pending);
            let first = entries::array(lane.get(2).cloned().unwrap_or(Value::Nil));
            if let Some(entry) = first.into_iter().next().and_then(entries::entry) {
                let age = u64::try_from(now - entries::made_ms(&entry.id)).unwrap_or(0);
                queue.oldest_ms = queue.oldest_ms.max(age);
            }
        }
        let mut waits = [0_u32; BUCKETS];
        let mut hosts = Vec::new();
        for (name, text) in known {
            let (kind, text) = text.split_once(' ').unwrap_or(("", ""));
            let known: Known = serde_json::from_str(text).unwrap_or_default();
            let left: i64 = redis::cmd("PTTL")
                .arg(keys::lease(&name))
                .query_async(&mut connection)
                .await
                .map_err(failed)?;
            for (all, count) in waits.iter_mut().zip(&known.waits) {
                *all = all.saturating_add(*count);
            }
            hosts.push(HostStatus {
                kind: kind.to_owned(),
                version: known.version,
                children: known.children,
                running: known.running,
                waiting: known.waiting,
                since_ms: known.since_ms,
                lease_ms: u64::try_from(left).unwrap_or(0),
                name,
            });
        }
        hosts.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        queue.wait_p50_ms = quantile(&waits, 0.5);
        queue.wait_p95_ms = quantile(&waits, 0.95);
        queue.wait_p99_ms = quantile(&waits, 0.99);
        Ok(Status { queue, hosts })
    }
}

impl HostStatus {
    /// How long ago it joined.
    pub fn up(&self) -> Duration {
        Duration::from_millis(u64::try_from(now_ms() - self.since_ms).unwrap_or(0))
    }
}

fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}
