//! `/admin`: what the platform's operator and an app's owner do, behind one token. Described by OpenAPI
//! (`/admin/openapi.json`), which is made from this code.

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;
use http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;
use crate::body::Body;
use crate::error::{ApiError, Kind};
use crate::secret;

mod apps;
mod deployments;
mod indexes;
mod logs;
mod runs;
mod tasks;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lode admin API",
        description = "Apps, deployments, logs, limits, allow-lists and secrets."
    ),
    modifiers(&Token),
    security(("token" = []))
)]
struct Admin;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut Description) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The admin API's routes.
pub(crate) fn routes() -> Router<Api> {
    let (router, description) = described().split_for_parts();
    let text = description.to_json().unwrap_or_default();
    let json = [(header::CONTENT_TYPE, "application/json")];
    router
        .route("/admin/openapi.json", get(move |_: Operator| async move { (json, text) }))
        .route("/admin/metrics", get(metrics))
}

fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Admin::openapi())
        .routes(routes!(apps::create, apps::list))
        .routes(routes!(apps::show, apps::delete))
        .routes(routes!(apps::settings, apps::set_settings))
        .routes(routes!(apps::rotate))
        .routes(routes!(deployments::create, deployments::list))
        .routes(routes!(deployments::show))
        .routes(routes!(deployments::activate))
        .routes(routes!(indexes::list))
        .routes(routes!(indexes::create, indexes::delete))
        .routes(routes!(logs::logs))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::schedules))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::retry))
        .routes(routes!(tasks::delete))
}

/// Prometheus' text format.
async fn metrics(_: Operator, axum::extract::State(api): axum::extract::State<Api>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, api.metrics().await).into_response()
}

/// Whoever has the admin token.
pub(crate) struct Operator;

impl FromRequestParts<Api> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        // A script's own calls come from nobody who has it, whatever they say.
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let known = given.is_some_and(|token| secret::is(token, &api.0.config.admin_token));
        if !known {
            let debug = "the admin API needs `Authorization: Bearer <admin token>`";
            return Err(ApiError::new(Kind::InvalidCredentials, debug));
        }
        Ok(Self)
    }
}

/// A body of a known shape.
pub(crate) struct Shape<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Api> for Shape<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let body = Body::from_request(request, api).await?;
        let body = body.0.unwrap_or_else(|| serde_json::json!({}));
        serde_json::from_value(body)
            .map(Self)
            .map_err(|error| ApiError::new(Kind::BadRequest, error.to_string()))
    }
}

/// What a failed request is answered with.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "only described: ApiError::body makes it")]
pub(crate) struct Problem {
    /// Its name.
    error: String,
    /// What the name means.
    description: String,
    /// What it was in this request.
    debug: String,
}
