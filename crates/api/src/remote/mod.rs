//! Runs on other hosts: what an API host asks of workers through the queue (docs/decisions/0050).

use std::sync::Arc;
use std::time::{Duration, Instant};

use lode_queue::{Answer, Caller, Rejection, Task as Queued};
use lode_worker::Outcome;
use lode_worker::master::{Overload, Report, Task};
use serde_json::value::RawValue;
use url::Url;

use crate::apps::App;
use crate::nested::Run;

mod runner;
mod wire;

pub use runner::{Runner, backlog};
use wire::{Asked, Done};

/// Asks workers for runs.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) host: lode_queue::Host,
    caller: Caller,
    url: Url,
}

impl Remote {
    pub(crate) fn new(host: lode_queue::Host, url: Url) -> Self {
        Self { caller: Caller::new(&host), host, url }
    }

    /// Runs a task of `app` on some worker: as `Master::run` does here, and with the same answers.
    pub(crate) async fn run(&self, app: &App, run: &Run, task: &Task) -> Report {
        let asked = Instant::now();
        let payload = match self.payload(app, run, task) {
            Ok(payload) => payload,
            Err(error) => return failed(format!("the task cannot be sent: {error}")),
        };
        let quota = app.settings.quota.quota();
        let queued = Queued {
            app: task.app.clone(),
            deadline: task.deadline,
            most: quota.concurrency + quota.queue,
            rate: quota.rate,
            payload,
        };
        match self.caller.call(queued).await {
            Answer::Answered(answer) => match Done::parse(&answer) {
                Ok((mut report, spent)) => {
                    run.budget.take(&spent);
                    // By this host's clock: what the queue took is waiting, too.
                    report.waited = asked.elapsed().saturating_sub(report.took);
                    report
                }
                Err(error) => failed(format!("a worker's answer is none: {error}")),
            },
            Answer::Expired => Report::of(Outcome::Expired),
            Answer::Lost(why) => failed(format!("the run was lost: {why}")),
            Answer::Rejected(rejection, wait) => {
                let overload = match rejection {
                    Rejection::App => Overload::AppQueue,
                    Rejection::Rate => Overload::Rate,
                    Rejection::Queue => Overload::WorkerQueue,
                };
                Report::rejected(overload, wait)
            }
            Answer::Unavailable(why) => {
                tracing::error!(why, "the queue could not take a task");
                Report::rejected(Overload::WorkerQueue, Duration::from_secs(1))
            }
        }
    }

    fn payload(&self, app: &App, run: &Run, task: &Task) -> serde_json::Result<Vec<u8>> {
        let request: &RawValue = serde_json::from_str(&task.request)?;
        serde_json::to_vec(&Asked {
            revision: app.revision.as_str().into(),
            handler: task.handler,
            limits: task.limits.clone().unwrap_or_else(|| app.limits.clone()),
            user: task.origin.user.as_deref().map(Into::into),
            url: self.url.as_str().into(),
            master_token: run.master_token.as_str().into(),
            app_token: run.app_token.as_str().into(),
            depth: run.depth,
            endpoints: run.endpoints.iter().map(|name| name.to_string()).collect(),
            left: run.budget.left(),
            request,
        })
    }
}

fn failed(detail: String) -> Report {
    Report::of(Outcome::Platform { detail })
}

impl Run {
    /// A run as its worker knows it: what it takes to answer its nested calls.
    fn of(asked: &Asked<'_>, app: &Arc<str>, budget: Arc<crate::budget::Budget>) -> Self {
        Self {
            app: app.clone(),
            master_token: asked.master_token.to_string(),
            app_token: asked.app_token.to_string(),
            budget,
            depth: asked.depth,
            endpoints: asked.endpoints.iter().map(|name| name.as_str().into()).collect(),
        }
    }
}
