//! Apps: their keys, secrets and settings.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lode_store::{AppRecord, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Operator, Problem, Shape};
use crate::api::Api;
use crate::apps;
use crate::call::Path;
use crate::error::{ApiError, Kind};
use crate::settings::Settings;
use crate::{secret, time};

/// An app to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewApp {
    /// Its name, for people: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Its key; made up if absent. `kid_`, then 1 to 40 of letters, digits, `_` and `-`.
    #[schema(pattern = "^kid_[A-Za-z0-9_-]{1,40}$")]
    key: Option<String>,
}

/// An app's secrets, shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppSecrets {
    key: String,
    name: String,
    /// For clients.
    app_secret: String,
    /// For the owner alone.
    master_secret: String,
}

/// An app.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = App)]
pub(crate) struct Shown {
    key: String,
    name: String,
    /// ISO 8601.
    created: String,
    /// The active deployment's number.
    deployment: Option<u32>,
    /// Its hooks and endpoints.
    handlers: Vec<String>,
    /// Why its scripts cannot be run, if they cannot.
    problem: Option<String>,
    /// `good`, or how and why the worker holds the app back.
    standing: String,
}

#[utoipa::path(post, operation_id = "createApp", path = "/admin/apps", request_body = NewApp, tag = "apps", responses(
    (status = 201, body = AppSecrets), (status = "4XX", body = Problem)))]
pub(crate) async fn create(
    _: Operator,
    State(api): State<Api>,
    Shape(new): Shape<NewApp>,
) -> Result<Response, ApiError> {
    let length = new.name.chars().count();
    if !(1..=100).contains(&length) || new.name.contains(char::is_control) {
        let debug = "name is not 1 to 100 characters";
        return Err(ApiError::new(Kind::ParameterValueOutOfRange, debug));
    }
    let key = match new.key {
        Some(key) if is_key(&key) => key,
        Some(_) => return Err(ApiError::new(Kind::ParameterValueOutOfRange, "key")),
        None => format!("kid_{}", &secret::request_id()[..16]),
    };
    let (app_secret, master_secret) = (secret::new()?, secret::new()?);
    let record = AppRecord {
        key: key.clone(),
        name: new.name.clone(),
        app_secret_hash: secret::hash(&app_secret),
        master_secret_hash: secret::hash(&master_secret),
        settings: serde_json::json!({}),
        scheduled: false,
        active: None,
        created_ms: time::now_ms(),
    };
    api.0.store.create_app(&record).await.map_err(|error| match error {
        StoreError::Duplicate { .. } => {
            ApiError::new(Kind::Conflict, "there is an app of that key")
        }
        error => error.into(),
    })?;
    let secrets = AppSecrets { key, name: new.name, app_secret, master_secret };
    Ok((StatusCode::CREATED, Json(secrets)).into_response())
}

fn is_key(key: &str) -> bool {
    let rest = key.strip_prefix("kid_").unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=40).contains(&rest.len()) && rest.chars().all(fits)
}

#[utoipa::path(get, operation_id = "listApps", path = "/admin/apps", tag = "apps", responses(
    (status = 200, body = Vec<Summary>), (status = "4XX", body = Problem)))]
pub(crate) async fn list(
    _: Operator,
    State(api): State<Api>,
) -> Result<Json<Vec<Summary>>, ApiError> {
    let apps = api.0.store.apps().await?;
    let shown = apps.into_iter().map(|app| Summary {
        created: time::iso(app.created_ms),
        key: app.key,
        name: app.name,
        deployment: app.active,
    });
    Ok(Json(shown.collect()))
}

/// An app in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AppSummary)]
pub(crate) struct Summary {
    key: String,
    name: String,
    /// ISO 8601.
    created: String,
    /// The active deployment's number.
    deployment: Option<u32>,
}

#[utoipa::path(get, operation_id = "showApp", path = "/admin/apps/{app}", tag = "apps", params(("app" = String, Path)),
    responses((status = 200, body = Shown), (status = "4XX", body = Problem)))]
pub(crate) async fn show(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    let app = api.0.apps.get(&key).await?;
    let standing = api.0.master.standing(&app.key);
    Ok(Json(Shown {
        key,
        name: app.record.name.clone(),
        created: time::iso(app.record.created_ms),
        deployment: app.record.active,
        handlers: app.hooks.names(),
        problem: app.broken.as_ref().map(|error| format!("{}: {}", error.kind.name(), error.debug)),
        standing: standing.map_or_else(|| "good".into(), |standing| standing.to_string()),
    }))
}

#[utoipa::path(delete, operation_id = "deleteApp", path = "/admin/apps/{app}", tag = "apps", params(("app" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub(crate) async fn delete(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !api.0.store.delete_app(&key).await? {
        return Err(ApiError::new(Kind::AppNotFound, ""));
    }
    api.0.apps.forget(&key).await;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(get, operation_id = "showSettings", path = "/admin/apps/{app}/settings", tag = "apps",
    params(("app" = String, Path)),
    responses((status = 200, body = Settings), (status = "4XX", body = Problem)))]
pub(crate) async fn settings(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Settings>, ApiError> {
    let app = api.0.apps.get(&key).await?;
    Ok(Json(app.settings.shown()))
}

#[utoipa::path(put, operation_id = "setSettings", path = "/admin/apps/{app}/settings", tag = "apps", request_body = Settings,
    params(("app" = String, Path)),
    responses((status = 200, body = Settings), (status = "4XX", body = Problem)))]
pub(crate) async fn set_settings(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
    Shape(new): Shape<Settings>,
) -> Result<Json<Settings>, ApiError> {
    let (app, keys) = (key.clone(), api.0.config.secret_keys.clone());
    let set = move |record: &mut AppRecord| {
        let new = new.clone().with_secrets_of(&apps::settings(&app, record, &keys)?)?;
        new.check()?;
        let mut kept = serde_json::to_value(&new).map_err(ApiError::internal)?;
        keys.seal(&app, &mut kept)?;
        record.settings = kept;
        record.scheduled = !new.schedules.is_empty();
        Ok(new)
    };
    Ok(Json(change(&api, &key, set).await?.shown()))
}

#[utoipa::path(post, operation_id = "rotateSecrets", path = "/admin/apps/{app}/rotate", tag = "apps",
    params(("app" = String, Path)),
    responses((status = 200, body = AppSecrets), (status = "4XX", body = Problem)))]
/// Gives an app new secrets: the old ones are worth nothing at once.
pub(crate) async fn rotate(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<AppSecrets>, ApiError> {
    let (app_secret, master_secret) = (secret::new()?, secret::new()?);
    let hashes = (secret::hash(&app_secret), secret::hash(&master_secret));
    let set = move |record: &mut AppRecord| {
        (record.app_secret_hash, record.master_secret_hash) = hashes;
        Ok(record.name.clone())
    };
    let name = change(&api, &key, set).await?;
    Ok(Json(AppSecrets { key, name, app_secret, master_secret }))
}

/// Changes an app's record, and has the next requests meet it.
async fn change<T: Send + 'static>(
    api: &Api,
    key: &str,
    change: impl Fn(&mut AppRecord) -> Result<T, ApiError> + Send + Sync + 'static,
) -> Result<T, ApiError> {
    let changed = api.0.store.change_app(key, change).await?;
    let changed = changed.ok_or_else(|| ApiError::new(Kind::AppNotFound, ""))??;
    api.0.apps.reload(key, None).await?;
    Ok(changed)
}
