//! Deployments: numbered, immutable, one of them active.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lode_worker::Source;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Operator, Problem, Shape};
use crate::api::Api;
use crate::apps;
use crate::call::Path;
use crate::error::{ApiError, Kind};
use crate::time;

/// Files of a deployment, and bytes of a path.
const MAX_FILES: usize = 10_000;
const MAX_NAME: usize = 512;

/// A deployment to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewDeployment {
    /// Its sources: Kinvey's folder layout, or modules.
    files: Vec<File>,
    /// Whether it is to be run from now on. It is, unless said otherwise.
    #[serde(default = "yes")]
    #[schema(default = true)]
    activate: bool,
}

fn yes() -> bool {
    true
}

/// A source file.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct File {
    /// Its path, `/`-separated: `collections/orders/onPreSave.js`.
    #[schema(min_length = 1, max_length = 512)]
    name: String,
    text: String,
}

/// A deployment that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployed {
    number: u32,
    active: bool,
    /// Its hooks and endpoints.
    handlers: Vec<String>,
    /// What its top-level code logged.
    logs: Vec<String>,
}

/// A deployment in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeploymentSummary)]
pub(crate) struct Summary {
    number: u32,
    /// ISO 8601.
    created: String,
    active: bool,
}

/// A deployment with its sources.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Deployment)]
pub(crate) struct Shown {
    number: u32,
    /// ISO 8601.
    created: String,
    files: Vec<File>,
}

#[utoipa::path(post, operation_id = "createDeployment", path = "/admin/apps/{app}/deployments", tag = "deployments",
    request_body = NewDeployment, params(("app" = String, Path)), responses(
    (status = 201, body = Deployed),
    (status = 550, description = "The sources are to blame", body = Problem),
    (status = "4XX", body = Problem)))]
pub(crate) async fn create(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
    Shape(new): Shape<NewDeployment>,
) -> Result<Response, ApiError> {
    api.0.apps.get(&key).await?;
    let wrong = |what: String| Err(ApiError::new(Kind::ParameterValueOutOfRange, what));
    if new.files.len() > MAX_FILES {
        return wrong(format!("a deployment has at most {MAX_FILES} files"));
    }
    for file in &new.files {
        let odd = |part: &str| part.is_empty() || part == "." || part == "..";
        let name = &file.name;
        if name.len() > MAX_NAME || name.contains(char::is_control) || name.split('/').any(odd) {
            return wrong(format!("{name:?} is not a path of a source"));
        }
    }
    let files = new.files.into_iter().map(|file| (file.name, file.text));
    let sources = Source::deployment(files);
    let mut names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return wrong(format!("there are two files {:?}", twice[0]));
    }
    if sources.is_empty() {
        return wrong("there is no JavaScript or TypeScript in it".into());
    }
    // What does not build is not kept: nobody can activate it by mistake.
    let (built, hooks) = api.0.apps.build(sources.clone()).await?;
    let content = apps::content(&sources)?;
    let number = api.0.store.add_deployment(&key, &content, time::now_ms(), new.activate).await?;
    let logs = built.logs.iter().map(|line| line.text.clone()).collect();
    let deployed = Deployed { number, active: new.activate, handlers: hooks.names(), logs };
    if new.activate {
        let fresh = apps::Fresh { number, content, built, hooks };
        api.0.apps.reload(&key, Some(fresh)).await?;
    }
    Ok((StatusCode::CREATED, Json(deployed)).into_response())
}

#[utoipa::path(get, operation_id = "listDeployments", path = "/admin/apps/{app}/deployments", tag = "deployments",
    params(("app" = String, Path)),
    responses((status = 200, body = Vec<Summary>), (status = "4XX", body = Problem)))]
pub(crate) async fn list(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Summary>>, ApiError> {
    let app = api.0.apps.get(&key).await?;
    let all = api.0.store.deployments(&key).await?;
    let shown = all.into_iter().map(|deployment| Summary {
        number: deployment.number,
        created: time::iso(deployment.created_ms),
        active: app.record.active == Some(deployment.number),
    });
    Ok(Json(shown.collect()))
}

#[utoipa::path(get, operation_id = "showDeployment", path = "/admin/apps/{app}/deployments/{number}", tag = "deployments",
    params(("app" = String, Path), ("number" = u32, Path)),
    responses((status = 200, body = Shown), (status = "4XX", body = Problem)))]
pub(crate) async fn show(
    _: Operator,
    State(api): State<Api>,
    Path((key, number)): Path<(String, String)>,
) -> Result<Json<Shown>, ApiError> {
    api.0.apps.get(&key).await?;
    let found = api.0.store.deployment(&key, parse(&number)?).await?;
    let found = found.ok_or_else(none)?;
    let sources = apps::sources(found.content)?;
    let files = sources.into_iter().map(|source| File { name: source.name, text: source.text });
    Ok(Json(Shown {
        number: found.number,
        created: time::iso(found.created_ms),
        files: files.collect(),
    }))
}

#[utoipa::path(post, operation_id = "activateDeployment", path = "/admin/apps/{app}/deployments/{number}/activate",
    tag = "deployments", params(("app" = String, Path), ("number" = u32, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
/// Makes a deployment the active one: a rollback, if it is an older one.
pub(crate) async fn activate(
    _: Operator,
    State(api): State<Api>,
    Path((key, number)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    api.0.apps.get(&key).await?;
    if !api.0.store.activate(&key, parse(&number)?).await? {
        return Err(none());
    }
    api.0.apps.reload(&key, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse(number: &str) -> Result<u32, ApiError> {
    number.parse().map_err(|_| none())
}

fn none() -> ApiError {
    ApiError::new(Kind::NotFound, "the app has no deployment of that number")
}
