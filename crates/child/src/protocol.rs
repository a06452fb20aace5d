//! What a child and its Work Master say to each other.
//!
//! Each message is one frame (`frame.rs`) of postcard, decoded without copying. What the master says is
//! trusted. What a child says is hostile: [`FromChild`] has no way to blame the platform, and
//! [`Ending::parse`] lets only well-formed answers through. That an id belongs to the child which names
//! it, and that counts and sizes are within the task's limits, is for the master to check: only it knows.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use lode_sandbox::{
    Form, Handler, HostCall, HostError, HostReply, Json, Limit, Limits, LogLevel, LogLine, Outcome,
    ResetMethod, ScriptError, Source, SourceKind, Usage, deploy_limits,
};

/// The identity of the engine in this program (`lode_guest::DIGEST`): a child of another one is refused.
pub const ENGINE: [u8; 32] = lode_sandbox::ENGINE_DIGEST;

/// Bytes that a run's request, one answer to a host call, or an output limit may have at most: four
/// times what a run may output by default. It bounds every frame, and so every buffer.
pub const MAX_TEXT: usize = 16 << 20;

/// Bytes of a frame: one text, logs and the rest.
pub const MAX_FRAME: usize = MAX_TEXT + (4 << 20);

/// Bytes of a recording: a request and a few answers of the usual size. Larger runs are not recorded.
pub const MAX_RECORDING: usize = 1 << 20;

/// Elements of a list in a child's message. One takes two bytes in a frame and a good 30 in memory, so
/// that frames alone bound too little. It is as many lines as fit what a frame has for logs, each with
/// the [`LogLine::OVERHEAD`] that limits count.
pub const MAX_LIST: usize = MAX_LOG / LogLine::OVERHEAD;

/// Bytes of log that a frame has room for.
const MAX_LOG: usize = MAX_FRAME - MAX_TEXT;

/// The limits, no more generous than what a frame carries: a sound child can keep to the protocol.
pub fn carried(mut limits: Limits) -> Limits {
    limits.output = limits.output.min(MAX_TEXT);
    limits.log = limits.log.min(MAX_LOG);
    limits
}

/// Names a run to its child. Unique for the life of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// Names a snapshot to a child. Unique for the life of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SnapshotId(pub u64);

/// What the master says.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToChild<'a> {
    /// Holds a snapshot ready. The frame brings its sealed memory file.
    Load(SnapshotId),
    /// Lets go of one; runs under way go on.
    Unload(SnapshotId),
    /// Runs a handler.
    #[serde(borrow)]
    Start(Start<'a>),
    /// Answers a host call.
    Reply {
        /// The run that asked.
        run: RunId,
        /// Its call.
        call: u32,
        /// The JSON that answers it.
        #[serde(borrow)]
        reply: Result<&'a str, HostError>,
    },
    /// Ends a run that nobody waits for any more, if it has not ended.
    Cancel(RunId),
    /// Builds a snapshot, which only a builder does, once.
    Build {
        /// The deployment.
        sources: Vec<Source>,
        /// For its top-level code.
        limits: Limits,
    },
}

/// One run to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start<'a> {
    /// What it will be called.
    pub run: RunId,
    /// A loaded snapshot.
    pub snapshot: SnapshotId,
    /// Which of its handlers.
    pub handler: u32,
    /// The request object, JSON.
    pub request: &'a str,
    /// Its limits; `wall` is what is left until the task's deadline.
    pub limits: Limits,
    /// All its randomness.
    pub seed: [u8; 32],
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromChild<'a> {
    /// It is locked down and has its engine: the first message, once.
    Ready {
        /// [`ENGINE`], if it is of the same program.
        engine: [u8; 32],
        /// How it resets memory.
        reset: ResetMethod,
        /// The layers of lock-down it had to do without.
        #[serde(borrow, deserialize_with = "list")]
        missing: Vec<&'a str>,
    },
    /// A run asks the outside for something.
    Call {
        /// The run.
        run: RunId,
        /// Names the call within the run.
        call: u32,
        /// What for.
        name: &'a str,
        /// Its arguments, JSON.
        args: &'a str,
    },
    /// All that a run depended on, before it ends in a way that somebody will want to look into: a
    /// `lode_sandbox::Recording` as JSON, at most [`MAX_RECORDING`] bytes, at most once per run.
    Recorded {
        /// The run.
        run: RunId,
        /// The recording.
        recording: &'a str,
    },
    /// A run has ended.
    Ended {
        /// The run.
        run: RunId,
        /// How.
        #[serde(borrow)]
        ending: Ending<'a>,
        /// What it logged.
        #[serde(deserialize_with = "list")]
        logs: Vec<LogLine>,
        /// What it says it used.
        usage: Usage,
    },
    /// A run was not begun: its snapshot cannot be loaded here, or this child has no memory left.
    NotStarted(RunId),
    /// A run was ended as [`ToChild::Cancel`] asked.
    Cancelled(RunId),
    /// What a builder was asked for. On success the frame brings the snapshot's sealed memory file.
    Built {
        /// The snapshot's handlers, in order.
        #[serde(deserialize_with = "list_or_failure")]
        result: Result<Vec<Handler>, BuildFailure>,
        /// What top-level code logged.
        #[serde(deserialize_with = "list")]
        logs: Vec<LogLine>,
    },
}

