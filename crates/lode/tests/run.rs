//! `lode run` and `lode doctor` as a person uses them: the real program, its output, its exit codes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn lode(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lode"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("lode starts")
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the file `a.js` with `source`; the exit code, and what it printed as JSON.
fn run_json(source: &str, extra: &[&str]) -> (Option<i32>, Value) {
    let folder = folder(&[("a.js", source)]);
    let output = lode(folder.path(), &[&["run", "a.js", "--json"], extra].concat());
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    (output.status.code(), json)
}

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

#[test]
fn the_kinvey_example_completes_a_real_order() {
    let output = lode(
        &examples(),
        &["run", "kinvey", "--hook", "orders/onPreSave", "--request", "order.json", "--json"],
    );
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(json["outcome"]["kind"], "continued");
    assert_eq!(json["outcome"]["body"]["totals"]["due"], 228.13);
    assert_eq!(json["outcome"]["body"]["customer"]["email"], "grace.hopper@example.com");
    assert_eq!(json["logs"][0]["text"], "order SO-2013-00417 of ada: 228.13 EUR");
}

#[test]
fn the_modern_example_is_typescript_with_an_import() {
    let output =
        lode(&examples(), &["run", "modern", "--hook", "onPreSave", "--request", "order.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\"due\": 249.87"));
}

#[test]
fn each_ending_has_its_exit_code() {
    for (body, code, kind) in [
        ("res.complete(201, {a: 1})", 0, "completed"),
        ("res.continue()", 0, "continued"),
        ("throw new TypeError('x')", 1, "error"),
        ("while (true) {}", 3, "limit"),
        ("", 4, "neverCompleted"),
    ] {
        let (exit, json) = run_json(&format!("function onPreSave(req, res) {{ {body} }}"), &[]);
        assert_eq!((exit, json["outcome"]["kind"].as_str()), (Some(code), Some(kind)), "{body}");
    }
}

#[test]
fn limits_from_the_command_line_hold() {
    let source =
        "function onRequest(req, res, m) { for (let i = 0; i < 100; i++) m.logger.info('x') }";
    let (exit, json) = run_json(source, &["--limits", "log=100,cpu=1s"]);
    assert_eq!((exit, json["outcome"]["limit"].as_str()), (Some(3), Some("log")));
}

