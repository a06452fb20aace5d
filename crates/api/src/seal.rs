//! Apps' secrets at rest: sealed (AES-256-GCM) with keys that the hosts have and the store has not, so that whoever
//! reads the database, or a backup of it, reads none.
//!
//! In the store, a secret that is sealed has `sealed` in the place of its `value`. What it is sealed for, its app and
//! its name, is part of the seal: whoever writes to the database cannot have one app's sent by another.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde_json::Value;

use crate::error::ApiError;
use crate::secret;

/// Keys that apps' secrets are kept under: the first seals, and any opens. Cheap to clone. The default has none:
/// secrets are then kept as they are.
#[derive(Clone, Default)]
pub struct SecretKeys(Arc<[LessSafeKey]>);

impl SecretKeys {
    /// Reads keys: each 32 bytes as base64 (RFC 4648, section 4), with commas between them.
    ///
    /// # Errors
    /// What is wrong with them, in words that have no part of a key in them.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let keys = text.split(',').map(|key| {
            let bytes = BASE64_STANDARD.decode(key.trim()).unwrap_or_default();
            let key = UnboundKey::new(&AES_256_GCM, &bytes);
            key.map(LessSafeKey::new).map_err(|_| "a key is 32 random bytes as base64")
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Seals the secrets in an app's settings, if there is a key.
    pub(crate) fn seal(&self, app: &str, settings: &mut Value) -> Result<(), ApiError> {
        let Some(key) = self.0.first() else { return Ok(()) };
        for (name, secret) in secrets(settings) {
            let Some(Value::String(value)) = secret.remove("value") else { continue };
            let nonce = secret::random::<NONCE_LEN>()?;
            let mut bytes = value.into_bytes();
            let (unique, purpose) = (Nonce::assume_unique_for_key(nonce), purpose(app, name));
            let sealed = key.seal_in_place_append_tag(unique, Aad::from(purpose), &mut bytes);
            sealed.map_err(|_| ApiError::internal("a secret cannot be sealed"))?;
            let sealed = BASE64_STANDARD.encode([&nonce[..], &bytes].concat());
            secret.insert("sealed".into(), sealed.into());
        }
        Ok(())
    }

    /// Opens the secrets in an app's settings that are sealed.
    ///
    /// # Errors
    /// One was sealed with another key, for another app, or has been changed.
    pub(crate) fn open(&self, app: &str, settings: &mut Value) -> Result<(), ApiError> {
        for (name, secret) in secrets(settings) {
            let Some(sealed) = secret.remove("sealed") else { continue };
            let sealed = BASE64_STANDARD.decode(sealed.as_str().unwrap_or_default());
            let value = sealed.ok().and_then(|sealed| self.opened(&purpose(app, name), &sealed));
            let value = value.ok_or_else(|| {
                ApiError::internal(format!(
                    "the secret {name} of {app} is sealed with a key that this host does not have (LODE_SECRETS_KEY)"
                ))
            })?;
            secret.insert("value".into(), value.into());
        }
        Ok(())
    }

    fn opened(&self, purpose: &[u8], sealed: &[u8]) -> Option<String> {
        let (nonce, bytes) = sealed.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().find_map(|key| {
            let (nonce, mut bytes) = (Nonce::assume_unique_for_key(*nonce), bytes.to_vec());
            let value = key.open_in_place(nonce, Aad::from(purpose), &mut bytes).ok()?;
            String::from_utf8(value.to_vec()).ok()
        })
    }
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKeys").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}

/// What a value is sealed for. App keys have no zero byte.
fn purpose(app: &str, name: &str) -> Vec<u8> {
    [app.as_bytes(), b"\0", name.as_bytes()].concat()
}

/// The secrets in settings as they are kept, by name.
fn secrets(
    settings: &mut Value,
) -> impl Iterator<Item = (&String, &mut serde_json::Map<String, Value>)> {
    let secrets = settings.get_mut("secrets").and_then(Value::as_object_mut);
    secrets.into_iter().flatten().filter_map(|(name, secret)| Some((name, secret.as_object_mut()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(bytes: &[u8]) -> SecretKeys {
        let keys: Vec<_> = bytes.iter().map(|byte| BASE64_STANDARD.encode([*byte; 32])).collect();
        SecretKeys::parse(&keys.join(", ")).expect("keys")
    }

    fn plain() -> Value {
        json!({ "allow": [], "secrets": { "KEY": { "value": "sk_live_0123456789", "hosts": ["a.example"] } } })
    }

    #[test]
    fn what_is_sealed_says_nothing_and_opens_for_its_app_and_name_alone() {
        let keys = keys(&[1]);
        let mut kept = plain();
        keys.seal("kid_a", &mut kept).expect("sealed");
        assert!(!kept.to_string().contains("sk_live"), "{kept}");
        let mut again = plain();
        keys.seal("kid_a", &mut again).expect("sealed");
        assert_ne!(kept, again, "the same value is sealed differently each time");

        let mut opened = kept.clone();
        keys.open("kid_a", &mut opened).expect("opened");
        assert_eq!(opened, plain());
        keys.open("kid_b", &mut kept.clone()).expect_err("another app's");
        let mut renamed = json!({ "secrets": { "OTHER": kept["secrets"]["KEY"] } });
        keys.open("kid_a", &mut renamed).expect_err("another name");
        let mut changed = kept;
        changed["secrets"]["KEY"]["sealed"] = "AAAA".into();
        keys.open("kid_a", &mut changed).expect_err("none of ours");
    }

    #[test]
    fn the_first_key_seals_and_each_opens() {
        let mut kept = plain();
        keys(&[1]).seal("kid_a", &mut kept).expect("sealed");
        keys(&[2]).open("kid_a", &mut kept.clone()).expect_err("another key");
        SecretKeys::default().open("kid_a", &mut kept.clone()).expect_err("no key");
        let both = keys(&[2, 1]);
        both.open("kid_a", &mut kept).expect("the old key is there, too");
        both.seal("kid_a", &mut kept).expect("sealed");
        keys(&[2]).open("kid_a", &mut kept).expect("with the new one");
        assert_eq!(kept, plain());
    }

    #[test]
    fn without_a_key_secrets_are_kept_and_read_as_they_are() {
        let mut kept = plain();
        SecretKeys::default().seal("kid_a", &mut kept).expect("nothing to do");
        assert_eq!(kept, plain());
        // As they were before there was a key.
        keys(&[1]).open("kid_a", &mut kept).expect("nothing to do");
        assert_eq!(kept, plain());
    }

    #[test]
    fn keys_are_refused_that_are_none() {
        for text in ["", "secret", "AAAA", &format!("{},", BASE64_STANDARD.encode([1; 32]))] {
            assert!(SecretKeys::parse(text).is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", keys(&[1, 2])), "SecretKeys { keys: 2, .. }");
    }
}
