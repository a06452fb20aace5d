//! `/rpc`: custom endpoints, and Kinvey's own (its REST guide, "Business Logic" and "Users").

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::{Call, Path, json as answer};
use crate::error::{ApiError, Kind};
use crate::run::{Ran, What};
use crate::{query, secret, tasks};

type Answer = Result<Response, ApiError>;

/// `POST /rpc/:app/custom/:endpoint`.
pub(crate) async fn custom(
    Path((_, endpoint)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    call.not_app()?;
    // A script's own calls are answered: what it asks for is within its request's budget.
    if call.run.is_none() && prefers_async(&call.headers) {
        return later(&endpoint, &call, body).await;
    }
    let mut request = call.request_object();
    request.insert("body".into(), body.0.unwrap_or_else(|| json!({})));
    request.insert("params".into(), query::as_object(&call.params)?);
    request.insert("targetFunction".into(), endpoint.clone().into());
    match call.run_handler(What::Endpoint(&endpoint), request).await? {
        None => {
            let debug = format!("there is no custom endpoint {endpoint:?}");
            Err(ApiError::new(Kind::NotFound, debug))
        }
        Some(Ran::Answered(response)) => Ok(response),
        // An endpoint has nothing to go on with: it answers what it left.
        Some(Ran::Continued { body, .. }) => Ok(answer(StatusCode::OK, &body)),
    }
}

/// Whether a client would rather not wait (RFC 7240, section 4.1).
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    let preferences = values.flat_map(|text| text.split(','));
    preferences.map(str::trim).any(|name| name.eq_ignore_ascii_case("respond-async"))
}

/// Owes the client the run: `Idempotency-Key` names it, so that asking again does not have it twice
/// (draft-ietf-httpapi-idempotency-key-header).
async fn later(endpoint: &str, call: &Call, body: Body) -> Answer {
    if !call.has(What::Endpoint(endpoint)) {
        let debug = format!("there is no custom endpoint {endpoint:?}");
        return Err(ApiError::new(Kind::NotFound, debug));
    }
    let key = call.header("idempotency-key");
    if key.is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
        let debug = format!("an Idempotency-Key has 1 to {MAX_KEY} bytes");
        return Err(ApiError::new(Kind::ParameterValueOutOfRange, debug));
    }
    let params = query::as_object(&call.params)?;
    let content = call.content(endpoint, body.0.unwrap_or_else(|| json!({})), params);
    // A user's key for an endpoint, and nobody else's: who could name another's would get its task instead of
    // one's own. Not to be mixed up with those that schedules make.
    let key = key.map(|key| {
        let whose = json!([content.user, endpoint, key]).to_string();
        format!("client {}", secret::hex(&secret::hash(&whose)))
    });
    let id = tasks::add(&call.api, &call.app.key, key.as_deref(), &content).await?;
    let mut answer = answer(StatusCode::ACCEPTED, &json!({ "taskId": id }));
    let applied = HeaderValue::from_static("respond-async");
    answer.headers_mut().insert("preference-applied", applied);
    Ok(answer)
}

/// Bytes of an idempotency key: four UUIDs and some.
const MAX_KEY: usize = 200;

/// `POST /rpc/:app/check-username-exists`.
pub(crate) async fn username_exists(Path(_): Path<String>, call: Call, body: Body) -> Answer {
    let body = body.object()?;
    let name = body.get("username").and_then(Value::as_str);
    let name = name.ok_or_else(|| ApiError::new(Kind::IncompleteRequestBody, "username"))?;
    let known = call.api.0.store.credential(&call.app.key, name).await?;
    Ok(answer(StatusCode::OK, &json!({ "usernameExists": known.is_some() })))
}

/// What would send a mail.
pub(crate) async fn no_email(_: Call) -> Answer {
    Err(ApiError::new(Kind::FeatureUnavailable, "no mail service is configured"))
}
