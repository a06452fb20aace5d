//! The worker: a Work Master that schedules tasks over locked-down children, and brokers every host call.
#![forbid(unsafe_code)]

pub mod broker;
pub mod master;
mod metrics;
mod shares;

pub use metrics::name as outcome_name;
pub use shares::{Full, Share, Shares};

pub use lode_child::protocol::{
    BuildFailure, Form, Handler, Json, Limit, Limits, LogLevel, LogLine, MAX_TEXT, Outcome,
    ScriptError, Source, Usage, deploy_limits,
};
