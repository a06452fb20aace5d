//! Namespaces: a user namespace without privilege over anything outside, and within it an empty file
//! system, network and process table.

use std::fs;
use std::io;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::credentials::NOBODY;

/// Enters a namespace of its own of the given kind.
pub(super) fn unshare(kind: UnshareFlags) -> io::Result<String> {
    // SAFETY: only namespaces are unshared, never the table of descriptors.
    unsafe { rustix::thread::unshare_unsafe(kind) }?;
    Ok(String::new())
}

/// Enters a user namespace in which this process is `nobody`, and no other id exists.
pub(super) fn user() -> io::Result<String> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    unshare(UnshareFlags::NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{NOBODY} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{NOBODY} {gid} 1"))?;
    Ok(String::new())
}

/// Enters a mount namespace whose root is an empty, read-only directory.
pub(super) fn empty_root() -> io::Result<String> {
    unshare(UnshareFlags::NEWNS)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    // Any directory that exists will do to mount over, and `/proc` was just used.
    rustix::mount::mount("none", "/proc", "tmpfs", flags, c"size=4k,nr_inodes=2,mode=0555")?;
    rustix::process::chdir("/proc")?;
    // The old root is stacked on the new one, and then taken off it.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    let flags = flags | MountFlags::RDONLY;
    rustix::mount::mount_remount("/", flags, c"")?;
    Ok(String::new())
}
