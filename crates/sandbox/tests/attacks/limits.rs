//! Runs that would take more than they may: each limit, by every way there is to it.

use std::time::Duration;

use lode_sandbox::{Limit, Limits, Outcome};
use serde_json::json;

use crate::support::{
    TestHost, app, assert_engine_serves, assert_error, assert_limit, assert_well_formed, attack,
    attack_report, attack_within, block_on, body, brief, error, kinvey, modern, patient,
};

/// The CPU limit ends each of these, wherever the engine happens to be.
fn burns_cpu(body: &str) {
    assert_limit(&attack_within(&modern(body), &brief()), Limit::Cpu);
}

/// The memory limit ends each of these.
fn fills_memory(body: &str) {
    assert_limit(&attack_within(&modern(body), &patient()), Limit::Memory);
}

/// Either limit may come first, or the engine refuses with an error: the run ends either way.
fn ends_in_a_limit_or_error(body: &str, limits: &Limits) {
    let outcome = attack_within(&modern(body), limits);
    let ended =
        matches!(outcome, Outcome::Limit { limit: Limit::Cpu | Limit::Memory } | Outcome::Error(_));
    assert!(ended, "{body}: {outcome:?}");
}

#[test]
fn endless_loops_meet_the_cpu_limit() {
    burns_cpu("for (;;);");
    burns_cpu("while (true) try { throw 1; } catch {} finally { continue; }");
    burns_cpu(
        "const it = { [Symbol.iterator]() { return { next: () => ({ done: false }) }; } }; for (const x of it);",
    );
    burns_cpu("function* g() { for (;;) yield; } for (const x of g());");
    burns_cpu("await (async () => { for (;;) await null; })();");
}

#[test]
fn endless_microtasks_meet_the_cpu_limit() {
    burns_cpu(
        "const again = () => Promise.resolve().then(again); again(); await new Promise(() => {});",
    );
    burns_cpu("const again = () => queueMicrotask(again); again(); await new Promise(() => {});");
    burns_cpu("const thenable = { then(f) { f(thenable); } }; return await thenable;");
}

#[test]
fn endless_sorts_and_callbacks_meet_the_cpu_limit() {
    burns_cpu("Array.from({ length: 1e5 }, Math.random).sort(() => { for (;;); });");
    burns_cpu("for (;;) Array.from({ length: 1e4 }, Math.random).sort();");
    burns_cpu("const a = Array.from({ length: 1e6 }); for (;;) a.sort(() => Math.random() - 0.5);");
    burns_cpu(
        "const a = { length: Number.MAX_SAFE_INTEGER }; Array.prototype.forEach.call(a, () => {});",
    );
    burns_cpu("Array.prototype.indexOf.call(new Proxy({ length: 2 ** 53 - 1 }, {}), 1);");
    burns_cpu("'x'.repeat(1e5).replace(/x/g, () => { for (;;); });");
}

#[test]
fn catastrophic_regexes_meet_the_cpu_limit() {
    burns_cpu("/^(a+)+$/.test('a'.repeat(40) + 'b');");
    burns_cpu("/(x+x+)+y/.test('x'.repeat(64));");
    burns_cpu("/(?=(a*)*b)(a|a)*$/.test('a'.repeat(64));");
    burns_cpu("('a'.repeat(1e5) + 'b').match(/(?:a*)*c/);");
}

#[test]
fn huge_bigints_end() {
    let limits = brief();
    ends_in_a_limit_or_error("return String(2n ** 1000000000n).length;", &limits);
    ends_in_a_limit_or_error("let x = 3n; for (;;) x = x * x;", &limits);
    ends_in_a_limit_or_error("return (10n ** 400000n).toString().length;", &limits);
    ends_in_a_limit_or_error("return 1n << (2n ** 62n);", &limits);
    ends_in_a_limit_or_error("return BigInt('9'.repeat(1e6)) % 7n;", &limits);
}

