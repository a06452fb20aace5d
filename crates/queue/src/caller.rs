//! The side that asks: puts tasks into the queue and reads their answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::batches::Batches;
use crate::enqueue::{Enqueue, Entered, Entering, TRAVEL, Waiting};
use crate::host::{Change, Host, Inner};
use crate::keys;
use crate::link::Failure;
use crate::message::Message;
use crate::replies;
use crate::task::{Answer, Rejection, Task};

enum Reply {
    Answered(Vec<u8>),
    Expired,
    Lost,
}

/// What this host waits for.
#[derive(Default)]
struct Pending {
    /// By number.
    answers: HashMap<u64, oneshot::Sender<Reply>>,
    /// How many of each app.
    apps: HashMap<Arc<str>, usize>,
}

/// Asks for runs in a [`Host`]'s name. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    host: Arc<Inner>,
    pending: Arc<Mutex<Pending>>,
    next: Arc<AtomicU64>,
    enqueue: Batches<Enqueue>,
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
        let pending = Arc::<Mutex<Pending>>::default();
        tokio::spawn(replies::listen(Arc::downgrade(&host), Arc::downgrade(&pending), deliver));
        let enqueue = Batches::new(host.link.clone(), Enqueue::new(host.clone()));
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
        let lane = {
            let mut pending = self.pending();
            pending.answers.insert(number, sender);
            let count = pending.apps.entry(task.app.clone()).or_default();
            *count += 1;
            keys::lane_of(&task.app, *count)
        };
        let mut given = Given { caller: self, number, app: task.app.clone(), entry: None };
        let known = match self.enqueue(number, lane, &mut task).await {
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

    async fn enqueue(
        &self,
        number: u64,
        lane: &'static str,
        task: &mut Task,
    ) -> Result<Entered, Failure> {
        let entering = Arc::new(Entering {
            number: number.to_string(),
            app: task.app.clone(),
            lane,
            deadline_ms: self.host.link.redis_ms(task.deadline),
            most: task.most,
            rate: task.rate.unwrap_or(0.0),
            payload: std::mem::take(&mut task.payload),
        });
        // Redis may be slow to answer those before it; whoever waits is not to wait for that as well.
        let until = task.deadline + TRAVEL;
        let run = self.enqueue.run(&entering, task.deadline);
        let entered = tokio::time::timeout_at(until.into(), run).await;
        entered.unwrap_or_else(|_| Err(Failure::Unknown("Redis is silent".into())))
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that is waited for, until it is not.
struct Given<'c> {
    caller: &'c Caller,
    number: u64,
    app: Arc<str>,
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
        let mut pending = self.caller.pending();
        pending.answers.remove(&self.number);
        if let Some(count) = pending.apps.get_mut(&self.app) {
            *count -= 1;
            if *count == 0 {
                pending.apps.remove(&self.app);
            }
        }
        drop(pending);
        if let Some(entry) = self.entry.take() {
            entry.leave(self.caller.host.clone());
        }
    }
}

/// An answer has come, or word of a change.
fn deliver(host: &Inner, pending: &Mutex<Pending>, message: &Message<'_>) {
    if message.how == "changed" {
        let app = String::from_utf8_lossy(message.payload).into_owned();
        let _ = host.changes.send(Change::App(app));
        return;
    }
    let Ok(number) = message.name.parse() else { return };
    let waiting = pending.lock().unwrap_or_else(PoisonError::into_inner).answers.remove(&number);
    let Some(waiting) = waiting else { return };
    // Whoever waited may have gone in this moment.
    let _ = waiting.send(match message.how {
        "answer" => Reply::Answered(message.payload.to_vec()),
        "expired" => Reply::Expired,
        _ => Reply::Lost,
    });
}
