//! One child's driver: starts it, hears what it says, and sees it to its end.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lode_child::frame::{Filled, FrameError, Inbox};
use lode_child::lockdown::Role;
use lode_child::protocol::{ENGINE, FromChild, HostCall, ResetMethod};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::process::Process;
use super::state::{ChildId, ChildState};
use super::{Shared, StartError};
use crate::metrics::End;

/// A child that has not said it is ready by now is stuck: it takes tens of ms, and on a loaded machine
/// a few times that.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// How often a driver looks for overdue runs, and lets tasks in that found its child full.
const TICK: Duration = Duration::from_millis(5);

/// Every how many ticks its memory is looked at.
const MEMORY_TICKS: u32 = 200;

/// Bytes of a child's standard error that are kept: a panic's message.
const LAST_WORDS: u64 = 4 << 10;

/// Starts a child and, once it is ready, its driver.
pub(super) async fn start(shared: &Arc<Shared>) -> Result<(), StartError> {
    let mut process = shared.spawner.spawn(Role::Runner).await?;
    let stderr = process.stderr.take();
    let socket = Arc::new(AsyncFd::new(process.socket.try_clone()?)?);
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
    let pidfd = AsyncFd::with_interest(process.pidfd.try_clone()?, Interest::READABLE)?;
    let now = Instant::now();
    let child = ChildState::new(socket.clone(), process, now);
    let blocked = child.blocked.clone();
    let id = shared.state().add_child(child, now);
    tracing::info!(child = id.0, "a child is ready");
    let driver = Driver { id, reset, socket, pidfd, blocked, shared: Arc::downgrade(shared) };
    tokio::spawn(driver.drive(inbox, stderr));
    Ok(())
}

/// Waits for the first message; `None` if it is not the right one.
pub(super) async fn hello(socket: &AsyncFd<OwnedFd>, inbox: &mut Inbox) -> Option<ResetMethod> {
    loop {
        let mut guard = socket.readable().await.ok()?;
        match inbox.fill(socket.as_fd()).ok()? {
            Filled::Closed => return None,
            Filled::Nothing => guard.clear_ready(),
            Filled::Some => {}
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

/// What a child said on its standard error before it ended.
pub(super) async fn last_words(stderr: Option<OwnedFd>) -> String {
    let Some(stderr) =
        stderr.and_then(|fd| tokio::net::unix::pipe::Receiver::from_owned_fd(fd).ok())
    else {
        return String::new();
    };
    let mut bytes = Vec::new();
    let read = stderr.take(LAST_WORDS).read_to_end(&mut bytes);
    // A pipe that a lingering process holds open must not keep us.
    let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

struct Driver {
    id: ChildId,
    reset: ResetMethod,
    socket: Arc<AsyncFd<OwnedFd>>,
    pidfd: AsyncFd<OwnedFd>,
    blocked: Arc<Notify>,
    shared: Weak<Shared>,
}

impl Driver {
    async fn drive(self, mut inbox: Inbox, stderr: Option<OwnedFd>) {
        let end = self.serve(&mut inbox).await;
        let Some(shared) = self.shared.upgrade() else { return };
        let process = shared.state().children.get(&self.id).map(|child| child.process.clone());
        let Some(process) = process else { return };
        // Whatever it was, there is no way back.
        process.kill();
        let _ = self.pidfd.readable().await;
        let death = process.reap().ok().flatten();
        let end = match (end, death) {
            (End::Crashed, Some(death)) if death.is_violation() => End::Violation,
            (end, _) => end,
        };
        let why = match death {
            Some(death) if end == End::Crashed => death.to_string(),
            _ => end.name().to_owned(),
        };
        let lost = shared.state().died(self.id, &why, Instant::now());
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
        loop {
            tokio::select! {
                biased;
                ready = self.socket.readable() => {
                    let Ok(mut ready) = ready else { return End::Crashed };
                    match inbox.fill(self.socket.as_fd()) {
                        Ok(Filled::Some) => {}
                        Ok(Filled::Nothing) => ready.clear_ready(),
                        // Told by its process too, which also says why.
                        Ok(Filled::Closed) | Err(_) => {
                            let _ = tokio::time::timeout(READY_WITHIN, self.pidfd.readable()).await;
                            return End::Crashed;
                        }
                    }
                    let Some(shared) = self.shared.upgrade() else { return End::Recycled };
                    if let Err(lie) = self.hear(&shared, inbox) {
                        tracing::warn!(child = self.id.0, lie, "a child lied");
                        return End::Lied;
                    }
                }
                _ = self.pidfd.readable() => return End::Crashed,
                () = self.blocked.notified() => {
                    let Ok(mut ready) = self.socket.writable().await else { return End::Crashed };
                    ready.clear_ready();
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
        if child.runs.values().any(|due| *due < now) {
            return Some(End::Silent);
        }
        let config = &shared.config;
        if ticks.is_multiple_of(MEMORY_TICKS)
            && child.process.resident().is_some_and(|bytes| bytes > config.recycle_above)
        {
            child.retiring = true;
        }
        child.retiring |= now.saturating_duration_since(child.born) > config.recycle_after;
        if child.retiring && child.runs.is_empty() {
            return Some(End::Recycled);
        }
        state.pump(now);
        None
    }

    /// Acts on what has arrived. An error: what no sound child says.
    fn hear(&self, shared: &Arc<Shared>, inbox: &mut Inbox) -> Result<(), String> {
        loop {
            let message = match inbox.next::<FromChild<'_>>() {
                Ok(Some((message, _))) => message,
                Ok(None) => return Ok(()),
                Err(
                    error @ (FrameError::TooLong(_)
                    | FrameError::Malformed
                    | FrameError::Descriptors),
                ) => {
                    return Err(error.to_string());
                }
            };
            let now = Instant::now();
            match message {
                FromChild::Ended { run, ending, logs, usage } => {
                    shared.state().ended(self.id, run, ending, logs, usage, now)?;
                    shared.metrics.reset(self.reset);
                }
                FromChild::Call { run, call, name, args } => {
                    let call =
                        HostCall { id: call, name: name.to_owned(), args: super::json(args)? };
                    let Some((app, deadline)) = shared.state().called(self.id, run, &call)? else {
                        continue;
                    };
                    let (shared, id) = (shared.clone(), self.id);
                    tokio::spawn(async move {
                        let number = call.id;
                        let reply = shared.broker.answer(&app.context, call, deadline).await;
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
