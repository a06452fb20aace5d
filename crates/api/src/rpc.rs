//! `/rpc`: custom endpoints, and Kinvey's own (its REST guide, "Business Logic" and "Users").

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::{Call, Path, json as answer};
use crate::error::{ApiError, Kind};
use crate::query;
use crate::run::{Ran, What};

type Answer = Result<Response, ApiError>;

/// `POST /rpc/:app/custom/:endpoint`.
pub(crate) async fn custom(
    Path((_, endpoint)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    call.not_app()?;
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
