//! Secrets: what a script may send without ever having it. A header value names one, `secret:NAME`, and
//! the broker puts it in, for hosts that the secret is for and over TLS only.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::host::Target;
use super::policy::Policy;

/// What a token begins with.
const TOKEN: &str = "secret:";
/// Bytes of a name.
const MAX_NAME: usize = 64;
/// Bytes of a value.
const MAX_VALUE: usize = 8 << 10;
/// Secrets of one app.
const MAX_SECRETS: usize = 64;
/// Shorter values are not looked for in what comes back: they would be found everywhere.
const MIN_ECHO: usize = 4;

/// An app's secrets. `Debug` shows their names only; their values are overwritten when dropped.
///
/// In JSON: `{"STRIPE_KEY": {"value": "sk_…", "hosts": ["api.stripe.com"]}}`, at most 64, where hosts are
/// what a [`Policy`] is made of.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Secret>);

#[derive(Clone)]
struct Secret {
    value: Zeroizing<String>,
    hosts: Policy,
}

impl Secrets {
    /// Adds one, or replaces it.
    ///
    /// # Errors
    /// A name that is not 1 to 64 of `A-Z`, `0-9`, `_`; a value that is not 1 to 8,192 bytes without
    /// control characters; a 65th secret.
    pub fn insert(&mut self, name: &str, value: String, hosts: Policy) -> Result<(), BadSecret> {
        let value = Zeroizing::new(value);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
            return Err(BadSecret("a secret's name is 1 to 64 of A-Z, 0-9 and _"));
        }
        if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) {
            return Err(BadSecret("a secret is 1 to 8,192 bytes without control characters"));
        }
        if self.0.len() >= MAX_SECRETS && !self.0.contains_key(name) {
            return Err(BadSecret("an app has at most 64 secrets"));
        }
        self.0.insert(name.to_owned(), Secret { value, hosts });
        Ok(())
    }

    /// `text` with each token replaced, and whether there was one. Refused if a secret may not go to
    /// `target`; over plain HTTP none may, unless `plain` (and its hosts say `http://`).
    pub(super) fn fill(
        &self,
        text: &str,
        target: &Target,
        plain: bool,
    ) -> Result<(Zeroizing<String>, bool), Failure> {
        let mut out = Zeroizing::new(String::new());
        let (mut rest, mut any) = (text, false);
        while let Some(at) = rest.find(TOKEN) {
            let (before, after) = (&rest[..at], &rest[at + TOKEN.len()..]);
            let length = after.bytes().take_while(|b| is_name(*b)).count();
            let (name, tail) = after.split_at(length);
            out.push_str(before);
            rest = tail;
            if name.is_empty() {
                out.push_str(TOKEN);
                continue;
            }
            any = true;
            out.push_str(&self.allowed(name, target, plain)?.value);
        }
        out.push_str(rest);
        Ok((out, any))
    }

    fn allowed(&self, name: &str, target: &Target, plain: bool) -> Result<&Secret, Failure> {
        let shown: String = name.chars().take(MAX_NAME).collect();
        let Some(secret) = self.0.get(name) else {
            return Err(Failure::not_allowed(format!("this app has no secret {shown}")));
        };
        if !target.https && !plain {
            return Err(Failure::not_allowed(format!(
                "the secret {shown} is sent over https only"
            )));
        }
        if !secret.hosts.allows(target) {
            return Err(Failure::not_allowed(format!(
                "the secret {shown} may not be sent to {}: add the host to the secret's hosts",
                target.host
            )));
        }
        Ok(secret)
    }

    /// What must not come back from a target: the secrets that may be sent there, sent or not.
    pub(super) fn echoes_of(&self, target: &Target, echoes: &mut Echoes) {
        for (name, secret) in self.0.iter().filter(|(_, secret)| secret.hosts.allows(target)) {
            echoes.add(secret.value.as_bytes(), name);
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Entry {
            value: String,
            hosts: Policy,
        }
        let mut secrets = Self::default();
        for (name, entry) in BTreeMap::<String, Entry>::deserialize(deserializer)? {
            secrets.insert(&name, entry.value, entry.hosts).map_err(D::Error::custom)?;
        }
        Ok(secrets)
    }
}

/// Whether a text names a secret.
pub(super) fn has_token(text: &str) -> bool {
    text.match_indices(TOKEN)
        .any(|(at, _)| text.as_bytes().get(at + TOKEN.len()).copied().is_some_and(is_name))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

/// Why something cannot be a secret. It never shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret(&'static str);

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadSecret {}

/// Values to look for in what comes back, and the names to put in their place. Best effort: a server that
/// gives a secret back in another form (reversed, encoded, in parts) is not seen through.
#[derive(Default)]
pub(super) struct Echoes(Vec<(Zeroizing<Vec<u8>>, String)>);

impl Echoes {
    /// Adds one; `name` says whose.
    pub(super) fn add(&mut self, value: &[u8], name: &str) {
        if value.len() < MIN_ECHO || self.0.iter().any(|(known, _)| known.as_slice() == value) {
            return;
        }
        self.0.push((Zeroizing::new(value.to_vec()), format!("[secret:{name}]")));
        // Where one contains another, the longer one is replaced.
        self.0.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    }

    /// `bytes` without them; `None` if that has more than `most` bytes.
    pub(super) fn scrub(&self, bytes: Vec<u8>, most: usize) -> Option<Vec<u8>> {
        if bytes.len() > most {
            return None;
        }
        let mut starts = [false; 256];
        for (value, _) in &self.0 {
            starts[usize::from(value[0])] = true;
        }
        let found = |at: usize| {
            if !starts[usize::from(bytes[at])] {
                return None;
            }
            self.0.iter().find(|(value, _)| bytes[at..].starts_with(value))
        };
        let Some(first) = (0..bytes.len()).find(|at| found(*at).is_some()) else {
            return Some(bytes);
        };
        let mut out = bytes[..first].to_vec();
        let mut at = first;
        while at < bytes.len() {
            if let Some((value, name)) = found(at) {
                out.extend_from_slice(name.as_bytes());
                at += value.len();
            } else {
                out.push(bytes[at]);
                at += 1;
            }
            if out.len() > most {
                return None;
            }
        }
        Some(out)
    }

    /// As [`Self::scrub`], of text that stays short.
    pub(super) fn scrub_text(&self, text: String) -> String {
        let most = text.len().saturating_mul(MAX_NAME);
        self.scrub(text.into_bytes(), most)
            .map_or_else(String::new, |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}
