//! The system calls of a sealed child, as data: what, under which conditions, for whom, and why. All
//! others kill the process, so that an attack shows as death by SIGSYS.
//!
//! `Locked::seal_without` leaves out one rule, by name, so that a test can see whether it is needed.

use super::Role;

/// A condition on one argument of a call.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    /// The argument (counted from 0) has this value, in its lower 32 bits.
    Is(u8, u32),
    /// The argument has none of these bits among its lower 32.
    Without(u8, u32),
}

/// For whom a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every child.
    All,
    /// Those that run sandboxes.
    Runners,
    /// Those that build snapshots.
    Builders,
}

/// One allowed call. Rules with the same call add up.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The call's number.
    pub number: libc::c_long,
    /// The call's name, and what tells this rule from others of the same call.
    pub name: &'static str,
    /// All of these hold.
    pub when: &'static [Condition],
    /// For whom.
    pub who: Who,
    /// Why it is needed.
    pub reason: &'static str,
}

impl Rule {
    /// Whether it is in the filter of this role.
    pub fn applies(&self, role: Role) -> bool {
        match self.who {
            Who::All => true,
            Who::Runners => role == Role::Runner,
            Who::Builders => role == Role::Builder,
        }
    }
}

use Condition::{Is, Without};

const fn rule(
    number: libc::c_long,
    name: &'static str,
    when: &'static [Condition],
    who: Who,
    reason: &'static str,
) -> Rule {
    Rule { number, name, when, who, reason }
}

const EXEC: u32 = libc::PROT_EXEC as u32;
/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u32 = 0xC060_6610;

/// All rules.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // Memory.
    rule(libc::SYS_mmap, "mmap", &[Without(2, EXEC)], Who::All, "slots, stacks, images, the allocator; never executable"),
    rule(libc::SYS_munmap, "munmap", &[], Who::All, "slots, images and large allocations end"),
    rule(libc::SYS_mprotect, "mprotect", &[Without(2, EXEC)], Who::All, "growing memories, guard pages; never executable"),
    rule(libc::SYS_mremap, "mremap", &[], Who::All, "the allocator's realloc of large blocks"),
    rule(libc::SYS_brk, "brk", &[], Who::All, "the allocator"),
    rule(libc::SYS_madvise, "madvise(DONTNEED)", &[Is(2, libc::MADV_DONTNEED as u32)], Who::All, "resets by discarding, idle stacks"),
    rule(libc::SYS_madvise, "madvise(NOHUGEPAGE)", &[Is(2, libc::MADV_NOHUGEPAGE as u32)], Who::All, "new slots"),
    rule(libc::SYS_mincore, "mincore", &[], Who::All, "how much of a stack was used"),
    rule(libc::SYS_ioctl, "ioctl(PAGEMAP_SCAN)", &[Is(1, PAGEMAP_SCAN)], Who::All, "which pages a run wrote"),
    // Memory files.
    rule(libc::SYS_fcntl, "fcntl(F_GET_SEALS)", &[Is(1, libc::F_GET_SEALS as u32)], Who::All, "only sealed files are mapped"),
    rule(libc::SYS_fstat, "fstat", &[], Who::All, "a memory file's size"),
    rule(libc::SYS_close, "close", &[], Who::All, "memory files that are no longer needed"),
    rule(libc::SYS_memfd_create, "memfd_create", &[], Who::Builders, "the snapshot"),
    rule(libc::SYS_fcntl, "fcntl(F_ADD_SEALS)", &[Is(1, libc::F_ADD_SEALS as u32)], Who::Builders, "the snapshot is sealed"),
    rule(libc::SYS_fcntl, "fcntl(F_DUPFD_CLOEXEC)", &[Is(1, libc::F_DUPFD_CLOEXEC as u32)], Who::Builders, "a descriptor of the snapshot for the channel"),
    rule(libc::SYS_write, "write", &[], Who::Builders, "the snapshot is written; and stderr"),
    rule(libc::SYS_write, "write(stderr)", &[Is(0, 2)], Who::Runners, "what a panic says"),
    // Threads and time.
    rule(libc::SYS_futex, "futex", &[], Who::All, "locks, and waiting for other threads"),
    rule(libc::SYS_clock_nanosleep, "clock_nanosleep", &[], Who::All, "the ticker sleeps"),
    rule(libc::SYS_restart_syscall, "restart_syscall", &[], Who::All, "sleeps go on after the process was stopped, frozen or traced"),
    rule(libc::SYS_clock_gettime, "clock_gettime", &[], Who::All, "a thread's CPU time has no faster way"),
    // Signals and ends.
    rule(libc::SYS_sigaltstack, "sigaltstack", &[], Who::All, "traps of the guest are handled on a stack of their own"),
    rule(libc::SYS_rt_sigprocmask, "rt_sigprocmask", &[], Who::All, "abort, and ends of threads"),
    rule(libc::SYS_rt_sigreturn, "rt_sigreturn", &[], Who::All, "the end of a signal handler"),
    rule(libc::SYS_exit, "exit", &[], Who::All, "the end of a thread"),
    rule(libc::SYS_gettid, "gettid", &[], Who::All, "abort names the thread"),
    rule(libc::SYS_getpid, "getpid", &[], Who::All, "abort names the process"),
    rule(libc::SYS_tgkill, "tgkill(SIGABRT)", &[Is(2, libc::SIGABRT as u32)], Who::All, "abort: a defect must not look like an attack"),
    rule(libc::SYS_exit_group, "exit_group", &[], Who::All, "the end"),
    // The channel.
    rule(libc::SYS_recvmsg, "recvmsg", &[], Who::All, "the channel to the master"),
    rule(libc::SYS_sendmsg, "sendmsg", &[], Who::All, "the channel to the master"),
    rule(libc::SYS_ppoll, "ppoll", &[], Who::All, "waiting for the channel"),
];
