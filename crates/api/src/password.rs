//! Users' passwords: argon2id, no more than a few at a time, and no endless line of those who wait.

use std::sync::{Arc, LazyLock};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use lode_worker::{Share, Shares};
use tokio::sync::Semaphore;

use crate::error::{ApiError, Kind};

/// Bytes that a password may have: argon2 takes more, and nobody types more.
const MAX_BYTES: usize = 1024;

/// Hashing at once: each takes 19 MiB (the parameters OWASP recommends, which are the crate's defaults) and a
/// processor for some 20 ms. More would only take both from other requests.
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// Passwords in line, those being hashed among them: what two processors do in a second. Who comes later is
/// told so at once, and no app's clients are more than half of the line.
static LINE: LazyLock<Shares> = LazyLock::new(|| Shares::new(100, 50));

/// A place in the line.
pub(crate) struct Place {
    _share: Share,
}

/// Gets in line.
///
/// # Errors
/// `KinveyInternalErrorRetry`: it is full, or its app's half.
pub(crate) fn get_in_line(app: &str) -> Result<Place, ApiError> {
    let mut share = LINE.of(app);
    share.take(1).map_err(|full| ApiError::busy(full, "passwords to verify"))?;
    Ok(Place { _share: share })
}

impl Place {
    /// What is kept of a password: a PHC string.
    ///
    /// # Errors
    /// A password that is empty or too long.
    pub(crate) async fn hash(self, password: String) -> Result<String, ApiError> {
        if password.is_empty() || password.len() > MAX_BYTES {
            let what = format!("a password has 1 to {MAX_BYTES} bytes");
            return Err(ApiError::new(Kind::ParameterValueOutOfRange, what));
        }
        self.in_turn(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(ApiError::internal)
        })
        .await?
    }

    /// Whether a password is the one that `known` was made of. Without a `known` it takes as long and is false:
    /// how long a login takes does not say whether there is such a user.
    pub(crate) async fn is(
        self,
        password: String,
        known: Option<String>,
    ) -> Result<bool, ApiError> {
        if password.len() > MAX_BYTES {
            return Ok(false);
        }
        let Some(known) = known else {
            self.hash(if password.is_empty() { "-".into() } else { password }).await?;
            return Ok(false);
        };
        self.in_turn(move || {
            let known = PasswordHash::new(&known).map_err(ApiError::internal)?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &known).is_ok())
        })
        .await?
    }

    async fn in_turn<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = TURNS.clone().acquire_owned().await.map_err(ApiError::internal)?;
        tokio::task::spawn_blocking(move || {
            // Kept by the work, which goes on when nobody waits for it any more.
            let _held = (turn, self);
            work()
        })
        .await
        .map_err(ApiError::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        get_in_line("kid_a").expect("there is nobody else")
    }

    #[tokio::test]
    async fn a_line_that_is_full_is_not_joined() {
        let app = "kid_flood";
        let line: Vec<Place> = (0..50).map(|_| get_in_line(app).expect("its half")).collect();
        let refused = get_in_line(app).err().expect("no more");
        assert_eq!(refused.kind, Kind::KinveyInternalErrorRetry);
        assert!(refused.retry_after.is_some());
        // Others' half is theirs.
        place().hash("correct horse".into()).await.expect("a hash");
        drop(line);
        get_in_line(app).expect("there is room again");
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let known = place().hash("correct horse".into()).await.expect("a hash");
        assert!(known.starts_with("$argon2id$"), "{known}");
        assert!(place().is("correct horse".into(), Some(known.clone())).await.expect("it works"));
        assert!(!place().is("correct hors".into(), Some(known)).await.expect("it works"));
        assert!(!place().is("correct horse".into(), None).await.expect("it works"));
    }

    #[tokio::test]
    async fn an_empty_or_endless_password_is_refused() {
        for password in [String::new(), "x".repeat(1025)] {
            assert!(place().hash(password).await.is_err());
        }
    }
}