#[test]
fn filling_memory_meets_the_memory_limit() {
    fills_memory("const all = []; for (;;) all.push(new ArrayBuffer(1 << 20));");
    fills_memory("const all = []; for (;;) all.push({ a: all.length });");
    ends_in_a_limit_or_error(
        "let text = 'x'; for (const all = [];;) { text += text + 1; all.push(text); }",
        &patient(),
    );
    fills_memory("const map = new Map(); for (let i = 0;; i++) map.set(i, i);");
    fills_memory(
        "function f() { return new Array(1e6).fill(0); } const all = []; for (;;) all.push(f());",
    );
    fills_memory("for (const all = [];;) all.push(new Promise(() => {}).then(() => {}));");
    fills_memory(
        "const all = []; for (;;) { try { all.push(new Uint8Array(1 << 22)); } catch {} }",
    );
}

#[test]
fn single_huge_allocations_end_as_a_limit_or_error() {
    let limits = Limits { cpu: Duration::from_secs(5), ..patient() };
    for body in [
        "return 'x'.repeat(1e9).length;",
        "return 'x'.repeat(2 ** 29).padEnd(2 ** 30).length;",
        "return 'x'.padEnd(1e9, 'ab').length;",
        "return new Array(1e9).fill(0).length;",
        "return [...'.'.repeat(1e9)].length;",
        "return [...'.'.repeat(3e7)].length;",
        "return Array(2 ** 32 - 1).join('x').length;",
        "return new ArrayBuffer(2 ** 32).byteLength;",
        "return new ArrayBuffer(2 ** 31 - 1).byteLength;",
        "return new Float64Array(2 ** 28).length;",
        "const a = new ArrayBuffer(8, { maxByteLength: 2 ** 31 - 1 }); a.resize(2 ** 31 - 1); return a.byteLength;",
        "return Array.from({ length: 1e9 }).length;",
        "return JSON.stringify('\\u0000'.repeat(3e7)).length;",
        "return JSON.stringify([[]], null, 10).repeat(1e8).length;",
        "return encodeURIComponent('€'.repeat(2e7)).length;",
        "return new TextEncoder().encode('€'.repeat(3e7)).length;",
        "return 'a'.repeat(1e5).replaceAll('a', 'b'.repeat(1e5)).length;",
        "return btoa('x'.repeat(6e7)).length;",
        "return String.fromCharCode(...new Array(6e4).fill(65)).repeat(1e5).length;",
        "return structuredClone(new ArrayBuffer(5e7)).byteLength;",
    ] {
        ends_in_a_limit_or_error(body, &limits);
    }
}

#[test]
fn arrays_close_to_the_memory_limit_end_well() {
    // Sizes around what is left of 64 MiB: wherever the last allocation fails, the run has one end.
    for megabytes in [54, 56, 58, 60, 61, 62, 63, 64] {
        let outcome = attack(&modern(&format!(
            "const big = new Uint8Array({megabytes} << 20).fill(1); const more = [];
             try {{ for (let i = 0; i < 2e4; i++) more.push({{ i, text: 'x' + i }}); }} catch {{}}
             return big.length + more.length;"
        )));
        let ended =
            matches!(outcome, Outcome::Completed { .. } | Outcome::Limit { limit: Limit::Memory });
        assert!(ended, "{megabytes}: {outcome:?}");
    }
}

#[test]
fn a_snapshot_above_the_memory_limit_is_not_run() {
    let limits = Limits { memory: 1 << 20, ..patient() };
    assert_limit(&attack_within(&modern("return 1"), &limits), Limit::Memory);
}

#[test]
fn log_floods_meet_the_log_limit_and_keep_what_fitted() {
    for body in [
        "for (;;) console.log('x'.repeat(1000));",
        "for (;;) console.log();",
        "for (;;) console.error('');",
        "for (;;) context.logger.info({ a: 1 });",
        "for (;;) console.table([[1, 2], [3, 4]]);",
        "for (;;) console.count();",
        "for (;;) { console.group('g'); }",
    ] {
        let report = attack_report(&modern(body), "{}", &patient());
        assert_limit(&report.outcome, Limit::Log);
        let kept: usize = report.logs.iter().map(|line| line.text.len() + 16).sum();
        assert!(kept <= patient().log, "{body}");
    }
}

#[test]
fn one_huge_line_is_cut_or_meets_the_log_limit() {
    let report = attack_report(&modern("console.log('x'.repeat(1 << 20));"), "{}", &patient());
    assert!(
        report.outcome.is_success()
            || matches!(report.outcome, Outcome::Limit { limit: Limit::Log })
    );
    assert!(report.logs.iter().all(|line| line.text.len() <= patient().log));
}

