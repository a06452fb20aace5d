//! How a run ends, and what it cost.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// JSON text that has been checked to be well-formed.
pub type Json = Box<RawValue>;

/// The single answer to one run (design.md, section 6). Every run has exactly one, whatever its script
/// does.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Outcome {
    /// The script answered the client by itself (`response.complete`, a returned `Response`, or an
    /// endpoint's result).
    Completed {
        /// HTTP status, 100 to 599.
        status: u16,
        /// Header names and values as the script gave them.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// The body; absent for none.
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<Json>,
        /// What a script set of the client's custom request properties, which the request's later hooks
        /// see; absent if it set none.
        #[serde(skip_serializing_if = "Option::is_none")]
        custom_request_properties: Option<Json>,
    },
    /// A hook let the request go on.
    Continued {
        /// The document (pre-hook: of the request; post-hook: of the response) as the script left it.
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<Json>,
        /// The request's parameters as a pre-hook left them.
        #[serde(skip_serializing_if = "Option::is_none")]
        params: Option<Json>,
        /// What the pre-hook left for the post-hook (Kinvey's `tempObjectStore`).
        #[serde(skip_serializing_if = "Option::is_none")]
        temp_object_store: Option<Json>,
        /// What a script set of the client's custom request properties, which the request's later hooks
        /// see; absent if it set none.
        #[serde(skip_serializing_if = "Option::is_none")]
        custom_request_properties: Option<Json>,
    },
    /// The script threw, rejected, or called `response.error`. Blame: the script.
    Error(ScriptError),
    /// The run exceeded a limit and was ended. Blame: the limit named.
    Limit {
        /// Which one.
        limit: Limit,
    },
    /// The handler returned and nothing is left that could complete the run. Blame: the script.
    NeverCompleted,
    /// The deadline had passed before the run could start.
    Expired,
    /// The run was not admitted. Blame: load.
    Rejected,
    /// The sandbox could not do its work. Blame: ours. Nothing a guest says ends up here.
    Platform {
        /// For operators, not for clients.
        detail: String,
    },
}

impl Outcome {
    /// Whether the script did what it was asked: `Completed` or `Continued`.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Continued { .. })
    }
}

/// An error of the script's, as its developers should see it: names and positions in their own
/// files, no frame of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptError {
    /// The error's class, e.g. `TypeError`. At most 4,096 characters.
    #[serde(default)]
    pub name: String,
    /// The message, at most 4,096 characters.
    #[serde(default)]
    pub message: String,
    /// One line per frame: `    at function (file:line:column)`. At most 8,192 characters.
    #[serde(default)]
    pub stack: String,
}

impl ScriptError {
    /// The file, line and column (both from 1) of the innermost frame in the customer's source.
    pub fn position(&self) -> Option<(&str, u32, u32)> {
        self.stack.lines().find_map(|line| {
            let place = line.trim_start().strip_prefix("at ")?;
            let place = place.rsplit_once('(').map_or(place, |(_, place)| place);
            let (rest, column) = place.trim_end_matches(')').rsplit_once(':')?;
            let (file, line) = rest.rsplit_once(':')?;
            Some((file, line.parse().ok()?, column.parse().ok()?))
        })
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// What a run can have too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// Processor time.
    Cpu,
    /// Time since the run started, waiting included.
    Wall,
    /// Linear memory.
    Memory,
    /// The outcome's JSON, or one host call's arguments.
    Output,
    /// Log text.
    Log,
    /// Host calls.
    Calls,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Log => "log",
            Self::Calls => "calls",
        })
    }
}

/// How much one run may use. Exceeding a limit ends the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time. Enforced at ticks of 1 ms, so a run may exceed it by about two.
    pub cpu: Duration,
    /// Time from start to end, waiting included.
    pub wall: Duration,
    /// Bytes of linear memory, the snapshot's own included (about 2 MiB for a small app).
    pub memory: usize,
    /// Bytes of the outcome's JSON, and of each host call's name and arguments.
    pub output: usize,
    /// Bytes of log text, all lines together, each counted with 16 bytes more for itself.
    pub log: usize,
    /// Host calls.
    pub calls: u32,
}

impl Default for Limits {
    /// What a hook usually needs, with room: 100 ms of CPU, 10 s in all, 64 MiB, 4 MiB of output,
    /// 64 KiB of logs, 100 host calls.
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(100),
            wall: Duration::from_secs(10),
            memory: 64 << 20,
            output: 4 << 20,
            log: 64 << 10,
            calls: 100,
        }
    }
}

/// What one run used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time in ns. Turns of less than 1 ms count as long as they took by the clock, longer
    /// ones as the kernel accounts them to the threads that ran the guest.
    pub cpu_ns: u64,
    /// Bytes of linear memory at its largest.
    pub memory_peak: usize,
    /// Host calls made.
    pub calls: u32,
    /// Bytes of log text.
    pub log: usize,
    /// The exact cost in Wasmtime's fuel (about one unit per WebAssembly instruction), the same on
    /// every machine. Only metered engines count it.
    #[serde(default)]
    pub cost: Option<u64>,
}
