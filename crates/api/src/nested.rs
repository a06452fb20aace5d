//! A script's calls of its own backend's API, answered in this process.
//!
//! They are requests like others, with two differences: they draw on the budget of the request that their
//! run belongs to, and `getMasterSecret()`'s token, which exists for one run, counts in them. The master
//! secret itself never enters a sandbox.

use std::sync::{Arc, Weak};
use std::time::Instant;

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use lode_worker::broker::{OwnAnswer, OwnApi};
use tower::ServiceExt as _;
use url::Url;

use crate::api::{Api, Inner};
use crate::budget::{Budget, MAX_DEPTH};
use crate::error::{ApiError, Kind};
use crate::secret;

/// Bytes of an answer to a script; the broker's own bound is in the same place.
const MAX_ANSWER: usize = 8 << 20;

/// A run, as the calls that its script makes know it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) app: Arc<str>,
    pub(crate) master_token: String,
    pub(crate) app_token: String,
    pub(crate) budget: Arc<Budget>,
    /// How many requests are around it: 1 for a client's.
    pub(crate) depth: u32,
    /// The endpoints under way around it, itself included.
    pub(crate) endpoints: Vec<Arc<str>>,
}

impl Run {
    /// A run for a request that `outer`, if it is a script's, makes.
    pub(crate) fn within(
        outer: Option<&Self>,
        app: &Arc<str>,
        budget: &Arc<Budget>,
        endpoint: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut endpoints = outer.map(|run| run.endpoints.clone()).unwrap_or_default();
        if let Some(name) = endpoint {
            if endpoints.iter().any(|known| **known == *name) {
                let debug = format!("the endpoint {name} calls itself");
                return Err(ApiError::new(Kind::BLViolationError, debug));
            }
            endpoints.push(name.into());
        }
        let depth = outer.map_or(1, |run| run.depth + 1);
        if depth > MAX_DEPTH {
            let debug = format!("scripts call scripts more than {MAX_DEPTH} levels deep");
            return Err(ApiError::new(Kind::BLViolationError, debug));
        }
        let token = secret::new()?;
        Ok(Self {
            app: app.clone(),
            master_token: format!("run-master-{token}"),
            app_token: format!("run-app-{token}"),
            budget: budget.clone(),
            depth,
            endpoints,
        })
    }
}

/// The API as a run's broker sees it.
#[derive(Debug)]
pub(crate) struct Nested {
    api: Weak<Inner>,
    run: Arc<Run>,
    url: Url,
}

impl Nested {
    /// `url`: where clients reach the API.
    pub(crate) fn new(api: &Api, run: Arc<Run>, url: Url) -> Self {
        Self { api: Arc::downgrade(&api.0), run, url }
    }
}

impl OwnApi for Nested {
    fn serves(&self, url: &Url) -> bool {
        // Only this app's part of it: what is not an app's is not for scripts.
        let mut parts = url.path().split('/').skip(1);
        let kind = parts.next().unwrap_or_default();
        let is_app = ["appdata", "user", "rpc", "roles", "group", "blob"].contains(&kind)
            && parts.next() == Some(&*self.run.app);
        is_app
            && url.host() == self.url.host()
            && url.port_or_known_default() == self.url.port_or_known_default()
    }

    fn call(&self, request: Request<Bytes>, _deadline: Instant) -> OwnAnswer<'_> {
        Box::pin(async move {
            let Some(inner) = self.api.upgrade() else {
                return Response::new(Bytes::new());
            };
            let mut request = request.map(Body::from);
            request.extensions_mut().insert(self.run.clone());
            let answered = Api(inner).router().oneshot(request).await;
            let response = answered.unwrap_or_else(|never| match never {});
            collect(response).await
        })
    }
}

async fn collect(response: axum::response::Response) -> Response<Bytes> {
    let (head, body) = response.into_parts();
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => Response::from_parts(head, body.to_bytes()),
        Err(_) => {
            let error = ApiError::new(Kind::ResultSetSizeExceeded, "the answer is too large");
            let (mut head, _) = error.into_response().into_parts();
            head.status = StatusCode::BAD_REQUEST;
            Response::from_parts(head, Bytes::new())
        }
    }
}