#[test]
fn logging_hostile_objects_ends_within_the_limits() {
    for body in [
        "const a = {}; a.a = a; console.log(a); return 1;",
        "let a = {}; for (let i = 0; i < 1e5; i++) a = { a }; console.log(a); return 1;",
        "console.log(new Proxy({}, { get() { throw 1; }, ownKeys() { throw 1; } })); return 1;",
        "console.log({ get a() { throw 1; }, toString() { throw 1; }, [Symbol.toStringTag]: 5 }); return 1;",
        "console.log('%s %d %i %f %j %o %O %c %%', Symbol(), 1n, {}, [], () => {}); return 1;",
    ] {
        assert_eq!(crate::support::body(&attack(&modern(body))), json!(1), "{body}");
    }
}

#[test]
fn too_many_host_calls_meet_the_calls_limit() {
    let body =
        "for (let i = 0; i < 1e4; i++) context.hostCall('echo', i); await new Promise(() => {});";
    assert_limit(&attack_within(&modern(body), &patient()), Limit::Calls);
    let body = "for (;;) await context.hostCall('echo', 1);";
    assert_limit(&attack_within(&modern(body), &patient()), Limit::Calls);
}

#[test]
fn many_pending_host_calls_are_all_answered() {
    let limits = Limits { calls: 2000, ..patient() };
    let outcome = attack_within(
        &modern(
            "const all = Array.from({ length: 2000 }, (_, i) => context.hostCall('echo', i));
             return (await Promise.all(all)).reduce((a, b) => a + b);",
        ),
        &limits,
    );
    assert_eq!(body(&outcome), json!(1_999_000));
}

#[test]
fn host_call_arguments_too_large_meet_the_output_limit() {
    let limits = Limits { output: 1 << 16, ..patient() };
    for body in
        ["context.hostCall('x', 'y'.repeat(1 << 17))", "context.hostCall('x'.repeat(1 << 17), 1)"]
    {
        assert_limit(&attack_within(&modern(&format!("await {body}")), &limits), Limit::Output);
    }
}

#[test]
fn host_call_arguments_that_are_not_json_are_the_scripts_error() {
    for argument in
        ["10n", "() => {}", "Symbol()", "(() => { const a = []; a[0] = a; return a; })()"]
    {
        let outcome = attack(&modern(&format!("await context.hostCall('echo', {argument})")));
        assert_eq!(error(&outcome).name, "TypeError", "{argument}");
    }
    let outcome = attack(&modern("return await context.hostCall('echo', '\\ud800');"));
    assert_eq!(body(&outcome), json!("\u{fffd}"));
}

#[test]
fn output_above_its_limit_meets_it() {
    let limits = Limits { output: 1 << 16, ..patient() };
    for source in [
        modern("return 'x'.repeat(1 << 17);"),
        kinvey("response.complete(200, 'x'.repeat(1 << 17));"),
        kinvey("response.headers = { a: 'x'.repeat(1 << 17) }; response.complete(200);"),
    ] {
        assert_limit(&attack_within(&source, &limits), Limit::Output);
    }
}

#[test]
fn waiting_past_the_deadline_meets_the_wall_limit() {
    let limits = Limits { wall: Duration::from_millis(100), ..patient() };
    assert_limit(&attack_within(&modern("await context.hostCall('never');"), &limits), Limit::Wall);
    // The interval goes on as long as the run does.
    assert_limit(
        &attack_within(&modern("setInterval(() => {}, 1); await new Promise(() => {});"), &limits),
        Limit::Wall,
    );
}

#[test]
fn computing_past_the_deadline_meets_the_wall_limit() {
    let limits = Limits { wall: Duration::from_millis(50), ..patient() };
    assert_limit(&attack_within(&modern("for (;;);"), &limits), Limit::Wall);
}

#[test]
fn many_timers_end() {
    let outcome = attack(&modern(
        "let fired = 0; await new Promise((done) => {
           for (let i = 0; i < 2000; i++) setTimeout(() => { if (++fired === 2000) done(); }, i % 7);
         }); return fired;",
    ));
    assert_eq!(body(&outcome), json!(2000));
    ends_in_a_limit_or_error("for (let i = 0; i < 1e9; i++) setTimeout(() => {}, 1);", &brief());
    ends_in_a_limit_or_error(
        "const again = () => setImmediate(again); again(); await new Promise(() => {});",
        &brief(),
    );
}

