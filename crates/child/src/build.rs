//! The builder: evaluates one deployment's top-level code, hands out its snapshot, and ends.
//!
//! A process per build, so that no customer's code can reach another's snapshot while it is made.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use lode_sandbox::{BuildError, Engine, Snapshot, Source};
use rustix::event::{PollFd, PollFlags};

use crate::frame::{Filled, Inbox, Outbox};
use crate::protocol::{BuildFailure, FromChild, ToChild};
use crate::serve::Stop;

/// Answers one `Build` over `socket`.
pub(crate) fn build(
    engine: &Engine,
    socket: BorrowedFd<'_>,
    ready: &FromChild<'_>,
) -> Result<(), Stop> {
    let mut outbox = Outbox::default();
    outbox.push(ready, None)?;
    send(&mut outbox, socket)?;
    let mut inbox = Inbox::default();
    let (sources, limits) = loop {
        wait(socket, PollFlags::IN)?;
        if inbox.fill(socket)? == Filled::Closed {
            return Ok(());
        }
        if let Some((ToChild::Build { sources, limits }, _)) = inbox.next()? {
            break (sources, limits);
        }
    };
    // Here, as no more threads can be had; how long it may take, the master decides.
    let stripped: Result<Vec<Source>, _> = sources.into_iter().map(Source::strip_types).collect();
    let (result, logs) = match stripped {
        Ok(sources) => Snapshot::build(engine, &sources, &limits),
        Err(error) => (Err(BuildError::Syntax(error)), Vec::new()),
    };
    let snapshot = match result {
        Ok(snapshot) => Ok(snapshot),
        Err(BuildError::Syntax(error)) => Err(BuildFailure::Syntax(error)),
        Err(BuildError::Script(error)) => Err(BuildFailure::Script(error)),
        Err(BuildError::TopLevel(error)) => Err(BuildFailure::TopLevel(error)),
        Err(BuildError::NeverSettles) => Err(BuildFailure::NeverSettles),
        Err(BuildError::Limit(limit)) => Err(BuildFailure::Limit(limit)),
        Err(BuildError::NoHandler) => Err(BuildFailure::NoHandler),
        Err(error) => return Err(Stop::Broken(error.to_string())),
    };
    let file = match &snapshot {
        Ok(snapshot) => Some(Arc::new(snapshot.file().try_clone_to_owned()?)),
        Err(_) => None,
    };
    let result = snapshot.map(|snapshot| snapshot.handlers().to_vec());
    outbox.push(&FromChild::Built { result, logs }, file)?;
    send(&mut outbox, socket)
}

fn send(outbox: &mut Outbox, socket: BorrowedFd<'_>) -> Result<(), Stop> {
    while !outbox.flush(socket)? {
        wait(socket, PollFlags::OUT)?;
    }
    Ok(())
}

fn wait(socket: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    match rustix::event::poll(&mut [PollFd::from_borrowed_fd(socket, flags)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
