//! What the store keeps beside documents.

use serde_json::Value;

/// One collection of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The app's key.
    pub app: &'a str,
    /// The collection's name.
    pub collection: &'a str,
}

/// A [`Place`] that can be sent to a thread.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) app: String,
    pub(crate) collection: String,
}

impl From<Place<'_>> for At {
    fn from(place: Place<'_>) -> Self {
        Self { app: place.app.to_owned(), collection: place.collection.to_owned() }
    }
}

/// An app: a customer's environment.
#[derive(Clone, Debug, PartialEq)]
pub struct AppRecord {
    /// Its key, `kid_…`.
    pub key: String,
    /// What its owners call it.
    pub name: String,
    /// SHA-256 of the app secret.
    pub app_secret_hash: [u8; 32],
    /// SHA-256 of the master secret.
    pub master_secret_hash: [u8; 32],
    /// Whatever the program keeps for it.
    pub settings: Value,
    /// Whether something of it is to happen by itself: [`Store::scheduled`](crate::Store::scheduled) names it.
    pub scheduled: bool,
    /// The number of the active deployment.
    pub active: Option<u32>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

/// A deployment with its scripts.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentRecord {
    /// 1, 2, 3… within its app.
    pub number: u32,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// The scripts, as the program that deploys describes them.
    pub content: Value,
}

/// A deployment without its scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeploymentSummary {
    /// 1, 2, 3… within its app.
    pub number: u32,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

/// How a user proves who they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The `_id` of the user's document in the collection `user`.
    pub user_id: String,
    /// Unique within the app.
    pub username: String,
    /// In the format of the password hasher.
    pub password_hash: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A hash in a log could be attacked at leisure.
        f.debug_struct("Credential")
            .field("user_id", &self.user_id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A user who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the token that the client holds.
    pub token_hash: [u8; 32],
    /// The app's key.
    pub app: String,
    /// Whose session it is.
    pub user_id: String,
    /// When it began, in milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it is worth nothing, in milliseconds since 1970. Whoever asks for a session compares.
    pub expires_ms: i64,
}
