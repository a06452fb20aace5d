//! Runs that are kept or come by themselves: recordings of failed ones, and scheduled endpoints.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::{Operator, Problem};
use crate::api::Api;
use crate::call::Path;
use crate::error::{ApiError, Kind};
use crate::recordings::RUNS;
use crate::schedule::{self, Shown};

#[utoipa::path(get, operation_id = "listRuns", path = "/admin/apps/{app}/runs", tag = "runs", params(("app" = String, Path)),
    responses((status = 200, body = Vec<String>), (status = "4XX", body = Problem)))]
/// The ids of the last failed runs, newest first. Each is the id of the API request it belonged to.
pub(crate) async fn list(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<String>>, ApiError> {
    api.0.apps.get(&key).await?;
    let runs = api.0.store.kept_all(&key, RUNS).await?;
    Ok(Json(runs.into_iter().map(|(id, _)| id).collect()))
}

#[utoipa::path(get, operation_id = "showRun", path = "/admin/apps/{app}/runs/{run}", tag = "runs",
    params(("app" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = Object), (status = "4XX", body = Problem)))]
/// A failed run's recording, for `lode replay`.
pub(crate) async fn show(
    _: Operator,
    State(api): State<Api>,
    Path((key, run)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    api.0.apps.get(&key).await?;
    let run = api.0.store.kept(&key, RUNS, &run).await?;
    run.map(Json).ok_or_else(|| ApiError::new(Kind::NotFound, "no such run is kept"))
}

#[utoipa::path(get, operation_id = "listSchedules", path = "/admin/apps/{app}/schedules", tag = "runs",
    params(("app" = String, Path)),
    responses((status = 200, body = Vec<Shown>), (status = "4XX", body = Problem)))]
/// Scheduled endpoints: when each ran last, how that ended, and when it runs next.
pub(crate) async fn schedules(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Shown>>, ApiError> {
    let app = api.0.apps.get(&key).await?;
    Ok(Json(schedule::shown(&api, &app).await?))
}
