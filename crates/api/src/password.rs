//! Users' passwords: argon2id, and no more than a few at a time.

use std::sync::{Arc, LazyLock};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use tokio::sync::Semaphore;

use crate::error::{ApiError, Kind};

/// Bytes that a password may have: argon2 takes more, and nobody types more.
const MAX_BYTES: usize = 1024;

/// Hashing at once: each takes 19 MiB (the parameters OWASP recommends, which are the crate's defaults) and a
/// processor for some 20 ms. More would only take both from other requests.
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// What is kept of a password: a PHC string.
///
/// # Errors
/// A password that is empty or too long.
pub(crate) async fn hash(password: String) -> Result<String, ApiError> {
    if password.is_empty() || password.len() > MAX_BYTES {
        let what = format!("a password has 1 to {MAX_BYTES} bytes");
        return Err(ApiError::new(Kind::ParameterValueOutOfRange, what));
    }
    in_turn(move || {
        let hash = Argon2::default().hash_password(password.as_bytes());
        hash.map(|hash| hash.to_string()).map_err(ApiError::internal)
    })
    .await?
}

/// Whether a password is the one that `known` was made of. Without a `known` it takes as long and is false:
/// how long a login takes does not say whether there is such a user.
pub(crate) async fn is(password: String, known: Option<String>) -> Result<bool, ApiError> {
    if password.len() > MAX_BYTES {
        return Ok(false);
    }
    let Some(known) = known else {
        hash(if password.is_empty() { "-".into() } else { password }).await?;
        return Ok(false);
    };
    in_turn(move || {
        let known = PasswordHash::new(&known).map_err(ApiError::internal)?;
        Ok(Argon2::default().verify_password(password.as_bytes(), &known).is_ok())
    })
    .await?
}

async fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let turn = TURNS.clone().acquire_owned().await.map_err(ApiError::internal)?;
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    })
    .await
    .map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let known = super::hash("correct horse".into()).await.expect("a hash");
        assert!(known.starts_with("$argon2id$"), "{known}");
        assert!(super::is("correct horse".into(), Some(known.clone())).await.expect("it works"));
        assert!(!super::is("correct hors".into(), Some(known)).await.expect("it works"));
        assert!(!super::is("correct horse".into(), None).await.expect("it works"));
    }

    #[tokio::test]
    async fn an_empty_or_endless_password_is_refused() {
        for password in [String::new(), "x".repeat(1025)] {
            assert!(super::hash(password).await.is_err());
        }
    }
}
