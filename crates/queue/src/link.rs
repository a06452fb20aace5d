//! The connection that scripts run on: made again whenever it breaks, with all they need in place.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, TlsCertificates,
    Value,
};
use tokio::sync::watch;

use crate::keys::{COUNTABLE, GROUP, LANES};
use crate::metrics::Metrics;

/// An answer that takes longer than this is none: the connection is given up. Far above any script's time,
/// below what a client waits for.
pub(crate) const RESPONSE: Duration = Duration::from_secs(2);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);

/// Between two attempts to connect: from the first, doubling, to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long a read waits in Redis for something to come.
pub(crate) const BLOCK: Duration = Duration::from_secs(1);

/// What is known of the queue before it is reached.
#[derive(Clone)]
pub struct Config {
    /// `redis://[user:password@]host[:port][/db]`, or `rediss://…` for TLS.
    pub url: String,
    /// For TLS: certificates (PEM) of authorities to trust instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// Tasks outstanding at most, of all apps: up to 1,048,575.
    pub most_tasks: usize,
    /// Bytes of tasks outstanding at most, below 8 GiB: Redis holds them in memory.
    pub most_bytes: usize,
}

impl Config {
    /// What [`Config::new`] has for [`Config::most_tasks`]: seconds of work for a few dozen processors.
    pub const MOST_TASKS: usize = 100_000;
    /// What it has for [`Config::most_bytes`], in MiB: so many tasks of 2.6 KB.
    pub const MOST_MIB: usize = 256;

    /// With these bounds, and the system's authorities.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            authorities: None,
            most_tasks: Self::MOST_TASKS,
            most_bytes: Self::MOST_MIB << 20,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password in it.
        f.debug_struct("Config").field("most_tasks", &self.most_tasks).finish_non_exhaustive()
    }
}

/// Why the queue cannot be used. Blame: its operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL, or a certificate, is none.
    Config(String),
    /// Redis could not be reached, or refused.
    Refused(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) => write!(f, "the queue's configuration: {why}"),
            Self::Refused(why) => write!(f, "the queue cannot be used: {why}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Why a script has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It did not run: there was no connection in time.
    NotReached,
    /// It did not run.
    NotRun(String),
    /// It may have run.
    Unknown(String),
}

macro_rules! scripts {
    ($($name:ident = [$($file:literal),+]),* $(,)?) => {
        /// The scripts that run in Redis: each is atomic. Each is these files, one behind the other.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Script { $($name),* }

        impl Script {
            const ALL: &[&str] = &[$(concat!($(include_str!(concat!("lua/", $file))),+)),*];
        }
    };
}

scripts! {
    Announce = ["tell.lua", "announce.lua"],
    Enqueue = ["load.lua", "enqueue.lua"],
    HandBack = ["tell.lua", "hand_back.lua"],
    Heartbeat = ["load.lua", "tell.lua", "heartbeat.lua"],
    Reap = ["load.lua", "tell.lua", "reap.lua"],
    Withdraw = ["tell.lua", "withdraw.lua"],
}

/// What each command of a transaction answered.
pub(crate) type Answers = Vec<Result<Value, RedisError>>;

/// The digests by which Redis knows the scripts, in the order of [`Script::ALL`].
#[derive(Clone)]
pub(crate) struct Scripts(Arc<[String]>);

impl Scripts {
    /// A script's run.
    pub(crate) fn run(&self, script: Script, keys: &[&str], args: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.0.get(script as usize)).arg(keys.len()).arg(keys).arg(args);
        command
    }
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    scripts: Scripts,
    /// Counts connections.
    number: u64,
}

pub(crate) struct Link {
    client: Client,
    live: watch::Sender<Option<Live>>,
    /// Redis' clock minus this host's, in ms.
    ahead_ms: AtomicI64,
    metrics: Arc<Metrics>,
}

impl Link {
    /// Connects, and stays connected.
    pub(crate) async fn open(
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, ConnectError> {
        let (tasks, bytes) = COUNTABLE;
        if config.most_tasks > tasks || config.most_bytes > bytes {
            let most = format!("a queue has at most {tasks} tasks and {bytes} bytes");
            return Err(ConnectError::Config(most));
        }
        // Another part of the program may have chosen; the choice is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = match &config.authorities {
            Some(pem) => {
                let certificates =
                    TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(config.url.as_str(), certificates)
            }
            None => Client::open(config.url.as_str()),
        };
        let client = client.map_err(|error| ConnectError::Config(error.to_string()))?;
        let live = watch::Sender::new(None);
        let link = Arc::new(Self { client, live, ahead_ms: AtomicI64::new(0), metrics });
        let first = link.connect(0).await.map_err(|e| ConnectError::Refused(e.to_string()))?;
        link.live.send_replace(Some(first));
        tokio::spawn(keep(Arc::downgrade(&link)));
        Ok(link)
    }

