//! From a host to a connection: resolved once, every address checked, and connected to exactly what was
//! checked. Nothing after the check looks the name up again, so that a name server which changes its
//! answer (DNS rebinding) gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use ipnet::IpNet;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address;
use super::failure::{Failure, Kind};
use super::host::{HostName, Target};
use super::{Config, ConfigError};

/// Addresses of one host that are tried.
const MAX_TRIED: usize = 4;

/// Addresses of one host that are looked at: more is no web service.
const MAX_ADDRESSES: usize = 64;

/// Makes connections.
pub(super) struct Connector {
    resolver: TokioResolver,
    tls: TlsConnector,
    allowed: Vec<IpNet>,
    patience: Duration,
}

/// A connection, plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Connector {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            resolver: resolver(&config.nameservers)?,
            tls: TlsConnector::from(Arc::new(tls(&config.extra_roots)?)),
            allowed: config.allow_networks.clone(),
            patience: config.limits.connect,
        })
    }

    /// Connects to a target.
    pub(super) async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, Failure> {
        let addresses = self.addresses(&target.host).await?;
        let stream = self.reach(&addresses, target).await?;
        stream.set_nodelay(true).ok();
        if !target.https {
            return Ok(Box::new(stream));
        }
        let name = match &target.host {
            HostName::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| Failure::argument("the URL's host cannot have a certificate"))?,
            HostName::Address(address) => ServerName::from(*address),
        };
        let stream = self.tls.connect(name, stream).await.map_err(|e| refused(target, &e))?;
        Ok(Box::new(stream))
    }

    /// The addresses of a host, IPv4 first: all of them may be connected to.
    async fn addresses(&self, host: &HostName) -> Result<Vec<IpAddr>, Failure> {
        let mut addresses = match (host.literal(), host) {
            (Some(address), _) => vec![address],
            (None, HostName::Name(name)) => self.resolve(name).await?,
            (None, HostName::Address(_)) => Vec::new(), // a literal always has one
        };
        for address in &addresses {
            if let Err(class) = address::check(*address, &self.allowed) {
                tracing::warn!(%host, %address, class = class.name(), "egress to a forbidden address");
                // The address is not told: a name may have told it something of the operator's network.
                return Err(Failure::not_allowed(format!(
                    "requests to {host} are not allowed: its address is {}, not a public one",
                    class.name()
                )));
            }
        }
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        // With the dot at its end no search domain is tried.
        let found = self.resolver.lookup_ip(format!("{name}.")).await.map_err(|error| {
            tracing::debug!(name, %error, "egress: not resolved");
            if error.is_no_records_found() {
                Failure::network(format!("{name} has no address"))
            } else {
                Failure::network(format!("{name} could not be resolved"))
            }
        })?;
        let addresses: Vec<IpAddr> = found.iter().take(MAX_ADDRESSES + 1).collect();
        match addresses.len() {
            0 => Err(Failure::network(format!("{name} has no address"))),
            1..=MAX_ADDRESSES => Ok(addresses),
            _ => Err(Failure::network(format!("{name} has more than {MAX_ADDRESSES} addresses"))),
        }
    }

    async fn reach(&self, addresses: &[IpAddr], target: &Target) -> Result<TcpStream, Failure> {
        let mut failure = Failure::network(format!("{} has no address", target.host));
        for address in addresses.iter().take(MAX_TRIED) {
            let attempt = TcpStream::connect(SocketAddr::new(*address, target.port));
            let why = match timeout(self.patience, attempt).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            tracing::debug!(host = %target.host, %address, error = %why, "egress: not connected");
            failure = match why.kind() {
                io::ErrorKind::TimedOut => Failure::new(
                    Kind::Timeout,
                    format!("{} did not accept a connection in time", target.host),
                ),
                io::ErrorKind::ConnectionRefused => {
                    Failure::network(format!("{} refused the connection", target.host))
                }
                _ => Failure::network(format!("{} could not be connected to", target.host)),
            };
        }
        Err(failure)
    }
}

/// Why TLS failed. What rustls says of a certificate holds nothing of ours.
fn refused(target: &Target, error: &io::Error) -> Failure {
    tracing::debug!(host = %target.host, %error, "egress: no TLS");
    let why = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    Failure::network(match why {
        Some(why @ rustls::Error::InvalidCertificate(_)) => {
            format!("{} could not prove that it is {0}: {why}", target.host)
        }
        _ => format!("{} does not speak TLS as it should", target.host),
    })
}

fn resolver(nameservers: &[SocketAddr]) -> Result<TokioResolver, ConfigError> {
    let bad = |error: &dyn std::fmt::Display| ConfigError(format!("no name resolution: {error}"));
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio().map_err(|e| bad(&e))?
    } else {
        let servers = nameservers.iter().map(|server| {
            let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
            (udp.port, tcp.port) = (server.port(), server.port());
            NameServerConfig::new(server.ip(), true, vec![udp, tcp])
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().map_err(|e| bad(&e))
}

fn tls(extra: &[Vec<u8>]) -> Result<ClientConfig, ConfigError> {
    let bad = |error: rustls::Error| ConfigError(format!("no TLS: {error}"));
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra {
        roots.add(CertificateDer::from(root.clone())).map_err(bad)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bad)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would tell a server that two apps are on one host.
    config.resumption = Resumption::disabled();
    Ok(config)
}
