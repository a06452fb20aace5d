//! The server: its state, its routes, and what every request passes through.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lode_queue::Change;
use lode_store::Store;
use lode_worker::master::{Master, Report, Task};
use lode_worker::{Share, Shares};
use tokio::sync::mpsc::UnboundedReceiver;
use url::Url;

use crate::apps::{App, Apps};
use crate::body::Body;
use crate::error::{ApiError, Kind};
use crate::logs::Logs;
use crate::nested::Run;
use crate::remote::Remote;
use crate::seal::SecretKeys;
use crate::tasks::Tasks;
use crate::throttle::Throttle;
use crate::{admin, answers, data, files, groups, handshake, rpc, secret, users};

/// How the API server is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hash of the token that the admin API asks for ([`crate::hash`]).
    pub admin_token: [u8; 32],
    /// Where clients reach this server, for scripts that call their own backend.
    pub url: Url,
    /// What apps' secrets are kept under in the store: the same on all hosts that share it.
    pub secret_keys: SecretKeys,
}

/// The API server. Cheap to clone.
#[derive(Clone)]
pub struct Api(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) master: Master,
    pub(crate) apps: Apps,
    pub(crate) logs: Arc<Logs>,
    /// The workers elsewhere that run what this server's requests need; `None`: its own master does.
    remote: Option<Arc<Remote>>,
    pub(crate) tasks: Tasks,
    pub(crate) throttle: Throttle,
    /// Bytes of answers that are being sent.
    pub(crate) answers: Shares,
    router: OnceLock<Router>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Api {
    /// A server over a store and a Work Master, which it deploys apps to as they are asked for.
    pub fn new(config: Config, store: Store, master: Master) -> Self {
        Self::over(config, store, master, None)
    }

    /// A server whose runs go to the workers of a queue. Its own master only builds deployments. `changes`
    /// is what [`lode_queue::Host::join`] gave with the host. Needs a Tokio runtime.
    pub fn with_queue(
        config: Config,
        store: Store,
        master: Master,
        host: lode_queue::Host,
        mut changes: UnboundedReceiver<Change>,
    ) -> Self {
        let remote = Remote::new(host, config.url.clone());
        let api = Self::over(config, store, master, Some(Arc::new(remote)));
        let weak = Arc::downgrade(&api.0);
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                let Some(inner) = weak.upgrade() else { return };
                match change {
                    Change::App(key) => inner.apps.outdate(Some(&key)),
                    Change::Any => inner.apps.outdate(None),
                }
            }
        });
        api
    }

    fn over(config: Config, store: Store, master: Master, remote: Option<Arc<Remote>>) -> Self {
        let logs = Arc::new(Logs::default());
        let host = remote.as_ref().map(|remote| remote.host.clone());
        let keys = config.secret_keys.clone();
        let api = Self(Arc::new(Inner {
            apps: Apps::new(store.clone(), master.clone(), logs.clone(), keys, host),
            config,
            store,
            master,
            logs,
            remote,
            tasks: Tasks::new(),
            throttle: Throttle::default(),
            answers: Shares::new(answers::MOST, answers::MOST / 2),
            router: OnceLock::new(),
        }));
        let _ = api.0.router.set(routes(&api));
        api
    }

    /// Runs a task of an app: here, or where the queue has it run.
    pub(crate) async fn run_task(&self, app: &App, run: &Run, task: Task) -> Report {
        match &self.0.remote {
            Some(remote) => remote.run(app, run, &task).await,
            None => self.0.master.run(task).await,
        }
    }

    /// The counters of its master and of its queue, in Prometheus' text format.
    pub(crate) async fn metrics(&self) -> String {
        self.metrics_with(self.0.remote.as_ref().map(|remote| &remote.host)).await
    }

    pub(crate) async fn metrics_with(&self, host: Option<&lode_queue::Host>) -> String {
        let mut text = self.0.master.metrics();
        // Each part ends with a line that ends the whole (OpenMetrics 1.0, "# EOF").
        text.truncate(text.trim_end().trim_end_matches("# EOF").len());
        // Of a store that does not answer there is nothing to say.
        if let Ok(dead) = self.0.store.dead_tasks().await {
            text.push_str("# HELP lode_tasks_dead Owed runs that were given up.\n");
            text.push_str("# TYPE lode_tasks_dead gauge\n");
            text.push_str(&format!("lode_tasks_dead {dead}\n"));
        }
        match host {
            Some(host) => text.push_str(&host.metrics()),
            None => text.push_str("# EOF\n"),
        }
        text
    }

    /// Its routes, as a service for each connection.
    pub fn router(&self) -> Router {
        self.0.router.get().cloned().unwrap_or_default()
    }
}

/// What one request leaves for its response's headers and for logs.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) id: String,
    executed: Mutex<Vec<&'static str>>,
    /// What its body takes of the memory that there is for bodies.
    body: Mutex<Option<Share>>,
}

impl Trace {
    /// Of a request that begins.
    pub(crate) fn new() -> Self {
        Self { id: secret::request_id(), executed: Mutex::default(), body: Mutex::default() }
    }

