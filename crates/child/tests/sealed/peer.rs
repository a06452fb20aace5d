//! A sealed child, and the master's end of its socket.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use lode_child::frame::{Filled, Inbox, Outbox};
use lode_child::protocol::{
    BuildFailure, FromChild, Handler, Limits, MAX_TEXT, Outcome, ResetMethod, RunId, ToChild,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process};

/// What came of something a child was to do; the error tells where it stopped.
pub(crate) type Seen<T = ()> = Result<T, String>;

/// Far above what anything here takes: after it, a child hangs.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// What a child said.
#[derive(Debug)]
pub(crate) enum Said {
    Ready(ResetMethod),
    Call(RunId, u32),
    Ended(RunId, Outcome),
    NotStarted(RunId),
    Cancelled(RunId),
    Built(Result<(Vec<Handler>, OwnedFd), BuildFailure>),
}

pub(crate) struct Peer {
    pub(crate) outer: Child,
    /// The process id of the inner process.
    pub(crate) inner: u32,
    pub(crate) socket: OwnedFd,
    inbox: Inbox,
    outbox: Outbox,
}

impl Peer {
    /// Starts a child as its master does: `ROLE RULE [END]` (probe/main.rs).
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::run("serve", arguments)
    }

    /// As [`Peer::start`], or has another process start it: `start`.
    pub(crate) fn run(how: &str, arguments: &[&str]) -> Self {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        let mut outer = Command::new(env!("CARGO_BIN_EXE_lode-child-probe"))
            .arg(how)
            .args(arguments)
            .stdin(theirs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(outer.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let inner = line.trim().parse().unwrap();
        Self { outer, inner, socket, inbox: Inbox::default(), outbox: Outbox::default() }
    }

    pub(crate) fn send(&mut self, message: &ToChild<'_>, file: Option<Arc<OwnedFd>>) -> Seen {
        self.outbox.push(message, file).map_err(text)?;
        while !self.outbox.flush(self.socket.as_fd()).map_err(text)? {
            self.wait(PollFlags::OUT)?;
        }
        Ok(())
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Seen<Said> {
        loop {
            if let Some((message, mut files)) = self.inbox.next::<FromChild<'_>>().map_err(text)? {
                let limits = Limits { output: MAX_TEXT, ..Limits::default() };
                return Ok(match message {
                    FromChild::Ready { reset, .. } => Said::Ready(reset),
                    FromChild::Call { run, call, .. } => Said::Call(run, call),
                    FromChild::Ended { run, ending, .. } => {
                        Said::Ended(run, ending.parse(&limits).map_err(text)?)
                    }
                    FromChild::Recorded { .. } => continue,
                    FromChild::NotStarted(run) => Said::NotStarted(run),
                    FromChild::Cancelled(run) => Said::Cancelled(run),
                    FromChild::Built { result: Ok(handlers), .. } => {
                        Said::Built(Ok((handlers, files.take().map_err(text)?)))
                    }
                    FromChild::Built { result: Err(failure), .. } => Said::Built(Err(failure)),
                });
            }
            match self.inbox.fill(self.socket.as_fd()).map_err(text)? {
                Filled::Some => {}
                Filled::Nothing => self.wait(PollFlags::IN)?,
                Filled::Closed => return Err("it closed its end".into()),
            }
        }
    }

    fn wait(&self, flags: PollFlags) -> Seen {
        match poll(&mut [PollFd::new(&self.socket, flags)], Some(&PATIENCE)) {
            Ok(1..) => Ok(()),
            other => Err(format!("it is silent: {other:?}")),
        }
    }

    /// Waits until every thread of it sleeps for good.
    pub(crate) fn wait_until_idle(&self) {
        let mut before = String::new();
        loop {
            let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.inner)) else { return };
            let mut switches = String::new();
            for task in tasks.flatten() {
                let status = std::fs::read_to_string(task.path().join("status"));
                // What is not there any more has ended, and says so on the socket.
                let status = status.unwrap_or_default();
                let voluntary = status.lines().filter(|l| l.starts_with("voluntary_ctxt"));
                switches.extend(voluntary);
            }
            if switches == before {
                return;
            }
            before = switches;
            // Many ticks.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Stops it, and lets it go on, as whoever pauses a container or debugs it does.
    pub(crate) fn pause(&self) {
        let inner = Pid::from_raw(self.inner.cast_signed()).unwrap();
        // It may have ended, which the socket tells.
        let _ = kill_process(inner, Signal::STOP);
        let stat = || std::fs::read_to_string(format!("/proc/{inner}/stat")).unwrap_or_default();
        let is =
            |state: &str| stat().rsplit(") ").next().is_some_and(|rest| rest.starts_with(state));
        while is("R") || is("S") || is("D") {
            std::thread::yield_now();
        }
        let _ = kill_process(inner, Signal::CONT);
    }

    /// Says goodbye, and waits for its end: exit code, and what it wrote to stderr.
    pub(crate) fn end(mut self) -> (i32, String) {
        drop(self.socket);
        let mut said = String::new();
        self.outer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.outer.wait().unwrap().code().unwrap_or(-1), said)
    }
}

pub(crate) fn text(error: impl Debug) -> String {
    format!("{error:?}")
}

/// Fails with what was seen unless it is what was expected.
macro_rules! saw {
    ($seen:expr, $expected:pat $(if $guard:expr)? $(=> $value:expr)?) => {
        match $seen {
            $expected $(if $guard)? => ($($value)?),
            other => return Err(format!("line {}: {other:?}", line!())),
        }
    };
}
pub(crate) use saw;
