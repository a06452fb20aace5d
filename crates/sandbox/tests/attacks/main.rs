//! Attacks on the sandbox, one test per idea: docs/attacks.md lists them with the defence each meets.
//!
//! After every attack there is exactly one well-formed outcome with the right blame, never the
//! platform's, and the same engine serves the next run correctly (`support::attack_report`).

mod deploy;
mod escapes;
mod limits;
mod nesting;
mod poisoning;
#[path = "../support/mod.rs"]
mod support;
