//! Who asks: Kinvey's three kinds of credentials (REST guide, "Authentication"), and a run's own.
//!
//! `Basic key:app secret` identifies the app, `Basic key:master secret` its owner, `Basic name:password` and
//! `Kinvey <token>` a user. A script's `getMasterSecret()` is a token that is good for its own run only: it
//! works in calls that come from that run in process ([`crate::nested`]), and nowhere else.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, header};
use lode_store::{Credential, Document, Place};

use crate::api::Inner;
use crate::apps::App;
use crate::error::{ApiError, Kind};
use crate::nested::Run;
use crate::{password, secret, time, users};

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The app's client, nobody logged in.
    App,
    /// The app's owner, or a script that acts as such.
    Master,
    /// A user of the app.
    User(Arc<User>),
}

/// A user of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: Arc<str>,
    pub(crate) username: String,
    /// Ids of the roles that are granted.
    pub(crate) roles: Vec<String>,
    /// The session's token, hashed; `None` with a password.
    pub(crate) session: Option<[u8; 32]>,
}

impl Identity {
    pub(crate) fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::User(user) => Some(user),
            _ => None,
        }
    }

    pub(crate) fn is_master(&self) -> bool {
        matches!(self, Self::Master)
    }

    /// Kinvey's name for it (`requestContext.getSecurityContext()`).
    pub(crate) fn security_context(&self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Master => "master",
            Self::User(_) => "user",
        }
    }
}

/// What the Authorization header says.
pub(crate) enum Credentials {
    Basic(String, String),
    Token(String),
}

impl Credentials {
    /// Reads it.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let none =
            || ApiError::new(Kind::InvalidCredentials, "the Authorization header is missing");
        let value = headers.get(header::AUTHORIZATION).ok_or_else(none)?;
        let odd = || {
            let debug = "the Authorization header is neither `Basic …` nor `Kinvey <token>`";
            ApiError::new(Kind::InvalidCredentials, debug)
        };
        let value = value.to_str().map_err(|_| odd())?.trim();
        let (scheme, rest) = value.split_once(' ').ok_or_else(odd)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("kinvey") {
            return Ok(Self::Token(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(odd());
        }
        let pair = BASE64_STANDARD.decode(rest).map_err(|_| odd())?;
        let pair = String::from_utf8(pair).map_err(|_| odd())?;
        let (user, pass) = pair.split_once(':').ok_or_else(odd)?;
        Ok(Self::Basic(user.to_owned(), pass.to_owned()))
    }
}

/// Says who asks.
///
/// # Errors
/// `InvalidCredentials`; nothing in it says which part was wrong.
pub(crate) async fn identify(
    api: &Inner,
    app: &App,
    headers: &HeaderMap,
    run: Option<&Run>,
) -> Result<Identity, ApiError> {
    let wrong = || ApiError::new(Kind::InvalidCredentials, "");
    let credentials = Credentials::of(headers)?;
    if let Some(run) = run
        && let Credentials::Basic(_, given) | Credentials::Token(given) = &credentials
        && run.app == app.key
    {
        if secret::is(given, &secret::hash(&run.master_token)) {
            return Ok(Identity::Master);
        }
        if secret::is(given, &secret::hash(&run.app_token)) {
            return Ok(Identity::App);
        }
    }
    match credentials {
        Credentials::Basic(name, given) if name == *app.key => {
            // Both are compared, whichever it is.
            let is_master = secret::is(&given, &app.record.master_secret_hash);
            let is_app = secret::is(&given, &app.record.app_secret_hash);
            match (is_master, is_app) {
                (true, _) => Ok(Identity::Master),
                (_, true) => Ok(Identity::App),
                _ => Err(wrong()),
            }
        }
        Credentials::Basic(name, given) => {
            let credential = log_in(api, app, &name, given).await?;
            user_by_id(api, &app.key, &credential.user_id).await
        }
        Credentials::Token(token) => {
            let hash = secret::hash(&token);
            let (session, document) = api.store.session(&hash).await?.ok_or_else(wrong)?;
            if session.app != *app.key || session.expires_ms < time::now_ms() {
                return Err(wrong());
            }
            user(&session.user_id, document, Some(hash))
        }
    }
}

/// Checks a name and a password, slowly where they keep failing. The credential has the hash that the
/// password was verified with.
pub(crate) async fn log_in(
    api: &Inner,
    app: &App,
    username: &str,
    given: String,
) -> Result<Credential, ApiError> {
    let wrong = || ApiError::new(Kind::InvalidCredentials, "");
    // Nobody is called so, and nothing is to be remembered of it.
    if !users::is_username(username) {
        return Err(wrong());
    }
    if let Some(wait) = api.throttle.wait(&app.key, username, Instant::now()) {
        let debug = "there were too many failed logins with this name";
        return Err(ApiError::new(Kind::TooManyRequests, debug).after(wait));
    }
    let place = password::get_in_line(&app.key)?;
    // Counted before it is known: attempts at once are attempts, too.
    api.throttle.failed(&app.key, username, Instant::now());
    let known = api.store.credential(&app.key, username).await?;
    let hash = known.as_ref().map(|known| known.password_hash.clone());
    if !place.is(given, hash).await? {
        return Err(wrong());
    }
    api.throttle.succeeded(&app.key, username);
    known.ok_or_else(wrong)
}

/// A user of an app, as who they are now.
pub(crate) async fn user_by_id(api: &Inner, app: &str, id: &str) -> Result<Identity, ApiError> {
    let document = api.store.get(Place { app, collection: "user" }, id).await?;
    user(id, document, None)
}

fn user(
    id: &str,
    document: Option<Document>,
    session: Option<[u8; 32]>,
) -> Result<Identity, ApiError> {
    let document = document.ok_or_else(|| ApiError::new(Kind::InvalidCredentials, ""))?;
    if is_disabled(&document) {
        return Err(ApiError::new(Kind::InvalidCredentials, "the user is disabled"));
    }
    Ok(Identity::User(Arc::new(User {
        id: id.into(),
        username: document.get("username").and_then(|v| v.as_str()).unwrap_or("").to_owned(),
        roles: roles_of(&document),
        session,
    })))
}

/// Whether a user may no longer do anything (`_kmd.status.val`).
pub(crate) fn is_disabled(user: &Document) -> bool {
    let status = user.get("_kmd").and_then(|kmd| kmd.pointer("/status/val"));
    status.and_then(|status| status.as_str()) == Some("disabled")
}

/// The ids of a user's roles (`_kmd.roles`).
pub(crate) fn roles_of(user: &Document) -> Vec<String> {
    let roles =
        user.get("_kmd").and_then(|kmd| kmd.get("roles")).and_then(|roles| roles.as_array());
    let id = |role: &serde_json::Value| role.get("roleId")?.as_str().map(str::to_owned);
    roles.map(|roles| roles.iter().filter_map(id).collect()).unwrap_or_default()
}
