//! The API request that a run belongs to: whose it is, and the way back to its own backend's API.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use url::Url;

/// What a run's API request brings along. By default nothing: a run that no request asked for.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The id of the user who asks; documents that scripts insert are theirs.
    pub user: Option<Arc<str>>,
    /// What answers a script's requests to its own backend.
    pub own_api: Option<Arc<dyn OwnApi>>,
}

/// A backend's own API, as its scripts call it: within this process, never over a socket, and within the
/// budget of the request that the calling run belongs to. Whoever implements it authenticates each call by
/// its own headers, as it does a client's.
pub trait OwnApi: Send + Sync + fmt::Debug {
    /// Whether a URL is this API's.
    fn serves(&self, url: &Url) -> bool;

    /// Answers a request for the URL's path and query.
    fn call(&self, request: Request<Bytes>, deadline: Instant) -> OwnAnswer<'_>;
}

/// What [`OwnApi::call`] comes to.
pub type OwnAnswer<'a> = Pin<Box<dyn Future<Output = Response<Bytes>> + Send + 'a>>;
