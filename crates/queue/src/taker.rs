//! The side that runs: takes tasks out of the queue and answers them.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{RedisError, Value};
use tokio::sync::oneshot;

use crate::batches::Batches;
use crate::entries::{self, Entry};
use crate::host::{Host, Inner, text};
use crate::keys::{self, APPS, GROUP, LANES, LOAD};
use crate::link::{BLOCK, Failure, Reader, Script};
use crate::message::Message;
use crate::replies;
use crate::settle::{PATIENCE, Settle, Settled};
use crate::task::{Taken, Ticket};

/// Tasks taken from one lane at once at most.
const MOST_AT_ONCE: usize = 64;

/// How long whoever has no lease waits before the next attempt at one.
const AGAIN: Duration = Duration::from_millis(50);

/// Tasks in hand, by lane and id, each with what hears that its caller waits no more; `None` once it has.
type Held = Mutex<HashMap<(&'static str, String), Option<oneshot::Sender<()>>>>;

/// Takes tasks in a [`Host`]'s name. One per host.
pub struct Taker {
    answerer: Answerer,
    reader: Reader,
    /// Lanes that had something when last read.
    busy: usize,
    /// Lanes in which this host may have been given more than it has seen, and up to where it has looked.
    behind: Vec<(&'static str, String)>,
}

/// Answers what a [`Taker`] took. Cheap to clone.
#[derive(Clone)]
pub struct Answerer {
    host: Arc<Inner>,
    held: Arc<Held>,
    settle: Batches<Settle>,
}

impl Taker {
    /// Of this host.
    pub fn new(host: &Host) -> Self {
        let host = host.inner.clone();
        let settle = Batches::new(host.link.clone(), Settle::new(host.link.clone()));
        let held = Arc::<Held>::default();
        tokio::spawn(replies::listen(Arc::downgrade(&host), Arc::downgrade(&held), withdraw));
        let answerer = Answerer { host, held, settle };
        Self { answerer, reader: Reader::default(), busy: 1, behind: Vec::new() }
    }

    /// What answers its tasks.
    pub fn answerer(&self) -> Answerer {
        self.answerer.clone()
    }

    /// About `room` tasks, or what there is; none when a second has gone by without any, the queue
    /// cannot be reached, or this host has no lease. Whoever takes a task must [answer](Answerer::answer) it or
    /// [give it up](Answerer::give_up).
    pub async fn take(&mut self, room: usize) -> Vec<Taken> {
        let mut given = Vec::new();
        let Self { answerer: Answerer { host, .. }, reader, behind, .. } = self;
        if host.is_fenced() {
            // The first of a new one is to renew the lease.
            reader.close();
        }
        let Some((_, is_new)) = reader.connection(&host.link).await else { return given };
        if is_new {
            // A Redis that was restarted knows nothing of this host's lease. What was given without one would
            // be given up as soon as that is noticed.
            if let Err(failure) = host.renew().await {
                tracing::debug!(?failure, "the lease is not renewed yet");
                reader.close();
                tokio::time::sleep(AGAIN).await;
                return given;
            }
            // What was given through a connection that broke before it arrived is still this host's.
            *behind = LANES.map(|lane| (lane, "0".to_owned())).into();
        }
        // COUNT is per lane; how many lanes have something is guessed from the last time.
        let count = (room / self.busy).clamp(1, MOST_AT_ONCE);
        let fences = host.fences();
        loop {
            let is_behind = !self.behind.is_empty();
            let value = match self.read(count).await {
                Ok(value) => value,
                Err(error) => {
                    self.failed(&error).await;
                    return given;
                }
            };
            // What arrived without a lease is not begun: others have answered it, or it is read again with one.
            let host = &self.answerer.host;
            if host.is_fenced() || host.fences() != fences {
                self.reader.close();
                return given;
            }
            let streams = entries::streams(value);
            if is_behind {
                // Those that have been read to their ends are behind no more.
                self.behind.retain_mut(|(lane, seen)| {
                    let list = streams.iter().find(|(name, _)| name == lane);
                    let last = list.and_then(|(_, list)| list.last());
                    last.inspect(|last| seen.clone_from(&last.id)).is_some()
                });
            } else {
                self.busy = streams.iter().filter(|(_, list)| !list.is_empty()).count().max(1);
            }
            for (name, list) in streams {
                let Some(lane) = LANES.into_iter().find(|lane| *lane == name) else { continue };
                for entry in list {
                    given.extend(self.receive(lane, entry));
                }
            }
            // All that was read of what it had been given may be in hand.
            if !is_behind || !given.is_empty() {
                return given;
            }
        }
    }

    /// The next of what this host has been given and may not have seen; when that is all, of what is new.
    async fn read(&mut self, count: usize) -> Result<Value, RedisError> {
        let Some(connection) = self.reader.open() else { return Ok(Value::Nil) };
        let mut ask = redis::cmd("XREADGROUP");
        ask.arg("GROUP").arg(GROUP).arg(&self.answerer.host.name).arg("COUNT").arg(count);
        if self.behind.is_empty() {
            ask.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS").arg(&LANES);
            ask.arg(&[">"; LANES.len()]);
        } else {
            ask.arg("STREAMS");
            ask.arg(self.behind.iter().map(|(lane, _)| *lane).collect::<Vec<_>>());
            ask.arg(self.behind.iter().map(|(_, seen)| seen.as_str()).collect::<Vec<_>>());
        }
        ask.query_async(connection).await
    }

    async fn failed(&mut self, error: &RedisError) {
        let Self { answerer: Answerer { host, .. }, reader, .. } = self;
        if error.code() != Some("NOGROUP") {
            return reader.broke(&host.link, error).await;
        }
        tracing::warn!("the queue was emptied: its groups are made again");
        let Some(connection) = reader.open() else { return };
        match host.link.make_groups(connection).await {
            // And reads again as from a new one.
            Ok(()) => reader.close(),
            Err(error) => reader.broke(&host.link, &error).await,
        }
    }

    fn receive(&self, lane: &'static str, entry: Entry) -> Option<Taken> {
        let Answerer { host, held, .. } = &self.answerer;
        let Entry { id, mut fields } = entry;
        if fields.is_deleted() {
            let host = host.clone();
            // Deleted by hand, or by a failover: nothing is left of it but that it was given.
            tokio::spawn(async move {
                let until = Instant::now() + PATIENCE;
                if let Ok(mut connection) = host.link.connection(until).await {
                    let mut forget = redis::cmd("XACK");
                    forget.arg(lane).arg(GROUP).arg(id);
                    let _ = forget.query_async::<()>(&mut connection).await;
                }
            });
            return None;
        }
        let (leaves, withdrawn) = oneshot::channel();
        match held.lock().unwrap_or_else(PoisonError::into_inner).entry((lane, id.clone())) {
            Slot::Occupied(_) => return None,
            Slot::Vacant(slot) => slot.insert(Some(leaves)),
        };
        let app: Arc<str> = fields.text("a").unwrap_or_default().into();
        let payload = fields.take("p").unwrap_or_default();
        let deadline_ms = fields.text("d").and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let ticket = Ticket {
            lane,
            app: app.clone(),
            host: fields.text("h").unwrap_or_default(),
            number: fields.text("n").unwrap_or_default(),
            deadline_ms,
            bytes: payload.len(),
            id,
        };
        let waited = host.link.redis_ms(Instant::now()) - entries::made_ms(&ticket.id);
        let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
        host.metrics.waited(waited);
        let Some(deadline) = host.link.instant(deadline_ms) else {
            let answerer = self.answerer();
            tokio::spawn(async move { answerer.settle(ticket, "expired", &[]).await });
            return None;
        };
        Some(Taken { app, deadline, payload, waited, withdrawn, ticket })
    }
}

/// A caller waits no more for a task. One that is not in hand has just been answered, or is about to arrive: that one
/// goes on to its end.
fn withdraw(_: &Inner, held: &Held, message: &Message<'_>) {
    let entry = String::from_utf8_lossy(message.payload);
    let Some((lane, id)) = entry.split_once(' ') else { return };
    let Some(lane) = LANES.into_iter().find(|name| *name == lane) else { return };
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(leaves) = held.get_mut(&(lane, id.to_owned())).and_then(Option::take) {
        // Whoever had it may be answering it in this moment.
        let _ = leaves.send(());
    }
}

impl std::fmt::Debug for Taker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taker").field("host", &self.answerer.host.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Answerer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answerer").field("host", &self.host.name).finish_non_exhaustive()
    }
}

