//! A host in the queue: its lease, who else is there, and what becomes of those that are not any more.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Value;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::keys::{self, APPS, HOSTS, LANES, LEASES, LOAD, REPLIES, TURN};
use crate::link::{Config, ConnectError, Failure, Link, Script, now_ms};
use crate::metrics::Metrics;

/// How long a host counts as alive after it last said so. Its callers wait this long at most for a run that
/// died with it; a pause of a host (a slow disk, a live migration) should be shorter.
pub const LEASE: Duration = Duration::from_secs(3);

/// How often a host says that it is alive: two may be lost.
const BEAT: Duration = Duration::from_millis(900);

/// A worker that could not renew its lease gives up its runs this long before others may think it dead: so
/// that a task which is tried again does not run twice at once.
const MARGIN: Duration = Duration::from_millis(400);

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It asks for runs.
    Api,
    /// It runs.
    Worker,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// What a host says of itself, beside its name and role: shown by [`crate::status`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Children of its Work Master.
    pub children: usize,
    /// Runs under way.
    pub running: usize,
    /// Tasks that it has and has not begun.
    pub waiting: usize,
}

/// What has changed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something of this app: its settings, its deployment, or that it exists.
    App(String),
    /// Anything may have: this host was cut off, or Redis has forgotten what it knew.
    Any,
}

pub(crate) struct Inner {
    pub(crate) name: String,
    role: Role,
    pub(crate) config: Config,
    pub(crate) link: Arc<Link>,
    pub(crate) metrics: Arc<Metrics>,
    version: String,
    since_ms: i64,
    load: Box<dyn Fn() -> Load + Send + Sync>,
    pub(crate) changes: mpsc::UnboundedSender<Change>,
    workers: AtomicUsize,
    /// How often the lease has ended while this host lived.
    fence: watch::Sender<u64>,
    /// It could not be renewed in time, and what was given under it is given up.
    fenced: AtomicBool,
    /// When it was last renewed: the moment of asking, as Redis heard of it later.
    renewed: Mutex<Instant>,
}

/// This process in the queue. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Host {
    /// Joins the queue under a name that no other process has or will have, and keeps its lease until it
    /// [leaves](Self::leave) or ends. `load` is asked each second. Needs a Tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`ConnectError`]: it does not join later by itself.
    pub async fn join(
        config: Config,
        role: Role,
        name: String,
        version: &str,
        load: impl Fn() -> Load + Send + Sync + 'static,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Change>), ConnectError> {
        let metrics = Metrics::new();
        let link = Link::open(&config, metrics.clone()).await?;
        let (changes, changed) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            name,
            role,
            config,
            link,
            metrics,
            version: version.to_owned(),
            since_ms: now_ms(),
            load: Box::new(load),
            changes,
            workers: AtomicUsize::new(0),
            fence: watch::Sender::new(0),
            fenced: AtomicBool::new(false),
            renewed: Mutex::new(Instant::now()),
        });
        let first = inner.beat().await;
        first.map_err(|failure| ConnectError::Refused(format!("{failure:?}")))?;
        inner.link.try_channel(&keys::replies(&inner.name)).await?;
        tokio::spawn(beat(Arc::downgrade(&inner)));
        Ok((Self { inner }, changed))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Workers that are alive, as of the last second.
    pub fn workers(&self) -> usize {
        self.inner.workers.load(Ordering::Relaxed)
    }

    /// Changes whenever this host's lease has ended, or is about to: what it was given is answered as lost
    /// by others, so it must not go on with it.
    pub fn fenced(&self) -> watch::Receiver<u64> {
        self.inner.fence.subscribe()
    }

    /// Tells every API host that something of an app has changed. Hosts that cannot be reached now learn it
    /// when they are back.
    ///
    /// # Errors
    /// Why not, for operators. Hosts notice by themselves within a run of the app.
    pub async fn announce(&self, app: &str) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(5);
        let args: [&[u8]; 2] = [app.as_bytes(), REPLIES.as_bytes()];
        let told = self.inner.link.run(Script::Announce, &[HOSTS], &args, until).await;
        told.map(drop).map_err(|failure| format!("{failure:?}"))
    }

    /// The counters, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.inner.metrics.text()
    }

    /// Ends the lease. Whatever this host was given and has not answered is answered as lost.
    pub async fn leave(&self) {
        let inner = &self.inner;
        let until = Instant::now() + Duration::from_secs(2);
        if let Ok(mut connection) = inner.link.connection(until).await {
            let lease = keys::lease(&inner.name);
            let _ = redis::cmd("DEL").arg(lease).query_async::<()>(&mut connection).await;
        }
        inner.reap(&inner.name).await;
    }
}

