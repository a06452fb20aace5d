//! Runs that are owed: asynchronous calls of endpoints, and scheduled ones. At least once.
//!
//! A task is a row in the store before anybody is told that it was taken in, and stays one until it has run
//! (`lode_store::TaskRecord`). Any API server may claim it; the one that has it runs it as it runs a
//! request's endpoint, and says each second that it is still at it. A run that was lost, or failed through our
//! fault, is tried again; one that was not begun (load, no worker) is, too, and does not count as a try.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lode_store::{KEY_KEPT_MS, TaskEnd, TaskRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::api::{Api, Trace};
use crate::auth::{self, Identity};
use crate::budget::Budget;
use crate::call::Call;
use crate::error::{ApiError, Kind};
use crate::run::What;
use crate::{schedule, secret, time};

/// Tries that count. With the pauses between them, half a minute: longer troubles end before a run begins,
/// and do not count.
const TRIES: u32 = 5;
/// After the first try, in ms; each later pause is twice as long.
const PAUSE_MS: i64 = 1_000;
/// When a task could not be begun.
const NOT_BEGUN_MS: i64 = 2_000;

/// A server that has not said for so long that it is at its tasks has none any more.
const CLAIM_MS: i64 = 5_000;
/// How often it says so.
const HOLD: Duration = Duration::from_secs(1);
/// How often tasks are forgotten whose keys name nothing any more: all are looked through for them.
const TIDY: Duration = Duration::from_secs(60);
/// How often it is looked whether something is due, when nobody rings.
const LOOK: Duration = Duration::from_millis(500);
/// Tasks of one server under way at once: quotas bound each app, this bounds all.
const MOST: usize = 64;

/// Tasks that an app may be owed at once.
const MOST_OPEN: u32 = 10_000;

/// What is to be done.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Content {
    pub(crate) endpoint: String,
    pub(crate) body: Value,
    pub(crate) params: Value,
    /// Kinvey's headers; credentials are not among them.
    pub(crate) headers: Map<String, Value>,
    /// In whose name; `None`: the app's owner's.
    pub(crate) user: Option<String>,
    /// The schedule that owes it.
    pub(crate) schedule: Option<String>,
}

/// The tasks that this server is at.
#[derive(Default)]
pub(crate) struct Tasks {
    /// This server's name among those that share a store.
    owner: String,
    bell: Notify,
    at: Mutex<HashMap<(String, String), AbortHandle>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { owner: secret::request_id(), ..Self::default() }
    }
}

/// Owes a run of an endpoint; returns its id.
///
/// # Errors
/// `TooManyRequests`, or ours.
pub(crate) async fn add(
    api: &Api,
    app: &str,
    key: Option<&str>,
    content: &Content,
) -> Result<String, ApiError> {
    let content = serde_json::to_value(content).map_err(ApiError::internal)?;
    let id = lode_store::new_id()?;
    let added = api.0.store.add_task(app, &id, key, &content, time::now_ms(), MOST_OPEN).await?;
    api.0.tasks.bell.notify_one();
    let full = format!("the app has {MOST_OPEN} asynchronous runs that are not done");
    let full = || ApiError::new(Kind::TooManyRequests, full).after(Duration::from_secs(10));
    added.ok_or_else(full)
}

/// Runs what is due, for ever.
pub(crate) async fn claim(api: Api) {
    let api = &api;
    let Tasks { owner, bell, .. } = &api.0.tasks;
    loop {
        let mine: Vec<(String, String)> = at(api).keys().cloned().collect();
        let room = MOST.saturating_sub(mine.len());
        let now = time::now_ms();
        let most = u32::try_from(room).unwrap_or(0);
        let claimed = match room {
            0 => Ok(Vec::new()),
            _ => api.0.store.claim_tasks(owner, &mine, now, now + CLAIM_MS, most).await,
        };
        match claimed {
            Ok(tasks) => {
                for task in tasks {
                    start(api, task);
                }
            }
            Err(error) => tracing::warn!(%error, "tasks cannot be claimed"),
        }
        let _ = tokio::time::timeout(LOOK, bell.notified()).await;
    }
}

