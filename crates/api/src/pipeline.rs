//! Around each operation: its pre-hook, which may change the request, answer it or stop it, and its
//! post-hook, which may change the response (Kinvey's Business Logic reference, "Collection Hook Pipeline").
//! An error of the operation skips the post-hook.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::{Call, json as answer};
use crate::error::ApiError;
use crate::run::{Ran, What};

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
    /// Its body, `null` for none.
    pub(crate) body: Value,
    /// Its query string's parameters, an object.
    pub(crate) params: Value,
    temp: Value,
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
        let mut going = Going { body, params, temp: json!({}) };
        let what = What::Hook { collection: operation.collection, names: operation.pre };
        if self.skips_hooks() || !self.has(what) {
            return Ok(Before::Going(going));
        }
        let request = self.hook_request(operation, &going);
        Ok(match self.run_handler(what, request).await? {
            None => Before::Going(going),
            Some(Ran::Answered(response)) => Before::Answered(response),
            Some(Ran::Continued { body, params, temp }) => {
                if let Some(body) = body {
                    going.body = body;
                }
                if let Some(params) = params {
                    going.params = params;
                }
                going.temp = temp;
                Before::Going(going)
            }
        })
    }

    /// Runs the post-hook with the operation's result, and answers the client.
    pub(crate) async fn after(
        &self,
        operation: Operation<'_>,
        going: Going,
        status: StatusCode,
        result: Value,
    ) -> Result<Response, ApiError> {
        let what = What::Hook { collection: operation.collection, names: operation.post };
        if self.skips_hooks() || !self.has(what) {
            return Ok(answer(status, &result));
        }
        let mut request = self.hook_request(operation, &going);
        request.insert("tempObjectStore".into(), going.temp);
        let response = json!({ "statusCode": status.as_u16(), "headers": {}, "body": &result });
        request.insert("response".into(), response);
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

    fn hook_request(&self, operation: Operation<'_>, going: &Going) -> Map<String, Value> {
        let mut request = self.request_object();
        request.insert("collectionName".into(), operation.collection.into());
        if let Some(id) = operation.id {
            request.insert("entityId".into(), id.into());
        }
        request.insert("body".into(), going.body.clone());
        request.insert("params".into(), going.params.clone());
        request
    }
}