#[test]
fn a_request_comes_from_standard_input_too() {
    let folder = folder(&[("a.mjs", "export const onRequest = (r) => r.body.n + 1")]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_lode"))
        .args(["run", "a.mjs", "--request", "-", "--json"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("lode starts");
    child.stdin.take().expect("a pipe").write_all(br#"{"body":{"n":41}}"#).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["outcome"]["body"], 42);
}

#[test]
fn host_calls_are_answered_from_a_file() {
    let folder = folder(&[
        ("a.mjs", "export const onRequest = async (r, c) => c.hostCall('find', {q: 1})"),
        ("replies.json", r#"{"find": [1, 2]}"#),
    ]);
    let output = lode(folder.path(), &["run", "a.mjs", "--replies", "replies.json", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["outcome"]["body"], serde_json::json!([1, 2]));
    assert_eq!(json["usage"]["calls"], 1);
}

#[test]
fn a_recording_replays_to_the_same_outcome_and_cost() {
    let source = "export async function onRequest() {
        await new Promise((done) => setTimeout(done, 5));
        return [Math.random(), crypto.randomUUID(), Date.now()];
    }";
    let folder = folder(&[("a.mjs", source), ("b.mjs", "export const onRequest = () => 1")]);
    let run = |arguments: &[&str]| lode(folder.path(), arguments);
    let first = run(&["run", "a.mjs", "--metered", "--record", "r.json", "--json"]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let again = run(&["run", "a.mjs", "--replay", "r.json", "--json"]);
    let (first, again): (Value, Value) = (
        serde_json::from_slice(&first.stdout).expect("JSON"),
        serde_json::from_slice(&again.stdout).expect("JSON"),
    );
    assert_eq!(first["outcome"], again["outcome"]);
    assert!(first["usage"]["cost"].as_u64() > Some(0));
    assert_eq!(first["usage"]["cost"], again["usage"]["cost"]);
    let other = run(&["run", "b.mjs", "--replay", "r.json"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("other sources"));
}

#[test]
fn every_kind_of_bad_input_is_one_clear_line_and_its_exit_code() {
    let folder = folder(&[
        ("ok.js", "function onPreSave(req, res) { res.continue() }"),
        ("syntax.js", "function onPreSave() {\n  let x = ;\n}"),
        ("empty.js", "var nothing = 1;"),
        ("two.mjs", "export const onPreSave = () => 1, onPostSave = onPreSave;"),
        ("app/endpoints/a.js", "function onRequest() {}"),
        ("app/endpoints/b.js", "function onRequest() {}"),
        ("top.js", "throw new RangeError('at the top')"),
        ("call.mjs", "setTimeout(() => {}, 1); export const onRequest = () => 1;"),
        ("wait.mjs", "await new Promise(() => {}); export const onRequest = () => 1;"),
        ("bad.json", "{\"a\": }"),
        ("list.json", "[1]"),
        ("binary.js", "\u{0}"),
        ("none/readme.txt", ""),
    ]);
    fs::write(folder.path().join("latin.js"), b"\xff\xfe").expect("a file");
    for (arguments, code, says) in [
        (&["run", "gone.js"][..], 2, "cannot read gone.js"),
        (&["run", "none"], 2, "no JavaScript or TypeScript"),
        (&["run", "latin.js"], 2, "not UTF-8"),
        (&["run", "syntax.js"], 1, "syntax.js:2:"),
        (&["run", "empty.js"], 2, "no handler"),
        (&["run", "top.js"], 1, "at the top"),
        (&["run", "call.mjs"], 1, "timer at top level"),
        (&["run", "wait.mjs"], 4, "never comes"),
        (&["run", "ok.js", "--hook", "onPostSave"], 2, "no handler `onPostSave`; there are: "),
        (&["run", "two.mjs"], 2, "choose a handler with --hook: two.mjs#on"),
        (
            &["run", "app", "--hook", "onRequest"],
            2,
            "several handlers are called `onRequest`: a, b",
        ),
        (&["run", "ok.js", "--request", "bad.json"], 2, "bad.json:1:7"),
        (&["run", "ok.js", "--request", "list.json"], 2, "not a JSON object"),
        (&["run", "ok.js", "--request", "gone.json"], 2, "cannot read gone.json"),
        (&["run", "ok.js", "--limits", "cpu=0ms"], 2, "cpu=0ms"),
        (&["run", "ok.js", "--limits", "speed=9"], 2, "is no limit"),
        (&["run", "ok.js", "--replay", "bad.json"], 2, "not a recording"),
        (&["run", "ok.js", "--repeat", "0"], 2, "repeat"),
    ] {
        let output = lode(folder.path(), arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(says), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn hostile_text_does_not_reach_the_terminal_raw() {
    let folder = folder(&[(
        "a.js",
        "function onPreSave(req, res, m) { m.logger.info('\\u001b[2Jgone'); throw new Error('\\u001b]0;x\\u0007') }",
    )]);
    let output = lode(folder.path(), &["run", "a.js"]);
    assert!(!output.stdout.contains(&0x1b) && !output.stdout.contains(&0x07));
    assert!(text(&output.stdout).contains("gone"));
}

#[test]
fn doctor_tells_kernel_versions_and_reset_method() {
    let folder = folder(&[]);
    let output = lode(folder.path(), &["doctor", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0));
    for key in ["kernel", "quickjs-ng", "wasmtime", "reset", "sandbox"] {
        assert!(json[key].as_str().is_some_and(|value| !value.is_empty()), "{key}");
    }
}