#[test]
fn a_timer_far_away_dies_with_the_completed_run() {
    let outcome = attack(&kinvey("setTimeout(() => {}, 100000); response.complete(200, 1);"));
    assert_eq!(body(&outcome), json!(1));
}

/// Recursion, wherever in the engine it happens, is an error that the script could have caught.
#[test]
fn recursion_is_a_range_error_everywhere() {
    let recursions = [
        ("plain", "function f() { return f() + 1; } f();"),
        ("mutual", "const a = () => b() + 1, b = () => a() + 1; a();"),
        ("many arguments", "function f(...a) { return f(...a, 1) + 1; } f();"),
        ("toString", "const o = { toString() { return `${o}`; } }; `${o}`;"),
        ("valueOf", "const o = { valueOf() { return +o; } }; +o;"),
        ("getter", "const o = { get a() { return o.a; } }; o.a;"),
        ("setter", "const o = { set a(x) { o.a = x; } }; o.a = 1;"),
        ("proxy get", "const p = new Proxy({}, { get(t, k, r) { return r[k]; } }); p.x;"),
        ("proxy chain", "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x;"),
        (
            "prototype proxy",
            "const t = {}; const p = new Proxy(t, {}); Object.setPrototypeOf(t, p); t.x;",
        ),
        ("toJSON", "const o = { toJSON() { return JSON.stringify(o); } }; JSON.stringify(o);"),
        ("stringify", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a);"),
        ("reviver", "const r = () => JSON.parse('[1]', r); r();"),
        ("sort", "const s = () => [2, 1].sort(s); s();"),
        ("replace", "const r = () => 'x'.replace(/x/, r); r();"),
        ("flat", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.flat(Infinity);"),
        ("join", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.join();"),
        ("bound", "let f = () => {}; for (let i = 0; i < 2000; i++) f = f.bind(); f();"),
        ("generator", "function* g() { yield* g(); } g().next();"),
        ("class", "class A { constructor() { new A(); } } new A();"),
        ("apply", "function f() { return f.apply(null, [1, 2, 3]) + 1; } f();"),
        ("reflect", "function f() { return Reflect.construct(f, []); } f();"),
        ("eval", "const f = () => eval('f()'); f();"),
        (
            "instanceof",
            "class A { static [Symbol.hasInstance](x) { return x instanceof A; } } 1 instanceof A;",
        ),
        ("clone", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; structuredClone(a);"),
    ];
    let mut uncatchable = Vec::new();
    for (name, code) in recursions {
        let outcome = attack(&modern(&format!(
            "try {{ {code} }} catch (e) {{ return [e.name, e.message]; }} return 'no error';"
        )));
        if let Outcome::Error(error) = &outcome {
            uncatchable.push((name, error.message.clone()));
            continue;
        }
        if name == "join"
            || name == "clone"
            || name == "flat"
            || name == "bound"
            || name == "proxy chain"
        {
            // An engine may go without recursion here.
            continue;
        }
        assert_eq!(body(&outcome)[0], json!("RangeError"), "{name}: {outcome:?}");
        // And uncaught, from Kinvey's form.
        let outcome = attack(&kinvey(code));
        assert_eq!(error(&outcome).name, "RangeError", "{name}");
    }
    assert!(uncatchable.is_empty(), "the script could not catch: {uncatchable:?}");
}

#[test]
fn recursion_in_callbacks_is_the_scripts_error() {
    for source in [
        modern("await Promise.resolve().then(function f() { f(); });"),
        modern("const f = () => f(); await context.hostCall('echo', 1); f();"),
        kinvey("modules.hostCall('echo', 1, function f() { f(); });"),
        kinvey("setTimeout(function f() { f(); }, 1);"),
        kinvey("queueMicrotask(function f() { f(); });"),
        modern("return { toJSON: function f() { return f(); } };"),
        kinvey("function f() { response.complete(200, { toJSON: f }); } f();"),
        modern("console.log({ get a() { return this.a; } }); const f = () => f(); f();"),
    ] {
        assert_eq!(error(&attack(&source)).name, "RangeError", "{source}");
    }
}

#[test]
fn recursion_to_the_very_edge_still_answers() {
    // Completing, failing and logging with almost no stack left.
    for (act, source) in [
        (
            "complete",
            kinvey("function f() { try { f(); } catch { response.complete(200, 1); } } f();"),
        ),
        (
            "error",
            kinvey(
                "function f() { try { f(); } catch { response.error(new Error('edge')); } } f();",
            ),
        ),
        (
            "log",
            kinvey(
                "function f() { try { f(); } catch { console.log({ a: [1] }); } } f(); response.complete(200, 1);",
            ),
        ),
        (
            "call",
            kinvey(
                "function f() { try { f(); } catch { modules.hostCall('echo', { a: 1 }, () => response.complete(200, 1)); } } f();",
            ),
        ),
    ] {
        let limits = Limits { calls: 100_000, ..patient() };
        let outcome = attack_within(&source, &limits);
        let ended = matches!(
            outcome,
            Outcome::Completed { .. } | Outcome::Error(_) | Outcome::Limit { limit: Limit::Log }
        );
        assert!(ended, "{act}: {outcome:?}");
    }
}

#[test]
fn very_many_arguments_are_an_error_or_work() {
    for code in [
        "Math.max(...new Array(1e6).fill(1))",
        "Math.max.apply(null, new Array(1e6).fill(1))",
        "String.fromCharCode.apply(null, new Array(1e6).fill(65)).length",
        "[].concat(...new Array(1e6).fill([1])).length",
        "Reflect.apply(Math.max, null, { length: 1e6 })",
        "(function () { return arguments.length; }).apply(null, new Array(65534))",
        "Math.max.bind(null, ...new Array(6e4).fill(1))(...new Array(6e4).fill(1))",
        "new Array(...new Array(1e6).fill(1)).length",
        "(function f(n, ...a) { return n ? f.apply(null, [n - 1, ...a]) : a.length; })(20, ...new Array(6e4).fill(1))",
    ] {
        let limits = Limits { memory: 512 << 20, ..patient() };
        let outcome = attack_within(
            &modern(&format!("try {{ return {code}; }} catch (e) {{ return e.name; }}")),
            &limits,
        );
        assert!(outcome.is_success(), "{code}: {outcome:?}");
        let body = body(&outcome);
        assert!(
            body.is_number() || body == "RangeError" || body == "InternalError" || body.is_null(),
            "{code}: {body}"
        );
    }
}

#[test]
fn catching_everything_does_not_outlive_a_limit() {
    let report = attack_report(
        &modern("for (;;) try { for (;;) console.log('x'); } catch {} finally { for (;;); }"),
        "{}",
        &patient(),
    );
    assert_limit(&report.outcome, Limit::Log);
    let outcome = attack_within(
        &modern("try { for (;;); } catch { return 'caught'; } finally { return 'finally'; }"),
        &brief(),
    );
    assert_limit(&outcome, Limit::Cpu);
}

#[test]
fn an_unknown_handler_is_refused() {
    let snapshot = app(&modern("return 1"));
    for handler in [1, 1000, u32::MAX as usize] {
        let invocation = lode_sandbox::Invocation { handler, request: "{}" };
        let host = TestHost::default();
        let limits = patient();
        let outcome =
            block_on(lode_sandbox::run(&snapshot, &invocation, &limits, [1; 32], &host)).outcome;
        assert_well_formed(&outcome);
        assert_eq!(error(&outcome).name, "TypeError");
    }
    assert_engine_serves();
}

#[test]
fn a_request_larger_than_memory_meets_the_memory_limit() {
    let limits = Limits { memory: 8 << 20, ..patient() };
    let request = format!(r#"{{"body":"{}"}}"#, "x".repeat(16 << 20));
    let outcome = attack_report(&modern("return 1"), &request, &limits).outcome;
    assert_limit(&outcome, Limit::Memory);
}

#[test]
fn errors_while_out_of_stack_or_memory_stay_the_scripts() {
    let outcome = attack(&modern("const f = () => { try { f(); } catch (e) { throw e; } }; f();"));
    assert_error(&outcome, "RangeError", "stack");
}
