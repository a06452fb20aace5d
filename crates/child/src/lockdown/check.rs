//! What this host has, found out by a process that locks itself down and is thrown away.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use super::{Layer, Report, Role, enter};

/// A report is a fraction of this.
const MAX_REPORT: u64 = 64 << 10;

/// Starts `program` with `arguments` (such as the `lode` program with `child --check`), which must call
/// [`run_check`], and reads its report. The caller itself is not locked down.
///
/// # Errors
/// When it cannot be started, or what it writes is no report.
pub fn check(program: &Path, arguments: &[&str]) -> io::Result<Report> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut text = String::new();
    let read = match child.stderr.take() {
        Some(stderr) => stderr.take(MAX_REPORT).read_to_string(&mut text),
        None => Ok(0),
    };
    let status = child.wait()?;
    read?;
    serde_json::from_str(text.trim()).map_err(|error| {
        io::Error::other(format!("the check ended with {status}: {error}: {text}"))
    })
}

/// Locks this process down as far as the host allows, and writes the report to stderr as one line of
/// JSON: the whole of a `lode child --check`.
pub fn run_check() -> ExitCode {
    let result = enter(Role::Runner, Layer::ALL).and_then(super::Locked::seal);
    match result {
        Ok(sealed) => {
            let line = serde_json::to_string(sealed.report()).unwrap_or_default();
            let written = io::stderr().write_all(line.as_bytes());
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(missing) => {
            // Nothing is left that could tell about a failed write.
            let _ = writeln!(io::stderr(), "{missing}");
            ExitCode::FAILURE
        }
    }
}
