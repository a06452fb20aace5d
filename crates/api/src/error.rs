//! What a client is told when a request fails: Kinvey's error body, `{error, description, debug}`.
//!
//! Names, statuses and what they mean: Kinvey's REST guide, "Troubleshooting", "Error Reporting"
//! (docs/kinvey.md has the table). The blame is in the name: `BL…` is the script's or a limit's, `Kinvey…`
//! ours, and all others the request's.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use lode_store::StoreError;
use lode_worker::Full;
use serde_json::{Map, Value, json};

/// A failed request. `debug` is for the app's developers and says nothing of this machine.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) kind: Kind,
    pub(crate) debug: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) stack: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $status:literal $description:literal;)*) => {
        /// Kinvey's error names, and the few that Lode adds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(clippy::enum_variant_names, reason = "the names are Kinvey's")]
        pub(crate) enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// The `error` member.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The status, and the `description` member.
            pub(crate) fn says(self) -> (u16, &'static str) {
                match self { $(Self::$name => ($status, $description),)* }
            }
        }
    };
}

kinds! {
    BadRequest 400 "Unable to understand request";
    JSONParseError 400 "Unable to parse the JSON in the request";
    InvalidQuerySyntax 400 "The query string in the request has an invalid syntax";
    MissingQuery 400 "The request is missing a query string";
    IncompleteRequestBody 400 "The request body is either missing or incomplete";
    MissingRequestParameter 400 "A required parameter is missing from the request";
    ParameterValueOutOfRange 400 "The value specified for one of the request parameters is out of range";
    InvalidIdentifier 400 "One or more identifier names in the request has an invalid format";
    FeatureUnavailable 400 "Requested functionality is unavailable in this API version";
    ResultSetSizeExceeded 400 "Your query produced more than 10,000 results. Please rewrite your query to be more selective";
    InvalidCredentials 401 "Invalid credentials. Please retry your request with correct credentials";
    InsufficientCredentials 401 "The credentials used to authenticate this request are not authorized to run this operation. Please retry your request with appropriate credentials";
    WritesToCollectionDisallowed 403 "This collection is configured to disallow any modifications to an existing entity or creation of new entities";
    AppNotFound 404 "This app backend not found";
    EntityNotFound 404 "This entity not found in the collection";
    UserNotFound 404 "This user does not exist for this app backend";
    BlobNotFound 404 "This blob not found for this app backend";
    /// Lode's: no route, or an admin resource that is not there.
    NotFound 404 "There is nothing at this address";
    /// Lode's.
    MethodNotAllowed 405 "The address is there, but not for this HTTP method";
    /// Lode's.
    RequestTimeout 408 "The request took too long to arrive";
    UserAlreadyExists 409 "This username is already taken. Please retry your request with a different username";
    EntityAlreadyExists 409 "An entity with that _id already exists in this collection";
    /// Lode's: an admin resource that is there already.
    Conflict 409 "It exists already";
    /// Lode's.
    RequestTooLarge 413 "The request is larger than a request may be";
    /// Lode's: more than the app's quota, or its runs kept hitting limits.
    TooManyRequests 429 "This app has more requests under way than it may. Please retry your request later";
    KinveyInternalErrorStop 500 "The Kinvey server encountered an unexpected error. Please contact support for assistance";
    KinveyInternalErrorRetry 503 "The server is busy. Please retry your request";
    BLRuntimeError 550 "The Business Logic script has a runtime error. See debug message for details";
    BLSyntaxError 550 "The Business Logic script has a syntax error(s). See debug message for details";
    BLTimeoutError 550 "The Business Logic script did not complete in time. See debug message for details";
    BLViolationError 550 "The Business Logic script violated a constraint. See debug message for details";
    BLInternalError 550 "The Business Logic script did not complete. See debug message for details";
}

impl ApiError {
    pub(crate) fn new(kind: Kind, debug: impl Into<String>) -> Self {
        Self { kind, debug: debug.into(), retry_after: None, stack: None }
    }

    /// Adds what rejected clients are to wait for.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// There is no more of what all apps share; `what` says of what.
    pub(crate) fn busy(full: Full, what: &str) -> Self {
        let whose = match full {
            Full::App => "this app",
            Full::All => "the server",
        };
        let debug = format!("{whose} has too many {what} under way");
        // What others hold is given back within moments.
        Self::new(Kind::KinveyInternalErrorRetry, debug).after(Duration::from_secs(1))
    }

    /// Blames us. The detail goes to the operator's log only.
    pub(crate) fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "a request failed");
        Self::new(Kind::KinveyInternalErrorStop, "")
    }

    /// The body, as clients get it.
    pub(crate) fn body(&self) -> Value {
        let (_, description) = self.kind.says();
        let mut body = Map::new();
        body.insert("error".into(), self.kind.name().into());
        body.insert("description".into(), description.into());
        body.insert("debug".into(), self.debug.clone().into());
        if let Some(stack) = &self.stack {
            body.insert("stack".into(), stack.clone().into());
        }
        body.into()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Query(error) => Self::new(Kind::InvalidQuerySyntax, error.to_string()),
            StoreError::Duplicate { id } => {
                Self::new(Kind::EntityAlreadyExists, format!("the _id {id:?} is taken"))
            }
            StoreError::Invalid(what) => Self::new(Kind::BadRequest, what),
            StoreError::NoApp(_) => Self::new(Kind::AppNotFound, ""),
            StoreError::TooSlow => {
                let debug = "the query takes too long: an index may help (lode app index)";
                Self::new(Kind::ResultSetSizeExceeded, debug)
            }
            error @ StoreError::TooLarge => {
                Self::new(Kind::ResultSetSizeExceeded, error.to_string())
            }
            StoreError::Contended => {
                let debug = "others keep changing the same documents";
                Self::new(Kind::KinveyInternalErrorRetry, debug).after(Duration::from_secs(1))
            }
            error => Self::internal(error),
        }
    }
}

impl From<lode_store::query::QueryError> for ApiError {
    fn from(error: lode_store::query::QueryError) -> Self {
        Self::new(Kind::InvalidQuerySyntax, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, _) = self.kind.says();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(json!(self.body()))).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            // RFC 9110, section 10.2.3: whole seconds; rounded up, so that none comes too soon.
            let seconds = wait.as_secs_f64().ceil().max(1.0);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, section 11.6.1 asks for one. Not for `Basic`: browsers would ask people for a name and a
            // password, and send what they were given, a master secret at worst, with each request from then
            // on. Kinvey's SDKs send credentials unasked.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Kinvey realm=\"lode\""),
            );
        }
        response
    }
}
