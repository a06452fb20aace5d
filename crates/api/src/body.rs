//! Request bodies: JSON, of a bounded size.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use http_body_util::BodyExt as _;
use lode_store::{Document, JsonError, read_json};
use lode_worker::{Full, Share, Shares};
use serde_json::Value;
use tokio::time::Instant;

use crate::api::{Api, Trace};
use crate::call::Decided;
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
pub(crate) const MAX_DEPTH: usize = 60;
/// Bytes of a value in memory.
const VALUE_BYTES: usize = 80;

/// Bytes of all requests' bodies that are under way, as text and as values. The largest takes 20 MiB, so that
/// this is some twenty of them, and beside what the store and the queue hold leaves room in a GiB.
static IN_FLIGHT: LazyLock<Shares> = LazyLock::new(|| Shares::new(512 << 20, 256 << 20));
/// Bytes of a body that are not counted: most have fewer, and connections are bounded in number.
const SMALL: usize = 64 << 10;

/// A request's body, parsed; `None` if it has none.
pub(crate) struct Body(pub(crate) Option<Value>);

impl FromRequest<Api> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let is_admin = path.starts_with("/admin/");
        // The app's key, of whose sender is known by now; `apps` of the admin API's.
        let mut share = IN_FLIGHT.of(path.split('/').nth(2).unwrap_or_default());
        let most = if is_admin { MAX_ADMIN } else { MAX_BYTES };
        let bytes = read(body, most, &mut share).await?;
        if let Some(decided) = head.extensions.get::<Decided>() {
            decided.still_holds(api, &head.headers).await?;
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(None));
        }
        let (value, count) = read_json(&bytes, MAX_DEPTH).map_err(|error| match error {
            JsonError::TooLarge(why) => {
                ApiError::new(Kind::RequestTooLarge, format!("the body is too large: {why}"))
            }
            error => ApiError::new(Kind::JSONParseError, error.to_string()),
        })?;
        if bytes.len() > SMALL {
            share.take(count * VALUE_BYTES).map_err(too_many)?;
            if let Some(trace) = head.extensions.get::<Arc<Trace>>() {
                trace.hold(share);
            }
        }
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

fn too_many(full: Full) -> ApiError {
    ApiError::busy(full, "large request bodies")
}

/// A body's bytes. What is too large, or has no room, is read on for a while and dropped: a client that is answered
/// while it still sends sees a broken connection, and not the answer.
async fn read(
    mut body: axum::body::Body,
    most: usize,
    share: &mut Share,
) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let (mut seen, mut counted) = (0, 0);
    let mut refused = None;
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
        if seen > SMALL && seen <= most && refused.is_none() {
            refused = share.take(seen - counted).map_err(too_many).err();
            counted = seen;
        }
        if seen <= most && refused.is_none() {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
    }
    if seen > most {
        let debug = format!("a request's body has at most {most} bytes");
        return Err(ApiError::new(Kind::RequestTooLarge, debug));
    }
    refused.map_or(Ok(bytes), Err)
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
        let mut share = IN_FLIGHT.of("kid_a");
        let slow = read(dripping(200, second), MAX_BYTES, &mut share).await;
        assert_eq!(slow.expect("slow, and whole").len(), 200);
        for endless in [dripping(1, STILL + second), dripping(1000, second)] {
            let error = read(endless, MAX_BYTES, &mut share).await.expect_err("too slow");
            assert_eq!(error.kind, Kind::RequestTimeout);
        }
    }

    #[tokio::test]
    async fn large_bodies_take_from_what_there_is_and_small_ones_do_not() {
        let mib = Shares::new(1 << 20, 1 << 19);
        let of = |bytes: usize| Stream::from(vec![b' '; bytes]);
        let (mut first, mut second) = (mib.of("kid_a"), mib.of("kid_a"));
        read(of(300 << 10), MAX_BYTES, &mut first).await.expect("less than half");
        let refused = read(of(300 << 10), MAX_BYTES, &mut second).await.expect_err("more");
        assert_eq!(refused.kind, Kind::KinveyInternalErrorRetry);
        assert!(refused.retry_after.is_some());
        read(of(SMALL), MAX_BYTES, &mut second).await.expect("small");
        read(of(300 << 10), MAX_BYTES, &mut mib.of("kid_b")).await.expect("another's half");
        drop(first);
        read(of(300 << 10), MAX_BYTES, &mut second).await.expect("given back");
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
