//! `lode child`: what the Work Master starts this program as. Not for people.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use lode_child::lockdown::{Layer, Role};

#[derive(Args)]
pub(crate) struct Arguments {
    /// What the child is for.
    #[arg(long, required_unless_present = "check")]
    role: Option<RoleName>,
    /// Lock down, say what this host has of it, and end.
    #[arg(long, conflicts_with = "role")]
    check: bool,
    /// Layers of lock-down that may be missing.
    #[arg(long, value_delimiter = ',', value_name = "LAYER")]
    allow_degraded_lockdown: Vec<Layer>,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    Runner,
    Builder,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let role = match arguments.role {
        Some(RoleName::Runner) => Role::Runner,
        Some(RoleName::Builder) => Role::Builder,
        None => return lode_child::lockdown::run_check(),
    };
    lode_child::main(role, &arguments.allow_degraded_lockdown)
}
