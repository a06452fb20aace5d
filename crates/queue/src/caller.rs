//! The side that asks: puts tasks into the queue and reads their answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Value;
use tokio::sync::oneshot;

use crate::batches::{Batches, Item, Said, Unheard};
use crate::entries::{self, Fields};
use crate::host::{Change, Host, Inner, text};
use crate::keys::{self, APPS, LOAD, REPLIES};
use crate::link::{Failure, Script};
use crate::replies;
use crate::task::{Answer, Rejection, Task};

/// A worker ends a run at its deadline; its answer has this long to arrive.
const TRAVEL: Duration = Duration::from_millis(500);

enum Reply {
    Answered(Vec<u8>),
    Expired,
    Lost,
}

type Pending = Mutex<HashMap<u64, oneshot::Sender<Reply>>>;

/// Asks for runs in a [`Host`]'s name. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    host: Arc<Inner>,
    pending: Arc<Pending>,
    next: Arc<AtomicU64>,
    enqueue: Batches,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("host", &self.host.name).finish_non_exhaustive()
    }
}

impl Caller {
    /// Begins to read answers. One per host.
    pub fn new(host: &Host) -> Self {
        let host = host.inner.clone();
        let pending = Arc::<Pending>::default();
        tokio::spawn(replies::read(Arc::downgrade(&host), Arc::downgrade(&pending), deliver));
        let most = [host.config.most_tasks, host.config.most_bytes];
        let most = most.map(|most| most.to_string().into_bytes());
        let unheard: Unheard = Arc::new({
            let host = host.clone();
            move |item, answer| {
                if let Ok(Entered::In(waiting)) = Entered::of(item, answer) {
                    waiting.leave(host.clone());
                }
            }
        });
        let enqueue = Batches::new(host.link.clone(), Script::Enqueue, Arc::new(most), unheard);
        Self { host, pending, next: Arc::new(AtomicU64::new(1)), enqueue }
    }

    /// Has a task run by some worker, at most once. Comes back by its deadline and a moment. Dropping the
    /// future takes the task back; a worker that has it is told.
    pub async fn call(&self, task: Task) -> Answer {
        let answer = self.ask(task).await;
        let metrics = &self.host.metrics;
        match &answer {
            Answer::Answered(_) => {}
            Answer::Expired => drop(metrics.expired.inc()),
            Answer::Lost(_) => drop(metrics.lost.inc()),
            Answer::Rejected(Rejection::App, _) => metrics.rejected("app"),
            Answer::Rejected(Rejection::Rate, _) => metrics.rejected("rate"),
            Answer::Rejected(Rejection::Queue, _) => metrics.rejected("queue"),
            Answer::Unavailable(_) => metrics.rejected("unavailable"),
        }
        answer
    }

