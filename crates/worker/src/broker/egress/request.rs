//! A script's arguments, and what they must be to make a request.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Limits;
use super::failure::Failure;
use super::host::{self, Target};
use super::secrets::{self, Echoes, Secrets};

/// Header fields that say how a message is carried, which is not the script's business (RFC 9110,
/// section 7.6.1; RFC 9112, section 6), or that a proxy would act on. Beside these, all that begin with
/// `proxy-`.
const FORBIDDEN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Methods that make a tunnel or give a request back, credentials included (fetch.spec.whatwg.org,
/// "forbidden method").
const FORBIDDEN_METHODS: &[&str] = &["CONNECT", "TRACE", "TRACK"];

/// What to do about an answer that leads elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Redirect {
    /// Go there.
    #[default]
    Follow,
    /// Fail.
    Error,
    /// Give it to the script.
    Manual,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Args {
    #[serde(default)]
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
    #[serde(default)]
    auth: Option<Auth>,
    #[serde(default)]
    redirect: Redirect,
    /// How many to follow.
    #[serde(default)]
    max_redirects: Option<u32>,
    /// Milliseconds.
    #[serde(default)]
    timeout: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    user: String,
    #[serde(default)]
    pass: String,
}

/// A request that can be sent, its secrets still tokens.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Option<Bytes>,
    pub(super) redirect: Redirect,
    pub(super) max_redirects: u32,
    /// Milliseconds that the script wants to wait at most.
    pub(super) timeout: Option<u64>,
    auth: Option<Auth>,
}

impl Request {
    /// Reads a script's arguments.
    pub(super) fn parse(args: &str, limits: &Limits) -> Result<Self, Failure> {
        let args: Args = serde_json::from_str(args).map_err(|e| crate::broker::bad_args(&e))?;
        let target = host::parse(&args.url).map_err(|e| Failure::argument(e.to_string()))?;
        if secrets::has_token(&args.url) || secrets::has_token(target.url.as_str()) {
            return Err(Failure::argument("secrets are sent in headers and never in a URL"));
        }
        let body = match (args.body, args.body_base64) {
            (None, None) => None,
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(text)) => Some(
                BASE64_STANDARD
                    .decode(text)
                    .map_err(|_| Failure::argument("bodyBase64 is not base64"))?,
            ),
            (Some(_), Some(_)) => {
                return Err(Failure::argument("a request has one body: body or bodyBase64"));
            }
        };
        let method = method(args.method.as_deref().unwrap_or("GET"))?;
        if body.is_some() && (method == Method::GET || method == Method::HEAD) {
            return Err(Failure::argument(format!("a {method} request has no body")));
        }
        if body.as_ref().is_some_and(|body| body.len() > limits.request_bytes) {
            return Err(Failure::too_large(format!(
                "the request's body is larger than {} bytes",
                limits.request_bytes
            )));
        }
        let headers = headers(args.headers, limits)?;
        if args.auth.is_some() && headers.iter().any(|(name, _)| *name == AUTHORIZATION) {
            return Err(Failure::argument(
                "give the auth option or an Authorization header, not both",
            ));
        }
        let timeout = match args.timeout {
            None => None,
            // Whole milliseconds, rounded up; the cast saturates.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(ms) if ms > 0.0 => Some(ms.ceil() as u64),
            Some(_) => {
                return Err(Failure::argument("timeout is not a positive number of milliseconds"));
            }
        };
        Ok(Self {
            method,
            target,
            headers,
            body: body.map(Bytes::from),
            redirect: args.redirect,
            max_redirects: args.max_redirects.unwrap_or(limits.redirects).min(limits.redirects),
            timeout,
            auth: args.auth,
        })
    }

    /// The header fields to send to where the request now leads, secrets in place. Values that must not
    /// come back join `echoes`.
    pub(super) fn fields(
        &self,
        secrets: &Secrets,
        plain: bool,
        echoes: &mut Echoes,
    ) -> Result<HeaderMap, Failure> {
        let mut fields = HeaderMap::new();
        for (name, text) in &self.headers {
            let (filled, secret) = secrets.fill(text, &self.target, plain)?;
            fields.append(name, value(&filled, secret).ok_or_else(|| bad_value(name.as_str()))?);
        }
        if let Some(auth) = &self.auth {
            let (user, in_user) = secrets.fill(&auth.user, &self.target, plain)?;
            let (pass, in_pass) = secrets.fill(&auth.pass, &self.target, plain)?;
            // RFC 7617, section 2: the first colon ends the user's name.
            if user.contains(':') {
                return Err(Failure::argument("auth.user has a colon in it"));
            }
            let pair = Zeroizing::new(format!("{}:{}", user.as_str(), pass.as_str()));
            let coded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
            if in_user || in_pass {
                echoes.add(coded.as_bytes(), "basic");
            }
            let text = Zeroizing::new(format!("Basic {}", coded.as_str()));
            let value = value(&text, true).ok_or_else(|| bad_value("authorization"))?;
            fields.insert(AUTHORIZATION, value);
        }
        secrets.echoes_of(&self.target, echoes);
        Ok(fields)
    }

    /// Makes it the request that follows an answer with `status`: fetch.spec.whatwg.org, "HTTP-redirect
    /// fetch". To another origin neither credentials nor secrets go, not even to a host that a secret is
    /// for: its script did not ask for that.
    pub(super) fn follow(&mut self, status: u16, target: Target) {
        let get = match status {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if get {
            self.method = Method::GET;
            self.body = None;
            self.headers.retain(|(name, _)| !name.as_str().starts_with("content-"));
        }
        let same = target.https == self.target.https
            && target.host == self.target.host
            && target.port == self.target.port;
        if !same {
            self.auth = None;
            self.headers.retain(|(name, text)| {
                *name != AUTHORIZATION && *name != COOKIE && !secrets::has_token(text)
            });
        }
        self.target = target;
    }
}

