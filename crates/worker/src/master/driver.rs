//! One child's driver: starts it, hears what it says, and sees it to its end.

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lode_child::frame::{Filled, Inbox, Outbox};
use lode_child::lockdown::Role;
use lode_child::protocol::{self, ENGINE, FromChild, HostCall, ResetMethod};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::process::Death;
use super::state::{ChildId, ChildState, UNSENT_FOR_NOBODY};
use super::{Shared, StartError};
use crate::broker::log::{MAX_LINE, sanitize_bytes};
use crate::metrics::End;

/// A child that has not said it is ready by now is stuck: it takes tens of ms, and on a loaded machine
/// a few times that.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// How often a driver looks for overdue runs, and lets tasks in that found its child full.
const TICK: Duration = Duration::from_millis(5);

/// Every how many ticks its memory is looked at: ten times a second, in which a thread takes some 200 MiB.
const MEMORY_TICKS: u32 = 20;

/// A child with so many times the memory from which on it is to be recycled, and with more beyond that than its runs
/// may have, is killed: it leaks, or is somebody else's.
const FAR_ABOVE: usize = 2;

/// Bytes below which no child is killed, however little it is to be recycled at: its program, the engine and the
/// memory that it keeps for the next runs.
const ITS_OWN: usize = 256 << 20;

/// Between the end of the inner process, which closes the socket, and that of the outer one.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Bytes of a child's standard error that are kept: a panic's message.
const LAST_WORDS: u64 = 4 << 10;

/// Starts a child and, once it is ready, its driver.
pub(super) async fn start(shared: &Arc<Shared>) -> Result<(), StartError> {
    let mut process = shared.spawner.spawn(Role::Runner).await?;
    let stderr = process.stderr.take();
    let socket = Arc::new(process.socket()?);
    let mut inbox = Inbox::default();
    let hello = tokio::time::timeout(READY_WITHIN, hello(&socket, &mut inbox)).await;
    let Ok(Some(reset)) = hello else {
        process.kill();
        let words = last_words(stderr).await;
        return Err(StartError::Child(if words.is_empty() {
            "a child did not get ready, and did not say why".into()
        } else {
            words
        }));
    };
    shared.metrics.alive.inc();
    shared.metrics.started.inc();
    let process = Arc::new(process);
    let now = Instant::now();
    let child = ChildState::new(socket.clone(), process, now);
    let blocked = child.blocked.clone();
    let id = shared.state().add_child(child, now);
    tracing::info!(child = id.0, "a child is ready");
    let driver = Driver { id, reset, socket, blocked, shared: Arc::downgrade(shared) };
    tokio::spawn(driver.drive(inbox, stderr));
    Ok(())
}

