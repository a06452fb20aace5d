//! `lode child`: what the Work Master starts this program as. Not for people.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use lode_child::lockdown::{Layer, Role};

#[derive(Args)]
pub(crate) struct Arguments {
    /// What the child is for.
    #[arg(long)]
    role: RoleName,
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
        RoleName::Runner => Role::Runner,
        RoleName::Builder => Role::Builder,
    };
    lode_child::main(role, &arguments.allow_degraded_lockdown)
}
