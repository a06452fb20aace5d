//! Resource limits, as data: soft and hard alike, so that nothing in the process can raise them.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Descriptors a child may hold: a snapshot is one, and a child of the largest size holds some thousand.
pub const MAX_DESCRIPTORS: u64 = 4096;

/// Bytes of a memory file: several times the largest snapshot, whose guest's memory is bounded anyway.
const MAX_FILE: u64 = 1 << 30;

/// A limit, and why.
pub(super) struct Limit {
    resource: Resource,
    value: u64,
    /// Read by whoever changes the table.
    #[allow(dead_code)]
    reason: &'static str,
}

/// From the start.
pub(super) const AT_START: &[Limit] = &[
    Limit { resource: Resource::Core, value: 0, reason: "a core dump would hold all apps' memory" },
    Limit {
        resource: Resource::Nofile,
        value: MAX_DESCRIPTORS,
        reason: "bounds what a flood of descriptors takes from the kernel",
    },
    Limit { resource: Resource::Fsize, value: MAX_FILE, reason: "bounds a memory file" },
    Limit { resource: Resource::Memlock, value: 0, reason: "nothing is locked into memory" },
    Limit { resource: Resource::Msgqueue, value: 0, reason: "no POSIX message queues" },
    Limit {
        resource: Resource::Sigpending,
        value: 0,
        reason: "no queued signals, and no POSIX timers, which take one each",
    },
    Limit { resource: Resource::Nice, value: 0, reason: "no raised priority" },
    Limit { resource: Resource::Rtprio, value: 0, reason: "no real-time scheduling" },
];

/// When the threads exist.
pub(super) const AT_SEAL: &[Limit] = &[Limit {
    resource: Resource::Nproc,
    value: 0,
    reason: "no further process or thread: counted per user, so only zero means the same everywhere",
}];

/// When a runner's engine has made its own memory file.
pub(super) const AT_SEAL_RUNNER: &[Limit] = &[Limit {
    resource: Resource::Fsize,
    value: 0,
    reason: "a runner is given memory files and writes none",
}];

pub(super) fn apply(limits: &[Limit]) -> io::Result<()> {
    for limit in limits {
        let value = Some(limit.value);
        setrlimit(limit.resource, Rlimit { current: value, maximum: value }).map_err(|error| {
            io::Error::new(io::Error::from(error).kind(), format!("{:?}: {error}", limit.resource))
        })?;
    }
    Ok(())
}