impl Answerer {
    /// Brings a task's answer home, through breaks of the connection. Returns whether it was the task's
    /// answer: not, if the task was answered as lost because this host's lease had ended.
    pub async fn answer(&self, ticket: Ticket, payload: &[u8]) -> bool {
        self.settle(ticket, "answer", payload).await
    }

    /// Answers a task as lost that this host had begun and given up, or whose caller waits no more. Until then it
    /// stays in hand: Redis still has it down as this host's, and must not give it to it again.
    pub async fn give_up(&self, ticket: Ticket) {
        self.settle(ticket, "lost", &[]).await;
    }

    /// Puts a task back that this host was given and has not begun: another may have room for it. One that its
    /// caller has taken back meanwhile is answered as expired.
    pub async fn hand_back(&self, ticket: Ticket, payload: &[u8]) {
        let deadline = ticket.deadline_ms.to_string();
        let weight = keys::weight(ticket.bytes).to_string();
        let args: [&[u8]; 7] = [
            ticket.id.as_bytes(),
            ticket.host.as_bytes(),
            ticket.number.as_bytes(),
            ticket.app.as_bytes(),
            deadline.as_bytes(),
            payload,
            weight.as_bytes(),
        ];
        let moved = keys::moved(&ticket.host, &ticket.number);
        let replies = keys::replies(&ticket.host);
        let keys = [ticket.lane, &moved, APPS, LOAD, &replies];
        let (link, keys, args) = (&self.host.link, &keys, &args);
        self.done_with(&ticket, |until| link.run(Script::HandBack, keys, args, until)).await;
    }

