//! What hostile load leaves behind. An hour of it is `make soak`; this is its first minute.

use std::process::Command;

use serde_json::Value;

#[test]
fn hostile_load_leaves_no_memory_descriptor_or_child_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("unused.js"), "function onRequest() {}").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_lode"))
        .args(["bench", "load", "--app", "unused.js", "--json", "--hostile", "100"])
        .args(["--concurrency", "4", "--duration", "20"])
        .current_dir(folder.path())
        .output()
        .expect("lode starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("seed "), "it cannot be repeated: {said}");
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let row = &rows[0];
    let outcomes = row["outcomes"].as_object().expect("counted outcomes");
    assert!(outcomes.keys().any(|outcome| outcome.starts_with("limit")), "{row}");
    assert!(!outcomes.contains_key("completed"), "what is hostile completes nothing: {row}");
    assert!(row["footprint"][1]["children"].as_u64() > Some(0), "{row}");
}
