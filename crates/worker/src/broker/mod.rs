//! What answers host calls: the only way from a sandbox to the outside.

use std::time::Instant;

use lode_child::protocol::{HostCall, HostError, HostReply};

pub mod egress;

/// What the broker knows of the app that asks.
#[derive(Clone, Debug, Default)]
pub struct AppContext {
    /// Its name.
    pub app: String,
}

/// Answers host calls.
#[derive(Default)]
pub struct Broker {}

impl Broker {
    /// Answers.
    pub async fn answer(&self, _: &AppContext, call: HostCall, _: Instant) -> HostReply {
        Err(HostError { name: "NotFoundError".into(), message: call.name })
    }
}
