//! How a child gives up everything it does not need, before any guest is loaded.
//!
//! Two stages, as namespaces and Landlock need a single thread, and the system call filter must come
//! after the engine has been set up and its threads exist:
//!
//! 1. [`enter`], first thing in `main`;
//! 2. [`Locked::seal`], once the engine and every thread exist. Only then does it read a byte that a
//!    guest could have had a hand in.
//!
//! A layer that this host does not have fails either of them, unless it is named as allowed to miss.

mod check;
mod credentials;
mod filter;
mod heap;
mod layer;
mod namespaces;
mod process;
mod restrict;
pub mod rlimits;
pub mod seccomp;

use std::fs::File;
use std::io;

use rustix::thread::UnshareFlags;

pub use check::{check, run_check};
pub use heap::give_back_large_blocks;
pub use layer::{Layer, Missing, Report, State, UnknownLayer};

/// What a child does, and so which system calls it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Loads snapshots from descriptors it is given, and runs them.
    Runner,
    /// Builds one snapshot: evaluates an app's top-level code and writes a sealed memory file.
    Builder,
}

/// A process that has entered its lock-down, but may still start threads and call what it likes of what
/// is left.
#[derive(Debug)]
pub struct Locked {
    role: Role,
    allowed: Vec<Layer>,
    skipped: Vec<Layer>,
    report: Report,
    pagemap: Option<File>,
}

/// A process in its full lock-down.
#[derive(Debug)]
pub struct Sealed {
    report: Report,
}

/// Locks this process down, but for the filter of system calls. Call it first in `main`, with a single
/// thread, an empty environment, the channel to the master as stdin, a pipe as stdout and another as
/// stderr, and no other descriptor. **Whoever starts the process must do so from a thread that lives as
/// long as the child shall**: the parent-death signal is bound to that thread.
///
/// It forks: this function returns in the *inner* process, whose id the outer one writes to stdout as
/// one decimal line (as its parent sees it), closing it afterwards. The outer process ends with the
/// inner one's status, or 128 + the signal that ended it; killing either ends both. Afterwards only
/// descriptors 0 and 2 are open, and [`Locked::pagemap`]'s.
///
/// # Errors
/// Names every layer that this host does not have and `allowed_missing` does not name. The process is
/// then locked down in part, and must end.
pub fn enter(role: Role, allowed_missing: &[Layer]) -> Result<Locked, Missing> {
    enter_without(role, allowed_missing, &[])
}

/// [`enter`] with some layers left out, as if this host did not have them: to test the others alone.
#[doc(hidden)]
pub fn enter_without(role: Role, allowed: &[Layer], skipped: &[Layer]) -> Result<Locked, Missing> {
    let mut report = Report::default();
    let skip = |layer| skipped.contains(&layer);
    let mut layer = |layer: Layer, put_in_force: &mut dyn FnMut() -> io::Result<String>| {
        let result = if skip(layer) { Err(left_out()) } else { put_in_force() };
        report.note(layer, result);
    };
    clear_environment();
    close_descriptors();
    one_arena();

    layer(Layer::UnprivilegedUser, &mut credentials::leave_root);
    // Set here for the outer process, and again by the inner one.
    let _ = credentials::die_with_parent();
    if process::channel_is_cut() {
        std::process::exit(1);
    }
    layer(Layer::UserNamespace, &mut namespaces::user);
    layer(Layer::NetNamespace, &mut || namespaces::unshare(UnshareFlags::NEWNET));
    layer(Layer::IpcNamespace, &mut || namespaces::unshare(UnshareFlags::NEWIPC));
    layer(Layer::UtsNamespace, &mut || namespaces::unshare(UnshareFlags::NEWUTS));
    layer(Layer::CgroupNamespace, &mut || namespaces::unshare(UnshareFlags::NEWCGROUP));
    let mut lifeline = None;
    layer(Layer::PidNamespace, &mut || {
        single_threaded()?;
        lifeline = Some(process::enter_pid_namespace()?);
        process::end_by_abort()?;
        Ok(String::new())
    });
    // Of this process, not of the one that forked; and before the file system goes.
    let pagemap = File::open("/proc/self/pagemap").ok();
    if lifeline.is_some() {
        process::close_stdout();
    } else {
        // The master gave up when it does not read.
        let _ = process::tell(rustix::process::getpid().as_raw_nonzero().get());
    }
    layer(Layer::MountNamespace, &mut namespaces::empty_root);
    layer(Layer::Rlimits, &mut || rlimits::apply(rlimits::AT_START).map(|()| String::new()));
    layer(Layer::Capabilities, &mut credentials::drop_capabilities);
    layer(Layer::NoNewPrivs, &mut credentials::no_new_privs);
    layer(Layer::Landlock, &mut restrict::restrict);
    layer(Layer::NonDumpable, &mut credentials::undumpable);
    // After the last change of credentials, which would clear it.
    layer(Layer::ParentDeathSignal, &mut credentials::die_with_parent);
    if lifeline.as_ref().map_or_else(process::channel_is_cut, process::Lifeline::is_cut) {
        // The parent ended before the signal was asked for.
        std::process::exit(1);
    }
    report.judge(allowed)?;
    Ok(Locked { role, allowed: allowed.to_vec(), skipped: skipped.to_vec(), report, pagemap })
}