/// A list of at most [`MAX_LIST`] elements.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Few::deserialize(deserializer).map(|list| list.0)
}

fn list_or_failure<'de, D, T>(deserializer: D) -> Result<Result<Vec<T>, BuildFailure>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let result = Result::<Few<T>, BuildFailure>::deserialize(deserializer)?;
    Ok(result.map(|list| list.0))
}

struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX_LIST}")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut elements: S) -> Result<Few<T>, S::Error> {
                // What length it claims to have is not believed.
                let mut list = Vec::new();
                while let Some(element) = elements.next_element()? {
                    if list.len() == MAX_LIST {
                        return Err(S::Error::custom("a list is too long"));
                    }
                    list.push(element);
                }
                Ok(Few(list))
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// How a run ended, as its child says: the [`Outcome`]s that a sandbox can come to, without ours.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ending<'a> {
    /// [`Outcome::Completed`].
    Completed {
        /// HTTP status.
        status: u16,
        /// Header names and values.
        #[serde(borrow, deserialize_with = "list")]
        headers: Vec<(&'a str, &'a str)>,
        /// JSON.
        body: Option<&'a str>,
        /// The custom request properties, JSON.
        custom_request_properties: Option<&'a str>,
    },
    /// [`Outcome::Continued`]; each JSON.
    Continued {
        /// The document.
        body: Option<&'a str>,
        /// The parameters.
        params: Option<&'a str>,
        /// Kinvey's `tempObjectStore`.
        temp_object_store: Option<&'a str>,
        /// The custom request properties.
        custom_request_properties: Option<&'a str>,
    },
    /// [`Outcome::Error`].
    Error(ScriptError),
    /// [`Outcome::Limit`].
    Limit(Limit),
    /// [`Outcome::NeverCompleted`].
    NeverCompleted,
}

impl<'a> Ending<'a> {
    /// The ending to send for an outcome within `limits`; `None` for what no child may say.
    pub fn of(outcome: &'a Outcome, limits: &Limits) -> Option<Self> {
        let text = |json: &'a Option<Json>| json.as_deref().map(|json| json.get());
        let ending = match outcome {
            Outcome::Completed { status, headers, body, custom_request_properties } => {
                Self::Completed {
                    status: *status,
                    headers: headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
                    body: text(body),
                    custom_request_properties: text(custom_request_properties),
                }
            }
            Outcome::Continued { body, params, temp_object_store, custom_request_properties } => {
                Self::Continued {
                    body: text(body),
                    params: text(params),
                    temp_object_store: text(temp_object_store),
                    custom_request_properties: text(custom_request_properties),
                }
            }
            Outcome::Error(error) => Self::Error(clip(error.clone())),
            Outcome::Limit { limit } => Self::Limit(*limit),
            Outcome::NeverCompleted => Self::NeverCompleted,
            Outcome::Expired | Outcome::Rejected | Outcome::Platform { .. } => return None,
        };
        // Numbers in headers grow when they are written out, so that this can differ from what the
        // sandbox counted.
        let fits = ending.size() <= limits.output && ending.headers() <= MAX_LIST;
        Some(if fits { ending } else { Self::Limit(Limit::Output) })
    }

    /// The outcome, if the ending is one that a sound child sends for a run with these limits.
    pub fn parse(self, limits: &Limits) -> Result<Outcome, Lie> {
        if self.size() > limits.output {
            return Err(Lie("an answer is larger than its run may give"));
        }
        Ok(match self {
            Self::Completed { status, headers, body, custom_request_properties } => {
                if !(100..=599).contains(&status) {
                    return Err(Lie("a status is not an HTTP status"));
                }
                let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
                Outcome::Completed {
                    status,
                    headers: headers.collect(),
                    body: maybe(body)?,
                    custom_request_properties: maybe(custom_request_properties)?,
                }
            }
            Self::Continued { body, params, temp_object_store, custom_request_properties } => {
                Outcome::Continued {
                    body: maybe(body)?,
                    params: maybe(params)?,
                    temp_object_store: maybe(temp_object_store)?,
                    custom_request_properties: maybe(custom_request_properties)?,
                }
            }
            Self::Error(error) => Outcome::Error(clip(error)),
            Self::Limit(limit) => Outcome::Limit { limit },
            Self::NeverCompleted => Outcome::NeverCompleted,
        })
    }

