//! HTTP connections: how many there may be, and for how long one may keep us waiting.
//!
//! Clients are strangers. One that sends its request byte by byte, or none at all, holds a descriptor and
//! some memory for as long as it likes, unless it is bounded here (CWE-400, "slow loris"). How long a body
//! may take is in [`crate::body`].

use std::future::Future;
use std::io;
use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// From a connection's begin, or the end of its last answer, to the end of the next request's head. Longer
/// than load balancers keep an unused connection (60 s, commonly): whoever closes first must be they, or they
/// send a request into a connection that is just being closed.
const HEAD: Duration = Duration::from_secs(75);

/// How long a client may take none of its answer: the kernel's `TCP_USER_TIMEOUT`, in ms.
const STALLED_MS: u32 = 60_000;

/// How long a client may take for what is written to it, an answer or a line of a log that it follows: as long as a
/// body may take to come ([`crate::body`]). Who reads a byte now and then would else hold what answers share for
/// as long as it likes.
const TAKING: Duration = Duration::from_secs(300);

/// Bytes of a request's head. Queries stand in the address, so this is four times what Node.js takes.
const HEAD_BYTES: usize = 64 << 10;

/// Connections at once. Each may hold [`HEAD_BYTES`].
const MOST: usize = 10_000;

/// Connections at once, as the limit of open descriptors allows: half of them are left for children, their
/// snapshots and the store.
pub(crate) fn most() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / 2).unwrap_or(MOST).clamp(1, MOST)
}

/// Serves connections, `most` at once, until `stop` is ready; then takes no more and comes back when those
/// that have a request under way are done.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    most: usize,
    stop: impl Future<Output = ()> + Send,
) {
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(most));
    let mut is_full = false;
    let mut stop = std::pin::pin!(stop);
    loop {
        // Said once, until half of them are free again.
        let free = room.available_permits();
        if free == 0 && !is_full {
            tracing::warn!(most, "as many connections as there may be: the next ones wait");
        }
        is_full = free == 0 || is_full && free < most / 2;
        let (stream, place) = tokio::select! {
            next = accept(&listener, &room) => next,
            () = &mut stop => break,
        };
        let served =
            http.serve_connection(TokioIo::new(Patient { stream, late: None }), service.clone());
        let served = graceful.watch(served);
        tokio::spawn(async move {
            // How a connection ends is its client's affair.
            let _ = served.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// A connection that fails when its client takes too long for what is written.
struct Patient<S> {
    stream: S,
    /// When it does; `None` while nothing has to wait.
    late: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            return written;
        }
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(TAKING)));
        late.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has written all there was.
        self.late = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The next connection, and its place among those there may be.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    // Nobody closes the semaphore.
    let place = loop {
        if let Ok(place) = room.clone().acquire_owned().await {
            break place;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers are to leave at once (Nagle's algorithm waits for more).
                let _ = stream.set_nodelay(true);
                let _ = sockopt::set_tcp_user_timeout(&stream, STALLED_MS);
                return (stream, place);
            }
            // The client is gone already.
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset
                ) => {}
            Err(error) => {
                // Out of descriptors, or of memory: that passes.
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;

    /// A server whose `/slow` takes longer than a head may, and what stops it.
    async fn start(
        most: usize,
    ) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let slow = || async {
            tokio::time::sleep(HEAD * 2).await;
            "slow"
        };
        let router = Router::new().route("/slow", get(slow)).route("/", get(|| async { "quick" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        (address, stop, tokio::spawn(serve(listener, router, most, stopped)))
    }

    /// What comes back for this, until the server closes the connection.
    async fn all(address: std::net::SocketAddr, sent: &str) -> String {
        let mut client = TcpStream::connect(address).await.expect("a connection");
        client.write_all(sent.as_bytes()).await.expect("sent");
        let mut got = Vec::new();
        let _ = client.read_to_end(&mut got).await;
        String::from_utf8(got).expect("text")
    }

    // Time passes by itself in these tests whenever nobody has anything to do.

    #[tokio::test(start_paused = true)]
    async fn connections_that_send_no_request_are_closed_and_slow_answers_are_not() {
        let (address, _stop, _server) = start(100).await;
        let began = tokio::time::Instant::now();
        assert_eq!(all(address, "").await, "");
        let got = all(address, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
        assert!(!got.contains("200"), "{got}");
        let got = all(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(got.ends_with("quick"), "{got}");
        assert!(began.elapsed() >= HEAD * 3, "none was closed before its time");
        let got = all(address, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(got.ends_with("slow"), "{got}");
    }

    #[tokio::test(start_paused = true)]
    async fn more_connections_than_there_may_be_wait_for_others_to_end() {
        let (address, _stop, _server) = start(2).await;
        let began = tokio::time::Instant::now();
        let quick = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let _one = TcpStream::connect(address).await.expect("a connection");
        assert!(all(address, quick).await.ends_with("quick"));
        assert!(began.elapsed() < HEAD, "there was room");
        let _two = TcpStream::connect(address).await.expect("a connection");
        assert!(all(address, quick).await.ends_with("quick"));
        assert!(began.elapsed() >= HEAD, "one had to be closed");
    }

    /// Writes so much to a client that takes a part every so often.
    async fn taken(bytes: usize, part: usize, pause: Duration) -> io::Result<()> {
        let (mut client, server) = tokio::io::duplex(1000);
        let mut server = Patient { stream: server, late: None };
        tokio::spawn(async move {
            let mut got = vec![0; part];
            while client.read_exact(&mut got).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
        server.write_all(&vec![0; bytes]).await?;
        server.flush().await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_byte_by_byte_is_given_up_and_a_slow_one_is_not() {
        let second = Duration::from_secs(1);
        taken(100_000, 1_000, second).await.expect("slow, and whole");
        let late = taken(100_000, 1, second).await.expect_err("too slow");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        // Each is one, however many a connection has.
        let (mut client, server) = tokio::io::duplex(1);
        let mut server = Patient { stream: server, late: None };
        let took = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(TAKING - second).await;
                client.read_exact(&mut [0; 2]).await.expect("an answer");
            }
        });
        for _ in 0..5 {
            server.write_all(&[0; 2]).await.expect("taken in time");
            server.flush().await.expect("flushed");
        }
        took.await.expect("all of them");
    }

    #[tokio::test]
    async fn heads_are_bounded() {
        let (address, _stop, _server) = start(100).await;
        let long = format!("GET /?{} HTTP/1.1\r\nhost: a\r\n\r\n", "q".repeat(2 * HEAD_BYTES));
        assert!(!all(address, &long).await.contains("200"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_answers_what_is_under_way_and_closes_the_rest() {
        let (address, stop, server) = start(100).await;
        let slow = tokio::spawn(all(address, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"));
        let idle = tokio::spawn(all(address, ""));
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.send(()).expect("it runs");
        server.await.expect("it ends");
        assert!(slow.await.expect("an answer").ends_with("slow"));
        assert_eq!(idle.await.expect("an end"), "");
        TcpStream::connect(address).await.expect_err("nobody listens");
    }
}