impl Locked {
    /// Takes this process's open page map, for `EngineOptions::pagemap`; `None` where it cannot be
    /// opened, or the second time.
    pub fn pagemap(&mut self) -> Option<File> {
        self.pagemap.take()
    }

    /// Every layer so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Puts the filter of system calls in force on all threads, and forbids new ones. Call it when the
    /// engine and all threads exist and have begun their work (starting a thread takes calls that are
    /// then forbidden, on that thread too: wait for a word from each). A call that is not in [`seccomp::RULES`] then kills the process.
    ///
    /// # Errors
    /// When this host cannot filter system calls and was not allowed to lack that. The process must end.
    pub fn seal(self) -> Result<Sealed, Missing> {
        self.seal_without(None)
    }

    /// [`Locked::seal`] with one rule left out, by name: to test that it is needed.
    #[doc(hidden)]
    pub fn seal_without(mut self, rule: Option<&str>) -> Result<Sealed, Missing> {
        let skip = |layer| self.skipped.contains(&layer);
        let limits = if skip(Layer::Rlimits) { Err(left_out()) } else { self.last_limits() };
        if let Err(error) = limits {
            self.report.layers.retain(|(layer, _)| *layer != Layer::Rlimits);
            self.report.note(Layer::Rlimits, Err(error));
        }
        let filtered =
            if skip(Layer::Seccomp) { Err(left_out()) } else { filter::seal(self.role, rule) };
        self.report.note(Layer::Seccomp, filtered);
        self.report.judge(&self.allowed)?;
        Ok(Sealed { report: self.report })
    }

    fn last_limits(&self) -> io::Result<()> {
        rlimits::apply(rlimits::AT_SEAL)?;
        match self.role {
            Role::Runner => rlimits::apply(rlimits::AT_SEAL_RUNNER),
            Role::Builder => Ok(()),
        }
    }
}

impl Sealed {
    /// Every layer, and what became of it.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

fn left_out() -> io::Error {
    io::Error::other("left out by a test")
}

/// What a process is told in its environment may be a secret of whoever started it.
fn clear_environment() {
    // SAFETY: nothing else reads or writes the environment: the process is at its start, and a second
    // thread would already be a defect of its caller (see `single_threaded`).
    unsafe { libc::clearenv() };
}

/// Threads share the allocator's first arena: when another one shrinks, glibc reads a file, which a sealed
/// process may not, and would die of it in the middle of its work.
fn one_arena() {
    // SAFETY: sets a number that the allocator reads when a second thread allocates.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

fn close_descriptors() {
    // SAFETY: at the start of the process nothing owns a descriptor beyond the three standard ones.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}

/// Fails when another thread exists: a fork would copy this one alone.
fn single_threaded() -> io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        several => Err(io::Error::other(format!("the process has {several} threads already"))),
    }
}
