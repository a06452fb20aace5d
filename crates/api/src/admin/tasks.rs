//! Runs that are owed: asynchronous calls of endpoints, and scheduled ones.

use axum::Json;
use axum::extract::{Query, State};
use http::StatusCode;
use lode_store::TaskState;
use serde::Deserialize;
use serde_json::Value;

use super::{Operator, Problem};
use crate::api::Api;
use crate::call::Path;
use crate::error::{ApiError, Kind};
use crate::{tasks, time};

/// Tasks listed at once.
const MOST: u32 = 1_000;

/// Which tasks.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// `waiting`, `running`, `dead` or `done`; all if absent.
    state: Option<String>,
}

#[utoipa::path(get, operation_id = "listTasks", path = "/admin/apps/{app}/tasks", tag = "tasks",
    params(("app" = String, Path), Which),
    responses((status = 200, body = Vec<Object>), (status = "4XX", body = Problem)))]
/// The last 1,000 tasks: `{id, state, endpoint, tries, due, error, created}`, the youngest first.
pub(crate) async fn list(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let bad = |error: String| ApiError::new(Kind::ParameterValueOutOfRange, error);
    let Query(which) = which.map_err(|error| bad(error.body_text()))?;
    let state = match which.state.as_deref() {
        None => None,
        Some(name) => Some(TaskState::parse(name).ok_or_else(|| {
            bad(format!("state is {name:?}: waiting, running, dead and done are possible"))
        })?),
    };
    api.0.apps.get(&key).await?;
    let found = api.0.store.tasks(&key, state, MOST).await?;
    Ok(Json(found.iter().map(tasks::shown).collect()))
}

#[utoipa::path(post, operation_id = "retryTask", path = "/admin/apps/{app}/tasks/{task}/retry", tag = "tasks",
    params(("app" = String, Path), ("task" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
/// Has a task of the dead-letter list tried again, as often as a new one.
pub(crate) async fn retry(
    _: Operator,
    State(api): State<Api>,
    Path((key, task)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    api.0.apps.get(&key).await?;
    match api.0.store.retry_task(&key, &task, time::now_ms()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::new(Kind::NotFound, "no such task is dead")),
    }
}

#[utoipa::path(delete, operation_id = "deleteTask", path = "/admin/apps/{app}/tasks/{task}", tag = "tasks",
    params(("app" = String, Path), ("task" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
/// Forgets a task. If it is running, it is stopped within a second or two.
pub(crate) async fn delete(
    _: Operator,
    State(api): State<Api>,
    Path((key, task)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    api.0.apps.get(&key).await?;
    match tasks::forget(&api, &key, &task).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::new(Kind::NotFound, "there is no such task")),
    }
}
