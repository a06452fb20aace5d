//! One run: a sandbox is started, steps until it waits, is resumed with what it waited for, and ends.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Inner;
use crate::guest::{Guest, INBOX_BYTES, microseconds};
use crate::host::{HostCall, HostReply, LogLine};
use crate::outcome::{Limit, Limits, Outcome, Usage};
use crate::snapshot::Snapshot;
use crate::state::CpuClock;

/// What a run is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Index into [`Snapshot::handlers`].
    pub handler: usize,
    /// The request object as JSON: `body`, `params`, `headers`, `entityId`, `collectionName`,
    /// `username`, `tempObjectStore`…; for a post-hook also `response` with `body`, `statusCode` and
    /// `headers`.
    pub request: &'a str,
}

/// What a waiting run is resumed with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// The answer to one of its host calls.
    Reply {
        /// The call's id.
        call: u32,
        /// The answer.
        reply: HostReply,
    },
    /// The time has come for its next timer (or not yet: then it goes on waiting).
    Timers,
}

/// Where a run stands.
#[derive(Debug)]
pub enum Step {
    /// It waits for its host calls, its timers, or both.
    Waiting {
        /// The calls it made in this step; earlier ones may still be unanswered.
        calls: Vec<HostCall>,
        /// When its next timer is due, as time since the Unix epoch.
        timer: Option<Duration>,
    },
    /// It has ended.
    Ended(Outcome),
}

/// One instance of a snapshot, for exactly one run. Dropping it returns its memory, reset, to the
/// engine.
///
/// Both [`Sandbox::start`] and [`Sandbox::resume`] return futures that yield at every tick of 1 ms, so
/// that many runs share one thread; neither needs a particular executor.
pub struct Sandbox {
    /// Taken only by `Drop`.
    guest: Option<Guest>,
    engine: Arc<Inner>,
    cpu: Arc<CpuClock>,
    handlers: usize,
    /// Host calls the run still waits for.
    pending: HashSet<u32>,
    ended: bool,
}

impl Sandbox {
    /// A fresh sandbox. Fails, with the outcome to report, when the limits do not allow even the
    /// snapshot's memory, or when this process has no memory left to map.
    pub fn new(snapshot: &Snapshot, limits: Limits) -> Result<Self, Outcome> {
        if snapshot.image().size() > limits.memory {
            return Err(Outcome::Limit { limit: Limit::Memory });
        }
        let engine = snapshot.engine().clone();
        let mut guest = engine
            .guests
            .take(&engine, snapshot.image(), limits)
            .map_err(|error| Outcome::Platform { detail: format!("{error:#}") })?;
        let cpu = guest.state().cpu.clone();
        let handlers = snapshot.handlers().len();
        Ok(Self {
            guest: Some(guest),
            engine,
            cpu,
            handlers,
            pending: HashSet::new(),
            ended: false,
        })
    }

    fn guest(&mut self) -> &mut Guest {
        self.guest.as_mut().expect("only Drop takes the guest")
    }

    /// Calls the handler. `seed` is all the run's randomness, `now` (since the Unix epoch) its clock
    /// until it is resumed.
    pub async fn start(
        &mut self,
        invocation: &Invocation<'_>,
        seed: [u8; 32],
        now: Duration,
    ) -> Step {
        let (engine, request) = (self.engine.clone(), invocation.request);
        let handler = match u32::try_from(invocation.handler) {
            Ok(handler) if invocation.handler < self.handlers => handler,
            _ => return self.end(Outcome::Platform { detail: "no such handler".into() }),
        };
        let math_seed = self.guest().state().seed(seed);
        self.enter(async |guest: &mut Guest| {
            let (address, len) = deliver(guest, &engine, request).await?;
            let params = (handler, address, len, microseconds(now), math_seed);
            guest.invoke(&engine.exports.invoke, params).await
        })
        .await
    }

    /// Goes on with a run that waits. An answer to a call it does not wait for changes nothing.
    pub async fn resume(&mut self, event: Event, now: Duration) -> Step {
        let engine = self.engine.clone();
        let now = microseconds(now);
        match event {
            Event::Reply { call, reply } if self.pending.remove(&call) => {
                let (ok, json) = match &reply {
                    Ok(json) => (1, json.get().to_owned()),
                    Err(error) => (0, serde_json::to_string(error).unwrap_or_default()),
                };
                self.enter(async |guest: &mut Guest| {
                    let (address, len) = deliver(guest, &engine, &json).await?;
                    guest.call_async(&engine.exports.reply, (call, ok, address, len, now)).await
                })
                .await
            }
            Event::Reply { .. } | Event::Timers => {
                self.enter(async |guest: &mut Guest| {
                    guest.call_async(&engine.exports.timers, now).await
                })
                .await
            }
        }
    }

    /// Runs guest code, which returns when the next timer is due, and says where that leaves the run.
    async fn enter(&mut self, code: impl AsyncFnOnce(&mut Guest) -> wasmtime::Result<f64>) -> Step {
        if self.ended {
            return Step::Ended(Outcome::Platform { detail: "the run had already ended".into() });
        }
        let result = {
            let guest = self.guest.as_mut().expect("only Drop takes the guest");
            let mut work = pin!(code(guest));
            let (engine, cpu) = (&self.engine, &self.cpu);
            std::future::poll_fn(|context| {
                let _ticking = engine.ticker.ticking();
                cpu.start_slice();
                let poll: Poll<wasmtime::Result<f64>> = work.as_mut().poll(context);
                cpu.end_slice();
                poll
            })
            .await
        };
        let due = match result {
            Ok(due) => due,
            Err(error) => {
                let outcome = self.guest().ending(&error);
                return self.end(outcome);
            }
        };
        let calls = std::mem::take(&mut self.guest().state().calls);
        self.pending.extend(calls.iter().map(|call| call.id));
        // The guest's number: hostile, and not finite when there is no timer.
        // Rounded up, as one resumed a moment too early would find nothing due.
        let timer = due.is_finite().then(|| Duration::from_micros(due.max(0.0).ceil() as u64));
        if timer.is_none() && self.pending.is_empty() {
            return self.end(Outcome::NeverCompleted);
        }
        Step::Waiting { calls, timer }
    }

    fn end(&mut self, outcome: Outcome) -> Step {
        self.ended = true;
        Step::Ended(outcome)
    }

    /// The whole linear memory, for tests of what a reset leaves.
    #[doc(hidden)]
    pub fn memory(&self) -> &[u8] {
        self.guest.as_ref().expect("only Drop takes the guest").memory()
    }

    /// The lines logged since this was last asked.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.guest().state().logs)
    }

    /// What the run has used so far.
    pub fn usage(&mut self) -> Usage {
        let cost = self.guest().cost();
        let cpu_ns = self.cpu.spent();
        let state = self.guest().state();
        Usage {
            cpu_ns,
            memory_peak: state.memory_peak,
            calls: state.call_count,
            log: state.log_bytes,
            cost,
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(guest) = self.guest.take() {
            self.engine.guests.give_back(guest, &self.engine.slots);
        }
    }
}

/// Writes `json` where the guest will read it: the inbox when it fits, else memory it allocates.
async fn deliver(guest: &mut Guest, engine: &Inner, json: &str) -> wasmtime::Result<(u32, u32)> {
    if json.len() >= INBOX_BYTES {
        return guest.put_text_async(json).await;
    }
    let len = u32::try_from(json.len())?;
    // At the inbox's end: every run writes to what lies behind it.
    let address = engine.inbox.saturating_add(INBOX_BYTES as u32 - (len + 1));
    guest.put_at(address, json)?;
    Ok((address, len))
}
