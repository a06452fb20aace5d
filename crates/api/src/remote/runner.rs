//! The worker's side: takes tasks from the queue and has its Work Master run them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use lode_queue::{Answerer, Host, Taken, Taker};
use lode_worker::Outcome;
use lode_worker::broker::Origin;
use lode_worker::master::{Master, Overload, Report, Task};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use url::Url;

use super::failed;
use super::wire::{Asked, Done};
use crate::api::Api;
use crate::budget::{Budget, Spent};
use crate::connections;
use crate::nested::{Nested, Run};

/// Tasks per child that a worker takes ahead of what its children hold: enough that they never wait for the
/// queue (a read takes less time than two small runs), few enough that other workers get their share.
const AHEAD: usize = 8;

/// Tasks that a worker holds at most, those waiting for something included: more would wait better in the
/// queue, where another worker may take them.
const MOST: usize = 4096;

/// A task that has waited here for so long, as its app has all its share of this worker under way, is put back
/// into the queue: another may have room. Long beside runs of the usual length, which end meanwhile; short beside
/// a client's patience.
const HAND_BACK: Duration = Duration::from_millis(500);

/// Tasks in hand from which on those that wait are put back even where there is no other worker: a few apps with
/// more than they may run would otherwise fill all of [`MOST`] and keep everybody else's in the queue.
const CROWDED: usize = MOST / 2;

/// Between two reads of a crowded worker. At a task per lane and read no more than 8 * 100 come while one waits for
/// [`HAND_BACK`], which is less than what is left of [`MOST`].
const PACE: Duration = Duration::from_millis(5);

/// Tasks of one read of a crowded worker: one per lane.
const PACED: usize = 8;

/// Connections that ask for metrics at once.
const MOST_OBSERVERS: usize = 64;

/// How long a full worker waits before it looks again, when none of its runs ends meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// What a host says of its Work Master to the queue.
pub fn backlog(master: &Master) -> lode_queue::Load {
    let backlog = master.backlog();
    lode_queue::Load {
        children: backlog.children,
        running: backlog.running,
        waiting: backlog.waiting,
    }
}

