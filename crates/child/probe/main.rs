//! A test build of a child, in which native code is hostile: after its lock-down it does what the
//! command line says. Not part of Lode; tests/lockdown.rs starts it.
//!
//! `lode-child-probe ROLE SKIPPED,LAYERS WHAT [ARGUMENT]`, or, to serve as a child does without one rule
//! of the filter, `lode-child-probe serve ROLE [RULE [discard | an end (ends.rs)]]`; `start ROLE` has
//! another process do so.

#![allow(clippy::unwrap_used)]

mod attacks;
mod ends;
mod wreck;

use std::io::Write;
use std::process::ExitCode;

use lode_child::Trial;
use lode_child::lockdown::{self, Layer, Role};
use lode_child::protocol::ResetMethod;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |index: usize| arguments.get(index).map_or("", String::as_str);
    if text(0) == "check" {
        return lockdown::run_check();
    }
    if text(0) == "start" {
        return start(text(1));
    }
    if text(0) == "serve" {
        let role = if text(1) == "builder" { Role::Builder } else { Role::Runner };
        let trial = Trial {
            without: Some(text(2).to_owned()).filter(|rule| !rule.is_empty()),
            reset: (text(3) == "discard").then_some(ResetMethod::Discard),
            instead: ends::named(text(3)),
        };
        return lode_child::main_of_test(role, &[], trial);
    }
    let role = if text(0) == "builder" { Role::Builder } else { Role::Runner };
    let skipped: Vec<Layer> =
        text(1).split(',').filter(|name| !name.is_empty()).map(|n| n.parse().unwrap()).collect();
    // What a test leaves out must be allowed to be missing, or `refuse` asks for the opposite.
    let allowed: &[Layer] = if text(2) == "refuse" { &[] } else { &skipped };
    let before = attacks::prepare(text(2));
    let locked = match lockdown::enter_without(role, allowed, &skipped) {
        Ok(locked) => locked,
        Err(missing) => {
            eprintln!("{missing}");
            return ExitCode::from(3);
        }
    };
    let held = attacks::hold();
    let sealed = match locked.seal() {
        Ok(sealed) => sealed,
        Err(missing) => {
            eprintln!("{missing}");
            return ExitCode::from(3);
        }
    };
    let said = match text(2) {
        "report" => sealed.report().to_string(),
        "hang" => {
            say("ready");
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
        what => match attacks::attack(what, text(3), before, &held) {
            Ok(value) => format!("done {value}"),
            Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(0)),
        },
    };
    say(&said);
    ExitCode::SUCCESS
}

/// A master that only starts a child, with its own channel, and says which.
fn start(role: &str) -> ExitCode {
    let program = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(program)
        .args(["serve", role])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    say(&format!("{}\n", child.id()));
    child.wait().unwrap();
    ExitCode::SUCCESS
}

fn say(text: &str) {
    // The test sees that nothing was said.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