    async fn ask(&self, mut task: Task) -> Answer {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, mut receiver) = oneshot::channel();
        self.pending().insert(number, sender);
        let mut given = Given { caller: self, number, entry: None };
        let known = match self.enqueue(number, &mut task).await {
            Ok(Entered::In(waiting)) => {
                given.entry = Some(waiting);
                true
            }
            Ok(Entered::No(answer)) => return answer,
            Err(Failure::NotReached) => {
                return Answer::Unavailable("the queue cannot be reached".into());
            }
            Err(Failure::NotRun(why)) => return Answer::Unavailable(why),
            // It may be in the queue. Asking again could have it run twice, so its answer is waited for.
            Err(Failure::Unknown(why)) => {
                tracing::debug!(why, "a task may have been taken in");
                false
            }
        };
        let reply = tokio::time::timeout_at(task.deadline.into(), &mut receiver).await;
        let reply = match reply {
            Ok(reply) => reply.ok(),
            Err(_) => {
                if given.take_back().await {
                    return Answer::Expired;
                }
                let until = task.deadline + TRAVEL;
                tokio::time::timeout_at(until.into(), receiver).await.ok().and_then(Result::ok)
            }
        };
        given.entry = None;
        match reply {
            Some(Reply::Answered(payload)) => Answer::Answered(payload),
            Some(Reply::Expired) => Answer::Expired,
            Some(Reply::Lost) => Answer::Lost("its worker is gone"),
            None if known => Answer::Lost("its worker was silent past the deadline"),
            None => Answer::Lost("the queue broke while it was being taken in"),
        }
    }

    async fn enqueue(&self, number: u64, task: &mut Task) -> Result<Entered, Failure> {
        let (app, lane) = (task.app.as_bytes().to_vec(), keys::lane_of(&task.app));
        let deadline_ms = self.host.link.redis_ms(task.deadline).to_string().into_bytes();
        let weight = keys::weight(task.payload.len()).to_string().into_bytes();
        let entry = entries::added(
            &["*"],
            [
                ("h", self.host.name.clone().into_bytes()),
                ("n", number.to_string().into_bytes()),
                ("a", app.clone()),
                ("d", deadline_ms.clone()),
                ("p", std::mem::take(&mut task.payload)),
            ],
        );
        let args = [
            app,
            weight,
            task.most.to_string().into_bytes(),
            task.rate.unwrap_or(0.0).to_string().into_bytes(),
        ];
        let keys = vec![lane.to_owned(), keys::rate(&task.app)];
        let item = Arc::new(Item { stream: lane.to_owned(), entry, keys, args: args.into() });
        // Redis may be slow to answer those before it; whoever waits is not to wait for that as well.
        let until = task.deadline + TRAVEL;
        let entered =
            tokio::time::timeout_at(until.into(), self.enqueue.run(&item, task.deadline)).await;
        let answer = entered.map_err(|_| Failure::Unknown("Redis is silent".into()))??;
        Entered::of(&item, answer)
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Reply>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of putting a task in.
enum Entered {
    In(Waiting),
    No(Answer),
}

impl Entered {
    /// What was answered of the task that `item` puts in.
    fn of(item: &Item, said: Said) -> Result<Self, Failure> {
        let none = || Failure::Unknown("Redis' answer is none".into());
        let answer = match (said.script, said.added) {
            (Value::Array(answer), _) => answer,
            (_, Value::BulkString(id)) => {
                let id = String::from_utf8(id).ok();
                let waiting = id.and_then(|id| Waiting::of(item, id));
                return waiting.map(Self::In).ok_or_else(none);
            }
            (_, why) => return Err(Failure::Unknown(text(&why).unwrap_or_default())),
        };
        let second = answer.get(1);
        let no =
            |rejection, ms| Ok(Self::No(Answer::Rejected(rejection, Duration::from_millis(ms))));
        match (answer.first().and_then(text).as_deref(), second) {
            // What is before it takes about this long: nobody knows exactly.
            (Some("app"), _) => no(Rejection::App, 500),
            (Some("queue"), _) => no(Rejection::Queue, 1000),
            (Some("rate"), Some(Value::Int(ms))) => {
                no(Rejection::Rate, u64::try_from(*ms).unwrap_or(0))
            }
            (Some("broken"), Some(why)) => Err(Failure::Unknown(text(why).unwrap_or_default())),
            _ => Err(none()),
        }
    }
}

/// What it takes to take a task back. Its payload is in Redis only.
struct Waiting {
    lane: String,
    id: String,
    number: Vec<u8>,
    app: Vec<u8>,
    deadline_ms: Vec<u8>,
    weight: Vec<u8>,
}

impl Waiting {
    /// The task that was asked for with `item`, and is in the queue as `id`.
    fn of(item: &Item, id: String) -> Option<Self> {
        let [_, _, _, _, number, _, app, _, deadline_ms, ..] = item.entry.as_slice() else {
            return None;
        };
        let weight = item.args.get(1)?;
        Some(Self {
            lane: item.stream.clone(),
            id,
            number: number.clone(),
            app: app.clone(),
            deadline_ms: deadline_ms.clone(),
            weight: weight.clone(),
        })
    }

    /// Returns whether it will never run. `tell`: where its worker, if one has it, is told; nothing, for nowhere.
    async fn take_back(&self, host: &Inner, tell: &str) -> bool {
        let number = String::from_utf8_lossy(&self.number);
        let moved = keys::moved(&host.name, &number);
        let names = [self.lane.as_str(), APPS, LOAD, &moved];
        let args: [&[u8]; 5] =
            [self.id.as_bytes(), &self.app, &self.weight, &self.deadline_ms, tell.as_bytes()];
        let until = Instant::now() + TRAVEL;
        matches!(host.link.run(Script::Withdraw, &names, &args, until).await, Ok(Value::Int(1)))
    }

    /// Takes the task back in its own time, as nobody waits for it any more.
    fn leave(self, host: Arc<Inner>) {
        tokio::spawn(async move { self.take_back(&host, REPLIES).await });
    }
}

/// A task that is waited for, until it is not.
struct Given<'c> {
    caller: &'c Caller,
    number: u64,
    entry: Option<Waiting>,
}

impl Given<'_> {
    async fn take_back(&mut self) -> bool {
        match self.entry.take() {
            // A worker ends it at the deadline by itself, and says how it went.
            Some(entry) => entry.take_back(&self.caller.host, "").await,
            None => false,
        }
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.caller.pending().remove(&self.number);
        if let Some(entry) = self.entry.take() {
            entry.leave(self.caller.host.clone());
        }
    }
}

/// An answer has come, or word of a change.
fn deliver(host: &Inner, pending: &Pending, mut fields: Fields) {
    let how = fields.text("k").unwrap_or_default();
    let payload = fields.take("p").unwrap_or_default();
    if how == "changed" {
        let _ = host.changes.send(Change::App(String::from_utf8_lossy(&payload).into_owned()));
        return;
    }
    let number = fields.text("n").and_then(|text| text.parse().ok()).unwrap_or(0);
    let waiting = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    let Some(waiting) = waiting else { return };
    // Whoever waited may have gone in this moment.
    let _ = waiting.send(match how.as_str() {
        "answer" => Reply::Answered(payload),
        "expired" => Reply::Expired,
        _ => Reply::Lost,
    });
}
