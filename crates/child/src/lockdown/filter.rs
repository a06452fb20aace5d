//! From the table of rules to filters in the kernel.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::Role;
use super::seccomp::{Condition, RULES, Rule};

/// Puts the filter of `role` in force on all threads. `without` leaves out one rule, by name (for the
/// test that none is redundant).
pub(super) fn seal(role: Role, without: Option<&str>) -> io::Result<String> {
    let rules = RULES.iter().filter(|rule| rule.applies(role) && Some(rule.name) != without);
    let program = compile(rules)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)?;
    Ok(String::new())
}

/// Puts the filter of a process in force that only waits for another.
pub(super) fn only_waiting() -> io::Result<()> {
    let calls = [libc::SYS_wait4, libc::SYS_exit_group];
    let rules = calls.map(|number| (number, Vec::new()));
    seccompiler::apply_filter(&program(rules.into())?).map_err(io::Error::other)
}

fn compile<'r>(rules: impl Iterator<Item = &'r Rule>) -> io::Result<BpfProgram> {
    let mut by_call: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let of_call = by_call.entry(rule.number).or_default();
        if rule.when.is_empty() {
            continue;
        }
        let conditions: Result<Vec<_>, _> = rule.when.iter().map(condition).collect();
        let compiled = conditions.and_then(SeccompRule::new);
        of_call.push(compiled.map_err(io::Error::other)?);
    }
    program(by_call)
}

fn condition(condition: &Condition) -> Result<SeccompCondition, seccompiler::BackendError> {
    match *condition {
        Condition::Is(argument, value) => {
            SeccompCondition::new(argument, Len::Dword, Op::Eq, value.into())
        }
        Condition::Without(argument, bits) => {
            SeccompCondition::new(argument, Len::Dword, Op::MaskedEq(bits.into()), 0)
        }
    }
}

fn program(rules: BTreeMap<i64, Vec<SeccompRule>>) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}