/// Keeps the claims, and stops what is no longer this server's: it was deleted, or taken for dead.
pub(crate) async fn hold(api: Api) {
    let api = &api;
    let mut tidied = Instant::now();
    loop {
        tokio::time::sleep(HOLD).await;
        if tidied.elapsed() > TIDY {
            tidied = Instant::now();
            if let Err(error) = api.0.store.forget_done_tasks(time::now_ms() - KEY_KEPT_MS).await {
                tracing::warn!(%error, "tasks that are done cannot be forgotten");
            }
        }
        let before: Vec<(String, String)> = at(api).keys().cloned().collect();
        if before.is_empty() {
            continue;
        }
        let until = time::now_ms() + CLAIM_MS;
        match api.0.store.hold_tasks(&api.0.tasks.owner, &before, until).await {
            Ok(held) => {
                for lost in before.into_iter().filter(|task| !held.contains(task)) {
                    if let Some(run) = at(api).remove(&lost) {
                        run.abort();
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "tasks cannot be held"),
        }
    }
}

/// Forgets a task, and stops its run: at once if this server is at it, else when the one that is next says that
/// it holds it. Returns whether there was one.
pub(crate) async fn forget(api: &Api, app: &str, id: &str) -> Result<bool, ApiError> {
    let was_there = api.0.store.delete_task(app, id).await?;
    if let Some(run) = at(api).remove(&(app.to_owned(), id.to_owned())) {
        run.abort();
    }
    Ok(was_there)
}

/// Comes back when what this server is at has ended.
pub(crate) async fn finished(api: &Api) {
    while !at(api).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn at(api: &Api) -> std::sync::MutexGuard<'_, HashMap<(String, String), AbortHandle>> {
    api.0.tasks.at.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(api: &Api, task: TaskRecord) {
    let of = (task.app.clone(), task.id.clone());
    let (run, done) = (api.clone(), of.clone());
    // Registered before it can have ended.
    let mut at = at(api);
    let running = tokio::spawn(async move {
        one(&run, task).await;
        self::at(&run).remove(&done);
        run.0.tasks.bell.notify_one();
    });
    at.insert(of, running.abort_handle());
}

async fn one(api: &Api, task: TaskRecord) {
    let content: Content = serde_json::from_value(task.content.clone()).unwrap_or_default();
    let began = time::now_ms();
    let ran = call(api, &task, &content).await;
    let now = time::now_ms();
    let outcome = match &ran {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{}: {}", error.kind.name(), error.debug),
    };
    let end = match ran.as_ref().map_err(|error| error.kind) {
        Ok(()) => TaskEnd::Done(None),
        Err(Kind::TooManyRequests | Kind::KinveyInternalErrorRetry) => {
            TaskEnd::Again { due_ms: now + NOT_BEGUN_MS, counts: false, error: outcome.clone() }
        }
        Err(Kind::KinveyInternalErrorStop | Kind::BLInternalError) if task.tries < TRIES => {
            let pause = PAUSE_MS << task.tries.saturating_sub(1).min(16);
            TaskEnd::Again { due_ms: now + pause, counts: true, error: outcome.clone() }
        }
        // A schedule comes again by itself; what its script failed with stands in its state.
        Err(_) if content.schedule.is_some() => TaskEnd::Done(Some(outcome.clone())),
        Err(_) => TaskEnd::Dead(outcome.clone()),
    };
    let is_over = !matches!(end, TaskEnd::Again { .. });
    let store = &api.0.store;
    match store.end_task(&task.app, &task.id, &api.0.tasks.owner, end, now).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(task = task.id, "a task was taken away before it had ended"),
        // Its claim ends, and it is tried again: at least once.
        Err(error) => tracing::warn!(task = task.id, %error, "a task's end cannot be kept"),
    }
    if is_over && let Some(schedule) = &content.schedule {
        schedule::ended(api, &task.app, schedule, began, now, outcome).await;
    }
}

async fn call(api: &Api, task: &TaskRecord, content: &Content) -> Result<(), ApiError> {
    let app = api.0.apps.get(&task.app).await?;
    let identity = match &content.user {
        None => Identity::Master,
        Some(id) => auth::user_by_id(&api.0, &task.app, id).await?,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &content.headers {
        if let (Ok(name), Some(Ok(value))) =
            (name.parse::<HeaderName>(), value.as_str().map(HeaderValue::from_str))
        {
            headers.insert(name, value);
        }
    }
    let call = Call::owed(api, app, identity, headers);
    let mut request = call.request_object();
    request.insert("body".into(), content.body.clone());
    request.insert("params".into(), content.params.clone());
    request.insert("targetFunction".into(), content.endpoint.clone().into());
    request.insert("taskId".into(), task.id.clone().into());
    let ran = call.run_handler(What::Endpoint(&content.endpoint), request).await?;
    let none = || ApiError::new(Kind::NotFound, "there is no such endpoint");
    ran.map(drop).ok_or_else(none)
}

impl Call {
    /// A request that nobody waits for.
    fn owed(api: &Api, app: Arc<crate::apps::App>, identity: Identity, headers: HeaderMap) -> Self {
        Self {
            budget: Arc::new(Budget::new(&app.settings.budget)),
            custom: Mutex::new(crate::call::custom_properties(&headers)),
            api: api.clone(),
            app,
            identity,
            trace: Arc::new(Trace::new()),
            method: Method::POST,
            headers,
            params: Default::default(),
            run: None,
        }
    }

    /// What is owed if this request's endpoint is to run later.
    pub(crate) fn content(&self, endpoint: &str, body: Value, params: Value) -> Content {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            if name.as_str().starts_with("x-kinvey-")
                && let Ok(text) = value.to_str()
            {
                headers.insert(name.as_str().into(), text.into());
            }
        }
        Content {
            endpoint: endpoint.to_owned(),
            body,
            params,
            headers,
            user: self.identity.user().map(|user| user.id.to_string()),
            schedule: None,
        }
    }
}

/// What is shown of a task's content.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    endpoint: Option<String>,
}

/// A task, as the admin API shows it.
pub(crate) fn shown(task: &TaskRecord<Shown>) -> Value {
    json!({
        "id": task.id,
        "state": task.state.name(),
        "endpoint": task.content.endpoint,
        "tries": task.tries,
        "due": time::iso(task.due_ms),
        "error": task.error,
        "created": time::iso(task.created_ms),
    })
}
