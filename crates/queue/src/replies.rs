//! How a host hears what others tell it: it is pushed through a channel; what was told while that was broken is found in
//! the hash of the channel's name, where all is until this host says that it has read it.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::{ErrorKind, RedisError, Value};
use tokio::sync::mpsc;

use crate::host::Inner;
use crate::keys;
use crate::link::{Failure, RESPONSE};
use crate::message::{KEPT, Message};

/// Messages that have been read and are deleted together: each by itself would be as much work for Redis as its push.
const MOST_READ: usize = 64;

/// Bytes of them, in Redis' memory until then.
const MOST_BYTES: usize = 1 << 20;

/// Messages that a look through the hash asks for at once, about.
const SOME: usize = 64;

/// After so long without a message, what was read is deleted, and the channel is asked whether it is there.
const QUIET: Duration = Duration::from_secs(1);

/// Between two attempts to reach Redis.
const AGAIN: Duration = Duration::from_millis(50);

/// Who is told, and how.
struct Listener<T> {
    host: Weak<Inner>,
    told: Weak<T>,
    tell: fn(&Inner, &T, &Message<'_>),
    /// Takes the names of what was read, and its bytes.
    read: mpsc::UnboundedSender<(String, usize)>,
}

/// Why a channel is not listened to any more.
enum End {
    NobodyListens,
    Broke(String),
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> Self {
        Self::Broke(error.to_string())
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Broke(format!("{failure:?}"))
    }
}

/// Listens for as long as there is somebody to `tell`. One who is told the same twice is to notice.
pub(crate) async fn listen<T: Send + Sync + 'static>(
    host: Weak<Inner>,
    told: Weak<T>,
    tell: fn(&Inner, &T, &Message<'_>),
) {
    let (read, names) = mpsc::unbounded_channel();
    tokio::spawn(delete(host.clone(), names));
    let listener = Arc::new(Listener { host, told, tell, read });
    while let Err(End::Broke(why)) = listener.listen().await {
        tracing::debug!(why, "the channel of answers is opened again");
        if let Some(host) = listener.host.upgrade() {
            host.link.suspect();
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl<T: Send + Sync + 'static> Listener<T> {
    fn host(&self) -> Result<Arc<Inner>, End> {
        self.host.upgrade().ok_or(End::NobodyListens)
    }

    /// Until the channel breaks.
    async fn listen(self: &Arc<Self>) -> Result<Infallible, End> {
        let host = self.host()?;
        let (mut asks, mut pushes) = host.link.subscribe(&keys::replies(&host.name)).await?.split();
        self.look(&host).await?;
        drop(host);
        loop {
            let push = match tokio::time::timeout(QUIET, pushes.next()).await {
                Ok(Some(push)) => push,
                Ok(None) => return Err(End::Broke("it was closed".into())),
                Err(_) => {
                    self.host()?;
                    let there = tokio::time::timeout(RESPONSE, asks.ping::<Value>()).await;
                    there.map_err(|_| End::Broke("it is silent".into()))??;
                    continue;
                }
            };
            let host = self.host()?;
            match Message::parse(push.get_payload_bytes()) {
                Some(message) if message.how == KEPT => {
                    tokio::spawn(self.clone().fetch(message.name.to_owned()));
                }
                Some(message) => self.hear(&host, &message)?,
                None => {}
            }
        }
    }

    fn hear(&self, host: &Inner, message: &Message<'_>) -> Result<(), End> {
        let told = self.told.upgrade().ok_or(End::NobodyListens)?;
        (self.tell)(host, &told, message);
        // The other end goes when the host does.
        let _ = self.read.send((message.name.to_owned(), message.payload.len()));
        Ok(())
    }

    /// Reads all there is in the hash.
    async fn look(&self, host: &Inner) -> Result<(), End> {
        let mut connection = host.link.connection(Instant::now() + RESPONSE).await?;
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(keys::replies(&host.name)).arg(&cursor).arg("COUNT").arg(SOME);
            let (next, found): (String, Vec<(Value, Vec<u8>)>) =
                scan.query_async(&mut connection).await?;
            for message in found.iter().filter_map(|(_, bytes)| Message::parse(bytes)) {
                self.hear(host, &message)?;
            }
            cursor = next;
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// Reads a message that was too long to be pushed.
    async fn fetch(self: Arc<Self>, name: String) {
        while let Some(host) = self.host.upgrade() {
            let mut get = redis::cmd("HGET");
            get.arg(keys::replies(&host.name)).arg(&name);
            if let Ok(mut connection) = host.link.connection(Instant::now() + RESPONSE).await
                && let Ok(found) = get.query_async::<Option<Vec<u8>>>(&mut connection).await
            {
                // None, if all has been looked through meanwhile.
                if let Some(message) = found.as_deref().and_then(Message::parse) {
                    let _ = self.hear(&host, &message);
                }
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Deletes what was read, some at a time.
async fn delete(host: Weak<Inner>, mut read: mpsc::UnboundedReceiver<(String, usize)>) {
    let (mut names, mut bytes) = (Vec::new(), 0);
    loop {
        let next = tokio::time::timeout(QUIET, read.recv()).await;
        let is_quiet = next.is_err();
        match next {
            Ok(Some((name, more))) => {
                names.push(name);
                bytes += more;
            }
            Ok(None) => return,
            Err(_) => {}
        }
        let is_enough = names.len() >= MOST_READ || bytes >= MOST_BYTES || is_quiet;
        if names.is_empty() || !is_enough {
            continue;
        }
        let Some(host) = host.upgrade() else { return };
        let mut delete = redis::cmd("HDEL");
        delete.arg(keys::replies(&host.name)).arg(&names);
        let Ok(mut connection) = host.link.connection(Instant::now() + RESPONSE).await else {
            continue;
        };
        match delete.query_async::<()>(&mut connection).await {
            Err(error) if !matches!(error.kind(), ErrorKind::Server(_)) => {
                tokio::time::sleep(AGAIN).await;
            }
            _ => (names, bytes) = (Vec::new(), 0),
        }
    }
}