    async fn dial(&self, response: Duration) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(response));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn connect(&self, number: u64) -> Result<Live, RedisError> {
        let mut connection = self.dial(RESPONSE).await?;
        let mut digests = Vec::new();
        for text in Script::ALL {
            let load: String =
                redis::cmd("SCRIPT").arg("LOAD").arg(*text).query_async(&mut connection).await?;
            digests.push(load);
        }
        self.make_groups(&mut connection).await?;
        let before = now_ms();
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await?;
        self.clock(before, seconds * 1000 + micros / 1000);
        Ok(Live { connection, scripts: Scripts(digests.into()), number })
    }

    /// Makes the workers' group in each lane that has none: a new Redis, a flushed one, or one that a
    /// failover left without its last writes.
    pub(crate) async fn make_groups(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), RedisError> {
        for lane in LANES {
            let mut make = redis::cmd("XGROUP");
            // From the beginning: what waited before the group was made is not lost.
            make.arg("CREATE").arg(lane).arg(GROUP).arg("0").arg("MKSTREAM");
            match make.query_async::<()>(connection).await {
                Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets the clock by what Redis said it was, asked at `before` (this host's ms) and answered now.
    pub(crate) fn clock(&self, before: i64, redis_ms: i64) {
        let half = (now_ms() - before) / 2;
        self.ahead_ms.store(redis_ms - before - half, Ordering::Relaxed);
    }

    /// A moment in Redis' time, in ms since 1970.
    pub(crate) fn redis_ms(&self, at: Instant) -> i64 {
        let left = at.saturating_duration_since(Instant::now());
        now_ms()
            + self.ahead_ms.load(Ordering::Relaxed)
            + i64::try_from(left.as_millis()).unwrap_or(i64::MAX / 2)
    }

    /// The moment that Redis calls this; `None` if it is over.
    pub(crate) fn instant(&self, redis_ms: i64) -> Option<Instant> {
        let left = redis_ms - now_ms() - self.ahead_ms.load(Ordering::Relaxed);
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        Some(Instant::now() + Duration::from_millis(left))
    }

    /// Runs a script. Waits for a connection until `until`.
    pub(crate) async fn run(
        &self,
        script: Script,
        keys: &[&str],
        args: &[&[u8]],
        until: Instant,
    ) -> Result<Value, Failure> {
        let mut loaded_again = false;
        loop {
            let mut live = self.ready(until).await?;
            let command = live.scripts.run(script, keys, args);
            match command.query_async::<Value>(&mut live.connection).await {
                // Forgotten (SCRIPT FLUSH): connecting loads them.
                Err(error) if is_forgotten(&error) && !loaded_again => {
                    loaded_again = true;
                    self.broken(live.number, &error);
                }
                ran => return ran.map_err(|error| self.failure(live.number, error)),
            }
        }
    }

    /// Runs commands as one transaction. Answers what each of them answered. Waits for a connection until `until`.
    pub(crate) async fn transact(
        &self,
        commands: impl FnOnce(&Scripts) -> redis::Pipeline,
        until: Instant,
    ) -> Result<Answers, Failure> {
        let mut live = self.ready(until).await?;
        let mut all = commands(&live.scripts);
        // What one command could not do is its own task's trouble.
        all.atomic().ignore_errors();
        let ran = all.query_async::<Answers>(&mut live.connection).await;
        let ran = ran.map_err(|error| self.failure(live.number, error))?;
        // The other commands did what they do, so that it cannot simply run again.
        for error in ran.iter().filter_map(|answer| answer.as_ref().err()) {
            if is_forgotten(error) {
                self.broken(live.number, error);
            }
        }
        Ok(ran)
    }

    /// Opens a channel of its own.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<PubSub, RedisError> {
        let open = async {
            let mut opened = self.client.get_async_pubsub().await?;
            opened.subscribe(channel).await?;
            Ok(opened)
        };
        let opened = tokio::time::timeout(CONNECT, open).await;
        opened.unwrap_or_else(|_| Err((ErrorKind::Io, "Redis is silent").into()))
    }

    /// Whether this user may use a channel: one that may not would hear no answer, and say nothing.
    pub(crate) async fn try_channel(&self, channel: &str) -> Result<(), ConnectError> {
        let refused = |error: RedisError| ConnectError::Refused(error.to_string());
        drop(self.subscribe(channel).await.map_err(refused)?);
        let connection = self.connection(Instant::now() + RESPONSE).await;
        let mut connection =
            connection.map_err(|failure| ConnectError::Refused(format!("{failure:?}")))?;
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg("").query_async(&mut connection).await.map_err(refused)
    }

    /// What an error means for what was sent on this connection.
    fn failure(&self, number: u64, error: RedisError) -> Failure {
        let kind = match error.kind() {
            // Redis refused one of the commands, and so ran none.
            ErrorKind::Server(ServerErrorKind::ExecAbort) => {
                let first = error.clone().into_server_errors();
                let first = first.and_then(|errors| errors.first()?.1.kind());
                ErrorKind::Server(first.unwrap_or(ServerErrorKind::ExecAbort))
            }
            kind => kind,
        };
        match kind {
            // A replica now, or not ready: another connection may find the primary.
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown,
            ) => {
                self.broken(number, &error);
                Failure::NotRun(error.to_string())
            }
            ErrorKind::Server(_) | ErrorKind::Extension => Failure::NotRun(error.to_string()),
            _ => {
                self.broken(number, &error);
                Failure::Unknown(error.to_string())
            }
        }
    }

    /// The connection, for plain commands.
    pub(crate) async fn connection(
        &self,
        until: Instant,
    ) -> Result<MultiplexedConnection, Failure> {
        self.ready(until).await.map(|live| live.connection)
    }

    async fn ready(&self, until: Instant) -> Result<Live, Failure> {
        if let Some(live) = &*self.live.borrow() {
            return Ok(live.clone());
        }
        let mut watched = self.live.subscribe();
        let ready = watched.wait_for(Option::is_some);
        match tokio::time::timeout_at(until.into(), ready).await {
            Ok(Ok(live)) => {
                live.clone().ok_or_else(|| Failure::NotRun("the queue is closed".into()))
            }
            _ => Err(Failure::NotReached),
        }
    }

    /// Another connection broke, so this one may have: what is sent on a broken one cannot be told from what
    /// has run. What is under way on it goes on.
    pub(crate) fn suspect(&self) {
        self.live.send_if_modified(|live| live.take().is_some());
    }

    /// A connection is of no use any more.
    fn broken(&self, number: u64, error: &RedisError) {
        self.live.send_if_modified(|live| {
            let is_this = live.as_ref().is_some_and(|live| live.number == number);
            if is_this {
                tracing::warn!(%error, "the queue's connection broke");
                *live = None;
            }
            is_this
        });
    }
}

/// A connection of its own for reads that wait in Redis, made again when it has broken.
#[derive(Default)]
pub(crate) struct Reader(Option<MultiplexedConnection>);

impl Reader {
    /// The connection, and whether it is a new one; `None`, after a moment, if Redis cannot be reached.
    pub(crate) async fn connection(
        &mut self,
        link: &Link,
    ) -> Option<(&mut MultiplexedConnection, bool)> {
        let is_new = self.0.is_none();
        if is_new {
            match link.dial(BLOCK + RESPONSE).await {
                Ok(connection) => self.0 = Some(connection),
                Err(error) => {
                    tracing::debug!(%error, "Redis cannot be read");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        self.0.as_mut().map(|connection| (connection, is_new))
    }

    /// The connection, if there is one.
    pub(crate) fn open(&mut self) -> Option<&mut MultiplexedConnection> {
        self.0.as_mut()
    }

    /// The next one is a new one.
    pub(crate) fn close(&mut self) {
        self.0 = None;
    }

    /// It broke. Comes back when it is time for another.
    pub(crate) async fn broke(&mut self, link: &Link, error: &RedisError) {
        tracing::debug!(%error, "Redis cannot be read");
        self.close();
        link.suspect();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Connects again whenever the connection is gone, as long as somebody uses the link.
async fn keep(link: std::sync::Weak<Link>) {
    let mut number = 0;
    let Some(mut watched) = link.upgrade().map(|link| link.live.subscribe()) else { return };
    while watched.wait_for(Option::is_none).await.is_ok() {
        number += 1;
        let mut pause = BACK_OFF.0;
        loop {
            let Some(link) = link.upgrade() else { return };
            match link.connect(number).await {
                Ok(live) => {
                    tracing::info!("the queue is connected again");
                    link.metrics.reconnects.inc();
                    link.live.send_replace(Some(live));
                    break;
                }
                Err(error) => tracing::warn!(%error, "the queue cannot be reached"),
            }
            drop(link);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }
}

fn is_forgotten(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// This host's clock, in ms since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2)
}