    /// Holds what the request's body takes until the request is answered.
    pub(crate) fn hold(&self, body: Share) {
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    /// What its body held: for its answer, or to be given back.
    pub(crate) fn let_go(&self) -> Option<Share> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A hook has run.
    pub(crate) fn executed(&self, hook: &'static str) {
        self.executed.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }
}

fn routes(api: &Api) -> Router {
    // With their bodies: a connection whose request was not read is closed behind the answer, and takes the
    // client's next request with it.
    let nothing = |_: Result<Body, ApiError>| async { ApiError::new(Kind::NotFound, "") };
    let wrong_method =
        |_: Result<Body, ApiError>| async { ApiError::new(Kind::MethodNotAllowed, "") };
    Router::new()
        .route("/", get(handshake::server))
        .route("/healthz", get(handshake::healthy))
        .route("/appdata/{app}", get(handshake::app))
        .route("/appdata/{app}/", get(handshake::app))
        .route(
            "/appdata/{app}/{collection}",
            get(data::find).post(data::insert).delete(data::delete_by_query),
        )
        .route(
            "/appdata/{app}/{collection}/",
            get(data::find).post(data::insert).delete(data::delete_by_query),
        )
        .route("/appdata/{app}/{collection}/_count", get(data::count))
        .route("/appdata/{app}/{collection}/_group", post(data::group))
        .route("/appdata/{app}/{collection}/_deltaset", get(data::delta_set))
        .route(
            "/appdata/{app}/{collection}/{id}",
            get(data::get).put(data::replace).delete(data::delete),
        )
        .route("/user/{app}", post(users::sign_up).get(users::find))
        .route("/user/{app}/", post(users::sign_up).get(users::find))
        .route("/user/{app}/login", post(users::log_in))
        .route("/user/{app}/_logout", post(users::log_out))
        .route("/user/{app}/_me", get(users::me))
        .route("/user/{app}/_lookup", post(users::look_up))
        .route("/user/{app}/_count", get(users::count))
        .route("/user/{app}/{id}", get(users::get).put(users::update).delete(users::delete))
        .route("/user/{app}/{id}/_restore", post(users::restore))
        .route("/user/{app}/{id}/tokens", delete(users::delete_tokens))
        .route("/user/{app}/{id}/roles", get(users::roles))
        .route("/user/{app}/{id}/roles/{role}", put(users::grant_role).delete(users::revoke_role))
        .route("/roles/{app}", post(groups::create_role).get(groups::roles))
        .route(
            "/roles/{app}/{id}",
            get(groups::role).put(groups::update_role).delete(groups::delete_role),
        )
        .route("/roles/{app}/{id}/membership", get(groups::members))
        .route("/group/{app}", post(groups::create_group))
        .route(
            "/group/{app}/{id}",
            get(groups::group).put(groups::update_group).delete(groups::delete_group),
        )
        .route("/blob/{app}", get(files::find).post(files::create))
        .route("/blob/{app}/{id}", get(files::get).put(files::replace).delete(files::delete))
        .route("/rpc/{app}/custom/{endpoint}", post(rpc::custom))
        .route("/rpc/{app}/check-username-exists", post(rpc::username_exists))
        .route("/rpc/{app}/{username}/user-password-reset-initiate", post(rpc::no_email))
        .route("/rpc/{app}/{username}/user-email-verification-initiate", post(rpc::no_email))
        .route("/rpc/{app}/user-forgot-username", post(rpc::no_email))
        .merge(admin::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(api.0.answers.clone(), answers::bounded))
        .layer(from_fn(around))
        .with_state(api.clone())
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-kinvey-request-id");
const API_VERSION: HeaderName = HeaderName::from_static("x-kinvey-api-version");
const EXECUTED: HeaderName = HeaderName::from_static("x-kinvey-executed-collection-hooks");
const REQUEST_START: HeaderName = HeaderName::from_static("x-kinvey-request-start");

/// The headers that each response has, and browsers' leave to come from any page: clients are known by
/// their credentials, which browsers do not add by themselves (fetch.spec.whatwg.org, "CORS protocol").
async fn around(mut request: Request, next: Next) -> Response {
    let version = request.headers().get(&API_VERSION).cloned();
    let start = crate::time::iso(crate::time::now_ms());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let trace = Arc::new(Trace::new());
    request.extensions_mut().insert(trace.clone());
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response =
        if asks { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(REQUEST_ID, &trace.id);
    set(REQUEST_START, &start);
    let executed = trace.executed.lock().unwrap_or_else(PoisonError::into_inner).join(",");
    if !executed.is_empty() {
        set(EXECUTED, &executed);
    }
    if let Some(version) = version {
        headers.insert(API_VERSION, version);
    }
    // Scripts may answer with HTML: no browser is to guess what it is looking at.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        let shown = "x-kinvey-request-id, x-kinvey-api-version, x-kinvey-request-start, \
                     x-kinvey-executed-collection-hooks, retry-after";
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(shown));
    }
    if asks {
        let methods = HeaderValue::from_static("GET, POST, PUT, DELETE");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(wanted) = wanted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    response
}
