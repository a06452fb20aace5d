//! What an app's scripts log.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use super::{Operator, Problem};
use crate::answers;
use crate::api::Api;
use crate::call::Path;
use crate::error::{ApiError, Kind};
use crate::logs::Line;

#[derive(Deserialize, IntoParams)]
pub(crate) struct Wanted {
    /// `true`: goes on with what is logged from now on, until the client ends it.
    follow: Option<String>,
}

#[utoipa::path(get, operation_id = "logs", path = "/admin/apps/{app}/logs", tag = "logs",
    params(("app" = String, Path), Wanted), responses(
    (status = 200, body = Line, content_type = "application/x-ndjson"),
    (status = "4XX", body = Problem)))]
/// The last 500 lines, one JSON object per line.
pub(crate) async fn logs(
    _: Operator,
    State(api): State<Api>,
    Path(key): Path<String>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(wanted) =
        wanted.map_err(|error| ApiError::new(Kind::BadRequest, error.body_text()))?;
    let app = api.0.apps.get(&key).await?;
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    if wanted.follow.as_deref() != Some("true") {
        let text: Vec<u8> = api.0.logs.last(&app.key).iter().flat_map(json).collect();
        return Ok((kind, text).into_response());
    }
    let (last, receiver) = api.0.logs.follow(&app.key);
    let last: Vec<u8> = last.iter().flat_map(json).collect();
    let last = answers::counted(last.into(), api.0.answers.of("apps"))?;
    let begin = (Some(last), receiver);
    let lines = stream::unfold(begin, |(last, mut receiver)| async move {
        if let Some(last) = last {
            return Some((Ok::<_, Infallible>(last), (None, receiver)));
        }
        let line = match receiver.recv().await {
            Ok(line) => Bytes::from(json(&line)),
            Err(RecvError::Lagged(missed)) => {
                Bytes::from(format!("{{\"level\":\"warn\",\"text\":\"{missed} lines missed\"}}\n"))
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(line), (None, receiver)))
    });
    Ok((kind, Body::from_stream(lines)).into_response())
}

fn json(line: &Arc<Line>) -> Vec<u8> {
    let mut text = serde_json::to_vec(&**line).unwrap_or_default();
    text.push(b'\n');
    text
}