impl Inner {
    /// Says that this host is alive. Returns whether its lease had held until now, and who is dead.
    async fn beat(&self) -> Result<(bool, Vec<String>), Failure> {
        let load = (self.load)();
        let known = json!({
            "version": self.version,
            "sinceMs": self.since_ms,
            "children": load.children,
            "running": load.running,
            "waiting": load.waiting,
            "waits": self.metrics.waits.counts(),
        });
        let known = format!("{} {known}", self.role.name());
        let lease = keys::lease(&self.name);
        let replies = keys::replies(&self.name);
        let own = [lease.as_str(), HOSTS, LOAD, TURN, replies.as_str(), APPS];
        let all = [&own, &LANES[..]].concat();
        let ms = LEASE.as_millis().to_string();
        let args: [&[u8]; 4] =
            [self.name.as_bytes(), known.as_bytes(), ms.as_bytes(), LEASES.as_bytes()];
        let (before, asked) = (now_ms(), Instant::now());
        let until = asked + Duration::from_millis(500);
        let Value::Array(answer) = self.link.run(Script::Heartbeat, &all, &args, until).await?
        else {
            return Err(Failure::Unknown("a heartbeat has no answer".into()));
        };
        let mut answer = answer.into_iter();
        let mut number = || match answer.next() {
            Some(Value::Int(number)) => number,
            _ => 0,
        };
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        self.link.clock(before, number());
        let held = number() == 1;
        self.workers.store(usize::try_from(number()).unwrap_or(0), Ordering::Relaxed);
        self.metrics.waiting.set(number());
        if !held {
            // Nobody listens after the process' end only.
            let _ = self.changes.send(Change::Any);
        }
        Ok((held, answer.filter_map(|name| text(&name)).collect()))
    }

    /// Renews the lease. If it had ended, what was given under it is given up. Has the dead answered for, and
    /// does not wait for that: how long it takes is no sign of this host's.
    pub(crate) async fn renew(self: &Arc<Self>) -> Result<(), Failure> {
        let (held, dead) = self.beat().await?;
        if !held {
            // This process stood still, or Redis has forgotten it.
            self.fence("the lease had ended");
        }
        self.fenced.store(false, Ordering::Relaxed);
        if !dead.is_empty() {
            let host = self.clone();
            tokio::spawn(async move {
                for name in dead {
                    host.reap(&name).await;
                }
            });
        }
        Ok(())
    }

    /// Whether it has no lease that it can rely on: it begins nothing.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Relaxed)
    }

    /// How often its lease has ended.
    pub(crate) fn fences(&self) -> u64 {
        *self.fence.borrow()
    }

    fn fence(&self, why: &str) {
        tracing::error!(why, "this host has no lease any more: it gives up what it was given");
        self.fence.send_modify(|count| *count += 1);
    }

    /// Answers what a dead host was given as lost.
    async fn reap(&self, name: &str) {
        let (lease, replies) = (keys::lease(name), keys::replies(name));
        let all = [&[lease.as_str(), HOSTS, LOAD, replies.as_str(), APPS], &LANES[..]].concat();
        let args: [&[u8]; 2] = [name.as_bytes(), REPLIES.as_bytes()];
        let until = Instant::now() + Duration::from_secs(1);
        match self.link.run(Script::Reap, &all, &args, until).await {
            Ok(Value::Int(lost)) if lost >= 0 => {
                self.metrics.reaped.inc_by(u64::try_from(lost).unwrap_or(0));
                if name != self.name || lost > 0 {
                    tracing::warn!(host = name, lost, "a host is gone");
                }
            }
            Ok(_) => {}
            // Another turn will.
            Err(failure) => tracing::warn!(host = name, ?failure, "a dead host is still listed"),
        }
    }
}

async fn beat(inner: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(BEAT).await;
        let Some(inner) = inner.upgrade() else { return };
        match tokio::time::timeout(LEASE - MARGIN - BEAT, inner.renew()).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::warn!(?failure, "the lease was not renewed"),
            Err(_) => {
                tracing::warn!("the lease was not renewed in time");
                // It may be the connection that is silent: the next attempt has another.
                inner.link.suspect();
            }
        }
        let renewed = *inner.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = renewed.elapsed() + BEAT > LEASE - MARGIN;
        if is_late && !inner.fenced.swap(true, Ordering::Relaxed) {
            inner.fence("it could not be renewed");
        }
    }
}

/// A text that Redis sent.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}
