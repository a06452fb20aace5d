//! Running an app's hooks and endpoints, and what their outcomes mean for a request (docs/kinvey.md).

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use lode_store::read_json;
use lode_worker::broker::Origin;
use lode_worker::master::{Overload, Report, Task};
use lode_worker::{Json, Limit, MAX_TEXT, Outcome};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::apps::App;
use crate::call::Call;
use crate::error::{ApiError, Kind};
use crate::nested::{Nested, Run};
use crate::recordings;

/// How many deployments a run may lose its turn to, one after the other: each is a deploy of the same second.
const MOST_DEPLOYS: usize = 3;

/// Arrays and objects within each other in what a script leaves: as many as the sandbox lets through.
const MOST_LEVELS: usize = 120;

/// What is to be run.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    /// The first of a collection's hooks of these names that there is.
    Hook { collection: &'a str, names: &'a [&'static str] },
    /// A custom endpoint.
    Endpoint(&'a str),
}

impl What<'_> {
    pub(crate) fn find(self, app: &App) -> Option<(&'static str, u32)> {
        match self {
            Self::Hook { collection, names } => app.hooks.hook(collection, names),
            Self::Endpoint(name) => Some(("onRequest", app.hooks.custom(name)?)),
        }
    }

    fn label(self, hook: &str) -> String {
        match self {
            Self::Hook { collection, .. } => format!("{collection}/{hook}"),
            Self::Endpoint(name) => name.to_owned(),
        }
    }
}

/// What a handler did.
pub(crate) enum Ran {
    /// It answered the client.
    Answered(Response),
    /// It let the request go on.
    Continued { body: Option<Json>, params: Option<Value>, temp: Value },
}

/// A request object with what `modules.backendContext` and `modules.requestContext` are made of.
#[derive(Serialize)]
struct Given<'a, R> {
    #[serde(flatten)]
    request: R,
    backend: Backend<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Backend<'a> {
    app_key: &'a str,
    app_secret_token: &'a str,
    master_token: &'a str,
    api_host: &'a str,
    security_context: &'a str,
    authenticated: Option<Authenticated<'a>>,
    api_version: u32,
    client_app_version: Option<&'a str>,
    custom_request_properties: Value,
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authenticated<'a> {
    user_id: &'a str,
    username: &'a str,
    roles: &'a [String],
}

/// What a script left, read.
///
/// # Errors
/// It is nested too deeply, or too much. Blame: the script.
pub(crate) fn parsed(json: Option<Json>) -> Result<Option<Value>, ApiError> {
    let wrong = |why| {
        ApiError::new(Kind::BLRuntimeError, format!("the script's result cannot be read: {why}"))
    };
    let Some(json) = json else { return Ok(None) };
    read_json(json.get().as_bytes(), MOST_LEVELS).map(|(value, _)| Some(value)).map_err(wrong)
}

impl Call {
    /// Runs a handler with a request, which is an object; `None` if there is no such handler.
    ///
    /// # Errors
    /// What its outcome means for the client.
    pub(crate) async fn run_handler(
        &self,
        what: What<'_>,
        request: impl Serialize,
    ) -> Result<Option<Ran>, ApiError> {
        if let Some(broken) = &self.app.broken {
            return Err(broken.clone());
        }
        let Some((hook, handler)) = what.find(&self.app) else { return Ok(None) };
        let endpoint = if let What::Endpoint(name) = what { Some(name) } else { None };
        let run = Run::within(self.run.as_deref(), &self.app.key, &self.budget, endpoint)?;
        let held = self.budget.begin(&self.app.limits, run.depth).await?;
        let given = Given { request, backend: self.backend(&run) };
        let request: Arc<str> = serde_json::to_string(&given).map_err(ApiError::internal)?.into();
        if request.len() > MAX_TEXT {
            let debug = "the request is larger than a script can be given";
            return Err(ApiError::new(Kind::RequestTooLarge, debug));
        }
        let run = Arc::new(run);
        let origin = Arc::new(Origin {
            user: self.identity.user().map(|user| user.id.clone()),
            own_api: Some(Arc::new(Nested::new(
                &self.api,
                run.clone(),
                self.api.0.config.url.clone(),
            ))),
        });
        let mut task = Task {
            app: self.app.key.clone(),
            handler,
            request,
            deadline: self.budget.deadline.min(Instant::now() + held.limits.wall),
            limits: Some(held.limits.clone()),
            deployment: self.app.deployment,
            origin,
        };
        let mut app = self.app.clone();
        let mut report = self.api.run_task(&app, &run, task.clone()).await;
        for _ in 0..MOST_DEPLOYS {
            if !matches!(report.overload, Some((Overload::NotDeployed, _))) {
                break;
            }
            // Deployed anew since this request began: it has not run, so it may.
            app = self.api.0.apps.successor(&app).await?;
            let Some((_, handler)) = what.find(&app) else { return Ok(None) };
            task.handler = handler;
            task.deployment = app.deployment;
            report = self.api.run_task(&app, &run, task.clone()).await;
        }
        held.charge(&report.usage);
        self.trace.executed(hook);
        let label = what.label(hook);
        self.api.0.logs.add(&self.app.key, &self.trace.id, &label, &report.logs);
        self.judge(&label, report).map(Some)
    }

