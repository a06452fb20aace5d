//! One API request: whose, to which app, and what it may use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use lode_store::{Place, read_json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Api, Trace};
use crate::apps::App;
use crate::auth::{self, Credentials, Identity};
use crate::body::MAX_DEPTH;
use crate::budget::Budget;
use crate::error::{ApiError, Kind};
use crate::nested::Run;

/// A request to an app, its sender known.
pub(crate) struct Call {
    pub(crate) api: Api,
    pub(crate) app: Arc<App>,
    pub(crate) identity: Identity,
    pub(crate) trace: Arc<Trace>,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The query string's parameters.
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) budget: Arc<Budget>,
    /// The run that makes the request, if a script does.
    pub(crate) run: Option<Arc<Run>>,
    /// The client's custom request properties, as its header had them or a hook left them.
    pub(crate) custom: Mutex<Option<Value>>,
}

impl FromRequestParts<Api> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        // `/appdata/kid_…/…`: every route of an app has its key there.
        let key = parts.uri.path().split('/').nth(2).unwrap_or_default();
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(ApiError::new(Kind::AppNotFound, ""));
        }
        let app = api.0.apps.get(key).await?;
        let run = parts.extensions.get::<Arc<Run>>().filter(|run| run.app == app.key).cloned();
        let identity = auth::identify(&api.0, &app, &parts.headers, run.as_deref()).await?;
        parts.extensions.insert(Decided {
            app: app.clone(),
            identity: identity.clone(),
            at: Instant::now(),
        });
        let trace = parts.extensions.get::<Arc<Trace>>().cloned();
        let trace = trace.ok_or_else(|| ApiError::internal("a request without a trace"))?;
        let budget = match &run {
            Some(run) => run.budget.clone(),
            None => Arc::new(Budget::new(&app.settings.budget)),
        };
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes())
        {
            // The first one counts, as in every part of the system.
            params.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Ok(Self {
            api: api.clone(),
            app,
            identity,
            trace,
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            params,
            budget,
            run,
            custom: Mutex::new(custom_properties(&parts.headers)),
        })
    }
}

/// How long a body may take before its sender is looked at again: hardly any takes so long, so that hardly any
/// request pays for a second look.
const MOMENT: Duration = Duration::from_secs(5);

/// What was decided of a request at its head.
#[derive(Clone)]
pub(crate) struct Decided {
    app: Arc<App>,
    identity: Identity,
    at: Instant,
}

impl Decided {
    /// Decides again, if the request's body has taken longer than a moment to come.
    ///
    /// # Errors
    /// The sender's credentials are good no more, or are for other rights than before.
    pub(crate) async fn still_holds(&self, api: &Api, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.at.elapsed() < MOMENT {
            return Ok(());
        }
        let app = api.0.apps.get(&self.app.key).await?;
        // Bodies of scripts' own calls are there with their heads: this is no run's.
        let identity = auth::identify(&api.0, &app, headers, None).await?;
        if identity == self.identity && app.settings.collections == self.app.settings.collections {
            return Ok(());
        }
        let debug = "the sender's rights were changed while the request's body arrived";
        Err(ApiError::new(Kind::InsufficientCredentials, debug))
    }
}

/// The parts of a URL's path, as axum's `Path`, refused in our own words.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(parts)| Self(parts))
            .map_err(|error| ApiError::new(Kind::BadRequest, error.body_text()))
    }
}

/// Bytes of an app key: ours have 20.
const MAX_KEY: usize = 64;
/// Bytes of a collection's name or an entity's id.
const MAX_NAME: usize = 256;

impl Call {
    /// A collection of the app.
    pub(crate) fn place<'a>(&'a self, collection: &'a str) -> Place<'a> {
        Place { app: &self.app.key, collection }
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Kinvey's API version that the client speaks: 3 where it does not say.
    pub(crate) fn api_version(&self) -> u32 {
        self.header("x-kinvey-api-version").and_then(|text| text.parse().ok()).unwrap_or(3)
    }

    /// Whether the owner asked for no hooks.
    pub(crate) fn skips_hooks(&self) -> bool {
        self.identity.is_master()
            && self
                .header("x-kinvey-skip-business-logic")
                .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The session's token that the request came with.
    pub(crate) fn session_token(&self) -> Option<String> {
        let session = self.identity.user()?.session;
        match Credentials::of(&self.headers) {
            Ok(Credentials::Token(token)) if session.is_some() => Some(token),
            _ => None,
        }
    }

    /// Requires the master secret.
    pub(crate) fn master_only(&self) -> Result<(), ApiError> {
        if self.identity.is_master() {
            return Ok(());
        }
        Err(ApiError::new(Kind::InsufficientCredentials, "this needs the master secret"))
    }

    /// Requires a user or the master secret.
    pub(crate) fn not_app(&self) -> Result<(), ApiError> {
        match self.identity {
            Identity::App => {
                let debug = "this needs a logged-in user or the master secret";
                Err(ApiError::new(Kind::InsufficientCredentials, debug))
            }
            _ => Ok(()),
        }
    }
}

/// A name of a collection: not empty, no control characters, not one of Lode's own.
pub(crate) fn check_collection(name: &str) -> Result<(), ApiError> {
    let odd = |c: char| c.is_control() || c == '$' || c == '/';
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('_') || name.contains(odd) {
        let debug = "the name is not one that a collection can have";
        return Err(ApiError::new(Kind::InvalidIdentifier, debug));
    }
    if ["user", "group", "role"].contains(&name) {
        let debug = format!("the collection {name:?} has an API of its own");
        return Err(ApiError::new(Kind::InvalidIdentifier, debug));
    }
    Ok(())
}

/// An `_id`: a text, not empty.
pub(crate) fn check_id(id: &str) -> Result<(), ApiError> {
    if id.is_empty() || id.len() > MAX_NAME || id.contains(char::is_control) {
        return Err(ApiError::new(Kind::InvalidIdentifier, "an _id is a text of 1 to 256 bytes"));
    }
    Ok(())
}

/// Kinvey's header for what clients tell hooks: a JSON object. What is none is ignored, as it was there.
pub(crate) fn custom_properties(headers: &HeaderMap) -> Option<Value> {
    let text = headers.get("x-kinvey-custom-request-properties")?.to_str().ok()?;
    let (properties, _) = read_json(text.as_bytes(), MAX_DEPTH).ok()?;
    Some(properties).filter(Value::is_object)
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    (status, axum::Json(body)).into_response()
}
