//! Landlock: no access to any file, TCP port, outside process or abstract socket, as far as the kernel
//! knows how to deny it.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope,
};

/// The newest rights that the crate knows; a kernel that knows fewer enforces those.
const NEWEST: ABI = ABI::V7;

/// The oldest that is accepted: 6.12's, which has scopes for signals and abstract sockets.
const OLDEST: ABI = ABI::V6;

/// Puts a ruleset without a single rule in force on this thread and those it starts: everything that
/// Landlock handles is denied. Returns the ABI in force.
pub(super) fn restrict() -> io::Result<String> {
    let deny = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .restrict_self()
    };
    let status = deny().map_err(io::Error::other)?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Err(io::Error::other("this kernel was booted without it (lsm=)"))
        }
        (RulesetStatus::NotEnforced, _) => Err(io::Error::other("this kernel does not have it")),
        (_, LandlockStatus::Available { effective_abi, .. }) if effective_abi < OLDEST => Err(
            io::Error::other(format!("this kernel has {effective_abi:?}, {OLDEST:?} is needed")),
        ),
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(format!("ABI {}", effective_abi as i32))
        }
        _ => Ok(String::new()),
    }
}
