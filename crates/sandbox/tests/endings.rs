//! How runs and deploys end: every outcome from both handler forms, blame and position exact; what may
//! not happen after an end; and that a run depends on nothing but what it was given.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use lode_sandbox::{
    BuildError, Engine, EngineOptions, Event, Form, Host, HostCall, HostReply, Invocation, Limit,
    Limits, Outcome, Recording, ReplayError, Report, Sandbox, Snapshot, Source, Step, run,
};
use serde_json::{Value, json};
use support::{
    NOW, SEED, TestHost, app, assert_error, assert_limit, block_on, body, deploy, error, kinvey,
    modern, patient, pause, run_app, run_handler,
};

fn position(outcome: &Outcome) -> (&str, u32, u32) {
    error(outcome).position().expect("a position")
}

// ---- success ----

#[test]
fn kinveys_form_completes_and_continues() {
    let outcome = run_app(&kinvey("response.headers.a = 'b'; response.complete(201, { c: 1 });"));
    let Outcome::Completed { status: 201, headers, .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(headers["a"], "b");
    assert_eq!(body(&outcome), json!({ "c": 1 }));
    let script = "function onPreSave(request, response) { request.body.a++; request.tempObjectStore = { t: 1 }; response.continue(); }
                  function onPostSave(request, response) { response.body.a++; response.next(); }";
    let pre = run_handler(&app(script), "onPreSave", r#"{"body":{"a":1}}"#, &patient()).outcome;
    let Outcome::Continued { temp_object_store: Some(store), .. } = &pre else { panic!("{pre:?}") };
    assert_eq!((body(&pre), store.get()), (json!({ "a": 2 }), r#"{"t":1}"#));
    let request = r#"{"response":{"body":{"a":5}}}"#;
    let post = run_handler(&app(script), "onPostSave", request, &patient()).outcome;
    assert!(matches!(post, Outcome::Continued { .. }));
    assert_eq!(body(&post), json!({ "a": 6 }));
}

#[test]
fn the_modern_form_completes_and_continues() {
    assert_eq!(body(&run_app(&modern("return [1]"))), json!([1]));
    assert!(matches!(run_app(&modern("")), Outcome::Completed { status: 204, body: None, .. }));
    assert!(matches!(
        run_app(&modern("return { status: 404, body: 1 }")),
        Outcome::Completed { status: 404, .. }
    ));
    let hook = "export function onPreSave(request) { return { ...request.body, b: 2 }; }
                export async function onPostSave() {}";
    let pre = run_handler(&app(hook), "onPreSave", r#"{"body":{"a":1}}"#, &patient()).outcome;
    assert!(matches!(pre, Outcome::Continued { .. }));
    assert_eq!(body(&pre), json!({ "a": 1, "b": 2 }));
    let post = run_handler(&app(hook), "onPostSave", "{}", &patient()).outcome;
    assert!(matches!(post, Outcome::Continued { .. }));
}

// ---- errors ----

#[test]
fn every_way_to_fail_is_the_scripts_error_at_its_place() {
    let thrown = "throw new RangeError('mine');";
    for source in [
        kinvey(&format!("\n  {thrown}")),
        modern(&format!("\n  {thrown}")),
        modern(&format!("await null;\n  {thrown}")),
        kinvey(&format!("setTimeout(() => {{\n  {thrown} }}, 5);")),
        modern(&format!("setTimeout(() => {{\n  {thrown} }}, 5); await new Promise(() => {{}});")),
        kinvey(&format!("Promise.resolve().then(() => {{\n  {thrown} }});")),
        kinvey(&format!("modules.hostCall('echo', 1, () => {{\n  {thrown} }});")),
        kinvey("\n  response.error(new RangeError('mine'));"),
        kinvey("\n  Promise.reject(new RangeError('mine'));"),
    ] {
        let outcome = run_app(&source);
        assert_error(&outcome, "RangeError", "mine");
        let (file, line, _) = position(&outcome);
        assert_eq!((file, line), ("app.js", 2), "{source}: {outcome:?}");
        assert!(!error(&outcome).stack.contains("lode:"), "{outcome:?}");
    }
}

#[test]
fn response_error_takes_anything() {
    for (given, message) in [("'text'", "text"), ("", "response.error"), ("{ a: 1 }", "a: 1")] {
        assert_error(&run_app(&kinvey(&format!("response.error({given});"))), "Error", message);
    }
}

#[test]
fn a_rejected_host_call_is_a_catchable_error() {
    let outcome = run_app(&modern(
        "try { await context.hostCall('fail'); } catch (e) { return [e instanceof Error, e.name, e.message]; }",
    ));
    assert_eq!(body(&outcome), json!([true, "TestError", "refused"]));
    let outcome = run_app(&kinvey(
        "modules.hostCall('fail', 1, (error, result) => response.complete(200, [error.name, result === undefined]));",
    ));
    assert_eq!(body(&outcome), json!(["TestError", true]));
    assert_error(&run_app(&modern("await context.hostCall('fail');")), "TestError", "refused");
}

#[test]
fn a_run_with_nothing_left_never_completes_and_needs_no_clock_to_say_so() {
    for source in [
        kinvey(""),
        kinvey("return 1;"),
        kinvey("setTimeout(() => {}, 100000);"),
        kinvey("modules.hostCall('echo', 1, () => {});"),
        kinvey("clearInterval(setInterval(() => {}, 1));"),
        modern("await new Promise(() => {});"),
        modern("return new Promise(() => {});"),
    ] {
        let outcome = run_app(&source);
        assert!(matches!(outcome, Outcome::NeverCompleted), "{source}: {outcome:?}");
    }
    // At once: in the very step in which the handler returned.
    let snapshot = app(&kinvey(""));
    let mut sandbox = Sandbox::new(&snapshot, patient()).expect("a sandbox");
    let step = block_on(sandbox.start(&Invocation { handler: 0, request: "{}" }, SEED, NOW));
    assert!(matches!(step, Step::Ended(Outcome::NeverCompleted)));
}

#[test]
fn each_limit_ends_either_form() {
    let small = Limits {
        cpu: Duration::from_millis(30),
        wall: Duration::from_secs(120),
        memory: 16 << 20,
        output: 1 << 12,
        log: 1 << 10,
        calls: 3,
    };
    let cases = [
        (Limit::Cpu, "for (;;);"),
        (Limit::Output, "console.log(1); return big(1 << 14);"),
        (Limit::Log, "for (;;) console.log('x');"),
        (Limit::Calls, "for (let i = 0; i < 4; i++) call('echo', 1);"),
    ];
    let both = |text: &str| {
        let shared = "const big = (n) => 'x'.repeat(n);";
        [
            kinvey(&format!(
                "{shared} const call = modules.hostCall; response.complete(200, (() => {{ {text} }})());"
            )),
            modern(&format!("{shared} const call = context.hostCall; {text}")),
        ]
    };
    for (limit, text) in cases {
        for source in both(text) {
            let report = run_handler(&app(&source), "onRequest", "{}", &small);
            assert_limit(&report.outcome, limit);
        }
    }
    let memory = Limits { cpu: Duration::from_secs(60), ..small.clone() };
    for source in both("const all = []; for (;;) all.push(new Uint8Array(1 << 20));") {
        assert_limit(
            &run_handler(&app(&source), "onRequest", "{}", &memory).outcome,
            Limit::Memory,
        );
    }
    let wall = Limits { wall: Duration::from_millis(50), ..patient() };
    for source in [kinvey("modules.hostCall('never');"), modern("await context.hostCall('never');")]
    {
        assert_limit(&run_handler(&app(&source), "onRequest", "{}", &wall).outcome, Limit::Wall);
    }
}

// ---- deploys ----

fn refusal(sources: &[Source]) -> BuildError {
    deploy(sources).expect_err("it must not deploy")
}

#[test]
fn syntax_errors_say_where() {
    for (name, text, line, column) in [
        ("hooks/a.js", "function onRequest() {\n  var a = ;\n}", 2, 11),
        ("a.mjs", "export function onRequest() {\n\n   return 1 +; }", 3, 14),
        ("a.cjs", "let a;\nlet a;", 2, 6), // the engine points behind the name's first letter
        ("a.ts", "export function onRequest(): number {\n  return 1 +;\n}", 2, 13),
        ("a.json", "{\n  \"a\": }", 2, 8),
    ] {
        match refusal(&[Source::entry(name, text)]) {
            BuildError::Syntax(error) => {
                assert_eq!(error.name, "SyntaxError");
                assert_eq!(error.position(), Some((name, line, column)), "{name}: {error:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn imports_of_what_is_not_there_are_the_scripts_error() {
    for specifier in ["./nothing.js", "left-pad", "../../up.js", "node:fs", "lode:lodash"] {
        let source = Source::entry(
            "a/b.mjs",
            format!("import x from '{specifier}'; export function onRequest() {{}}"),
        );
        match refusal(&[source]) {
            BuildError::Script(error) => {
                assert!(
                    error.message.contains(specifier) && error.message.contains("a/b.mjs"),
                    "{error:?}"
                );
            }
            other => panic!("{specifier}: {other:?}"),
        }
    }
    let script = Source::library("lib.cjs", "function x() {}");
    let importer = Source::entry("a.mjs", "import './lib.cjs'; export function onRequest() {}");
    assert!(
        matches!(refusal(&[script, importer]), BuildError::Script(e) if e.message.contains("classic script"))
    );
}

/// The engine tells modules by their attributes too, and asks again for one that it has begun to compile.
#[test]
fn a_module_that_imports_itself_with_attributes_is_refused_by_name() {
    let text = "import x from './b.mjs' with { type: 'text' }; export function onRequest() {}";
    let own = Source::entry("b.mjs", text);
    let other = Source::library("a.mjs", "import './b.mjs';");
    for sources in [vec![own.clone()], vec![other, own]] {
        match refusal(&sources) {
            BuildError::Syntax(error) | BuildError::Script(error) => {
                assert_eq!(error.name, "SyntaxError");
                assert!(error.message.contains("'b.mjs' imports itself"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn apps_without_a_handler_are_refused() {
    for text in ["", "function other() {}", "export const a = 1;"] {
        assert!(matches!(refusal(&[Source::entry("a.js", text)]), BuildError::NoHandler), "{text}");
    }
    assert!(matches!(refusal(&[]), BuildError::NoHandler));
}

#[test]
fn dynamic_imports_work_within_the_graph_only() {
    let sources = [
        Source::entry(
            "main.mjs",
            "export async function onRequest({ body }) { return (await import(body)).value; }",
        ),
        Source::library("lib/late.mjs", "export const value = 'late';"),
    ];
    let snapshot = deploy(&sources).expect("it builds");
    let outcome =
        run_handler(&snapshot, "onRequest", r#"{"body":"./lib/late.mjs"}"#, &patient()).outcome;
    assert_eq!(body(&outcome), json!("late"));
    let outcome =
        run_handler(&snapshot, "onRequest", r#"{"body":"./lib/never.mjs"}"#, &patient()).outcome;
    assert_error(&outcome, "ReferenceError", "./lib/never.mjs");
}

#[test]
fn module_graphs_with_cycles_and_json_evaluate_once() {
    let sources = [
        Source::library("a.mjs", "import { b } from './b.mjs'; import data from './data.json';
            export function a() { return 'a' + b(); } globalThis.count = (globalThis.count ?? 0) + data.n;"),
        Source::library("b.mjs", "import { a } from './a.mjs'; export function b() { return typeof a; }"),
        Source::library("data.json", r#"{"n":1,"__proto__":{"x":1}}"#),
        Source::entry("one.mjs", "import { a } from './a'; export function onRequest() { return [a(), count]; }"),
        Source::entry("two.mjs", "import './a.mjs'; import { b } from './b.mjs'; export function onPreFetch() { return { b: b(), count }; }"),
    ];
    let snapshot = deploy(&sources).expect("it builds");
    assert_eq!(
        body(&run_handler(&snapshot, "onRequest", "{}", &patient()).outcome),
        json!(["afunction", 1])
    );
    assert_eq!(
        body(&run_handler(&snapshot, "onPreFetch", "{}", &patient()).outcome),
        json!({ "b": "function", "count": 1 })
    );
}

#[test]
fn an_import_finds_what_comes_later_and_data_as_it_is() {
    for (library, text, entry, expected) in [
        (
            "b.mjs",
            "export const b = 1;",
            "import { b } from './b.mjs'; export function onRequest() { return b; }",
            json!(1),
        ),
        (
            "data.json",
            r#"{"__proto__":{"x":1}}"#,
            "import data from './data.json'; export function onRequest() { return Object.keys(data); }",
            json!(["__proto__"]),
        ),
    ] {
        let sources = [Source::entry("a.mjs", entry), Source::library(library, text)];
        let snapshot = deploy(&sources).expect("it builds");
        let outcome = run_handler(&snapshot, "onRequest", "{}", &patient()).outcome;
        assert_eq!(body(&outcome), expected, "{entry}");
    }
}

#[test]
fn classic_scripts_each_have_a_scope_of_their_own() {
    let script = |n: u32| {
        format!(
            "var value = {n}; let other = {n}; function onRequest(q, response) {{ response.complete(200, value + other); }}"
        )
    };
    let snapshot =
        deploy(&[Source::entry("one.cjs", script(1)), Source::entry("two.cjs", script(2))])
            .expect("it builds");
    assert_eq!(snapshot.handlers().len(), 2);
    assert!(snapshot.handlers().iter().all(|handler| handler.form == Form::Script));
    for (name, sum) in [("one.cjs#onRequest", 2), ("two.cjs#onRequest", 4)] {
        assert_eq!(body(&run_handler(&snapshot, name, "{}", &patient()).outcome), json!(sum));
    }
    assert!(snapshot.find("onRequest").is_err(), "ambiguous");
}

#[test]
fn positions_in_typescript_are_the_authors() {
    let text = "interface A { a: number }\nexport function onRequest(request: A & { b?: string[] }): never {\n  const x = <T,>(y: T): T => { throw new RangeError('mine'); };\n  return x<never>(request as never);\n}";
    let snapshot = deploy(&[Source::entry("hook.ts", text)]).expect("it builds");
    let outcome = run_handler(&snapshot, "onRequest", "{}", &patient()).outcome;
    let (file, line, column) = position(&outcome);
    let expected = text.lines().nth(2).and_then(|line| line.find("RangeError")).expect("there");
    assert_eq!((file, line), ("hook.ts", 3));
    // Of `new` or of the call's parenthesis: within the expression.
    assert!((expected - 4..expected + 14).contains(&(column as usize)), "{column} {expected}");
    let second = error(&outcome).stack.lines().nth(1).expect("two frames").to_owned();
    assert!(second.contains("hook.ts:4:"), "{second}");
}

#[test]
fn typescript_that_needs_code_is_refused_clearly() {
    for (text, line) in [
        ("\nenum A { B }", 2),
        ("namespace N { export const a = 1; }", 1),
        ("class C { constructor(private a: number) {} }", 1),
    ] {
        let source = Source::entry("a.ts", format!("{text}\nexport function onRequest() {{}}"));
        match refusal(&[source]) {
            BuildError::Syntax(error) => {
                assert!(error.message.contains("not supported in strip-only mode"), "{error:?}");
                assert_eq!(
                    error.position().map(|(file, line, _)| (file, line)),
                    Some(("a.ts", line))
                );
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn deploy_time_has_no_clock_and_repeats_its_chance() {
    let text =
        "const now = Date.now(), chance = [Math.random(), Math.random()], id = crypto.randomUUID();
                export function onRequest() { return { now, chance, id, run: Math.random() }; }";
    let run = |seed: u8| {
        let snapshot = app(text);
        let invocation = Invocation { handler: 0, request: "{}" };
        body(
            &block_on(run(&snapshot, &invocation, &patient(), [seed; 32], &TestHost::default()))
                .outcome,
        )
    };
    let (first, second) = (run(1), run(2));
    assert_eq!(first["now"], json!(0));
    assert_eq!((&first["chance"], &first["id"]), (&second["chance"], &second["id"]));
    assert_ne!(first["run"], second["run"]);
}

// ---- time ----

#[test]
fn timers_fire_in_the_order_they_are_due() {
    let outcome = run_app(&modern(
        "const seen = []; const add = (x) => () => seen.push(x);
         await new Promise((done) => {
           setTimeout(add('c'), 20); setTimeout(add('a'), 10); setTimeout(add('b'), 10); setImmediate(add('immediate'));
           queueMicrotask(add('microtask')); Promise.resolve().then(add('promise'));
           const cancelled = setTimeout(add('never'), 5); clearTimeout(cancelled);
           setTimeout((x, y) => { seen.push(x + y); done(); }, 30, 'd', 'e'); seen.push('sync');
         }); return seen;",
    ));
    assert_eq!(
        body(&outcome),
        json!(["sync", "microtask", "promise", "immediate", "a", "b", "c", "de"])
    );
}

#[test]
fn an_interval_repeats_until_cleared_and_time_moves_with_it() {
    let outcome = run_app(&modern(
        "const start = Date.now(), seen = [];
         await new Promise((done) => { const id = setInterval(() => {
           seen.push(Date.now() - start); if (seen.length === 3) { clearInterval(id); done(); } }, 10); });
         return seen;",
    ));
    let seen: Vec<u64> = serde_json::from_value(body(&outcome)).expect("numbers");
    assert!(seen[0] >= 10 && seen[1] >= seen[0] + 10 && seen[2] >= seen[1] + 10, "{seen:?}");
}

#[test]
fn the_clock_stands_still_while_the_script_runs() {
    let outcome = run_app(&modern(
        "const a = Date.now(); for (let i = 0; i < 1e5; i++); return [a, Date.now() - a, new Date().getTime() - a];",
    ));
    assert_eq!(body(&outcome), json!([1_700_000_000_000_u64, 0, 0]));
}

#[test]
fn nothing_runs_after_an_end() {
    let report = run_handler(
        &app(&kinvey(
            "const log = (x) => () => console.log(x);
             setTimeout(log('timer'), 1); Promise.resolve().then(log('job')); queueMicrotask(log('microtask'));
             modules.hostCall('echo', 1, log('reply')); response.complete(200, 1); console.log('after');",
        )),
        "onRequest", "{}", &patient(),
    );
    assert_eq!(body(&report.outcome), json!(1));
    assert!(report.logs.is_empty(), "{:?}", report.logs);
    // A host that goes on all the same gets no second outcome of the script's.
    let snapshot =
        app(&kinvey("setTimeout(() => console.log('timer'), 1); response.complete(200, 1);"));
    let mut sandbox = Sandbox::new(&snapshot, patient()).expect("a sandbox");
    let step = block_on(sandbox.start(&Invocation { handler: 0, request: "{}" }, SEED, NOW));
    assert!(matches!(step, Step::Ended(Outcome::Completed { .. })));
    let step = block_on(sandbox.resume(Event::Timers, NOW + Duration::from_secs(1)));
    assert!(
        matches!(step, Step::Ended(Outcome::Platform { .. })),
        "a mistake of the host's: {step:?}"
    );
    assert!(sandbox.take_logs().is_empty());
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let snapshot = app(&modern("return await context.hostCall('echo', 1);"));
    let mut sandbox = Sandbox::new(&snapshot, patient()).expect("a sandbox");
    let step = block_on(sandbox.start(&Invocation { handler: 0, request: "{}" }, SEED, NOW));
    let Step::Waiting { calls, timer: None } = step else { panic!("{step:?}") };
    let reply = |call, text| Event::Reply { call, reply: Ok(support::json(text)) };
    let step = block_on(sandbox.resume(reply(calls[0].id + 1, "666"), NOW));
    assert!(matches!(&step, Step::Waiting { calls, .. } if calls.is_empty()), "{step:?}");
    let step = block_on(sandbox.resume(reply(calls[0].id, "2"), NOW));
    let Step::Ended(outcome) = step else { panic!("{step:?}") };
    assert_eq!(body(&outcome), json!(2));
}

// ---- many at once ----

#[test]
fn host_calls_are_concurrent_and_answered_in_any_order() {
    let outcome = run_app(&modern(
        "const seen = [];
         await Promise.all([30, 10, 20].map(async (n) => seen.push(await context.hostCall('later', n))));
         return seen;",
    ));
    assert_eq!(body(&outcome), json!([10, 20, 30]));
}

#[test]
fn many_runs_on_one_thread_keep_their_answers_apart() {
    let snapshot = app(&modern(
        "let sum = 0; for (let i = 0; i < 5; i++) sum += await context.hostCall('later', (request.body * 7 + i * 13) % 31);
         globalThis.mine = request.body; await context.hostCall('later', 3); return [mine, sum];",
    ));
    let host = TestHost::default();
    let requests: Vec<String> = (0..60).map(|n| format!(r#"{{"body":{n}}}"#)).collect();
    let limits = patient();
    let runs = requests.iter().map(|request| {
        let (snapshot, host, limits) = (&snapshot, &host, &limits);
        async move { run(snapshot, &Invocation { handler: 0, request }, limits, SEED, host).await }
    });
    let reports = block_on(join_all(runs));
    for (n, report) in (0_u64..).zip(&reports) {
        let sum: u64 = (0..5).map(|i| (n * 7 + i * 13) % 31).sum();
        assert_eq!(body(&report.outcome), json!([n, sum]));
    }
}

#[test]
fn a_hog_lets_small_runs_finish_first() {
    let hog = app(&modern("for (;;);"));
    let small = app(&modern("return await context.hostCall('echo', 1);"));
    let order = RefCell::new(Vec::new());
    let host = TestHost::default();
    let (generous, hogs) = (patient(), Limits { cpu: Duration::from_millis(500), ..patient() });
    let order_ref = &order;
    let task = |name: &'static str, snapshot: Snapshot, limits: Limits| {
        let host = &host;
        async move {
            let invocation = Invocation { handler: 0, request: "{}" };
            let report = run(&snapshot, &invocation, &limits, SEED, host).await;
            order_ref.borrow_mut().push(name);
            report
        }
    };
    let mut tasks = vec![task("hog", hog, hogs)];
    for _ in 0..10 {
        tasks.push(task("small", small.clone(), generous.clone()));
    }
    let reports: Vec<Report> = block_on(join_all(tasks));
    assert_limit(&reports[0].outcome, Limit::Cpu);
    assert!(reports[1..].iter().all(|report| report.outcome.is_success()));
    assert_eq!(order.borrow().last(), Some(&"hog"));
}

// ---- determinism ----

const CHANCE: &str = "
const ids = new Set();
export async function onRequest(request, context) {
  ids.add(crypto.randomUUID());
  const bytes = Array.from(crypto.getRandomValues(new Uint8Array(8)));
  const reply = await context.hostCall('later', 3);
  await new Promise((done) => setTimeout(done, 50));
  console.log('logged', Date.now());
  return { ids: [...ids], bytes, reply, random: [Math.random(), Math.random()], now: Date.now(),
    date: new Date().toISOString(), sorted: [3, 1, 2].sort(() => Math.random() - 0.5) };
}";

fn chance(engine: &Engine) -> Snapshot {
    let limits = Limits { cpu: Duration::from_secs(60), ..lode_sandbox::deploy_limits() };
    Snapshot::build(engine, &[Source::entry("chance.mjs", CHANCE)], &limits).0.expect("it builds")
}

#[test]
fn the_same_seed_clock_and_answers_give_the_same_outcome() {
    let snapshot = chance(support::engine());
    let text = |seed: u8| {
        let invocation = Invocation { handler: 0, request: "{}" };
        let report =
            block_on(run(&snapshot, &invocation, &patient(), [seed; 32], &TestHost::default()));
        assert!(report.outcome.is_success(), "{report:?}");
        serde_json::to_string(&(report.outcome, report.logs)).expect("JSON")
    };
    assert_eq!(text(1), text(1));
    let value = |text: String| -> Value { serde_json::from_str(&text).expect("JSON") };
    let (one, other) = (value(text(1)), value(text(2)));
    for key in ["ids", "bytes", "random"] {
        assert_ne!(one[0]["body"][key], other[0]["body"][key], "{key}");
    }
    assert_eq!(one[0]["body"]["now"], other[0]["body"]["now"]);
}

/// A host whose clock and answers are never the same twice.
struct Fickle(Cell<u32>);

impl Host for Fickle {
    async fn call(&self, call: HostCall) -> HostReply {
        pause(self.0.get() % 5).await;
        self.0.set(self.0.get() + 1);
        if call.name == "fail" {
            return Err(lode_sandbox::HostError {
                name: "E".into(),
                message: self.0.get().to_string(),
            });
        }
        Ok(support::json(&self.0.get().to_string()))
    }

    async fn sleep(&self, _: Duration) {
        pause(20).await;
        self.0.set(self.0.get() + 977);
    }

    fn now(&self) -> Duration {
        self.0.set(self.0.get() + 13);
        NOW + Duration::from_nanos(u64::from(self.0.get()) * 1_234_567)
    }
}

#[test]
fn a_recorded_run_is_replayed_with_the_same_outcome_and_cost() {
    for engine in [support::engine(), &metered()] {
        let snapshot = chance(engine);
        let host = Fickle(Cell::new(1));
        let invocation = Invocation { handler: 0, request: "{\"a\":[1]}" };
        let (report, recording) =
            block_on(Recording::record(&snapshot, &invocation, &patient(), [5; 32], &host));
        assert!(report.outcome.is_success(), "{report:?}");
        assert_eq!(report.usage.cost.is_some(), engine.metering());
        let recording = recording.expect("the handler is there");
        let text = serde_json::to_string(&recording).expect("JSON");
        let recording: Recording = serde_json::from_str(&text).expect("a recording");
        for _ in 0..2 {
            let (same, again) = block_on(recording.replay(&snapshot, &patient()));
            assert_eq!(same, Ok(()));
            assert_eq!(again.usage.cost, report.usage.cost);
            assert_eq!(again.logs, report.logs);
        }
        let mut cut = recording.clone();
        cut.events.clear();
        assert_eq!(block_on(cut.replay(&snapshot, &patient())).0, Err(ReplayError::Unfinished));
        let mut other = recording.clone();
        other.seed = [6; 32];
        assert!(matches!(
            block_on(other.replay(&snapshot, &patient())).0,
            Err(ReplayError::Differs(_))
        ));
        let stranger = app(&modern("return 1"));
        assert_eq!(
            block_on(recording.replay(&stranger, &patient())).0,
            Err(ReplayError::OtherSnapshot)
        );
    }
}

#[test]
fn failures_and_limits_replay_too() {
    for text in [
        "await context.hostCall('fail');",
        "for (;;) console.log('x');",
        "await new Promise(() => {});",
        "const f = () => f(); f();",
    ] {
        let snapshot = app(&modern(text));
        let invocation = Invocation { handler: 0, request: "{}" };
        let (report, recording) = block_on(Recording::record(
            &snapshot,
            &invocation,
            &patient(),
            SEED,
            &Fickle(Cell::new(1)),
        ));
        let recording = recording.expect("the handler is there");
        assert!(!report.outcome.is_success());
        assert_eq!(block_on(recording.replay(&snapshot, &patient())).0, Ok(()), "{text}");
    }
}

#[test]
fn recording_a_handler_that_is_not_there_is_no_panic() {
    let snapshot = app(&modern("return 1"));
    let invocation = Invocation { handler: 9, request: "{}" };
    let (report, recording) =
        block_on(Recording::record(&snapshot, &invocation, &patient(), SEED, &TestHost::default()));
    assert!(recording.is_none());
    // The embedder's mistake: no script is to blame for it.
    assert!(matches!(report.outcome, Outcome::Platform { .. }), "{report:?}");
}

fn metered() -> Engine {
    Engine::new(EngineOptions { metering: true, ..EngineOptions::default() }).expect("an engine")
}

#[test]
fn a_metered_run_costs_the_same_every_time_and_more_work_costs_more() {
    let engine = metered();
    let source = Source::entry(
        "app.mjs",
        modern(
            "let s = 0; for (let i = 0; i < request.body; i++) s += i; return s + Math.random();",
        ),
    );
    let limits = Limits { cpu: Duration::from_secs(60), ..lode_sandbox::deploy_limits() };
    let [first, again] = [(); 2].map(|()| {
        Snapshot::build(&engine, std::slice::from_ref(&source), &limits).0.expect("it builds")
    });
    let cost = |snapshot: &Snapshot, body: u32| {
        let report =
            run_handler(snapshot, "onRequest", &format!(r#"{{"body":{body}}}"#), &patient());
        assert!(report.outcome.is_success(), "{report:?}");
        report.usage.cost.expect("a metered engine counts")
    };
    // Whatever ran before, and whichever of two equal snapshots it is.
    let costs = BTreeSet::from([
        cost(&first, 1000),
        cost(&first, 1000),
        cost(&again, 1000),
        (cost(&first, 7), cost(&first, 1000)).1,
    ]);
    assert_eq!(costs.len(), 1, "{costs:?}");
    let thousand = cost(&first, 1000);
    assert!(
        cost(&first, 2000) > thousand + 1000,
        "a thousand more turns are more than 1,000 units"
    );
    assert!(cost(&first, 1001) > thousand);
    let plain = run_handler(&app(&modern("return 1")), "onRequest", "{}", &patient());
    assert_eq!(plain.usage.cost, None, "an engine that does not meter does not guess");
}

#[test]
fn limits_hold_on_a_metered_engine() {
    let engine = metered();
    let small = Limits {
        cpu: Duration::from_millis(30),
        memory: 16 << 20,
        log: 1 << 10,
        calls: 3,
        ..patient()
    };
    let roomy = Limits { cpu: Duration::from_secs(60), ..small.clone() };
    let brief_wait = Limits { wall: Duration::from_millis(50), ..patient() };
    for (limit, limits, text) in [
        (Limit::Cpu, &small, "for (;;);"),
        (Limit::Cpu, &small, "'x'.repeat(1e5).match(/(x+x+)+y/);"),
        (Limit::Memory, &roomy, "const all = []; for (;;) all.push(new Uint8Array(1 << 20));"),
        (Limit::Log, &small, "for (;;) console.log('x');"),
        (Limit::Calls, &small, "for (;;) context.hostCall('echo', 1);"),
        (Limit::Wall, &brief_wait, "await context.hostCall('never');"),
    ] {
        let sources = [Source::entry("app.mjs", modern(text))];
        let snapshot = Snapshot::build(&engine, &sources, &roomy).0.expect("it builds");
        let report = run_handler(&snapshot, "onRequest", "{}", limits);
        assert_limit(&report.outcome, limit);
        assert!(report.usage.cost.is_some_and(|cost| cost > 0), "{text}: {report:?}");
    }
}
