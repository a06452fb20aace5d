//! Around each operation: its pre-hook, which may change the request, answer it or stop it, and its
//! post-hook, which may change the response (Kinvey's Business Logic reference, "Collection Hook Pipeline").
//! An error of the operation skips the post-hook.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::call::{Call, json as answer};
use crate::error::ApiError;
use crate::run::{Ran, What, parsed};

/// The operation that hooks are around.
#[derive(Clone, Copy)]
pub(crate) struct Operation<'a> {
    pub(crate) collection: &'a str,
    /// The entity's, where there is one.
    pub(crate) id: Option<&'a str>,
    /// The first of these that the app has is run.
    pub(crate) pre: &'static [&'static str],
    pub(crate) post: &'static [&'static str],
}

/// A request that its pre-hook let go on.
pub(crate) struct Going {
    /// Its body, `null` for none. An operation that writes takes it: what was written is the request's body
    /// from then on.
    pub(crate) body: Option<Value>,
    /// Its query string's parameters, an object.
    pub(crate) params: Value,
    temp: Value,
}

/// What a hook is given.
#[derive(Serialize)]
struct HookRequest<'a> {
    #[serde(flatten)]
    request: Map<String, Value>,
    body: HookBody<'a>,
    params: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<HookResponse<'a>>,
}

/// A body, read or as text.
#[derive(Serialize)]
#[serde(untagged)]
enum HookBody<'a> {
    Value(&'a Value),
    Text(&'a RawValue),
}

/// What a post-hook is given of the response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HookResponse<'a> {
    status_code: u16,
    headers: Map<String, Value>,
    body: &'a RawValue,
}

/// What became of a request before its operation.
pub(crate) enum Before {
    Going(Going),
    Answered(Response),
}

impl Call {
    /// Runs the pre-hook.
    ///
    /// # Errors
    /// The hook failed: the operation must not happen.
    pub(crate) async fn before(
        &self,
        operation: Operation<'_>,
        body: Value,
        params: Value,
    ) -> Result<Before, ApiError> {
        let what = What::Hook { collection: operation.collection, names: operation.pre };
        if self.skips_hooks() || !self.has(what) {
            return Ok(Before::Going(Going { body: Some(body), params, temp: json!({}) }));
        }
        let request = HookRequest {
            request: self.hook_request(operation, json!({})),
            body: HookBody::Value(&body),
            params: &params,
            response: None,
        };
        Ok(match self.run_handler(what, request).await? {
            None => Before::Going(Going { body: Some(body), params, temp: json!({}) }),
            Some(Ran::Answered(response)) => Before::Answered(response),
            Some(Ran::Continued { body: left, params: changed, temp }) => Before::Going(Going {
                body: Some(parsed(left)?.unwrap_or(body)),
                params: changed.unwrap_or(params),
                temp,
            }),
        })
    }

    /// Runs the post-hook with the operation's result, and answers the client.
    pub(crate) async fn after(
        &self,
        operation: Operation<'_>,
        going: Going,
        status: StatusCode,
        result: &impl Serialize,
    ) -> Result<Response, ApiError> {
        let what = What::Hook { collection: operation.collection, names: operation.post };
        if self.skips_hooks() || !self.has(what) {
            return Ok(answer(status, result));
        }
        let result = to_raw_value(result).map_err(ApiError::internal)?;
        let headers = Map::new();
        let request = HookRequest {
            request: self.hook_request(operation, going.temp),
            body: going.body.as_ref().map_or(HookBody::Text(&result), HookBody::Value),
            params: &going.params,
            response: Some(HookResponse { status_code: status.as_u16(), headers, body: &result }),
        };
        Ok(match self.run_handler(what, request).await? {
            None => answer(status, &result),
            Some(Ran::Answered(response)) => response,
            Some(Ran::Continued { body: Some(body), .. }) => answer(status, &body),
            Some(Ran::Continued { body: None, .. }) => answer(status, &result),
        })
    }

    pub(crate) fn has(&self, what: What<'_>) -> bool {
        // A broken deployment has hooks that nobody can run: the request must not pass them by.
        self.app.broken.is_some() || what.find(&self.app).is_some()
    }

    fn hook_request(&self, operation: Operation<'_>, temp: Value) -> Map<String, Value> {
        let mut request = self.request_object();
        request.insert("tempObjectStore".into(), temp);
        request.insert("collectionName".into(), operation.collection.into());
        if let Some(id) = operation.id {
            request.insert("entityId".into(), id.into());
        }
        request
    }
}
