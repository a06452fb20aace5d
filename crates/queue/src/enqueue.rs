//! How tasks are put into the queue, and taken back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Pipeline, RedisError, Value};

use crate::batches::{Kind, no_answer};
use crate::host::{Inner, text};
use crate::keys::{self, APPS, LOAD, REPLIES};
use crate::link::{Answers, Failure, Script, Scripts};
use crate::task::{Answer, Rejection};

/// A worker ends a run at its deadline; its answer has this long to arrive.
pub(crate) const TRAVEL: Duration = Duration::from_millis(500);

/// A task that is being put in.
pub(crate) struct Entering {
    /// Its caller's number of it.
    pub(crate) number: String,
    pub(crate) app: Arc<str>,
    pub(crate) lane: &'static str,
    pub(crate) deadline_ms: i64,
    /// What its app may have outstanding.
    pub(crate) most: usize,
    /// Tasks of its app per second; 0: any.
    pub(crate) rate: f64,
    pub(crate) payload: Vec<u8>,
}

/// Entries are added to their lanes, and a script behind them, as one with them, takes those out again for which
/// something is full: a payload does not go through it, as Lua hashes and copies all that it is given.
pub(crate) struct Enqueue {
    host: Arc<Inner>,
    /// Tasks and bytes outstanding at most.
    most: [String; 2],
}

impl Enqueue {
    pub(crate) fn new(host: Arc<Inner>) -> Self {
        let most = [host.config.most_tasks, host.config.most_bytes].map(|most| most.to_string());
        Self { host, most }
    }
}

impl Kind for Enqueue {
    type Item = Entering;
    type Said = Entered;

    fn bytes(item: &Entering) -> usize {
        item.payload.len()
    }

    fn commands(&self, items: &[&Entering], scripts: &Scripts) -> Pipeline {
        let mut all = redis::pipe();
        let (mut keys, mut args) = (vec![LOAD.to_owned(), APPS.to_owned()], self.most.to_vec());
        for item in items {
            let add = all.cmd("XADD").arg(item.lane).arg("*").arg("h").arg(&self.host.name);
            add.arg("n").arg(&item.number).arg("a").arg(&*item.app);
            add.arg("d").arg(item.deadline_ms).arg("p").arg(&item.payload);
            keys.extend([item.lane.to_owned(), keys::rate(&item.app)]);
            let (weight, most) = (keys::weight(item.payload.len()), item.most.to_string());
            args.extend([item.app.to_string(), weight.to_string(), most, item.rate.to_string()]);
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        all.add_command(scripts.run(Script::Enqueue, &keys, &args));
        all
    }

    fn said(&self, items: &[&Entering], mut answers: Answers) -> Vec<Result<Entered, Failure>> {
        let failure = match answers.pop() {
            Some(Ok(Value::Array(admitted))) => {
                let each = items.iter().zip(answers).zip(admitted);
                return each.map(|((item, added), said)| Entered::of(item, added, said)).collect();
            }
            Some(Err(error)) => Failure::Unknown(error.to_string()),
            _ => no_answer(),
        };
        items.iter().map(|_| Err(failure.clone())).collect()
    }

    fn unheard(&self, _: &Entering, entered: Entered) {
        if let Entered::In(waiting) = entered {
            waiting.leave(self.host.clone());
        }
    }
}

/// What came of putting a task in.
pub(crate) enum Entered {
    In(Waiting),
    No(Answer),
}

impl Entered {
    /// By what `XADD` and the script answered of it.
    fn of(item: &Entering, added: Result<Value, RedisError>, said: Value) -> Result<Self, Failure> {
        let answer = match (said, added) {
            (Value::Array(answer), _) => answer,
            (_, Ok(added)) => {
                let id = text(&added).ok_or_else(no_answer)?;
                return Ok(Self::In(Waiting::of(item, id)));
            }
            (_, Err(error)) => return Err(Failure::Unknown(error.to_string())),
        };
        let no =
            |rejection, ms| Ok(Self::No(Answer::Rejected(rejection, Duration::from_millis(ms))));
        match (answer.first().and_then(text).as_deref(), answer.get(1)) {
            // What is before it takes about this long: nobody knows exactly.
            (Some("app"), _) => no(Rejection::App, 500),
            (Some("queue"), _) => no(Rejection::Queue, 1000),
            (Some("rate"), Some(Value::Int(ms))) => {
                no(Rejection::Rate, u64::try_from(*ms).unwrap_or(0))
            }
            (Some("broken"), Some(why)) => Err(Failure::Unknown(text(why).unwrap_or_default())),
            _ => Err(no_answer()),
        }
    }
}

/// What it takes to take a task back. Its payload is in Redis only.
pub(crate) struct Waiting {
    lane: &'static str,
    id: String,
    number: String,
    app: Arc<str>,
    deadline_ms: i64,
    bytes: usize,
}

impl Waiting {
    fn of(item: &Entering, id: String) -> Self {
        Self {
            lane: item.lane,
            id,
            number: item.number.clone(),
            app: item.app.clone(),
            deadline_ms: item.deadline_ms,
            bytes: item.payload.len(),
        }
    }

    /// Returns whether it will never run. `tell`: where its worker, if one has it, is told; nothing, for nowhere.
    pub(crate) async fn take_back(&self, host: &Inner, tell: &str) -> bool {
        let moved = keys::moved(&host.name, &self.number);
        let names = [self.lane, APPS, LOAD, &moved];
        let (weight, deadline) =
            (keys::weight(self.bytes).to_string(), self.deadline_ms.to_string());
        let args = [&self.id, &*self.app, &weight, &deadline, tell].map(str::as_bytes);
        let until = Instant::now() + TRAVEL;
        matches!(host.link.run(Script::Withdraw, &names, &args, until).await, Ok(Value::Int(1)))
    }

    /// Takes the task back in its own time, as nobody waits for it any more.
    pub(crate) fn leave(self, host: Arc<Inner>) {
        tokio::spawn(async move { self.take_back(&host, REPLIES).await });
    }
}
