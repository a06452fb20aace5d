//! Every outcome reaches whoever asked, with logs and usage, through master, socket and child.

use std::time::Duration;

use lode_child::protocol::{BuildFailure, Limit, Limits, LogLevel, Source, deploy_limits};
use lode_worker::master::BuildError;
use serde_json::json;

use crate::{Worker, outcome};

#[tokio::test]
async fn each_outcome_arrives_as_the_sandbox_gave_it() {
    let worker = Worker::start(1).await;
    worker
        .deploy_with(
            "app",
            "function onRequest(request, response, modules) {
               const { body } = request;
               modules.logger.warn('asked for ' + body);
               switch (body) {
                 case 'complete': response.headers = { 'x-a': 'b' }; return response.complete(201, { a: [1, null] });
                 case 'throw': throw new TypeError('no');
                 case 'never': return;
                 case 'cpu': for (;;);
                 case 'wall': return void setTimeout(() => response.complete(200), 60000);
                 case 'memory': for (const all = [];;) all.push(new Uint8Array(1 << 20).fill(1));
                 case 'output': return response.complete(200, 'x'.repeat(5 << 20));
                 case 'log': for (;;) modules.logger.info('x'.repeat(1000));
                 case 'calls': for (let i = 0; i < 101; i++) modules.hostCall('nothing');
               }
             }",
            |settings| settings.limits.wall = Duration::from_secs(4),
        )
        .await;
    let limit = |limit: &str| json!({ "kind": "limit", "limit": limit });
    for (body, expected) in [
        (
            "complete",
            json!({ "kind": "completed", "status": 201, "headers": { "x-a": "b" }, "body": { "a": [1, null] } }),
        ),
        ("never", json!({ "kind": "neverCompleted" })),
        ("cpu", limit("cpu")),
        ("wall", limit("wall")),
        ("memory", limit("memory")),
        ("output", limit("output")),
        ("log", limit("log")),
        ("calls", limit("calls")),
    ] {
        let report = worker.run("app", &format!("{body:?}")).await;
        assert_eq!(outcome(&report), expected, "{body}");
        assert_eq!(report.logs[0].text, format!("asked for {body}"), "{body}");
        assert_eq!(report.logs[0].level, LogLevel::Warn, "{body}");
        assert!(report.usage.memory_peak > 0 && report.usage.cpu_ns > 0, "{body}");
    }
    let report = worker.run("app", "\"throw\"").await;
    let error = outcome(&report);
    assert_eq!(
        (&error["kind"], &error["name"], &error["message"]),
        (&json!("error"), &json!("TypeError"), &json!("no"))
    );
    assert!(error["stack"].as_str().is_some_and(|stack| stack.contains("main.js:6:")), "{error}");
}

#[tokio::test]
async fn hooks_continue_with_what_they_changed() {
    let worker = Worker::start(1).await;
    worker
        .deploy(
            "app",
            "function onPreSave(request, response) {
               request.body.seen = true; request.tempObjectStore = { a: 1 }; response.continue();
             }",
        )
        .await;
    let report = worker.run("app", "{ \"name\": \"é\\u0000\" }").await;
    let expected = json!({ "kind": "continued", "body": { "name": "é\0", "seen": true }, "tempObjectStore": { "a": 1 } });
    assert_eq!(outcome(&report), expected);
}

#[tokio::test]
async fn large_requests_and_answers_pass_whole() {
    let worker = Worker::start(1).await;
    worker
        .deploy_with(
            "app",
            "const onRequest = (r, response) => response.complete(200, r.body);",
            |s| {
                s.limits.memory = 256 << 20;
            },
        )
        .await;
    let body = format!("\"{}\"", "é".repeat(1_500_000));
    let report = worker.run("app", &body).await;
    assert_eq!(outcome(&report)["body"].as_str().map(str::len), Some(3_000_000));
}