    /// How many tasks are taken and not answered.
    pub fn held(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn settle(&self, ticket: Ticket, how: &str, payload: &[u8]) -> bool {
        let message = Message { name: &ticket.number, how, payload }.bytes();
        let settled = &Arc::new(Settled { ticket, message });
        let settle = &self.settle;
        let run = |until| async move { settle.run(settled, until).await };
        let was_its = self.done_with(&settled.ticket, run).await;
        if !was_its {
            self.host.metrics.dropped.inc();
        }
        was_its
    }

    /// Runs what acknowledges a task, until it has run; then lets the task go. Returns whether the task was
    /// still this host's.
    async fn done_with<R: Future<Output = Result<Value, Failure>>>(
        &self,
        ticket: &Ticket,
        run: impl Fn(Instant) -> R,
    ) -> bool {
        let mut sent_before = false;
        let was_its = loop {
            let why = match run(Instant::now() + PATIENCE).await {
                // Not acknowledged now: by somebody else, or by the first of two attempts.
                Ok(Value::Int(acknowledged)) => break acknowledged == 1 || sent_before,
                Err(Failure::Unknown(_)) => {
                    sent_before = true;
                    continue;
                }
                Ok(why) => text(&why).unwrap_or_default(),
                Err(Failure::NotRun(why)) => why,
                Err(Failure::NotReached) => "Redis cannot be reached".into(),
            };
            tracing::debug!(why, "an answer cannot be brought home yet");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let of = (ticket.lane, ticket.id.clone());
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&of);
        was_its
    }
}
