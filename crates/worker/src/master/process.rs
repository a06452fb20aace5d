//! Starting children and learning of their end.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use lode_child::lockdown::Role;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// A child that has been started: two processes, of which the inner one, a process namespace of its
/// own, holds the sandboxes; the outer one waits for it and ends with it.
pub(super) struct Process {
    outer: Mutex<Child>,
    outer_id: i32,
    pidfd: OwnedFd,
    /// The inner process, as this namespace numbers it.
    inner: i32,
    socket: StdUnixStream,
    pub(super) stderr: Option<OwnedFd>,
}

/// Why a child ended, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    Exited(i32),
    Signalled(i32),
}

/// What a shell, and our outer process, adds to the number of the signal that ended a process.
const SIGNALLED: i32 = 128;

impl Death {
    /// Whether a forbidden system call ended it.
    pub(super) fn is_violation(self) -> bool {
        self == Self::Signalled(Signal::SYS.as_raw())
    }

    pub(super) fn is_kill(self) -> bool {
        self == Self::Signalled(Signal::KILL.as_raw())
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl Process {
    fn spawn(program: &PathBuf, arguments: &[String]) -> io::Result<Self> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let mut outer = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(theirs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = Pid::from_child(&outer);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let mut line = String::new();
        // Written before any guest is loaded, so it is ours.
        if let Some(stdout) = outer.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let stderr = outer.stderr.take().map(OwnedFd::from);
        let inner = line.trim().parse().unwrap_or(0);
        let outer_id = pid.as_raw_nonzero().get();
        Ok(Self { outer: Mutex::new(outer), outer_id, pidfd, inner, socket: ours.into(), stderr })
    }

    fn outer(&self) -> MutexGuard<'_, Child> {
        self.outer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outer and the inner process.
    pub(super) fn ids(&self) -> [i32; 2] {
        [self.outer_id, self.inner]
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        // It may have ended already.
        let _ = rustix::process::pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL);
    }

    /// The socket, for the runtime that this is called in.
    pub(super) fn socket(&self) -> io::Result<UnixStream> {
        UnixStream::from_std(self.socket.try_clone()?)
    }

    /// Waits for its end, and brings it about if it takes longer than `patience`. Returns why it ended;
    /// `None` if that cannot be told.
    pub(super) async fn end(&self, patience: Duration) -> Option<Death> {
        let until = Instant::now() + patience;
        let mut killed = false;
        loop {
            if let Some(status) = self.outer().try_wait().ok()? {
                return Some(match (status.signal(), status.code()) {
                    (Some(signal), _) => Death::Signalled(signal),
                    (None, Some(code)) if code > SIGNALLED => Death::Signalled(code - SIGNALLED),
                    (None, code) => Death::Exited(code.unwrap_or(0)),
                });
            }
            if !killed && Instant::now() >= until {
                self.kill();
                killed = true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Bytes of memory the inner process has resident, its share of shared pages included.
    pub(super) fn resident(&self) -> Option<usize> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.inner)).ok()?;
        let pages: usize = statm.split(' ').nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size())
    }

    /// How long the inner process has been ready to run and had no processor, since its start.
    pub(super) fn waited(&self) -> Option<Duration> {
        waited(self.inner)
    }
}

/// What that thread of a process which waited most for a processor has waited: in a child the one that runs
/// guests, which is not its first. The second number of a schedstat file is nanoseconds on a run queue
/// (Documentation/scheduler/sched-stats of Linux); `None` where the kernel does not count them.
fn waited(process: i32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let waits = threads.flatten().filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').nth(1)?.parse().ok()
    });
    waits.max().map(Duration::from_nanos)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Killed, it ends within moments; not waited for, it would stay a zombie.
        let _ = self.outer().wait();
    }
}

type Request = (Role, oneshot::Sender<io::Result<Process>>);

/// Starts children, on a thread of its own that lives as long as the master: the parent-death signal
/// of a child is sent when the *thread* that started it ends (prctl(2)).
pub(super) struct Spawner(mpsc::Sender<Request>);

impl Spawner {
    /// `program` is run as `program child --role …` with `arguments` after.
    pub(super) fn start(program: PathBuf, arguments: Vec<String>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Request>();
        thread::Builder::new().name("lode-spawn".into()).spawn(move || {
            while let Ok((role, reply)) = receiver.recv() {
                let role = match role {
                    Role::Runner => "runner",
                    Role::Builder => "builder",
                };
                let mut all = vec!["child".to_owned(), "--role".into(), role.into()];
                all.extend_from_slice(&arguments);
                // Unwanted meanwhile: dropped, which ends it.
                let _ = reply.send(Process::spawn(&program, &all));
            }
        })?;
        Ok(Self(sender))
    }

    pub(super) async fn spawn(&self, role: Role) -> io::Result<Process> {
        let gone = || io::Error::other("the spawning thread has ended");
        let (sender, receiver) = oneshot::channel();
        self.0.send((role, sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_thread_that_had_no_processor_is_seen() {
        let own = std::process::id().cast_signed();
        let before = waited(own).expect("this kernel counts");
        let stop = AtomicBool::new(false);
        // More of them than processors: each must wait, none is the process's first.
        let threads = 4 * std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            while waited(own).expect("it still does") <= before + Duration::from_millis(5) {
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(waited(-1), None);
    }
}
