//! The API server: Kinvey's REST API over a store, hooks around each request in a Work Master's sandboxes,
//! and the admin API (docs/kinvey.md says what clients can rely on).
#![forbid(unsafe_code)]

mod acl;
mod admin;
mod answers;
mod api;
mod apps;
mod auth;
mod body;
mod budget;
mod call;
mod connections;
mod data;
mod error;
mod files;
mod groups;
mod handshake;
mod hooks;
mod logs;
mod nested;
mod password;
mod pipeline;
mod query;
mod recordings;
mod remote;
mod rpc;
mod run;
mod schedule;
mod seal;
mod secret;
mod serve;
mod settings;
mod tasks;
mod throttle;
mod users;

use lode_store::time;

pub use api::{Api, Config};
pub use remote::{Runner, backlog};
pub use seal::SecretKeys;
pub use secret::{hash, new_secret};
