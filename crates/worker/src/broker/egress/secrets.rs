//! Secrets: what a script may send without ever having it. A header value names one, `secret:NAME`, and
//! the broker puts it in, for hosts that the secret is for and over TLS only.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::echoes::Echoes;
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
/// Bytes of the shortest value. Values are taken out of what comes back: a script that sends guesses to a
/// server which returns them would see which one is taken out, and find a short one by trying.
const MIN_VALUE: usize = 16;

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
    /// A name that is not 1 to 64 of `A-Z`, `0-9`, `_`; a value that is not 16 to 8,192 bytes without
    /// control characters; a 65th secret.
    pub fn insert(&mut self, name: &str, value: String, hosts: Policy) -> Result<(), BadSecret> {
        let value = Zeroizing::new(value);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
            return Err(BadSecret("a secret's name is 1 to 64 of A-Z, 0-9 and _"));
        }
        if !(MIN_VALUE..=MAX_VALUE).contains(&value.len()) || value.chars().any(char::is_control) {
            return Err(BadSecret("a secret is 16 to 8,192 bytes without control characters"));
        }
        if self.0.len() >= MAX_SECRETS && !self.0.contains_key(name) {
            return Err(BadSecret("an app has at most 64 secrets"));
        }
        self.0.insert(name.to_owned(), Secret { value, hosts });
        Ok(())
    }

    /// `text` with each token replaced, and whether there was one; what it becomes is taken out of `room`,
    /// and the secrets join `echoes`. Refused if a secret may not go to `target`; over plain HTTP none may,
    /// unless `plain` (and its hosts say `http://`).
    pub(super) fn fill(
        &self,
        text: &str,
        target: &Target,
        plain: bool,
        room: &mut Room,
        echoes: &mut Echoes,
    ) -> Result<(Zeroizing<String>, bool), Failure> {
        let mut parts: Vec<&str> = Vec::new();
        let (mut rest, mut any) = (text, false);
        while let Some(at) = rest.find(TOKEN) {
            let (before, after) = (&rest[..at], &rest[at + TOKEN.len()..]);
            let length = after.bytes().take_while(|b| is_name(*b)).count();
            let (name, tail) = after.split_at(length);
            rest = tail;
            let value = if name.is_empty() {
                TOKEN
            } else {
                any = true;
                let value = self.allowed(name, target, plain)?.value.as_str();
                echoes.add(value, name);
                value
            };
            room.take(before.len() + value.len())?;
            parts.extend([before, value]);
        }
        room.take(rest.len())?;
        parts.push(rest);
        Ok((joined(&parts), any))
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

/// Bytes that a request's headers may still have, of all that they may.
#[derive(Clone, Debug)]
pub(super) struct Room {
    left: usize,
    most: usize,
}

impl Room {
    /// Room for `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { left: most, most }
    }

    /// Takes some of it.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Failure::too_large(format!(
                "with its secrets the request has more than {} bytes of headers",
                self.most
            ))
        })?;
        Ok(())
    }
}

/// The parts as one, made at its full length at once: growing leaves copies.
pub(super) fn joined(parts: &[&str]) -> Zeroizing<String> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(String::with_capacity(length));
    parts.iter().for_each(|part| out.push_str(part));
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_secrets_are_put_into_is_bounded_and_never_moved() {
        let mut secrets = Secrets::default();
        let hosts = || Policy::new(["a.test"]).expect("a pattern");
        secrets.insert("K", "k".repeat(MAX_VALUE), hosts()).expect("a secret");
        let target = super::super::host::parse("https://a.test/").expect("a URL");
        let mut echoes = Echoes::default();
        let mut fill =
            |text: &str, room: &mut Room| secrets.fill(text, &target, false, room, &mut echoes);
        // 7,281 tokens fit a header of 64 KiB, and would become 56 MiB.
        let why = fill(&"secret:K ".repeat(7281), &mut Room::new(64 << 10)).expect_err("too much");
        assert_eq!(why.kind, super::super::failure::Kind::TooLarge);
        let mut room = Room::new(2 * MAX_VALUE + 2);
        let (filled, any) = fill("a secret:K", &mut room).expect("it fits");
        assert!(any && filled.len() == filled.capacity(), "{}", filled.capacity());
        // The room is that of all headers.
        fill("secret:K", &mut room).expect("it fits");
        fill("x", &mut room).expect_err("no room left");
    }

    #[test]
    fn short_secrets_are_refused() {
        let hosts = || Policy::new(["a.test"]).expect("a pattern");
        let mut secrets = Secrets::default();
        secrets.insert("K", "x".repeat(15), hosts()).expect_err("too short");
        secrets.insert("K", "x".repeat(16), hosts()).expect("a secret");
    }
}
