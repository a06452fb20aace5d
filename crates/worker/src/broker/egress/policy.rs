//! What an app may reach: a list of hosts, which its developers deploy with it.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::host::{self, HostName, Target};

/// Entries that a list may have.
const MAX_ENTRIES: usize = 256;

/// One entry of an allow-list: `api.example.com`, `*.example.com` (its subdomains, at any depth, and not
/// itself), `api.example.com:8443`, `http://legacy.example.com`. Without a scheme it is `https`; without a
/// port, the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    https: bool,
    below: bool,
    host: HostName,
    port: u16,
}

impl Pattern {
    /// Whether it allows the target.
    pub fn matches(&self, target: &Target) -> bool {
        let host = match (&self.host, &target.host) {
            (HostName::Name(parent), HostName::Name(name)) if self.below => name
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            (allowed, host) => !self.below && allowed == host,
        };
        host && self.https == target.https && self.port == target.port
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "" } else { "http://" };
        let below = if self.below { "*." } else { "" };
        write!(f, "{scheme}{below}{}", self.host)?;
        let default = if self.https { 443 } else { 80 };
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let bad = || BadPattern(text.chars().take(300).collect());
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("https" | "http"), rest)) => (scheme, rest),
            Some(_) => return Err(bad()),
            None => ("https", text),
        };
        let (below, rest) = rest.strip_prefix("*.").map_or((false, rest), |rest| (true, rest));
        // The URL parser reads on past a host; an entry ends with it.
        if rest.contains(['/', '\\', '?', '#', '@', '*', '%'])
            || rest.chars().any(char::is_whitespace)
        {
            return Err(bad());
        }
        let Target { https, host, port, .. } =
            host::parse(&format!("{scheme}://{rest}/")).map_err(|_| bad())?;
        if below && matches!(host, HostName::Address(_)) {
            return Err(bad());
        }
        Ok(Self { https, below, host, port })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A text that is no [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern(String);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a host to allow: write \"api.example.com\", \"*.example.com\" for its subdomains, \
             or \"http://api.example.com\" for plain HTTP, each with \":port\" if it is not the usual one",
            self.0
        )
    }
}

impl std::error::Error for BadPattern {}

/// The hosts that an app may send requests to. Empty, which it is by default: none.
///
/// In JSON it is a list of texts, each a [`Pattern`], of at most 256.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Policy(Vec<Pattern>);

impl Policy {
    /// A policy of these entries.
    ///
    /// # Errors
    /// The first that is not a pattern.
    pub fn new<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> Result<Self, BadPattern> {
        entries.into_iter().map(|entry| entry.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a request may go to the target.
    pub fn allows(&self, target: &Target) -> bool {
        self.0.iter().any(|pattern| pattern.matches(target))
    }

    /// Whether it has no entry: egress is off.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why it does not allow the target, and what to do about it.
    pub(super) fn refusal(&self, target: &Target) -> String {
        let entry = Pattern {
            https: target.https,
            below: false,
            host: target.host.clone(),
            port: target.port,
        };
        if self.is_empty() {
            return format!(
                "this app may send no requests, as it has no list of allowed hosts: add \"{entry}\" to \
                 the app's egress.allow list"
            );
        }
        let other = Target { https: true, port: 443, ..target.clone() };
        let plain = if !target.https && self.allows(&other) {
            " (plain HTTP needs its own entry)"
        } else {
            ""
        };
        format!(
            "this app may not send requests to {entry}{plain}: add it to the app's egress.allow list"
        )
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<Pattern>::deserialize(deserializer)?;
        if entries.len() > MAX_ENTRIES {
            return Err(D::Error::custom(format!("at most {MAX_ENTRIES} hosts can be allowed")));
        }
        Ok(Self(entries))
    }
}
