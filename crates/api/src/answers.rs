//! Answers on their way to clients: what they hold is bounded for all and for each app, however slowly they are
//! taken. For how long one may be taken is in [`crate::connections`].

use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use lode_worker::{Share, Shares};

use crate::api::Trace;
use crate::error::ApiError;
use crate::nested::Run;

/// Bytes of all answers that are being sent: thirty-two of the largest, which is what one query may find
/// ([`lode_store::LARGEST_ANSWER`]), and as much as bodies have.
pub(crate) const MOST: usize = 512 << 20;
/// Bytes of an answer that are not counted, and always sent: most have fewer, connections are bounded in number,
/// and who has written is to be told.
const SMALL: usize = 64 << 10;

/// An answer that is counted until the last of it is sent, or its connection closed.
struct Counted {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer's bytes, counted unless they are few.
///
/// # Errors
/// `KinveyInternalErrorRetry`: there is no room for them, or their app has its half.
pub(crate) fn counted(bytes: Bytes, mut share: Share) -> Result<Bytes, ApiError> {
    if bytes.len() <= SMALL {
        return Ok(bytes);
    }
    let more = bytes.len().saturating_sub(share.held());
    share.take(more).map_err(|full| ApiError::busy(full, "large answers"))?;
    let mut bytes = Vec::from(bytes);
    // What JSON is written to has grown by doubling.
    bytes.shrink_to_fit();
    Ok(Bytes::from_owner(Counted { bytes, _share: share }))
}

/// Counts the answers of the routes within, out of `all`.
pub(crate) async fn bounded(State(all): State<Shares>, request: Request, next: Next) -> Response {
    // A script's own call: no connection takes its answer, and the broker counts that.
    if request.extensions().get::<Arc<Run>>().is_some() {
        return next.run(request).await;
    }
    let trace = request.extensions().get::<Arc<Trace>>().cloned();
    let is_safe = request.method().is_safe();
    let uri = request.uri().clone();
    let (head, body) = next.run(request).await.into_parts();
    // What has no length is a log that is followed, line by line.
    if body.size_hint().exact().is_none_or(|length| length <= SMALL as u64) {
        return Response::from_parts(head, body);
    }
    let bytes = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => return ApiError::internal(error).into_response(),
    };
    // What was saved is answered with: that finds the room its request's body had.
    let share = trace.and_then(|trace| trace.let_go()).filter(|body| body.held() >= bytes.len());
    // As bodies are: by the app's key, all of the admin API's as one.
    let share = share.unwrap_or_else(|| all.of(uri.path().split('/').nth(2).unwrap_or_default()));
    match counted(bytes, share) {
        Ok(bytes) => Response::from_parts(head, Body::from(bytes)),
        Err(busy) if is_safe => busy.into_response(),
        Err(mut busy) => {
            // Whoever asked again would have it done twice.
            busy.retry_after = None;
            busy.debug.push_str(": the answer is not sent, but what the request did is done");
            busy.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::extract::Path;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::connections;

    /// More than the sockets of a connection take by themselves: it is not sent before its client reads.
    const LARGE: usize = 32 << 20;

    /// A server with room for four large answers, two of an app's.
    async fn start() -> (SocketAddr, Shares) {
        let all = Shares::new(4 * LARGE, 2 * LARGE);
        let answer = |Path((_, bytes)): Path<(String, usize)>| async move { vec![b'x'; bytes] };
        let router = Router::new()
            .route("/appdata/{app}/{bytes}", get(answer).post(answer))
            .layer(from_fn_with_state(all.clone(), bounded));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(connections::serve(listener, router, 100, std::future::pending()));
        (address, all)
    }

    /// A client that has asked, and has read no more of its answer than the head.
    async fn ask(
        address: SocketAddr,
        method: &str,
        app: &str,
        bytes: usize,
    ) -> (TcpStream, String) {
        let mut client = TcpStream::connect(address).await.expect("a connection");
        let head = format!(
            "{method} /appdata/{app}/{bytes} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.expect("sent");
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            got.push(client.read_u8().await.expect("a head"));
        }
        (client, String::from_utf8(got).expect("text"))
    }

    async fn rest(mut client: TcpStream) -> usize {
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.expect("all of it");
        got.len()
    }

    #[tokio::test]
    async fn answers_that_nobody_takes_are_bounded_and_others_are_served() {
        let (address, all) = start().await;
        let mut idle = Vec::new();
        for app in ["ada", "ada", "bob", "bob"] {
            let (client, head) = ask(address, "GET", app, LARGE).await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            idle.push(client);
        }
        for app in ["ada", "eve"] {
            let (mut client, head) = ask(address, "GET", app, SMALL + 1).await;
            assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"), "{head}");
            let mut error = String::new();
            client.read_to_string(&mut error).await.expect("all of it");
            assert!(error.contains("KinveyInternalErrorRetry"), "{error}");
            // Small ones are sent all the same.
            assert_eq!(rest(ask(address, "GET", app, SMALL).await.0).await, SMALL);
        }
        // Whoever has written is not told to do so again.
        let (mut client, head) = ask(address, "POST", "ada", SMALL + 1).await;
        assert!(head.starts_with("HTTP/1.1 503") && !head.contains("retry-after"), "{head}");
        let mut error = String::new();
        client.read_to_string(&mut error).await.expect("all of it");
        assert!(error.contains("what the request did is done"), "{error}");
        // One is read, the others hang up.
        assert_eq!(rest(idle.pop().expect("the last")).await, LARGE);
        assert_eq!(rest(ask(address, "GET", "eve", LARGE).await.0).await, LARGE);
        drop(idle);
        let mut whole = (all.of("ada"), all.of("bob"));
        while whole.0.take(2 * LARGE).is_err() || whole.1.take(2 * LARGE).is_err() {
            whole = (all.of("ada"), all.of("bob"));
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn an_answer_keeps_what_its_requests_body_had() {
        let none = Shares::new(0, 0);
        let bodies = Shares::new(LARGE, LARGE);
        let mut body = bodies.of("ada");
        body.take(LARGE).expect("there is room");
        let answer = counted(Bytes::from(vec![b'x'; LARGE]), body).expect("it had room");
        let part = answer.slice(LARGE - 1..);
        drop(answer);
        assert!(bodies.of("ada").take(1).is_err(), "a part of it is still to be sent");
        drop(part);
        bodies.of("ada").take(LARGE).expect("given back");
        counted(Bytes::from(vec![b'x'; SMALL]), none.of("ada")).expect("a small one");
        counted(Bytes::from(vec![b'x'; SMALL + 1]), none.of("ada")).expect_err("a large one");
    }
}
