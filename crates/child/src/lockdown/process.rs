//! The pair of processes that a process id namespace takes: who enters one is its children's parent,
//! not its member.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::UnshareFlags;
use rustix::time::Timespec;

use super::{credentials, filter, namespaces};

/// Ends when the outer process does.
pub(super) struct Lifeline(OwnedFd);

impl Lifeline {
    /// Whether the outer process has ended.
    pub(super) fn is_cut(&self) -> bool {
        hung_up(&self.0)
    }
}

/// Whether the other end of this process's channel is gone, and with it the master.
pub(super) fn channel_is_cut() -> bool {
    hung_up(&rustix::stdio::stdin())
}

fn hung_up(fd: &impl std::os::fd::AsFd) -> bool {
    let mut asked = [PollFd::new(fd, PollFlags::empty())];
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut asked, Some(&zero)), Ok(1..)) && asked[0].revents().contains(PollFlags::HUP)
}

/// Enters a process id namespace by forking: returns in the inner process, its first member. The outer
/// one never returns: it tells the inner one's id on stdout, waits for it and ends with its status.
pub(super) fn enter_pid_namespace() -> io::Result<Lifeline> {
    namespaces::unshare(UnshareFlags::NEWPID)?;
    let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the process is single-threaded (checked by `enter`), so the copy is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ours);
            Ok(Lifeline(theirs))
        }
        inner => {
            drop(theirs);
            outer(inner, &ours)
        }
    }
}

/// Tells the master which process to watch and signal, in decimal, and closes stdout.
pub(super) fn tell(pid: i32) -> io::Result<()> {
    // SAFETY: descriptor 1 is stdout, which nothing uses after this function.
    let mut stdout = unsafe { File::from_raw_fd(1) };
    writeln!(stdout, "{pid}")
}

/// What a process ended by SIGABRT exits with, as the outer process tells it.
const ABORTED: i32 = 128 + libc::SIGABRT;

/// Makes `abort` end this process by the exit code that tells of it. The first process of a namespace
/// ignores the signal otherwise, and what `abort` then does would look like an attack.
pub(super) fn end_by_abort() -> io::Result<()> {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: ends the process at once, which a signal handler may.
        unsafe { libc::_exit(ABORTED) }
    }
    // SAFETY: an all-zero `sigaction` is one without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = end as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler is async-signal-safe; nothing else handles the signal.
    match unsafe { libc::sigaction(libc::SIGABRT, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes stdout: in the inner process, which leaves the telling to the outer one.
pub(super) fn close_stdout() {
    // SAFETY: descriptor 1 is stdout, which nothing uses after this function.
    drop(unsafe { OwnedFd::from_raw_fd(1) });
}

/// The outer process: holds nothing but the lifeline's end, and can do nothing but wait.
fn outer(inner: i32, lifeline: &OwnedFd) -> ! {
    // Nobody who reads it is left when this fails; then the channel is cut, which ends the inner one.
    let _ = tell(inner);
    let keep = lifeline.as_raw_fd();
    // SAFETY: closes what this process never uses again. The lifeline is between the two ranges.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, keep - 1, 0);
        libc::syscall(libc::SYS_close_range, keep + 1, u32::MAX, 0);
    }
    // The inner process judges the layers; the outer one runs nothing of the guests' in any case.
    let _ = credentials::drop_capabilities();
    let _ = credentials::undumpable();
    let _ = filter::only_waiting();
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one int to `status`.
        let waited = unsafe { libc::waitpid(inner, &raw mut status, 0) };
        if waited == inner {
            let code = if libc::WIFSIGNALED(status) {
                128 + libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            };
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(code) }
        }
    }
}