/// Waits for bytes, or the end.
pub(super) async fn receive(socket: &UnixStream, inbox: &mut Inbox) -> io::Result<Filled> {
    loop {
        socket.readable().await?;
        let filled = socket.try_io(Interest::READABLE, || match inbox.fill(socket.as_fd())? {
            Filled::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            filled => Ok(filled),
        });
        match filled {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// Sends what the socket takes now. Returns whether that is all.
pub(super) fn flush(socket: &UnixStream, outbox: &mut Outbox) -> io::Result<bool> {
    let flushed = socket.try_io(Interest::WRITABLE, || match outbox.flush(socket.as_fd())? {
        true => Ok(()),
        false => Err(io::ErrorKind::WouldBlock.into()),
    });
    match flushed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits for the first message; `None` if it is not the right one.
pub(super) async fn hello(socket: &UnixStream, inbox: &mut Inbox) -> Option<ResetMethod> {
    loop {
        if receive(socket, inbox).await.ok()? == Filled::Closed {
            return None;
        }
        match inbox.next().ok()? {
            None => {}
            Some((FromChild::Ready { engine: ENGINE, reset, missing }, _)) => {
                if !missing.is_empty() {
                    tracing::warn!(?missing, "a child's lock-down lacks layers, as allowed");
                }
                return Some(reset);
            }
            Some(_) => return None,
        }
    }
}

/// What a child said on its standard error before it ended, as one harmless line.
pub(super) async fn last_words(stderr: Option<OwnedFd>) -> String {
    let Some(stderr) =
        stderr.and_then(|fd| tokio::net::unix::pipe::Receiver::from_owned_fd(fd).ok())
    else {
        return String::new();
    };
    let mut bytes = Vec::new();
    let mut stderr = stderr.take(LAST_WORDS);
    let read = stderr.read_to_end(&mut bytes);
    // A pipe that a lingering process holds open must not keep us.
    let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
    sanitize_bytes(bytes.trim_ascii(), MAX_LINE)
}

struct Driver {
    id: ChildId,
    reset: ResetMethod,
    socket: Arc<UnixStream>,
    blocked: Arc<Notify>,
    shared: Weak<Shared>,
}

impl Driver {
    async fn drive(self, mut inbox: Inbox, stderr: Option<OwnedFd>) {
        let end = self.serve(&mut inbox).await;
        let Some(shared) = self.shared.upgrade() else { return };
        let process = shared.state().children.get(&self.id).map(|child| child.process.clone());
        let Some(process) = process else { return };
        // One that ended by itself has a moment to say how; whatever it was, there is no way back.
        let patience = if end == End::Crashed { LAST_MOMENT } else { Duration::ZERO };
        let death = process.end(patience).await;
        let end = match (end, death) {
            (End::Crashed, Some(death)) if death.is_violation() => End::Violation,
            (end, _) => end,
        };
        let why = match death {
            Some(death) if end == End::Crashed => death.to_string(),
            _ => end.name().to_owned(),
        };
        // A kill that was not ours came from outside: the operator's, or the kernel's for want of memory.
        let outside = end == End::Crashed && death.is_some_and(Death::is_kill);
        let lost = shared.state().died(self.id, &why, !outside, Instant::now());
        shared.metrics.child_ended(end);
        if end == End::Recycled {
            tracing::info!(child = self.id.0, "a child was recycled");
        } else {
            let words = last_words(stderr).await;
            tracing::warn!(child = self.id.0, why, lost, words, "a child ended");
        }
        shared.changed.notify_one();
    }

    /// Hears the child until it must end; returns why.
    async fn serve(&self, inbox: &mut Inbox) -> End {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut ticks = 0_u32;
        let mut blocked = false;
        loop {
            tokio::select! {
                biased;
                received = receive(&self.socket, inbox) => {
                    if !matches!(received, Ok(Filled::Some)) {
                        return End::Crashed;
                    }
                    let Some(shared) = self.shared.upgrade() else { return End::Recycled };
                    if let Err(lie) = self.hear(&shared, inbox) {
                        tracing::warn!(child = self.id.0, %lie, "a child lied");
                        return End::Lied;
                    }
                }
                () = self.blocked.notified(), if !blocked => blocked = true,
                writable = self.socket.writable(), if blocked => {
                    if writable.is_err() {
                        return End::Crashed;
                    }
                    blocked = false;
                    let Some(shared) = self.shared.upgrade() else { return End::Recycled };
                    if let Some(child) = shared.state().children.get_mut(&self.id) {
                        child.flush();
                    }
                }
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    if let Some(end) = self.look(ticks) {
                        return end;
                    }
                }
            }
        }
    }

    /// Whether it is time for the child to go.
    fn look(&self, ticks: u32) -> Option<End> {
        let Some(shared) = self.shared.upgrade() else { return Some(End::Recycled) };
        let now = Instant::now();
        let mut state = shared.state();
        let child = state.children.get_mut(&self.id)?;
        let config = &shared.config;
        if child.is_silent(config.patience, now) {
            return Some(End::Silent);
        }
        if child.outbox.len() > UNSENT_FOR_NOBODY {
            return Some(End::Silent);
        }
        if ticks.is_multiple_of(MEMORY_TICKS)
            && let Some(bytes) = child.process.resident()
        {
            child.retiring |= bytes > config.recycle_above;
            let far = config.recycle_above.saturating_mul(FAR_ABOVE).max(ITS_OWN);
            if bytes > far && bytes - config.recycle_above > state.memory(self.id) {
                return Some(End::Memory);
            }
        }
        let child = state.children.get_mut(&self.id)?;
        child.retiring |= now.saturating_duration_since(child.born) > config.recycle_after;
        if child.retiring && child.runs.is_empty() {
            return Some(End::Recycled);
        }
        state.pump(now);
        None
    }

    /// Acts on what has arrived. An error: what no sound child says.
    fn hear(&self, shared: &Arc<Shared>, inbox: &mut Inbox) -> Result<(), Box<dyn Error>> {
        loop {
            let message = match inbox.next::<FromChild<'_>>() {
                Ok(Some((message, _))) => message,
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            match message {
                FromChild::Recorded { run, recording } => {
                    shared.state().recorded(self.id, run, recording)?;
                }
                FromChild::Ended { run, ending, logs, usage } => {
                    shared.state().ended(self.id, run, ending, logs, usage, now)?;
                    shared.metrics.reset(self.reset);
                }
                FromChild::Call { run, call, name, args } => {
                    let call =
                        HostCall { id: call, name: name.to_owned(), args: protocol::json(args)? };
                    let Some((app, origin, deadline, mut over)) =
                        shared.state().called(self.id, run, &call)?
                    else {
                        continue;
                    };
                    let (shared, id) = (shared.clone(), self.id);
                    tokio::spawn(async move {
                        let number = call.id;
                        // Nothing is ever sent: it is closed.
                        let over = async move { drop(over.changed().await) };
                        let broker = &shared.broker;
                        let reply =
                            broker.answer_until(&app.context, &origin, call, deadline, over).await;
                        shared.state().replied(id, run, number, &reply);
                    });
                }
                FromChild::NotStarted(run) => shared.state().not_started(self.id, run, now)?,
                FromChild::Cancelled(run) => shared.state().cancelled(self.id, run, now)?,
                FromChild::Ready { .. } => return Err("it is ready a second time".into()),
                FromChild::Built { .. } => return Err("it built what nobody asked for".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::last_words;

    #[tokio::test]
    async fn a_childs_last_words_are_one_harmless_line() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(b" \x1b[2Jpanicked\nERROR forged\x07\xff\n").expect("room");
        drop(writer);
        let words = last_words(Some(reader.into())).await;
        assert_eq!(words, "panicked\\nERROR forged\\u{7}\u{fffd}");
    }
}
