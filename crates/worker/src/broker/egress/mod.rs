//! Egress: a script's HTTP requests, sent only where its app may send them (docs/egress.md).
//!
//! In the order of a request: `request` reads the arguments, [`host`] the URL, [`policy`] and [`secrets`] say
//! where what may go, `connect` resolves, has [`address`] check, and connects to what was checked, `client`
//! does all that again for each redirect, `response` brings back what fits.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use lode_child::protocol::HostError;
use serde::Deserialize;

use super::{AppContext, log};

pub mod address;
mod client;
mod connect;
mod echoes;
mod failure;
pub mod host;
pub(super) mod own;
pub mod policy;
mod quota;
mod request;
mod response;
pub mod secrets;

pub(crate) use failure::{Failure, Kind};

/// What an app's developers say of its egress. By default it is off.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppEgress {
    /// Where its requests may go.
    pub allow: policy::Policy,
    /// What it may send without having it.
    pub secrets: secrets::Secrets,
}

/// What the operator says of egress.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Name servers to ask, over UDP and, where an answer is cut, TCP. None: those of `/etc/resolv.conf`,
    /// with `/etc/hosts`. Search domains are never used.
    pub nameservers: Vec<SocketAddr>,
    /// Networks that requests may go to although they are not global unicast. None by default.
    pub allow_networks: Vec<IpNet>,
    /// Certificates (DER) of authorities to trust beside Mozilla's.
    pub extra_roots: Vec<Vec<u8>>,
    /// Lets secrets go to hosts that are allowed with `http://`. For tests.
    pub allow_secrets_over_http: bool,
    /// What is too much.
    pub limits: Limits,
}

/// What is too much. Each has a default; docs/egress.md has the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body. 4 MiB.
    pub request_bytes: usize,
    /// Bytes of a response's body, packed and unpacked alike. 4 MiB; at most 8 MiB.
    pub response_bytes: usize,
    /// Bytes of the headers of a request, and of a response. 64 KiB; at least 8 KiB.
    pub header_bytes: usize,
    /// Headers of a request, and of a response. 100.
    pub headers: usize,
    /// Redirects followed. 10.
    pub redirects: u32,
    /// From the call to the last byte. 30 s; the run's own deadline may be sooner.
    pub time: Duration,
    /// To connect to one address. 5 s.
    pub connect: Duration,
    /// Requests of one app under way. 32.
    pub per_app: usize,
    /// Requests of all apps under way. 512.
    pub overall: usize,
    /// Bytes of the arguments and bodies of all requests under way; one app may have half of them.
    /// 256 MiB; at least 8 bodies of each kind.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 4 << 20,
            response_bytes: 4 << 20,
            header_bytes: 64 << 10,
            headers: 100,
            redirects: 10,
            time: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            per_app: 32,
            overall: 512,
            memory: 256 << 20,
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        let bad = |what: &str| Err(ConfigError(what.into()));
        if self.response_bytes > 8 << 20 {
            return bad("a response of more than 8 MiB does not fit an answer to a script");
        }
        if !(8 << 10..=1 << 20).contains(&self.header_bytes) {
            return bad("the limit of header bytes is not from 8 KiB to 1 MiB");
        }
        let bodies = self.request_bytes.saturating_add(self.response_bytes);
        if self.memory / 8 < bodies {
            return bad("the memory for bodies is less than that of eight requests");
        }
        if !(1..=1000).contains(&self.headers) {
            return bad("the limit of headers is not from 1 to 1,000");
        }
        Ok(())
    }
}

/// Why egress cannot be had with a configuration: for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "egress: {}", self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Sends scripts' requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Egress(Arc<client::Client>);

impl Egress {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        client::Client::new(config).map(|client| Self(Arc::new(client)))
    }

    /// `egress.request`: the answer as JSON.
    pub(super) async fn request(
        &self,
        context: &AppContext,
        args: &str,
        deadline: Instant,
    ) -> Result<String, HostError> {
        let answer = self.0.send(&context.app, &context.egress, args, deadline.into()).await;
        answer.map_err(|failure| {
            // The message may hold what the script wrote.
            let why = log::sanitize(&failure.message, 500);
            tracing::debug!(app = context.app, kind = ?failure.kind, why, "egress refused or failed");
            HostError::from(failure)
        })
    }
}