    fn headers(&self) -> usize {
        if let Self::Completed { headers, .. } = self { headers.len() } else { 0 }
    }

    fn size(&self) -> usize {
        let len = |text: &Option<&str>| text.map_or(0, str::len);
        match self {
            Self::Completed { headers, body, custom_request_properties, .. } => {
                headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
                    + len(body)
                    + len(custom_request_properties)
            }
            Self::Continued { body, params, temp_object_store, custom_request_properties } => {
                len(body) + len(params) + len(temp_object_store) + len(custom_request_properties)
            }
            _ => 0,
        }
    }
}

/// Checks that a child's text is JSON.
pub fn json(text: &str) -> Result<Json, Lie> {
    serde_json::value::RawValue::from_string(text.to_owned())
        .map_err(|_| Lie("what should be JSON is not"))
}

fn maybe(text: Option<&str>) -> Result<Option<Json>, Lie> {
    text.map(json).transpose()
}

/// An error no longer than [`ScriptError`] says errors are. The engine keeps to that, so this meets only
/// what comes from a corrupted one.
fn clip(mut error: ScriptError) -> ScriptError {
    for (text, most) in
        [(&mut error.name, 4096), (&mut error.message, 4096), (&mut error.stack, 8192)]
    {
        if let Some((end, _)) = text.char_indices().nth(most) {
            text.truncate(end);
        }
    }
    error
}

/// Why a builder made no snapshot: all of `lode_sandbox::BuildError` that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildFailure {
    /// A source does not parse.
    Syntax(ScriptError),
    /// Top-level code threw, or an import cannot be resolved.
    Script(ScriptError),
    /// Top-level code did what only handlers may.
    TopLevel(ScriptError),
    /// Top-level code awaits something that never comes.
    NeverSettles,
    /// Top-level code exceeded a limit.
    Limit(Limit),
    /// There is no handler.
    NoHandler,
}

impl fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lode_sandbox::BuildError::from(self.clone()).fmt(f)
    }
}

impl From<BuildFailure> for lode_sandbox::BuildError {
    fn from(failure: BuildFailure) -> Self {
        match failure {
            BuildFailure::Syntax(error) => Self::Syntax(error),
            BuildFailure::Script(error) => Self::Script(error),
            BuildFailure::TopLevel(error) => Self::TopLevel(error),
            BuildFailure::NeverSettles => Self::NeverSettles,
            BuildFailure::Limit(limit) => Self::Limit(limit),
            BuildFailure::NoHandler => Self::NoHandler,
        }
    }
}

/// What a child said that no sound child says. It is compromised or broken: it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lie(pub &'static str);

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Lie {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameError, Inbox};

    fn ended<'a>(headers: Vec<(&'a str, &'a str)>, lines: usize) -> FromChild<'a> {
        let line = LogLine { level: LogLevel::Info, text: String::new() };
        FromChild::Ended {
            run: RunId(1),
            ending: Ending::Completed {
                status: 200,
                headers,
                body: None,
                custom_request_properties: None,
            },
            logs: vec![line; lines],
            usage: Usage::default(),
        }
    }

    fn received(message: &FromChild<'_>) -> Result<(), FrameError> {
        let bytes = postcard::to_stdvec(message).expect("it can be written");
        assert!(bytes.len() <= MAX_FRAME);
        let mut inbox = Inbox::default();
        inbox.feed(&u32::try_from(bytes.len()).expect("a u32").to_le_bytes());
        inbox.feed(&bytes);
        inbox.next::<FromChild<'_>>().map(|next| assert!(next.is_some()))
    }

    #[test]
    fn a_frame_of_millions_of_empty_elements_is_refused() {
        assert_eq!(received(&ended(vec![("", ""); MAX_LIST], MAX_LIST)), Ok(()));
        let malformed = Err(FrameError::Malformed);
        assert_eq!(received(&ended(vec![("", ""); MAX_LIST + 1], 0)), malformed);
        assert_eq!(received(&ended(vec![], MAX_LIST + 1)), malformed);
        let handler = Handler { script: String::new(), name: String::new(), form: Form::Script };
        let built =
            |handlers| FromChild::Built { result: Ok(vec![handler; handlers]), logs: vec![] };
        assert_eq!(received(&built.clone()(MAX_LIST)), Ok(()));
        assert_eq!(received(&built(MAX_LIST + 1)), malformed);
    }
}