fn method(text: &str) -> Result<Method, Failure> {
    let upper = text.to_ascii_uppercase();
    // fetch.spec.whatwg.org, "normalize": these six, and no other, in any case.
    let usual = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"];
    let text = if usual.contains(&upper.as_str()) { upper.as_str() } else { text };
    let method = (text.len() <= 32).then(|| Method::from_bytes(text.as_bytes()).ok()).flatten();
    let method = method.ok_or_else(|| Failure::argument("the method is not an HTTP method"))?;
    if FORBIDDEN_METHODS.contains(&upper.as_str()) {
        return Err(Failure::argument(format!("the method {upper} cannot be sent")));
    }
    Ok(method)
}

fn headers(
    given: Vec<(String, String)>,
    limits: &Limits,
) -> Result<Vec<(HeaderName, String)>, Failure> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > limits.headers || bytes > limits.header_bytes {
        return Err(Failure::too_large(format!(
            "the request has more than {} headers or {} bytes of them",
            limits.headers, limits.header_bytes
        )));
    }
    let mut headers = Vec::with_capacity(given.len());
    for (name, text) in given {
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Failure::argument(format!(
                "{:?} is not a header name",
                crate::broker::log::cut(&name, 80)
            ))
        })?;
        if FORBIDDEN.contains(&field.as_str()) || field.as_str().starts_with("proxy-") {
            return Err(Failure::argument(format!(
                "the header {field} cannot be set: it says how the message is carried, which Lode decides"
            )));
        }
        if value(&text, false).is_none() {
            return Err(bad_value(field.as_str()));
        }
        headers.push((field, text));
    }
    Ok(headers)
}

fn bad_value(name: &str) -> Failure {
    Failure::argument(format!("the value of the header {name} is not a header value"))
}

/// A field's value, one byte per character as the fetch standard has it.
fn value(text: &str, sensitive: bool) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> =
        text.trim_matches([' ', '\t']).chars().map(|c| u8::try_from(c).ok()).collect();
    let mut value = HeaderValue::from_bytes(&Zeroizing::new(bytes?)).ok()?;
    value.set_sensitive(sensitive);
    Some(value)
}
