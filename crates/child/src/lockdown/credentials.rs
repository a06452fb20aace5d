//! Ids, capabilities and the flags of the process.

use std::io;

use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

/// `nobody`: the id given to a process that root starts, and the one every process has in its own
/// user namespace.
pub(super) const NOBODY: u32 = 65534;

/// Gives root's ids away for `nobody`'s. A process that is not root's keeps its own.
pub(super) fn leave_root() -> io::Result<String> {
    let uid = rustix::process::geteuid();
    if !uid.is_root() && !rustix::process::getuid().is_root() {
        return Ok(format!("uid {}", uid.as_raw()));
    }
    rustix_result(rustix::thread::set_thread_groups(&[]))?;
    let id = NOBODY;
    let gid = rustix::process::Gid::from_raw(id);
    let uid = rustix::process::Uid::from_raw(id);
    // The process is single-threaded: the thread's ids are the process's.
    rustix_result(rustix::thread::set_thread_res_gid(gid, gid, gid))?;
    rustix_result(rustix::thread::set_thread_res_uid(uid, uid, uid))?;
    // Changing ids made it non-dumpable, which hides its own files in /proc until it has set up its
    // namespaces; `undumpable` comes last.
    rustix_result(rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable))?;
    Ok(format!("uid {id}"))
}

/// Drops every capability from every set, and all ways to get one back.
pub(super) fn drop_capabilities() -> io::Result<String> {
    rustix_result(rustix::thread::clear_ambient_capability_set())?;
    let mine = rustix_result(rustix::thread::capabilities(None))?;
    if mine.effective.contains(CapabilitySet::SETPCAP) {
        for capability in 0..64 {
            let bit = CapabilitySet::from_bits_retain(1 << capability);
            // Those beyond the kernel's last one do not exist.
            match rustix::thread::remove_capability_from_bounding_set(bit) {
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let bits = CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        rustix_result(rustix::thread::set_capabilities_secure_bits(bits))?;
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix_result(rustix::thread::set_capabilities(None, sets))?;
    Ok(String::new())
}

pub(super) fn no_new_privs() -> io::Result<String> {
    rustix_result(rustix::thread::set_no_new_privs(true))?;
    Ok(String::new())
}

pub(super) fn undumpable() -> io::Result<String> {
    rustix_result(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
    Ok(String::new())
}

/// From now on the process is killed when the thread that started it ends.
pub(super) fn die_with_parent() -> io::Result<String> {
    rustix_result(rustix::process::set_parent_process_death_signal(Some(Signal::KILL)))?;
    Ok(String::new())
}

fn rustix_result<T>(result: rustix::io::Result<T>) -> io::Result<T> {
    result.map_err(io::Error::from)
}
