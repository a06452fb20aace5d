//! How a worker ends the tasks that it was given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Pipeline, Value};

use crate::batches::Kind;
use crate::keys::{self, APPS, GROUP, LOAD};
use crate::link::{Answers, Failure, Link, Scripts};
use crate::message;
use crate::task::Ticket;

/// How long Redis keeps what a host was told that did not listen, in ms: one that was cut off for longer has forgotten
/// what it asked. (lua/tell.lua has it, too.)
const KEPT_MS: u64 = 600_000;

/// How long an attempt to bring an answer home waits for a connection, and what is put right after it. Another follows:
/// what is in hand is let go when Redis knows of its end, and not before.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A task that has ended.
pub(crate) struct Settled {
    pub(crate) ticket: Ticket,
    /// What its caller is told.
    pub(crate) message: Vec<u8>,
}

/// Tells callers and acknowledges their tasks, by plain commands: each of a script costs Redis three times as much. So
/// what was not this worker's to end any more is known afterwards, and counted back then; its caller hears twice and
/// listens once.
pub(crate) struct Settle {
    link: Arc<Link>,
}

impl Settle {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }
}

impl Kind for Settle {
    type Item = Settled;
    /// Whether it was this worker's to end: 1, or 0.
    type Said = Value;

    fn bytes(item: &Settled) -> usize {
        item.message.len()
    }

    fn commands(&self, items: &[&Settled], _: &Scripts) -> Pipeline {
        let mut all = redis::pipe();
        for Settled { ticket, message } in items {
            let replies = keys::replies(&ticket.host);
            let pushed = message::pushed(&ticket.number, message);
            all.cmd("XACK").arg(ticket.lane).arg(GROUP).arg(&ticket.id);
            all.cmd("HSET").arg(&replies).arg(&ticket.number).arg(message);
            all.cmd("PUBLISH").arg(&replies).arg(pushed);
        }
        let mut lanes = BTreeMap::<_, Vec<&str>>::new();
        for Settled { ticket, .. } in items {
            lanes.entry(ticket.lane).or_default().push(&ticket.id);
        }
        for (lane, ids) in lanes {
            all.cmd("XDEL").arg(lane).arg(ids);
        }
        count(&mut all, items.iter().copied(), -1);
        all
    }

    fn said(&self, items: &[&Settled], answers: Answers) -> Vec<Result<Value, Failure>> {
        let mut all = Vec::with_capacity(items.len());
        let (mut others, mut after) = (Vec::new(), redis::pipe());
        for (item, said) in items.iter().zip(answers.chunks(3)) {
            let [acknowledged, _, heard] = said else { break };
            if *acknowledged != Ok(Value::Int(1)) {
                others.push(*item);
            }
            if *heard == Ok(Value::Int(0)) {
                // It is cut off, and looks when it is back, or gone.
                after.cmd("PEXPIRE").arg(keys::replies(&item.ticket.host)).arg(KEPT_MS);
            }
            all.push(match acknowledged {
                Ok(value) => Ok(value.clone()),
                Err(error) => Err(Failure::NotRun(error.to_string())),
            });
        }
        count(&mut after, others.into_iter(), 1);
        if after.cmd_iter().next().is_some() {
            tokio::spawn(put_right(self.link.clone(), after));
        }
        all
    }
}

async fn put_right(link: Arc<Link>, after: Pipeline) {
    if let Err(failure) = link.transact(|_| after, Instant::now() + PATIENCE).await {
        tracing::debug!(?failure, "some tasks may be counted wrongly until the queue is empty");
    }
}

/// Counts these tasks as outstanding, or (`sign` is -1) as not any more.
fn count<'s>(all: &mut Pipeline, tasks: impl Iterator<Item = &'s Settled>, sign: i64) {
    let mut apps = BTreeMap::<&str, i64>::new();
    let mut load = 0;
    for Settled { ticket, .. } in tasks {
        *apps.entry(&ticket.app).or_default() += sign;
        load += sign * i64::try_from(keys::weight(ticket.bytes)).unwrap_or(0);
    }
    for (app, tasks) in &apps {
        all.cmd("HINCRBY").arg(APPS).arg(app).arg(tasks);
    }
    if load != 0 {
        all.cmd("INCRBY").arg(LOAD).arg(load);
    }
}
