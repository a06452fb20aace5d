//! The runner over a suite of our own: one test of each kind.

use std::path::PathBuf;
use std::process::{Command, Output};

fn test262(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_test262"))
        .arg("--suite")
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mini"))
        .args(arguments)
        .output()
        .expect("it runs")
}

#[test]
fn both_sides_agree_on_the_language() {
    let output = test262(&["--only", "language"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for line in [
        "both pass               4",
        "both fail               2",
        "skipped      1: $262.createRealm",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}

#[test]
fn an_unexplained_difference_is_a_failure() {
    let output = test262(&["--only", "built-ins", "--expected", "/dev/null"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("only sandbox fails      1"), "{text}");
    assert!(text.contains("built-ins/shared.js (strict)"), "{text}");
}
