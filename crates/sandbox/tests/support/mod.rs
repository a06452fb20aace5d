//! What the sandbox's tests share: an engine per process, a host without real time, and short ways to
//! build an app, run it, and say how it must end.
#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

pub use futures_executor::block_on;
use lode_sandbox::{
    BuildError, Engine, EngineOptions, Host, HostCall, HostError, HostReply, Invocation, Json,
    Limit, Limits, LogLine, Outcome, Report, ScriptError, Snapshot, Source, deploy_limits, run,
};
use serde_json::Value;

pub const SEED: [u8; 32] = [7; 32];
pub const NOW: Duration = Duration::from_secs(1_700_000_000);

/// One engine for all tests of a process, so that each attack meets slots that others have used.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineOptions::default()).expect("an engine"))
}

/// Gives others `turns` turns.
pub async fn pause(turns: u32) {
    let mut left = turns;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub fn json(text: &str) -> Json {
    serde_json::value::RawValue::from_string(text.to_owned()).expect("JSON")
}

/// A host whose clock moves only when somebody sleeps, and then at once. Its calls: `echo` answers its
/// argument, `fail` rejects, `later` answers its argument after as many turns as it says, `never` does
/// not answer.
pub struct TestHost {
    pub now: Cell<Duration>,
    /// The names of the calls in the order they came.
    pub called: RefCell<Vec<String>>,
}

impl Default for TestHost {
    fn default() -> Self {
        Self { now: Cell::new(NOW), called: RefCell::default() }
    }
}

impl Host for TestHost {
    async fn call(&self, call: HostCall) -> HostReply {
        self.called.borrow_mut().push(call.name.clone());
        match call.name.as_str() {
            "later" => {
                pause(call.args.get().parse().expect("a number of turns")).await;
                Ok(call.args)
            }
            "fail" => Err(HostError { name: "TestError".into(), message: "refused".into() }),
            "never" => std::future::pending().await,
            _ => Ok(call.args),
        }
    }

    async fn sleep(&self, duration: Duration) {
        // Longer than any `later`, which a sleep of a whole deadline must not overtake.
        pause(256).await;
        // A step's timer may be a fraction of a microsecond before the timer is due (tests/timing.rs).
        self.now.set(self.now.get() + duration + Duration::from_micros(1));
    }

    fn now(&self) -> Duration {
        self.now.get()
    }
}

/// Limits that no test reaches by being slow; the others as for a hook.
pub fn patient() -> Limits {
    Limits { cpu: Duration::from_secs(60), wall: Duration::from_secs(120), ..Limits::default() }
}

/// Limits for what would go on for ever.
pub fn brief() -> Limits {
    Limits { cpu: Duration::from_millis(50), ..patient() }
}

fn patient_deploy() -> Limits {
    Limits { cpu: Duration::from_secs(60), wall: Duration::from_secs(120), ..deploy_limits() }
}

pub fn deploy(sources: &[Source]) -> Result<Snapshot, BuildError> {
    deploy_within(sources, &patient_deploy()).0
}

pub fn deploy_within(
    sources: &[Source],
    limits: &Limits,
) -> (Result<Snapshot, BuildError>, Vec<LogLine>) {
    Snapshot::build(engine(), sources, limits)
}

/// An app of one module, or of one classic script if that is what `text` is.
pub fn app(text: &str) -> Snapshot {
    deploy(&[Source::entry("app.js", text)]).expect("the app builds")
}

/// An app whose modern handler has this body.
pub fn modern(body: &str) -> String {
    format!("export async function onRequest(request, context) {{ {body}\n}}")
}

/// An app whose Kinvey handler has this body.
pub fn kinvey(body: &str) -> String {
    format!("function onRequest(request, response, modules) {{ {body}\n}}")
}

pub fn run_handler(snapshot: &Snapshot, name: &str, request: &str, limits: &Limits) -> Report {
    let handler = snapshot.find(name).expect("the handler");
    let invocation = Invocation { handler, request };
    block_on(run(snapshot, &invocation, limits, SEED, &TestHost::default()))
}

pub fn run_app(source: &str) -> Outcome {
    run_handler(&app(source), "onRequest", "{}", &patient()).outcome
}

/// Every run's outcome, whatever it did, is one JSON object, and never blames the platform.
pub fn assert_well_formed(outcome: &Outcome) {
    assert!(!matches!(outcome, Outcome::Platform { .. }), "the platform was blamed: {outcome:?}");
    let text = serde_json::to_string(outcome).expect("an outcome is JSON");
    let value: Value = serde_json::from_str(&text).expect("an outcome is well-formed JSON");
    assert!(value["kind"].is_string(), "{text}");
}

/// The engine serves the next run as if nothing had been.
pub fn assert_engine_serves() {
    static GOOD: OnceLock<Snapshot> = OnceLock::new();
    let good = GOOD.get_or_init(|| {
        app(&modern(
            "const echoed = await context.hostCall('echo', [1, 2, 3]);
             return { sum: echoed.reduce((a, b) => a + b), text: JSON.stringify({ a: `${[1]}` }) };",
        ))
    });
    let outcome = run_handler(good, "onRequest", "{}", &patient()).outcome;
    assert_eq!(body(&outcome), serde_json::json!({ "sum": 6, "text": "{\"a\":\"1\"}" }));
}

/// Runs a hostile app's `onRequest` and checks what holds after every attack.
pub fn attack_report(source: &str, request: &str, limits: &Limits) -> Report {
    let snapshot = app(source);
    let report = run_handler(&snapshot, "onRequest", request, limits);
    assert_well_formed(&report.outcome);
    assert_engine_serves();
    // A second sandbox of the same app ends the same way: the first left nothing.
    let again = run_handler(&snapshot, "onRequest", request, limits);
    assert_eq!(kind(&report.outcome), kind(&again.outcome));
    report
}

pub fn attack_within(source: &str, limits: &Limits) -> Outcome {
    attack_report(source, "{}", limits).outcome
}

pub fn attack(source: &str) -> Outcome {
    attack_within(source, &patient())
}

fn kind(outcome: &Outcome) -> Value {
    serde_json::to_value(outcome).expect("JSON")["kind"].clone()
}

/// The body of an outcome that must be a completed or continued one.
#[track_caller]
pub fn body(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Completed { body, .. } | Outcome::Continued { body, .. } => {
            body.as_ref().map_or(Value::Null, |body| {
                serde_json::from_str(body.get()).expect("a body is well-formed JSON")
            })
        }
        other => panic!("the run should have succeeded: {other:?}"),
    }
}

/// The error of an outcome that must be one.
#[track_caller]
pub fn error(outcome: &Outcome) -> &ScriptError {
    match outcome {
        Outcome::Error(error) => error,
        other => panic!("the script should have failed: {other:?}"),
    }
}

#[track_caller]
pub fn assert_error(outcome: &Outcome, name: &str, message: &str) {
    let error = error(outcome);
    assert_eq!(error.name, name, "{error:?}");
    assert!(error.message.contains(message), "{error:?}");
}

#[track_caller]
pub fn assert_limit(outcome: &Outcome, expected: Limit) {
    match outcome {
        Outcome::Limit { limit } => assert_eq!(*limit, expected),
        other => panic!("the {expected} limit should have ended the run: {other:?}"),
    }
}
