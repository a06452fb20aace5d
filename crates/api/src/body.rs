//! Request bodies: JSON, of a bounded size.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use http_body_util::BodyExt as _;
use lode_store::Document;
use serde_json::Value;
use tokio::time::Instant;

use crate::error::{ApiError, Kind};

/// Bytes of a body: twice what Kinvey took for an entity (2 MB), and what a run may output.
const MAX_BYTES: usize = 4 << 20;
/// Bytes of a body for the admin API: a deployment's sources, and room for what JSON adds.
const MAX_ADMIN: usize = 16 << 20;
/// Bytes beyond what a body may have that are read and dropped.
const MAX_DROPPED: usize = 32 << 20;
/// How long a body may stand still: a client that sends at all, over however poor a line, sends more often.
const STILL: Duration = Duration::from_secs(30);
/// How long a body may take in all: what Node.js gives a request.
const IN_ALL: Duration = Duration::from_secs(300);
/// Arrays and objects within each other. JSON parsers stop near 128; nobody writes half of it.
const MAX_DEPTH: usize = 60;
/// Values, keys not counted: each takes some 80 bytes in memory, whatever few it has on the wire.
const MAX_VALUES: usize = 200_000;

/// A request's body, parsed; `None` if it has none.
pub(crate) struct Body(pub(crate) Option<Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let is_admin = request.uri().path().starts_with("/admin/");
        let bytes = read(request.into_body(), if is_admin { MAX_ADMIN } else { MAX_BYTES }).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(None));
        }
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::new(Kind::JSONParseError, error.to_string()))?;
        let mut left = MAX_VALUES;
        check(&value, MAX_DEPTH, &mut left)?;
        Ok(Self(Some(value)))
    }
}

impl Body {
    /// An object.
    ///
    /// # Errors
    /// There is none, or it is something else.
    pub(crate) fn object(self) -> Result<Document, ApiError> {
        match self.0 {
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(ApiError::new(Kind::BadRequest, "the body is not a JSON object")),
            None => Err(ApiError::new(Kind::IncompleteRequestBody, "the request has no body")),
        }
    }

    /// An object, empty if there is no body.
    pub(crate) fn object_or_empty(self) -> Result<Document, ApiError> {
        if self.0.is_none() { Ok(Document::new()) } else { self.object() }
    }
}

/// A body's bytes. What is too large is read on for a while and dropped: a client that is answered while it
/// still sends sees a broken connection, and not the answer.
async fn read(mut body: axum::body::Body, most: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    let end = Instant::now() + IN_ALL;
    loop {
        let until = end.min(Instant::now() + STILL);
        let frame = tokio::time::timeout_at(until, body.frame())
            .await
            .map_err(|_| ApiError::new(Kind::RequestTimeout, "the body did not arrive in time"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| ApiError::new(Kind::BadRequest, "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen > most + MAX_DROPPED {
            break;
        }
        if seen <= most {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
    }
    if seen > most {
        let debug = format!("a request's body has at most {most} bytes");
        return Err(ApiError::new(Kind::RequestTooLarge, debug));
    }
    Ok(bytes)
}

fn check(value: &Value, depth: usize, left: &mut usize) -> Result<(), ApiError> {
    let large = |what: String| Err(ApiError::new(Kind::RequestTooLarge, what));
    if depth == 0 {
        return large(format!("the body is nested more than {MAX_DEPTH} levels deep"));
    }
    let Some(rest) = left.checked_sub(1) else {
        return large(format!("the body has more than {MAX_VALUES} values"));
    };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth - 1, left)),
        Value::Object(members) => {
            members.values().try_for_each(|item| check(item, depth - 1, left))
        }
        _ => Ok(()),
    }
}

/// Checks that a document can be stored: MongoDB's rule for field names (its manual, "Documents", "Field
/// Names"), which queries rest on.
pub(crate) fn check_fields(document: &Document) -> Result<(), ApiError> {
    for (name, value) in document {
        if name.starts_with('$') || name.contains('.') || name.contains('\0') {
            let debug =
                format!("the field name {name:?} begins with $ or has a dot or a NUL in it");
            return Err(ApiError::new(Kind::InvalidIdentifier, debug));
        }
        check_value(value)?;
    }
    Ok(())
}

fn check_value(value: &Value) -> Result<(), ApiError> {
    match value {
        Value::Object(object) => check_fields(object),
        Value::Array(items) => items.iter().try_for_each(check_value),
        // PostgreSQL's JSON has no NUL.
        Value::String(text) if text.contains('\0') => {
            Err(ApiError::new(Kind::BadRequest, "a text has a NUL character in it"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body as Stream;
    use bytes::Bytes;
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    /// So many bytes, one by one, with so long before each.
    fn dripping(bytes: usize, pause: Duration) -> Stream {
        Stream::from_stream(stream::unfold(bytes, move |left| async move {
            tokio::time::sleep(pause).await;
            let left = left.checked_sub(1)?;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), left))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_stand_still_or_drip_for_too_long_are_given_up() {
        let second = Duration::from_secs(1);
        assert_eq!(
            read(dripping(200, second), MAX_BYTES).await.expect("slow, and whole").len(),
            200
        );
        for endless in [dripping(1, STILL + second), dripping(1000, second)] {
            let error = read(endless, MAX_BYTES).await.expect_err("too slow");
            assert_eq!(error.kind, Kind::RequestTimeout);
        }
    }

    #[test]
    fn deep_and_crowded_bodies_are_refused() {
        let mut deep = json!(1);
        for _ in 0..MAX_DEPTH - 1 {
            deep = json!([deep]);
        }
        check(&deep, MAX_DEPTH, &mut 1000).expect("just right");
        let error = check(&json!([deep]), MAX_DEPTH, &mut 1000).expect_err("too deep");
        assert_eq!(error.kind, Kind::RequestTooLarge);
        assert!(check(&json!([1, 2, 3]), MAX_DEPTH, &mut 4).is_ok());
        assert!(check(&json!([1, 2, 3]), MAX_DEPTH, &mut 3).is_err());
    }

    #[test]
    fn fields_that_queries_cannot_name_are_refused() {
        for bad in [json!({"$a": 1}), json!({"a": [{"b.c": 1}]}), json!({"a": {"\0": 1}})] {
            let Value::Object(bad) = bad else { unreachable!() };
            assert_eq!(check_fields(&bad).expect_err("bad").kind, Kind::InvalidIdentifier);
        }
        let Value::Object(good) = json!({"a$": {"ü b": [1]}}) else { unreachable!() };
        check_fields(&good).expect("fine");
    }
}
