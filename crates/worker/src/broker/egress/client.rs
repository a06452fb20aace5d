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
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::connect::Connector;
use super::echoes::Echoes;
use super::failure::{Failure, Kind};
use super::host::{self, Target};
use super::quota::{Permit, Quota};
use super::request::{Redirect, Request};
use super::response::{self, Answer};
use super::{AppEgress, Config, ConfigError, Limits};

/// Sends requests.
pub(super) struct Client {
    connector: Connector,
    quota: Arc<Quota>,
    limits: Limits,
    plain_secrets: bool,
}

impl Client {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        config.limits.check()?;
        Ok(Self {
            connector: Connector::new(config)?,
            quota: Arc::new(Quota::new(&config.limits)),
            limits: config.limits.clone(),
            plain_secrets: config.allow_secrets_over_http,
        })
    }

    /// Sends the request that a script's arguments make, for an app, until a deadline. The answer is JSON.
    pub(super) async fn send(
        &self,
        app: &str,
        egress: &AppEgress,
        args: &str,
        deadline: Instant,
    ) -> Result<String, Failure> {
        let request = Request::parse(args, &self.limits)?;
        let permit = Arc::new(self.quota.enter(app)?);
        permit.hold(args.len() + request.body.as_ref().map_or(0, Bytes::len))?;
        let cap = request
            .timeout
            .map_or(self.limits.time, |ms| self.limits.time.min(Duration::from_millis(ms)));
        let end = deadline.min(Instant::now() + cap);
        let host = request.target.host.clone();
        timeout_at(end, self.hops(egress, request, permit)).await.unwrap_or_else(|_| {
            Err(Failure::new(Kind::Timeout, format!("the request to {host} took too long")))
        })
    }

    async fn hops(
        &self,
        egress: &AppEgress,
        mut request: Request,
        permit: Arc<Permit>,
    ) -> Result<String, Failure> {
        let mut echoes = Echoes::default();
        let mut redirects = 0;
        loop {
            let (response, connection) = self.hop(egress, &request, &mut echoes).await?;
            let next = match location(&response, &request)? {
                None => {
                    return self
                        .answer(response, connection, &request, redirects > 0, echoes, permit)
                        .await;
                }
                Some(next) => next,
            };
            // Refusals and logs name hosts, and name servers are asked for them.
            if echoes.are_in(&next.host.to_string()) {
                return Err(Failure::network(
                    "the server redirects to a host that has a secret in its name",
                ));
            }
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
        let fields = request.fields(
            &egress.secrets,
            self.plain_secrets,
            self.limits.header_bytes,
            echoes,
        )?;
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
        permit: Arc<Permit>,
    ) -> Result<String, Failure> {
        let (head, body) = response.into_parts();
        let most = self.limits.response_bytes;
        let packed = response::collect(body, most, &permit).await?;
        drop(connection);
        let encodings = response::encodings(&head.headers).unwrap_or_default();
        let url = request.target.url.to_string();
        let gone = || Failure::network("the response could not be unpacked");
        // Unpacking and looking for secrets take CPU time and memory in proportion to the body.
        let turn = if !packed.is_empty() && (!encodings.is_empty() || !echoes.is_empty()) {
            Some(permit.turn().await.ok_or_else(gone)?)
        } else {
            None
        };
        // What it holds stays counted until it ends, even if nobody waits for it any more.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut body = response::decode(packed, &encodings, most)?;
            if !encodings.is_empty() {
                permit.hold(body.len())?;
            }
            let scrubber = echoes.scrubber()?;
            body = scrubber.scrub(body, most).ok_or_else(|| response::too_large(most))?;
            let answer = Answer::new(head.status, &head.headers, body, &url, redirected, &scrubber);
            serde_json::to_string(&answer).map_err(|error| {
                tracing::error!(%error, "an answer cannot be JSON");
                Failure::network("the response cannot be given to a script")
            })
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::policy::Policy;
    use super::*;

    /// A server that says `answer` to whatever comes: its URL, and an app that may send there.
    async fn server(answer: &'static str) -> (String, AppEgress) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let allow = Policy::new([&url]).expect("a pattern");
        (url, AppEgress { allow, ..AppEgress::default() })
    }

    #[tokio::test]
    async fn what_needs_no_turn_waits_for_none() {
        let config = Config {
            nameservers: vec!["127.0.0.1:9".parse().expect("an address")],
            allow_networks: vec!["127.0.0.1/32".parse().expect("a network")],
            ..Config::default()
        };
        let client = Client::new(&config).expect("it can be used");
        // Two apps have all turns.
        let (one, other) = (client.quota.enter("one"), client.quota.enter("other"));
        let mut turns = Vec::new();
        for permit in [one.expect("room"), other.expect("room")] {
            for _ in 0..2 {
                turns.push(permit.turn().await.expect("a turn"));
            }
        }
        let send = async |head: &'static str, timeout: u32| {
            let (url, egress) = server(head).await;
            let args = format!("{{\"url\":\"{url}\",\"timeout\":{timeout}}}");
            let deadline = Instant::now() + Duration::from_secs(60);
            client.send("mine", &egress, &args, deadline).await
        };
        let plain = send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 20_000).await;
        assert!(plain.expect("an answer").contains("\"body\":\"hi\""));
        let packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(send(packed, 200).await.expect_err("no turn").kind, Kind::Timeout);
        drop(turns);
        assert_eq!(send(packed, 20_000).await.expect_err("no gzip").kind, Kind::Network);
    }
}