#[tokio::test]
async fn host_calls_are_answered_by_the_broker_and_failures_can_be_caught() {
    let worker = Worker::start(1).await;
    worker
        .deploy(
            "app",
            "async function onRequest(request, response, modules) {
               try { await modules.hostCall('no such call', {}); } catch (e) { response.complete(200, e.name); }
             }",
        )
        .await;
    let report = worker.run("app", "null").await;
    assert_eq!(outcome(&report)["body"], json!("NotFoundError"));
    assert_eq!(report.usage.calls, 1);
}

#[tokio::test]
async fn what_is_wrong_with_sources_is_said_as_the_library_says_it() {
    let worker = Worker::start(1).await;
    let build = async |name: &str, text: &str| {
        let sources = vec![Source::entry(name, text)];
        match worker
            .master
            .build(sources, Limits { cpu: Duration::from_secs(1), ..deploy_limits() })
            .await
        {
            Err(BuildError::Sources { failure, .. }) => failure,
            other => panic!("{other:?}"),
        }
    };
    assert!(
        matches!(build("a.js", "function (").await, BuildFailure::Syntax(e) if e.stack.contains("a.js:1:"))
    );
    assert!(matches!(build("a.ts", "let x: = 1").await, BuildFailure::Syntax(_)));
    assert!(
        matches!(build("a.js", "throw new RangeError('x')").await, BuildFailure::Script(e) if e.name == "RangeError")
    );
    assert!(matches!(
        build("a.mjs", "await new Promise(() => {}); export const f = () => 1").await,
        BuildFailure::NeverSettles
    ));
    assert!(matches!(build("a.js", "for (;;);").await, BuildFailure::Limit(Limit::Cpu)));
    assert!(matches!(build("a.js", "setTimeout(() => {}, 1)").await, BuildFailure::TopLevel(_)));
    assert!(matches!(build("a.js", "1").await, BuildFailure::NoHandler));
    let built = worker.build("console.log('hello'); function onRequest() {}").await;
    assert_eq!((built.logs[0].text.as_str(), built.handlers.len()), ("hello", 1));
}

#[tokio::test]
async fn typescript_and_modules_are_built_in_a_child_too() {
    let worker = Worker::start(1).await;
    let sources = vec![
        Source::library("lib.ts", "export const twice = (n: number): number => n * 2;"),
        Source::entry(
            "main.ts",
            "import { twice } from './lib.ts'; export const onRequest = (r: { body: number }) => twice(r.body);",
        ),
    ];
    let built = worker.master.build(sources, deploy_limits()).await.expect("it builds");
    worker.master.deploy(crate::settings("ts"), &built).expect("it is deployed");
    assert_eq!(outcome(&worker.run("ts", "21").await)["body"], json!(42));
}

#[tokio::test]
async fn an_expired_task_is_answered_and_never_run() {
    let worker = Worker::start(1).await;
    worker.deploy("app", "function onRequest(r, response) { response.complete(200); }").await;
    let report = worker.run_within("app", "null", Duration::ZERO).await;
    assert_eq!(outcome(&report)["kind"], json!("expired"));
    assert_eq!(report.usage.cpu_ns, 0);
}

#[tokio::test]
async fn a_deadline_ends_a_run_that_its_limits_would_let_go_on() {
    let worker = Worker::start(1).await;
    worker
        .deploy(
            "app",
            "function onRequest(r, response) { setTimeout(() => response.complete(200), 9000); }",
        )
        .await;
    let report = worker.run_within("app", "null", Duration::from_millis(300)).await;
    assert_eq!(outcome(&report), json!({ "kind": "limit", "limit": "wall" }));
}

#[tokio::test]
async fn a_new_deployment_serves_the_next_run_and_a_removed_app_none() {
    let worker = Worker::start(1).await;
    for version in [1, 2] {
        let text =
            format!("function onRequest(r, response) {{ response.complete(200, {version}); }}");
        worker.deploy("app", &text).await;
        assert_eq!(outcome(&worker.run("app", "null").await)["body"], json!(version));
    }
    worker.master.remove(&"app".into());
    assert_eq!(outcome(&worker.run("app", "null").await)["kind"], json!("rejected"));
    let left = std::fs::read_dir(worker.directory.path().join("snapshots")).expect("it is there");
    assert_eq!(left.count(), 0, "snapshots of deployments that are gone");
}