    fn judge(&self, label: &str, report: Report) -> Result<Ran, ApiError> {
        let (overload, recording) = (report.overload, report.recording);
        let error: ApiError = match report.outcome {
            Outcome::Completed { status, headers, body, .. } => {
                return Ok(Ran::Answered(answer(
                    status,
                    headers,
                    body.as_deref().map(|b| b.get()),
                )));
            }
            Outcome::Continued { body, params, temp_object_store, custom_request_properties } => {
                if let Some(custom) = parsed(custom_request_properties)? {
                    *self.custom.lock().unwrap_or_else(PoisonError::into_inner) = Some(custom);
                }
                return Ok(Ran::Continued {
                    body,
                    params: parsed(params)?,
                    temp: parsed(temp_object_store)?.unwrap_or_else(|| json!({})),
                });
            }
            Outcome::Error(error) => {
                let mut failed = ApiError::new(Kind::BLRuntimeError, error.to_string());
                failed.stack = Some(error.stack);
                failed
            }
            Outcome::Limit { limit: limit @ (Limit::Cpu | Limit::Wall) } => {
                let debug = format!("the script exceeded its {limit} limit");
                ApiError::new(Kind::BLTimeoutError, debug)
            }
            Outcome::Limit { limit } => {
                let debug = format!("the script exceeded its {limit} limit");
                ApiError::new(Kind::BLViolationError, debug)
            }
            Outcome::NeverCompleted => ApiError::new(
                Kind::BLTimeoutError,
                "the script ended without completing the request: nothing it started is left that could",
            ),
            Outcome::Expired => ApiError::new(
                Kind::KinveyInternalErrorRetry,
                "the request's time was over before its script could start",
            ),
            Outcome::Rejected => rejected(overload),
            Outcome::Platform { detail } => {
                tracing::error!(app = &*self.app.key, label, detail, "a run failed");
                ApiError::new(Kind::BLInternalError, "")
            }
        };
        if let Some(recording) = recording {
            recordings::keep(self, label, &error, &recording);
        }
        let mut text = format!("{}: {}", error.kind.name(), error.debug);
        // Its developers see the stack in the log; a client, only with the master secret.
        if let Some(stack) = &error.stack {
            text.push('\n');
            text.push_str(stack);
        }
        self.api.0.logs.outcome(&self.app.key, &self.trace.id, label, &text);
        let stack = error.stack.filter(|_| self.identity.is_master());
        Err(ApiError { stack, ..error })
    }

