//! From a URL's text to the place it names. Spellings are the WHATWG URL standard's business (the `url`
//! crate): decimal, octal, hexadecimal and short IPv4, percent-encoding, full-width digits, dots of other
//! scripts and IDNA all arrive here as one host, and what does not parse there is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

/// Bytes that a URL may have.
pub const MAX_URL: usize = 8 << 10;

/// Where a URL leads: a scheme, a host in its one canonical spelling, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL without fragment, its host spelt as in `host`.
    pub url: Url,
    /// Whether the scheme is `https`; otherwise it is `http`.
    pub https: bool,
    /// The host.
    pub host: HostName,
    /// The port, the scheme's own where the URL has none.
    pub port: u16,
}

/// A host: a name in lower case and punycode without a trailing dot, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostName {
    /// To be resolved.
    Name(String),
    /// As it stands.
    Address(IpAddr),
}

impl HostName {
    /// The address if no resolver is to be asked: literals, and `localhost` with all below it, which is
    /// this machine whatever a resolver says (RFC 6761, section 6.3).
    pub fn literal(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
            }
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for HostName {
    /// As in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Why a URL leads nowhere a request can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// It does not parse, or is too long.
    Invalid,
    /// Its scheme is neither `https` nor `http`.
    Scheme,
    /// It carries a user name or password.
    Credentials,
    /// Its host is no host name: an empty label, or a port of 0.
    Host,
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "the URL is not valid",
            Self::Scheme => "the URL must be https: or http:",
            Self::Credentials => {
                "the URL has a user name or password in it: send them in the auth option or a header"
            }
            Self::Host => "the URL's host is not a host name",
        })
    }
}

impl std::error::Error for BadUrl {}

/// Reads a URL.
///
/// # Errors
/// Why it leads nowhere.
pub fn parse(text: &str) -> Result<Target, BadUrl> {
    if text.len() > MAX_URL {
        return Err(BadUrl::Invalid);
    }
    of(Url::parse(text).map_err(|_| BadUrl::Invalid)?)
}

/// As [`parse`], of a URL that is parsed already.
///
/// # Errors
/// Why it leads nowhere.
pub fn of(mut url: Url) -> Result<Target, BadUrl> {
    let https = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(BadUrl::Scheme),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Credentials);
    }
    if url.as_str().len() > MAX_URL {
        return Err(BadUrl::Invalid);
    }
    let host = match url.host().ok_or(BadUrl::Host)? {
        Host::Ipv4(address) => HostName::Address(address.into()),
        Host::Ipv6(address) => HostName::Address(address.into()),
        Host::Domain(domain) => HostName::Name(name(domain)?.to_owned()),
    };
    if let HostName::Name(name) = &host {
        url.set_host(Some(name)).map_err(|_| BadUrl::Host)?;
    }
    let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(BadUrl::Host)?;
    url.set_fragment(None);
    Ok(Target { url, https, host, port })
}

/// A name that DNS can hold (RFC 1035, section 2.3.4), without the dot at its end.
fn name(domain: &str) -> Result<&str, BadUrl> {
    let name = domain.strip_suffix('.').unwrap_or(domain);
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() <= 253 && name.split('.').all(fits) { Ok(name) } else { Err(BadUrl::Host) }
}
