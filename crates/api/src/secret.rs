//! Secrets of ours: random, told once, kept as a hash.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::ApiError;

/// What is kept of a secret. It has 256 random bits, so that a fast hash is as good as a slow one: there is
/// nothing to guess from.
pub(crate) type Hash = [u8; 32];

/// A new secret, as text: 256 bits.
pub(crate) fn new() -> Result<String, ApiError> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// A new secret for an operator: 256 random bits, as text.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn new_secret() -> std::io::Result<String> {
    new().map_err(|_| std::io::Error::other("there is no randomness"))
}

/// The hash of a secret.
pub fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether `given` is the secret whose hash is `known`, in a time that does not tell how much of it is.
pub(crate) fn is(given: &str, known: &Hash) -> bool {
    hash(given).ct_eq(known).into()
}

/// Names one request or run: 32 hexadecimal digits.
pub(crate) fn request_id() -> String {
    // Only a name: without randomness there are no new secrets either, and that is told there.
    random::<16>().map(|bytes| hex(&bytes)).unwrap_or_default()
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    Ok(bytes)
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
