//! The command line against a server: deploy, rollback, logs, replay; and the commands without one.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Running, Server, folder, lode, text, write};

const THROWS: &str = "function onRequest(request, response, modules) {\n  \
    modules.logger.info('asked for ' + request.body.what);\n  throw new TypeError('no ' + request.body.what);\n}\n";

#[test]
fn deploy_rollback_and_logs() {
    let server = Server::start();
    let app = server.app();
    let source = "export const onRequest = () => ({ status: 200, body: 1 });";
    let files = folder(&[("endpoints/e.js", source), ("e.test.js", "not deployed")]);
    let path = files.path().to_str().expect("text");
    let deployed = server.command(&["deploy", path, "--app", &app.key]);
    assert!(deployed.status.success(), "{deployed:?}");
    assert!(text(&deployed.stdout).contains("deployment 1 of"), "{deployed:?}");
    write(files.path(), &[("endpoints/e.js", THROWS)]);
    assert!(server.command(&["deploy", path, "--app", &app.key]).status.success());
    assert_eq!(server.endpoint(&app, "e", json!({ "what": "tea" })).status, 550);
    let logs = server.command(&["logs", "--app", &app.key]);
    let logs = text(&logs.stdout);
    assert!(logs.contains("asked for tea") && logs.contains("TypeError: no tea"), "{logs}");
    assert!(logs.contains("endpoints/e.js:3:"), "{logs}");
    let back = server.command(&["rollback", "--app", &app.key]);
    assert!(text(&back.stdout).contains("deployment 1 of"), "{back:?}");
    assert_eq!(server.endpoint(&app, "e", json!({})).body, json!(1));
}

#[test]
fn a_syntax_error_is_shown_with_its_line() {
    let server = Server::start();
    let app = server.app();
    let files = folder(&[("endpoints/e.js", "function onRequest() {\n  return (;\n}\n")]);
    let path = files.path().to_str().expect("text");
    let refused = server.command(&["deploy", path, "--app", &app.key]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(said.contains("BLSyntaxError") && said.contains("2 |   return (;"), "{said}");
}

#[test]
fn a_failed_run_is_replayed_with_the_same_stack_and_cost() {
    let server = Server::start();
    let app = server.app_of(&[("endpoints/e.js", THROWS)]);
    let failed = server.endpoint(&app, "e", json!({ "what": "tea" }));
    let run = failed.headers["x-kinvey-request-id"].to_str().expect("text").to_owned();
    let stack = failed.body["stack"].as_str().expect("a stack").to_owned();
    // It is kept after its client was answered.
    let kept = format!("/admin/apps/{}/runs/{run}", app.key);
    while server.admin("GET", &kept, Value::Null).status == 404 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let replay = || server.command(&["replay", &run, "--app", &app.key, "--json"]);
    let (first, second) = (replay(), replay());
    let report = |output: &[u8]| -> Value {
        serde_json::from_str(text(output).lines().next().expect("a line")).expect("JSON")
    };
    assert!(text(&first.stdout).contains("the outcome is the recorded one"), "{first:?}");
    let (first, second) = (report(&first.stdout), report(&second.stdout));
    assert_eq!(first["outcome"]["stack"].as_str(), Some(&*stack), "{first}");
    assert!(first["usage"]["cost"].as_u64().is_some_and(|cost| cost > 0), "{first}");
    assert_eq!(first["usage"]["cost"], second["usage"]["cost"]);
}

#[test]
fn init_makes_an_app_whose_tests_pass() {
    let parent = TempDir::new().expect("a folder");
    let path = parent.path().join("app");
    let path = path.to_str().expect("text");
    assert!(lode(&["init", path]).status().expect("it runs").success());
    let tested = lode(&["test", path]).output().expect("it runs");
    assert!(tested.status.success(), "{tested:?}");
    assert!(text(&tested.stdout).contains("3 passed, 0 failed"), "{tested:?}");
    assert!(!lode(&["init", path]).status().expect("it runs").success(), "it is not empty");
}

#[test]
fn a_failed_test_says_why_and_ends_with_1() {
    let files = folder(&[
        (
            "endpoints/e.js",
            "export async function onRequest(request, context) {\n\
            const found = await context.hostCall('data.findOne', { collection: 'c' });\n\
            return { status: 200, body: found };\n}",
        ),
        (
            "e.test.js",
            "test('mocked', async (t) => {\n\
            const { outcome, calls } = await t.run('e', {}, { 'data.findOne': { a: 1 } });\n\
            assert.deepEqual(outcome.body, { a: 1 });\n\
            assert.equal(calls[0].name, 'data.findOne');\n});\n\
            test('wrong', () => { assert.equal(1, 2); });\n",
        ),
    ]);
    let tested = lode(&["test"]).arg(files.path()).output().expect("it runs");
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");
    let said = text(&tested.stdout);
    assert!(said.contains("ok      e.test.js: mocked"), "{said}");
    assert!(said.contains("FAILED  e.test.js: wrong") && said.contains("1 is not 2"), "{said}");
}

#[test]
fn dev_deploys_what_is_saved() {
    let files = folder(&[("endpoints/e.js", "export const onRequest = () => ({ status: 200 });")]);
    let data = TempDir::new().expect("a folder");
    let mut command = lode(&["dev", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(data.path()).arg(files.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("it starts");
    let errors = BufReader::new(process.stderr.take().expect("a pipe")).lines();
    let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let _process = Running(process);
    let mut lines = lines.map(|line| line.expect("text"));
    let mut errors = errors.map(|line| line.expect("text"));
    lines.find(|line| line.contains("deployment 1")).expect("it deploys");
    lines.find(|line| line.contains("curl")).expect("it says what to try");
    write(files.path(), &[("endpoints/e.js", "function onRequest( {")]);
    errors.find(|line| line.contains("BLSyntaxError")).expect("it says what is wrong");
    write(files.path(), &[("endpoints/e.js", "export const onRequest = () => ({ status: 201 });")]);
    lines.find(|line| line.contains("deployment 2")).expect("it deploys again");
}
