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
//! | `kv.get`, `kv.delete` | `{key}` | the value or null; whether there was one |
//! | `kv.set` | `{key, value}` | null |
//! | `kv.increment` | `{key, by?}` | the new number |
//! | `kv.list` | `{prefix?, limit?}` | keys in order, at most 1,000 |

use std::sync::Arc;
use std::time::Instant;

use lode_child::protocol::{HostCall, HostError, HostReply};
use serde_json::value::RawValue;

pub mod egress;
pub mod keyvalue;
pub mod log;
mod origin;

use egress::{ConfigError, Egress, Failure};
use keyvalue::KeyValue;
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
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Egress, for apps that have an allow-list; none by default.
    pub egress: Option<egress::Config>,
    /// A key-value store in memory, for tests; none by default.
    pub key_value: Option<keyvalue::Bounds>,
}

/// Answers host calls. By default it offers nothing.
#[derive(Default)]
pub struct Broker {
    egress: Option<Egress>,
    key_value: Option<KeyValue>,
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
        let args = call.args.get();
        if let (Some(api), "egress.request") = (&origin.own_api, call.name.as_str())
            && let Some(answer) = egress::own::request(&**api, args, deadline.into()).await
        {
            return answer.map_err(HostError::from).and_then(|answer| finish(&call, answer));
        }
        let answer = match (call.name.as_str(), &self.egress, &self.key_value) {
            ("egress.request", Some(egress), _) => egress.request(context, args, deadline).await,
            ("egress.request", None, _) => {
                let failure = "this Lode was started without egress: no app can send requests";
                Err(Failure::not_allowed(failure).into())
            }
            (name, _, Some(store)) if name.starts_with("kv.") => {
                match store.answer(&context.app, &name[3..], args) {
                    Some(answer) => answer.map_err(HostError::from),
                    None => Err(unknown(name)),
                }
            }
            (name, ..) => Err(unknown(name)),
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

fn unknown(name: &str) -> HostError {
    let message = format!("there is no host call {:?}", log::cut(name, 80));
    HostError { name: "NotFoundError".into(), message }
}

/// What is wrong with arguments, which serde says well.
pub(crate) fn bad_args(error: &serde_json::Error) -> Failure {
    Failure::argument(format!(
        "the call's arguments are wrong: {}",
        log::cut(&error.to_string(), 300)
    ))
}
