//! One fresh, hostile-proof JavaScript instance per run, in microseconds.
#![deny(unsafe_code)]

mod engine;
mod guest;
mod host;
#[allow(unsafe_code)]
mod memory;
#[allow(unsafe_code)]
mod module;
mod outcome;
mod payload;
mod recording;
mod sandbox;
mod snapshot;
mod source;
mod state;
mod ticker;
mod tuning;
mod urls;

pub use engine::{Engine, EngineError, EngineOptions};
pub use host::{Host, HostCall, HostError, HostReply, LogLevel, LogLine, Report, random_seed, run};
pub use memory::ResetMethod;
pub use outcome::{Json, Limit, Limits, Outcome, ScriptError, Usage};
pub use recording::{Recording, ReplayError};
pub use sandbox::{Event, Invocation, Sandbox, Step};
pub use snapshot::{BuildError, FindError, Form, Handler, LoadError, Snapshot, deploy_limits};
pub use source::{Source, SourceKind};

/// The version line of Wasmtime this crate is built on: the LTS line (docs/decisions/0001).
pub const WASMTIME_VERSION: &str = "48 (LTS)";