/// Runs what the queue has.
pub struct Runner {
    api: Api,
    host: Host,
    children: usize,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Runner {
    /// With the Work Master and the store of `api`, which need not listen. `children`: how many its master
    /// has at most.
    pub fn new(api: Api, host: Host, children: usize) -> Self {
        Self { api, host, children }
    }

    /// Serves `/metrics` (Prometheus' text format) and `/healthz`, to whoever asks.
    pub fn observed(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + use<> {
        let (api, host) = (self.api.clone(), self.host.clone());
        let metrics = move || async move {
            let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
            (kind, api.metrics_with(Some(&host)).await).into_response()
        };
        let router =
            Router::new().route("/metrics", get(metrics)).route("/healthz", get(|| async { "ok" }));
        async move {
            connections::serve(listener, router, MOST_OBSERVERS, std::future::pending()).await;
        }
    }

    /// Takes and runs tasks until `stop` is ready; then finishes those it has, or gives up after `grace`,
    /// and leaves the queue.
    pub async fn run(self, stop: impl Future<Output = ()> + Send, grace: Duration) {
        let mut taker = Taker::new(&self.host);
        let answerer = taker.answerer();
        let freed = Arc::new(Notify::new());
        let mut stop = std::pin::pin!(stop);
        let mut workers = 0;
        loop {
            if workers != self.host.workers() {
                workers = self.host.workers();
                self.api.0.apps.share(workers);
            }
            let mut room = self.room(&answerer);
            if answerer.held() >= CROWDED {
                tokio::time::sleep(PACE).await;
                room = room.min(PACED);
            }
            // Subscribed before anything is taken: what is taken as the lease ends learns of it, too.
            let fenced = self.host.fenced();
            if room == 0 {
                tokio::select! {
                    () = &mut stop => break,
                    () = freed.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
                continue;
            }
            let mut take = std::pin::pin!(taker.take(room));
            let (taken, stopping) = tokio::select! {
                taken = &mut take => (taken, false),
                // Not dropped half-way: Redis may just be giving it something.
                () = &mut stop => (take.await, true),
            };
            for task in taken {
                self.start(task, &answerer, &freed, fenced.clone());
            }
            if stopping {
                break;
            }
        }
        let until = Instant::now() + grace;
        while answerer.held() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.host.leave().await;
    }

    fn room(&self, answerer: &Answerer) -> usize {
        let held = answerer.held();
        let backlog = self.api.0.master.backlog();
        // Those that are not yet with the master will be in a moment.
        let coming = held.saturating_sub(backlog.running + backlog.waiting);
        (AHEAD * self.children)
            .saturating_sub(coming + backlog.ready)
            .min(MOST.saturating_sub(held))
    }

    fn start(
        &self,
        taken: Taken,
        answerer: &Answerer,
        freed: &Arc<Notify>,
        mut fenced: watch::Receiver<u64>,
    ) {
        let (api, answerer, freed) = (self.api.clone(), answerer.clone(), freed.clone());
        let patience = patience(self.host.workers(), answerer.held());
        tokio::spawn(async move {
            let Taken { app, deadline, payload, withdrawn, ticket, .. } = taken;
            tokio::select! {
                done = one(&api, &app, deadline, &payload, patience) => {
                    freed.notify_one();
                    match done {
                        Some(done) => drop(answerer.answer(ticket, &done.to_bytes()).await),
                        None => answerer.hand_back(ticket, &payload).await,
                    }
                }
                // Dropped, so ended.
                Ok(()) = withdrawn => answerer.give_up(ticket).await,
                // As well: others have answered it as lost, or this host does when it is back.
                _ = fenced.changed() => answerer.give_up(ticket).await,
            }
        });
    }
}

/// How long a task may wait for its turn here. Where there is no other worker, nobody else can have it, and it
/// stays unless it is in the way of others.
fn patience(workers: usize, held: usize) -> Duration {
    if workers > 1 || held >= CROWDED { HAND_BACK } else { Duration::MAX }
}

/// What a task comes to; `None` if it was not begun within `patience`.
async fn one(
    api: &Api,
    key: &Arc<str>,
    deadline: Instant,
    payload: &[u8],
    patience: Duration,
) -> Option<Done> {
    let unbegun = |report| Some(Done::new(report, Spent::default()));
    let asked: Asked<'_> = match serde_json::from_slice(payload) {
        Ok(asked) => asked,
        Err(error) => return unbegun(failed(format!("the task is none: {error}"))),
    };
    let app = match api.0.apps.at_revision(key, &asked.revision, deadline).await {
        Ok(Some(app)) => app,
        Ok(None) => return unbegun(Report::of(Outcome::Expired)),
        Err(error) => return unbegun(failed(format!("the app cannot be loaded: {error:?}"))),
    };
    // Whoever asked knows less, or more, than the store has: it looks again.
    if app.revision != *asked.revision {
        return unbegun(Report::rejected(Overload::NotDeployed, Duration::ZERO));
    }
    // The master may still have what this has come in the place of, which is not what was asked for.
    if let Some(broken) = &app.broken {
        return unbegun(failed(format!("the app cannot be built here: {}", broken.debug)));
    }
    let Ok(url) = Url::parse(&asked.url) else {
        return unbegun(failed("the task's URL is none".into()));
    };
    let budget = Arc::new(Budget::of(deadline, &asked.left));
    let run = Arc::new(Run::of(&asked, key, budget.clone()));
    let origin = Arc::new(Origin {
        user: asked.user.as_deref().map(Arc::from),
        own_api: Some(Arc::new(Nested::new(api, run, url))),
    });
    let task = Task {
        app: key.clone(),
        handler: asked.handler,
        request: asked.request.get().into(),
        deadline,
        limits: Some(asked.limits.clone()),
        deployment: app.deployment,
        origin,
    };
    let report = api.0.master.run_soon(task, patience).await?;
    Some(Done::new(report, budget.left().taken_from(&asked.left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_tasks_never_fill_a_worker_that_is_alone() {
        assert_eq!(patience(1, CROWDED - 1), Duration::MAX);
        assert_eq!(patience(1, CROWDED), HAND_BACK);
        assert_eq!(patience(2, 0), HAND_BACK);
        let reads = HAND_BACK.as_millis() / PACE.as_millis();
        assert!(CROWDED + PACED * usize::try_from(reads).expect("few") < MOST);
    }
}
