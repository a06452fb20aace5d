//! One run in a child: its sandbox, from start to end, as a future that the serving loop polls.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lode_sandbox::{
    Event, HostCall, HostReply, Invocation, Limit, Limits, LogLine, Outcome, Recording, Sandbox,
    Snapshot, Step, Usage,
};

use crate::protocol::{MAX_RECORDING, RunId, Start};

/// What passes between a run and the loop.
#[derive(Default)]
struct Desk {
    /// `None`: its time is up.
    mail: RefCell<VecDeque<Option<Event>>>,
    calls: RefCell<Vec<HostCall>>,
    timer: Cell<Option<Duration>>,
    /// It has been given all it asked for and waits for more.
    waiting: Cell<bool>,
}

/// How a run came out. The sandbox is reset when this is dropped, which can wait until the outcome is
/// on its way.
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) usage: Usage,
    /// What it takes to run it again, of a run that failed: a [`Recording`] as JSON.
    pub(crate) recording: Option<String>,
    pub(crate) sandbox: Option<Sandbox>,
}

pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) limits: Limits,
    /// When its time is up.
    pub(crate) deadline: Instant,
    /// How long it has held the thread.
    pub(crate) held: Duration,
    /// It was given an extra turn in which to find out that its time is up.
    pub(crate) hurried: bool,
    desk: Rc<Desk>,
    life: Pin<Box<dyn Future<Output = Finished>>>,
}

/// What a turn came to.
pub(crate) enum Turn {
    /// It was preempted at a tick and wants another turn.
    Again,
    /// It waits for an answer or its timer, and may have made calls.
    Waits,
    /// It has ended.
    Ended(Box<Finished>),
}

/// Whole microseconds since the Unix epoch, so that a recording's clock is exactly the run's.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_micros(whole(now))
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Run {
    pub(crate) fn new(snapshot: Snapshot, start: &Start<'_>) -> Self {
        let desk = Rc::new(Desk::default());
        let life = live(
            snapshot,
            start.handler as usize,
            start.request.to_owned(),
            start.limits.clone(),
            start.seed,
            desk.clone(),
        );
        Self {
            id: start.run,
            limits: start.limits.clone(),
            deadline: Instant::now() + start.limits.wall,
            held: Duration::ZERO,
            hurried: false,
            desk,
            life: Box::pin(life),
        }
    }

    /// Runs until it waits, ends, or the tick ends its turn.
    pub(crate) fn turn(&mut self) -> Turn {
        let began = Instant::now();
        // Wake-ups carry no news: the loop knows who is ready by what it gave them.
        let poll = self.life.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.held += began.elapsed();
        match poll {
            Poll::Ready(finished) => Turn::Ended(Box::new(finished)),
            Poll::Pending if self.desk.waiting.get() => Turn::Waits,
            Poll::Pending => Turn::Again,
        }
    }

    pub(crate) fn take_calls(&self) -> Vec<HostCall> {
        self.desk.calls.take()
    }

    /// Gives it an answer. Returns whether it waited, and so is ready now.
    pub(crate) fn answer(&self, call: u32, reply: HostReply) -> bool {
        self.give(Some(Event::Reply { call, reply }))
    }

    /// Tells it that its timer is due. Returns whether it waited, and so is ready now.
    pub(crate) fn ring(&self) -> bool {
        self.give(Some(Event::Timers))
    }

    /// Tells it that its time is up. One that is ready finds out by itself at its next turn.
    pub(crate) fn close(&self) {
        self.give(None);
    }

    fn give(&self, mail: Option<Event>) -> bool {
        self.desk.mail.borrow_mut().push_back(mail);
        self.desk.waiting.replace(false)
    }

    /// How long until its timer is due, if it waits for one.
    pub(crate) fn timer(&self) -> Option<Duration> {
        let timer = self.desk.waiting.get().then(|| self.desk.timer.get()).flatten();
        timer.map(|due| due.saturating_sub(now()))
    }

    /// How long until its time is up.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Desk {
    async fn mail(&self) -> Option<Event> {
        poll_fn(|_| match self.mail.borrow_mut().pop_front() {
            Some(mail) => Poll::Ready(mail),
            None => {
                self.waiting.set(true);
                Poll::Pending
            }
        })
        .await
    }
}

/// What has reached a run, for as long as it is worth keeping.
struct Tape {
    started_us: u64,
    events: Vec<(u64, Event)>,
    /// Bytes that it may still take.
    left: Option<usize>,
}

impl Tape {
    fn new(started: Duration, request: &str) -> Self {
        let left = MAX_RECORDING.checked_sub(request.len());
        Self { started_us: whole(started), events: Vec::new(), left }
    }

    fn add(&mut self, now: Duration, event: &Event) {
        let bytes = match event {
            Event::Reply { reply: Ok(json), .. } => json.get().len(),
            Event::Reply { reply: Err(error), .. } => error.name.len() + error.message.len(),
            Event::Timers => 0,
        };
        self.left = self.left.and_then(|left| left.checked_sub(bytes));
        if self.left.is_some() {
            self.events.push((whole(now), event.clone()));
        } else {
            self.events = Vec::new();
        }
    }

    fn recording(
        self,
        snapshot: &Snapshot,
        handler: usize,
        request: String,
        seed: [u8; 32],
        outcome: &Outcome,
        usage: &Usage,
    ) -> Option<String> {
        self.left?;
        let recording = Recording {
            snapshot: snapshot.key(),
            handler: snapshot.handlers().get(handler)?.clone(),
            request,
            seed,
            started_us: self.started_us,
            events: self.events,
            outcome: serde_json::to_string(outcome).ok()?,
            cost: usage.cost,
        };
        // As JSON it may be larger than what it is made of.
        serde_json::to_string(&recording).ok().filter(|text| text.len() <= MAX_RECORDING)
    }
}

async fn live(
    snapshot: Snapshot,
    handler: usize,
    request: String,
    limits: Limits,
    seed: [u8; 32],
    desk: Rc<Desk>,
) -> Finished {
    let mut sandbox = match Sandbox::new(&snapshot, limits) {
        Ok(sandbox) => sandbox,
        Err(outcome) => {
            return Finished {
                outcome,
                logs: Vec::new(),
                usage: Usage::default(),
                recording: None,
                sandbox: None,
            };
        }
    };
    let invocation = Invocation { handler, request: &request };
    let started = now();
    let mut tape = Tape::new(started, &request);
    let mut step = sandbox.start(&invocation, seed, started).await;
    let outcome = loop {
        match step {
            Step::Ended(outcome) => break outcome,
            Step::Waiting { calls, timer } => {
                desk.calls.borrow_mut().extend(calls);
                desk.timer.set(timer);
            }
        }
        match desk.mail().await {
            Some(event) => {
                let now = now();
                tape.add(now, &event);
                step = sandbox.resume(event, now).await;
            }
            None => break Outcome::Limit { limit: Limit::Wall },
        }
    };
    let (logs, usage) = (sandbox.take_logs(), sandbox.usage());
    let recording = if outcome.is_success() {
        None
    } else {
        tape.recording(&snapshot, handler, request, seed, &outcome, &usage)
    };
    Finished { outcome, logs, usage, recording, sandbox: Some(sandbox) }
}
