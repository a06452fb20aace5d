//! One fresh, hostile-proof JavaScript instance per run, in microseconds.
//!
//! Scripts are evaluated once, into a [`Snapshot`]; each run gets a copy-on-write instance of it, a
//! [`Sandbox`], and ends with exactly one [`Outcome`]. The library does no I/O of its own and needs no
//! particular executor: what a script asks of the outside reaches the embedder as a [`HostCall`].
//!
//! ```
//! use std::time::Duration;
//! use lode_sandbox::*;
//!
//! struct NoHost; // answers nothing, and waits by blocking
//! impl Host for NoHost {
//!     async fn call(&self, call: HostCall) -> HostReply {
//!         Err(HostError { name: "NotFoundError".into(), message: call.name })
//!     }
//!     async fn sleep(&self, duration: Duration) {
//!         std::thread::sleep(duration);
//!     }
//! }
//!
//! let engine = Engine::new(EngineOptions::default())?;
//! let source = Source::entry("hello.mjs", "export const onRequest = (r) => `Hello, ${r.body.name}`;");
//! let (snapshot, _logs) = Snapshot::build(&engine, &[source], &deploy_limits());
//! let snapshot = snapshot?;
//! let invocation = Invocation { handler: 0, request: r#"{"body":{"name":"Ada"}}"# };
//! let limits = Limits::default();
//! let run = run(&snapshot, &invocation, &limits, random_seed()?, &NoHost);
//! let report = futures_executor::block_on(run);
//! let Outcome::Completed { status: 200, body: Some(body), .. } = report.outcome else { panic!() };
//! assert_eq!(body.get(), r#""Hello, Ada""#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How it works is in ARCHITECTURE.md; what it promises, and the tests that hold it, in
//! SPECIFICATION.md.
#![deny(unsafe_code)]

mod engine;
mod guest;
mod host;
mod idle;
mod libraries;
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

/// The engine's identity, part of every snapshot's: see [`lode_guest::DIGEST`].
pub const ENGINE_DIGEST: [u8; 32] = lode_guest::DIGEST;
