//! The broker: what answers host calls, the only way from a sandbox to the outside.
//!
//! A call is hostile: its name and arguments come from a script, or from a child that has been taken
//! over. An answer is JSON of at most [`MAX_ANSWER`] bytes, or an error in the script's name; it never
//! blames the platform and says nothing of this machine, which is told to `tracing` only. The master
//! counts a run's calls and bytes.
//!
//! | Call | Arguments | Answer |
//! |---|---|---|
//! | `egress.request` | `{method?, url, headers?: [[name, value]], body? \| bodyBase64?, auth?: {user, pass}, redirect?: "follow" \| "error" \| "manual", maxRedirects?, timeout?: ms}` | `{status, statusText, headers: [[name, value]], body \| bodyBase64, url, redirected}` |
//! | `data.find`, `data.findOne` | `{collection, query?, options?: {sort, limit, skip, fields}}` | documents, at most 10,000; one or null |
//! | `data.count` | `{collection, query?}` | how many |
//! | `data.distinct` | `{collection, field, query?}` | values |
//! | `data.group` | `{collection, key, condition?, initial, reduce: "function…"}` | groups |
//! | `data.geoNear` | `{collection, near: [lng, lat], query?, limit?, maxDistance?, spherical?, distanceMultiplier?}` | `{results: [{dis, obj}], ok: 1}` |
//! | `data.insert` | `{collection, documents, creator?}` | the documents |
//! | `data.save` | `{collection, document, creator?}` | the document |
//! | `data.update` | `{collection, query?, update, options?: {multi, upsert, arrayFilters}, creator?}` | `{matched, modified, upserted}` |
//! | `data.findAndModify` | `{collection, query?, sort?, update?, options?: {new, remove, upsert, fields, arrayFilters}, creator?}` | a document or null |
//! | `data.remove` | `{collection, query?, options?: {single}}` | how many |
//! | `data.collectionExists` | `{collection}` | whether |
//! | `email.send`, `push.send`, `push.broadcast` | as crates/guest/js/services.js says | nothing yet: an error |
//! | `kv.get`, `kv.delete` | `{key}` | the value or null; whether there was one |
//! | `kv.set` | `{key, value}` | null |
//! | `kv.increment` | `{key, by?}` | the new number |
//! | `kv.list` | `{prefix?, limit?}` | keys in order, at most 1,000 |

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use lode_child::protocol::{HostCall, HostError, HostReply};
use serde_json::value::RawValue;

mod data;
pub mod egress;
pub mod keyvalue;
pub mod log;
mod origin;

use data::Data;
pub use data::MAX_DOCUMENTS;
use egress::{ConfigError, Egress, Failure};
use keyvalue::KeyValue;
use lode_store::Store;
pub use origin::{Origin, OwnAnswer, OwnApi};

/// Bytes of an answer: what a body of 8 MiB becomes, and well below what a frame to a child may have.
pub const MAX_ANSWER: usize = 12 << 20;

/// What the broker knows of the app that asks: the work of whoever starts its tasks, never of the app.
#[derive(Clone, Debug, Default)]
pub struct AppContext {
    /// Its name: what it keeps and what it has under way is counted by it.
    pub app: String,
    /// Where its requests may go, and its secrets.
    pub egress: Arc<egress::AppEgress>,
}

impl AppContext {
    /// An app whose egress is off.
    pub fn new(app: impl Into<String>) -> Self {
        Self { app: app.into(), ..Self::default() }
    }
}

/// What a broker offers.
#[derive(Clone, Default)]
pub struct Options {
    /// Egress, for apps that have an allow-list; none by default.
    pub egress: Option<egress::Config>,
    /// A key-value store in memory, for tests; none by default.
    pub key_value: Option<keyvalue::Bounds>,
    /// Where the apps' documents are; none by default.
    pub store: Option<Store>,
}

/// Answers host calls. By default it offers nothing.
#[derive(Default)]
pub struct Broker {
    egress: Option<Egress>,
    key_value: Option<KeyValue>,
    data: Option<Data>,
}

impl Broker {
    /// A broker that offers what `options` say.
    ///
    /// # Errors
    /// A configuration of egress that cannot be used, with the reason.
    pub fn new(options: Options) -> Result<Self, ConfigError> {
        Ok(Self {
            egress: options.egress.map(|config| Egress::new(&config)).transpose()?,
            key_value: options.key_value.map(KeyValue::new),
            data: options.store.map(Data::new),
        })
    }

    /// Answers a call of `context`'s app in a run that `origin` asked for, by `deadline` if the call takes
    /// time. Needs a Tokio runtime with time and I/O.
    pub async fn answer(
        &self,
        context: &AppContext,
        origin: &Origin,
        call: HostCall,
        deadline: Instant,
    ) -> HostReply {
        self.answer_until(context, origin, call, deadline, std::future::pending()).await
    }

    /// As [`Broker::answer`], for a run that may be `over` before: what has not begun by then never does.
    pub(crate) async fn answer_until(
        &self,
        context: &AppContext,
        origin: &Origin,
        call: HostCall,
        deadline: Instant,
        over: impl Future<Output = ()> + Send,
    ) -> HostReply {
        let args = call.args.get();
        if let (Some(api), "egress.request") = (&origin.own_api, call.name.as_str())
            && let Some(answer) = egress::own::request(&**api, args, deadline.into()).await
        {
            return answer.map_err(HostError::from).and_then(|answer| finish(&call, answer));
        }
        let name = call.name.as_str();
        let answer = match name.split_once('.').unwrap_or_default() {
            ("egress", "request") => match &self.egress {
                Some(egress) => egress.request(context, args, deadline).await,
                None => Err(missing("egress: no app can send requests")),
            },
            ("kv", what) => match &self.key_value {
                Some(kv) => kv
                    .answer(&context.app, what, args)
                    .map_or_else(|| Err(unknown(name)), |answer| answer.map_err(HostError::from)),
                None => Err(unknown(name)),
            },
            ("data", what) => match &self.data {
                Some(data) => data
                    .answer(context, what, args, deadline, over)
                    .await
                    .unwrap_or_else(|| Err(unknown(name))),
                None => Err(missing("a store: no app has data")),
            },
            ("email", "send") => Err(not_configured("e-mail")),
            ("push", "send" | "broadcast") => Err(not_configured("push notifications")),
            _ => Err(unknown(name)),
        };
        finish(&call, answer?)
    }
}

fn finish(call: &HostCall, answer: String) -> HostReply {
    if answer.len() > MAX_ANSWER {
        return Err(Failure::too_large("the answer is larger than an answer may be").into());
    }
    RawValue::from_string(answer).map_err(|error| {
        tracing::error!(%error, call = log::sanitize(&call.name, 80), "an answer is not JSON");
        HostError { name: "Error".into(), message: "the call could not be answered".into() }
    })
}

fn missing(what: &str) -> HostError {
    Failure::not_allowed(format!("this Lode was started without {what}")).into()
}

fn not_configured(what: &str) -> HostError {
    HostError {
        name: "NotConfiguredError".into(),
        message: format!("not configured: this Lode cannot send {what}, and nothing was sent"),
    }
}

fn unknown(name: &str) -> HostError {
    let message = format!("there is no host call {:?}", log::cut(name, 80));
    HostError { name: "NotFoundError".into(), message }
}

/// What is wrong with arguments, which serde says well.
pub(crate) fn bad_args(error: &impl std::fmt::Display) -> Failure {
    Failure::argument(format!(
        "the call's arguments are wrong: {}",
        log::cut(&error.to_string(), 300)
    ))
}
