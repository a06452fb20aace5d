//! One request from its first hop to its last. Every hop is checked as the first one was: URL, allow-list,
//! secrets, addresses. Each has a connection of its own, which dies with it: nothing is shared between
//! requests, let alone apps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::connect::Connector;
use super::failure::{Failure, Kind};
use super::host::{self, Target};
use super::quota::Quota;
use super::request::{Redirect, Request};
use super::response::{self, Answer};
use super::secrets::Echoes;
use super::{AppEgress, Config, ConfigError, Limits};

/// Bodies unpacked at once: each may need 16 MiB for its window beside its result.
const UNPACKING: usize = 4;

/// Sends requests.
pub(super) struct Client {
    connector: Connector,
    quota: Arc<Quota>,
    unpacking: Arc<Semaphore>,
    limits: Limits,
    plain_secrets: bool,
}

impl Client {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        config.limits.check()?;
        Ok(Self {
            connector: Connector::new(config)?,
            quota: Arc::new(Quota::new(config.limits.per_app, config.limits.overall)),
            unpacking: Arc::new(Semaphore::new(UNPACKING)),
            limits: config.limits.clone(),
            plain_secrets: config.allow_secrets_over_http,
        })
    }

    /// Sends the request that a script's arguments make, for an app, until a deadline.
    pub(super) async fn send(
        &self,
        app: &str,
        egress: &AppEgress,
        args: &str,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let request = Request::parse(args, &self.limits)?;
        let _permit = self.quota.enter(app)?;
        let cap = request
            .timeout
            .map_or(self.limits.time, |ms| self.limits.time.min(Duration::from_millis(ms)));
        let end = deadline.min(Instant::now() + cap);
        let host = request.target.host.clone();
        timeout_at(end, self.hops(egress, request)).await.unwrap_or_else(|_| {
            Err(Failure::new(Kind::Timeout, format!("the request to {host} took too long")))
        })
    }

    async fn hops(&self, egress: &AppEgress, mut request: Request) -> Result<Answer, Failure> {
        let mut echoes = Echoes::default();
        let mut redirects = 0;
        loop {
            let (response, connection) = self.hop(egress, &request, &mut echoes).await?;
            let next = match location(&response, &request)? {
                None => {
                    return self
                        .answer(response, connection, &request, redirects > 0, echoes)
                        .await;
                }
                Some(next) => next,
            };
            if redirects == request.max_redirects {
                return Err(Failure::too_large(format!("more than {redirects} redirects")));
            }
            redirects += 1;
            request.follow(response.status().as_u16(), next);
        }
    }

    /// Sends the request to where it now leads, and waits for the head of the answer.
    async fn hop(
        &self,
        egress: &AppEgress,
        request: &Request,
        echoes: &mut Echoes,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let target = &request.target;
        if !egress.allow.allows(target) {
            return Err(Failure::not_allowed(egress.allow.refusal(target)));
        }
        let fields = request.fields(&egress.secrets, self.plain_secrets, echoes)?;
        let message = message(request, fields)?;
        let stream = self.connector.connect(target).await?;
        let broken = |error: hyper::Error| {
            tracing::debug!(host = %target.host, %error, "egress: no answer");
            // The server's mistake, and the only two that its size can be.
            if error.is_parse() && error.to_string().contains("too large") {
                return Failure::too_large(format!(
                    "the response has more than {} headers or {} bytes of them",
                    self.limits.headers, self.limits.header_bytes
                ));
            }
            Failure::network(format!("{} did not answer with HTTP", target.host))
        };
        let (mut sender, driver) = http1::Builder::new()
            .max_headers(self.limits.headers)
            .max_header_size(self.limits.header_bytes)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let connection = Connection(tokio::spawn(async move {
            let _ = driver.await; // what went wrong, the request is told
        }));
        let response = sender.send_request(message).await.map_err(broken)?;
        Ok((response, connection))
    }

    async fn answer(
        &self,
        response: Response<Incoming>,
        connection: Connection,
        request: &Request,
        redirected: bool,
        echoes: Echoes,
    ) -> Result<Answer, Failure> {
        let (head, body) = response.into_parts();
        let most = self.limits.response_bytes;
        let packed = response::collect(body, most).await?;
        drop(connection);
        let encodings = response::encodings(&head.headers).unwrap_or_default();
        let url = request.target.url.to_string();
        let gone = || Failure::network("the response could not be unpacked");
        // Unpacking and looking for secrets take CPU time in proportion to the body.
        let permit = self.unpacking.clone().acquire_owned().await.map_err(|_| gone())?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let body = response::decode(packed, &encodings, most)?;
            let body = echoes.scrub(body, most).ok_or_else(|| {
                Failure::too_large(format!("the response's body is larger than {most} bytes"))
            })?;
            Ok(Answer::new(head.status, &head.headers, body, &url, redirected, &echoes))
        })
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "egress: unpacking panicked");
            Err(gone())
        })
    }
}

/// Drives a connection for as long as it is held.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn message(
    request: &Request,
    mut fields: HeaderMap,
) -> Result<http::Request<Full<Bytes>>, Failure> {
    let target = &request.target;
    let url = &target.url;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let unsendable = || Failure::argument("the URL's path cannot be sent");
    let uri = path.parse::<Uri>().map_err(|_| unsendable())?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", target.host),
        None => target.host.to_string(),
    };
    fields.insert(HOST, HeaderValue::from_str(&host).map_err(|_| unsendable())?);
    let agent = concat!("lode/", env!("CARGO_PKG_VERSION"));
    fields.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
    fields.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    fields.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip, deflate, br"));
    let mut message = http::Request::new(Full::new(request.body.clone().unwrap_or_default()));
    // An answer to HTTP/1.1 ends where it says; `close` would only cost the server a state.
    *message.version_mut() = Version::HTTP_11;
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = uri;
    *message.headers_mut() = fields;
    if request.body.is_none() && request.method != Method::GET && request.method != Method::HEAD {
        // RFC 9110, section 8.6: a POST without a body says so.
        message.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(0));
    }
    Ok(message)
}

/// Where an answer leads, if it leads elsewhere and the script wants to go there.
fn location(response: &Response<Incoming>, request: &Request) -> Result<Option<Target>, Failure> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else {
        return Ok(None);
    };
    match request.redirect {
        Redirect::Manual => return Ok(None),
        Redirect::Error => {
            return Err(Failure::network(
                "the server redirects, which this request does not follow",
            ));
        }
        Redirect::Follow => {}
    }
    let bad = |why: &dyn std::fmt::Display| {
        Failure::network(format!("the server redirects to where nothing can be sent: {why}"))
    };
    if location.len() > host::MAX_URL {
        return Err(bad(&"the URL is too long"));
    }
    let text = String::from_utf8_lossy(location.as_bytes());
    let url = request.target.url.join(&text).map_err(|e| bad(&e))?;
    host::of(url).map(Some).map_err(|e| bad(&e))
}
