//! The task queue between API servers and workers on many hosts, over Redis Streams (docs/decisions/0050).
//!
//! A [`Host`] joins and keeps a lease. An API host's [`Caller`] puts [`Task`]s in; a worker's [`Taker`] takes
//! them out, and each has exactly one [`Answer`]:
//!
//! - *At most once.* A task that a worker was given counts as begun. If the worker's lease ends, the task is
//!   answered as lost, at once and by one script, and never given to another. An answer that comes after that
//!   is dropped.
//! - *By its deadline*, which is absolute and in Redis' time. A task that no worker was given by then is taken
//!   back, and never runs.
//! - *Nobody waits, nothing runs.* A task whose caller leaves is taken back; a worker that has it is told, and may
//!   end it.
//! - *Back-pressure, no trimming.* Tasks and bytes outstanding, tasks per app and its rate are bounded where
//!   tasks are put in, for all hosts together.
//!
//! On one host none of this is needed: there the Work Master's own scheduler is the queue, with the same bounds.
#![forbid(unsafe_code)]

mod batches;
mod caller;
mod enqueue;
mod entries;
mod host;
mod keys;
mod link;
mod message;
mod metrics;
mod replies;
mod settle;
pub mod status;
mod taker;
mod task;

pub use caller::Caller;
pub use host::{Change, Host, LEASE, Load, Role};
pub use link::{Config, ConnectError};
pub use taker::{Answerer, Taker};
pub use task::{Answer, Rejection, Taken, Task, Ticket};