    /// What every handler is told of its request.
    pub(crate) fn request_object(&self) -> Map<String, Value> {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            // Credentials are no business of a script's.
            if *name == header::AUTHORIZATION || *name == header::COOKIE {
                continue;
            }
            if let Ok(text) = value.to_str() {
                headers.insert(name.as_str().into(), text.into());
            }
        }
        let mut request = Map::new();
        request.insert("method".into(), self.method.as_str().into());
        request.insert("headers".into(), headers.into());
        request.insert("appKey".into(), (*self.app.key).into());
        if let Some(user) = self.identity.user() {
            request.insert("username".into(), user.username.clone().into());
            request.insert("userId".into(), (*user.id).into());
        }
        request.insert("tempObjectStore".into(), json!({}));
        request
    }

    fn backend<'a>(&'a self, run: &'a Run) -> Backend<'a> {
        let custom = self.custom.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Backend {
            app_key: &self.app.key,
            app_secret_token: &run.app_token,
            master_token: &run.master_token,
            api_host: self.api.0.config.url.as_str().trim_end_matches('/'),
            security_context: self.identity.security_context(),
            authenticated: self.identity.user().map(|user| Authenticated {
                user_id: &user.id,
                username: &user.username,
                roles: &user.roles,
            }),
            api_version: self.api_version(),
            client_app_version: self.header("x-kinvey-client-app-version"),
            custom_request_properties: custom.unwrap_or_else(|| json!({})),
            request_id: &self.trace.id,
        }
    }
}

/// Headers that say how a message is carried, or that a client or a proxy would act on beyond it: browsers keep
/// `Strict-Transport-Security` and `Alt-Svc` for the whole host, of which an app is a part.
const NOT_FOR_SCRIPTS: [HeaderName; 13] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TRAILER,
    header::TE,
    header::SET_COOKIE,
    header::DATE,
    header::WWW_AUTHENTICATE,
    header::STRICT_TRANSPORT_SECURITY,
    header::ALT_SVC,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("keep-alive"),
];

/// The same of whole families. Proxies in front obey `X-Accel-…` (nginx) and `X-Sendfile` (Apache, lighttpd):
/// they send files of theirs.
const FAMILIES_NOT_FOR_SCRIPTS: [&str; 6] =
    ["x-kinvey-", "x-accel-", "x-sendfile", "x-lighttpd-", "proxy-", "service-worker-allowed"];

fn is_for_scripts(name: &HeaderName) -> bool {
    let is_of_it = |family: &&str| name.as_str().starts_with(*family);
    !NOT_FOR_SCRIPTS.contains(name) && !FAMILIES_NOT_FOR_SCRIPTS.iter().any(is_of_it)
}

fn answer(
    status: u16,
    headers: std::collections::BTreeMap<String, String>,
    body: Option<&str>,
) -> Response {
    // 1xx would not end the exchange; nothing else a script can say is refused.
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
    let status = status.unwrap_or(StatusCode::OK);
    let mut is_text = false;
    let mut response = Response::new(axum::body::Body::empty());
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value))
        else {
            continue;
        };
        if !is_for_scripts(&name) {
            continue;
        }
        is_text |= name == header::CONTENT_TYPE && !value.as_bytes().ends_with(b"json");
        response.headers_mut().insert(name, value);
    }
    *response.status_mut() = status;
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return response;
    }
    let Some(body) = body else { return response };
    // A text body of another type than JSON is sent as it is.
    let text = is_text.then(|| serde_json::from_str::<String>(body).ok()).flatten();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().entry(header::CONTENT_TYPE).or_insert(json);
    *response.body_mut() = text.unwrap_or_else(|| body.to_owned()).into();
    response.into_response()
}

fn rejected(overload: Option<(Overload, std::time::Duration)>) -> ApiError {
    let Some((overload, wait)) = overload else {
        return ApiError::new(Kind::KinveyInternalErrorRetry, "");
    };
    let (kind, debug) = match overload {
        Overload::AppQueue => (Kind::TooManyRequests, "the app has too many runs waiting"),
        Overload::Rate => (Kind::TooManyRequests, "the app has more runs per second than it may"),
        Overload::Paused => {
            (Kind::TooManyRequests, "the app is paused: its scripts kept exceeding their limits")
        }
        _ => (Kind::KinveyInternalErrorRetry, ""),
    };
    ApiError::new(kind, debug).after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_set_no_headers_that_proxies_and_browsers_act_on() {
        let refused = [
            "X-Accel-Redirect",
            "X-Sendfile",
            "Strict-Transport-Security",
            "Alt-Svc",
            "Clear-Site-Data",
            "Service-Worker-Allowed",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Set-Cookie",
            "X-Kinvey-Request-Id",
        ];
        let given = refused.iter().chain(&["X-Mine", "Cache-Control"]);
        let headers = given.map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let answered = answer(200, headers, None);
        let names: Vec<&str> = answered.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["cache-control", "x-mine"]);
    }
}
