//! Building snapshots: one deployment, one process, one time.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use lode_child::frame::{Filled, Inbox, Outbox};
use lode_child::lockdown::Role;
use lode_child::protocol::{
    BuildFailure, FromChild, Handler, Limit, Limits, LogLine, Source, ToChild, carried,
};
use tokio::net::UnixStream;

use super::{Master, driver};

/// How long a builder may take beyond its top-level code's own limit: to start, to strip types, to
/// compile. Past it, its sources are what takes so long.
const PATIENCE: Duration = Duration::from_secs(15);

/// A deployment's snapshot, ready to be run.
#[derive(Debug)]
pub struct Built {
    /// The sealed memory file.
    pub(super) file: OwnedFd,
    /// Its handlers, in order.
    pub handlers: Arc<[Handler]>,
    /// What top-level code logged. Hostile text.
    pub logs: Vec<LogLine>,
}

/// Why a deployment has no snapshot.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Its sources are to blame.
    Sources {
        /// How.
        failure: BuildFailure,
        /// What top-level code logged. Hostile text.
        logs: Vec<LogLine>,
    },
    /// The builder died or could not be had. Blame: ours.
    Platform(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sources { failure, .. } => failure.fmt(f),
            Self::Platform(detail) => write!(f, "the snapshot could not be built: {detail}"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> Self {
        Self::Platform(error.to_string())
    }
}

impl Master {
    /// Evaluates the sources' top-level code in a child of its own, which then ends.
    pub async fn build(&self, sources: Vec<Source>, limits: Limits) -> Result<Built, BuildError> {
        let mut process = self.shared.spawner.spawn(Role::Builder).await?;
        let socket = process.socket()?;
        let limits = carried(limits);
        let patience = limits.cpu + PATIENCE;
        let stderr = process.stderr.take();
        let talk = async {
            let mut inbox = Inbox::default();
            if driver::hello(&socket, &mut inbox).await.is_none() {
                return Err(BuildError::Platform(driver::last_words(stderr).await));
            }
            send(&socket, &ToChild::Build { sources, limits }).await?;
            receive(&socket, &mut inbox).await
        };
        let result = tokio::time::timeout(patience, talk).await;
        process.kill();
        result.unwrap_or(Err(BuildError::Sources {
            failure: BuildFailure::Limit(Limit::Wall),
            logs: Vec::new(),
        }))
    }
}

async fn send(socket: &UnixStream, message: &ToChild<'_>) -> Result<(), BuildError> {
    let mut outbox = Outbox::default();
    outbox.push(message, None).map_err(|error| BuildError::Platform(error.to_string()))?;
    while !driver::flush(socket, &mut outbox)? {
        socket.writable().await?;
    }
    Ok(())
}

async fn receive(socket: &UnixStream, inbox: &mut Inbox) -> Result<Built, BuildError> {
    let died = || BuildError::Platform("the builder ended without a result".into());
    loop {
        let filled = driver::receive(socket, inbox).await?;
        let next = inbox.next().map_err(|error| BuildError::Platform(error.to_string()))?;
        return match next {
            Some((FromChild::Built { result: Ok(handlers), logs }, mut files)) => {
                let file = files.take().map_err(|_| died())?;
                Ok(Built { file, handlers: handlers.into(), logs })
            }
            Some((FromChild::Built { result: Err(failure), logs }, _)) => {
                Err(BuildError::Sources { failure, logs })
            }
            Some(_) => Err(died()),
            None if filled == Filled::Closed => Err(died()),
            None => continue,
        };
    }
}
