//! What goes through the queue, and what comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// One run that somebody waits for.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub app: Arc<str>,
    /// When its answer is worth nothing any more.
    pub deadline: Instant,
    /// Tasks of its app that may be outstanding, waiting or under way, on all hosts together.
    pub most: usize,
    /// Tasks of its app per second that are admitted, on all hosts together, and as many again in one burst;
    /// `None` for no such limit.
    pub rate: Option<f64>,
    /// What the worker is told. The queue does not look into it.
    pub payload: Vec<u8>,
}

/// What came of a task. A task has exactly one answer.
#[derive(Debug)]
pub enum Answer {
    /// A worker's.
    Answered(Vec<u8>),
    /// It was not begun by its deadline, and never will be.
    Expired,
    /// It was given to a worker that has not answered: its host died or was cut off, or is silent past the
    /// deadline. It may have run, and is not run again. Why, for operators.
    Lost(&'static str),
    /// It was not taken in, and how long to wait before asking again.
    Rejected(Rejection, Duration),
    /// The queue could not be asked; the task was not taken in. Why, for operators.
    Unavailable(String),
}

/// Why a task was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Its app has as many outstanding as it may.
    App,
    /// Its app asks for more per second than it may.
    Rate,
    /// All apps together have as much outstanding as the queue holds.
    Queue,
}

/// A task that this worker was given.
#[derive(Debug)]
pub struct Taken {
    /// Whose.
    pub app: Arc<str>,
    /// When its answer is worth nothing any more.
    pub deadline: Instant,
    /// What its caller says.
    pub payload: Vec<u8>,
    /// How long it had waited, as Redis' clock tells.
    pub waited: Duration,
    /// Receives when its caller waits no more: it need not go on. (An error says nothing: it was answered.)
    pub withdrawn: oneshot::Receiver<()>,
    /// Where its answer goes.
    pub ticket: Ticket,
}

/// Names a task to whoever answers it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) lane: &'static str,
    /// The entry's id in its lane.
    pub(crate) id: String,
    pub(crate) app: Arc<str>,
    pub(crate) host: String,
    pub(crate) number: String,
    pub(crate) deadline_ms: i64,
    pub(crate) bytes: usize,
}
