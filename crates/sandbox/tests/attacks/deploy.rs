//! Attacks by top-level code, while a snapshot is built.

use std::time::Duration;

use lode_sandbox::{BuildError, Form, Limit, Limits, Source, deploy_limits};
use serde_json::json;

use crate::support::{
    assert_engine_serves, body, brief, deploy, deploy_within, patient, run_handler,
};

const HANDLER: &str = "\nexport function onRequest() { return 1; }";

/// What deploying one module says, and the engine still serves.
fn refused(text: &str, limits: &Limits) -> BuildError {
    let source = Source::entry("evil.mjs", format!("{text}{HANDLER}"));
    let refusal = deploy_within(&[source], limits).0.expect_err("it must not deploy");
    assert!(!matches!(refusal, BuildError::Platform(_)), "{text}: {refusal:?}");
    assert_engine_serves();
    refusal
}

#[test]
fn a_loop_meets_the_cpu_limit() {
    let limits = Limits { cpu: Duration::from_millis(100), ..patient() };
    for text in [
        "for (;;);",
        "for (;;) await null;",
        "const f = () => queueMicrotask(f); f();",
        "/^(a+)+$/.test('a'.repeat(40) + 'b');",
        "Promise.resolve().then(function f() { return Promise.resolve().then(f); });",
    ] {
        let refusal = refused(text, &limits);
        assert!(matches!(refusal, BuildError::Limit(Limit::Cpu)), "{text}: {refusal:?}");
    }
}

#[test]
fn a_memory_bomb_meets_the_memory_limit() {
    let refusal =
        refused("const all = []; for (;;) all.push(new ArrayBuffer(1 << 20));", &patient());
    assert!(matches!(refusal, BuildError::Limit(Limit::Memory)), "{refusal:?}");
}

#[test]
fn a_log_flood_meets_the_log_limit() {
    let refusal = refused("for (;;) console.log('x');", &patient());
    assert!(matches!(refusal, BuildError::Limit(Limit::Log)), "{refusal:?}");
}

#[test]
fn the_default_limits_hold() {
    let refusal = refused("for (;;);", &deploy_limits());
    assert!(matches!(refusal, BuildError::Limit(Limit::Cpu)), "{refusal:?}");
}

#[test]
fn timers_are_refused() {
    for text in [
        "setTimeout(() => {}, 1);",
        "setInterval(() => {}, 1);",
        "setImmediate(() => {});",
        "try { setTimeout(() => {}); } catch {}",
        "await null; setTimeout(() => {}, 1);",
        "Promise.resolve().then(() => setTimeout(() => {}, 1));",
    ] {
        let refusal = refused(text, &patient());
        assert!(
            matches!(&refusal, BuildError::TopLevel(e) if e.message.contains("timer")),
            "{text}: {refusal:?}"
        );
    }
}

#[test]
fn a_host_call_is_refused() {
    // Nothing hands `hostCall` to top-level code, and `fetch` without one cannot do anything.
    for text in ["hostCall('x');", "modules.hostCall('x');", "context.hostCall('x');"] {
        let refusal = refused(text, &patient());
        assert!(
            matches!(&refusal, BuildError::Script(e) if e.name == "ReferenceError"),
            "{text}: {refusal:?}"
        );
    }
}

#[test]
fn an_await_that_never_settles_is_refused() {
    for text in ["await new Promise(() => {});", "await { then() {} };"] {
        let refusal = refused(text, &patient());
        assert!(matches!(refusal, BuildError::NeverSettles), "{text}: {refusal:?}");
    }
}

#[test]
fn throwing_and_rejecting_is_the_scripts_error() {
    for (text, name) in [
        ("throw new RangeError('mine');", "RangeError"),
        ("await Promise.reject(new RangeError('mine'));", "RangeError"),
        ("Promise.reject(new RangeError('mine'));", "RangeError"),
        ("throw new Proxy({}, { get() { throw 1; } });", "Error"),
        ("function f() { f(); } f();", "RangeError"),
        ("const o = { get a() { return o.a; } }; o.a;", "RangeError"),
        ("let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a);", "RangeError"),
    ] {
        let refusal = refused(text, &patient());
        assert!(matches!(&refusal, BuildError::Script(e) if e.name == name), "{text}: {refusal:?}");
    }
}

#[test]
fn getter_exports_of_a_classic_script_are_the_scripts_error() {
    let text = "Object.defineProperty(globalThis, 'onPreSave', { get() { throw new RangeError('mine'); } });
                function onRequest() {}";
    let refusal = deploy(&[Source::entry("evil.cjs", text)]).expect_err("it throws");
    assert!(matches!(&refusal, BuildError::Script(e) if e.name == "RangeError"), "{refusal:?}");
    assert_engine_serves();
}

#[test]
fn proxies_and_classes_as_exports_are_called_as_what_they_are() {
    let snapshot = deploy(&[Source::entry(
        "evil.mjs",
        "export const onRequest = new Proxy(() => 1, { apply() { return 2; }, get() { throw new Error('trap'); } });
         export const onPreSave = (() => { const { proxy, revoke } = Proxy.revocable(() => {}, {}); revoke(); return proxy; })();
         export class onPostSave {}
         export default { get onPreFetch() { throw 1; } };
         export const notCallable = new Proxy({}, { get() { throw 1; } });",
    )])
    .expect("it builds");
    let run = |name| run_handler(&snapshot, name, "{}", &patient()).outcome;
    assert_eq!(body(&run("onRequest")), json!(2));
    for name in ["onPreSave", "onPostSave"] {
        assert_eq!(crate::support::error(&run(name)).name, "TypeError");
    }
    assert_engine_serves();
}

#[test]
fn thousands_of_exports_are_thousands_of_handlers() {
    let text: String =
        (0..5000).map(|i| format!("export function f{i}() {{ return {i}; }}\n")).collect();
    let snapshot = deploy(&[Source::entry("many.mjs", text)]).expect("it builds");
    assert_eq!(snapshot.handlers().len(), 5000);
    assert_eq!(body(&run_handler(&snapshot, "f4999", "{}", &patient()).outcome), json!(4999));
}

#[test]
fn prototypes_poisoned_at_deploy_do_not_hide_or_forge_handlers() {
    for poison in [
        "Array.prototype.toJSON = () => 'x';",
        "String.prototype.toJSON = () => 'x';",
        "Object.prototype.toJSON = () => ({ handlers: [['forged', 'forged', 'module']] });",
        "Object.defineProperty(Array.prototype, 0, { set() { throw 1; }, get() { return 'x'; } });",
        "Object.defineProperty(Object.prototype, 'script', { get() { return 'x'; } });",
        "Array.prototype[Symbol.iterator] = () => { throw 1; };",
        "Object.freeze(Array.prototype); Object.freeze(Object.prototype);",
        "for (const key of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[key]; } catch {}",
    ] {
        let source = Source::entry("evil.mjs", format!("{poison}{HANDLER}"));
        let snapshot = deploy(&[source]).unwrap_or_else(|error| panic!("{poison}: {error:?}"));
        let listed: Vec<_> =
            snapshot.handlers().iter().map(|h| (&*h.script, &*h.name, h.form)).collect();
        assert_eq!(listed, [("evil.mjs", "onRequest", Form::Module)], "{poison}");
        assert_engine_serves();
    }
}

#[test]
fn a_to_json_left_at_deploy_does_not_break_the_app() {
    // Old libraries (Prototype.js, MooTools) really do this.
    let text = format!("Array.prototype.toJSON = function () {{ return this.slice(); }};{HANDLER}");
    let snapshot = deploy(&[Source::entry("library.mjs", text)]).expect("it builds");
    assert_eq!(body(&run_handler(&snapshot, "onRequest", "{}", &patient()).outcome), json!(1));
}

#[test]
fn hostile_names_of_sources_are_refused_or_shown_as_they_are() {
    for name in ["a\0b.js", "lode:run", "lode:x.js"] {
        let refusal =
            deploy(&[Source::entry(name, "function onRequest() {}")]).expect_err("refused");
        assert!(matches!(refusal, BuildError::Syntax(_)), "{name:?}: {refusal:?}");
    }
    for name in [
        "",
        "../x.js",
        "a\"b.js",
        "a\nb.js",
        "\u{202e}.js",
        "(native)",
        "x".repeat(10_000).as_str(),
    ] {
        let snapshot =
            deploy(&[Source::entry(name, "function onRequest() { null.x; }")]).expect("it builds");
        let report = run_handler(&snapshot, "onRequest", "{}", &patient());
        crate::support::assert_well_formed(&report.outcome);
        crate::support::assert_error(&report.outcome, "TypeError", "null");
    }
}

#[test]
fn breaking_out_of_the_wrapper_of_a_classic_script_is_a_syntax_error() {
    for text in [
        "} function onRequest() {} (function () {",
        "}) ; (function () { function onRequest() {}",
        "function onRequest() {} }); throw 1; ({",
        "return; function onRequest() {}",
        "function onRequest() {} /*",
        "function onRequest() {} `",
        "function onRequest() {} //",
        "function onRequest() {} <!-- x",
        "function onRequest() {} \\",
    ] {
        match deploy(&[Source::entry("evil.cjs", text)]) {
            Err(BuildError::Syntax(_)) => {}
            Ok(snapshot) => {
                // A comment at the end is harmless: the tail starts on a new line.
                assert_eq!(snapshot.handlers().len(), 1, "{text}");
                assert!(text.ends_with("//") || text.contains("<!--"), "{text}");
            }
            Err(other) => panic!("{text}: {other:?}"),
        }
    }
    assert_engine_serves();
}

#[test]
fn what_deploys_consume_is_not_a_runs() {
    let source = Source::entry(
        "app.mjs",
        format!("for (let i = 0; i < 1000; i++) console.log('x');{HANDLER}"),
    );
    let (built, logs) = deploy_within(&[source], &patient());
    let snapshot = built.expect("it builds");
    assert_eq!(logs.len(), 1000);
    let report = run_handler(&snapshot, "onRequest", "{}", &brief());
    assert!(report.logs.is_empty());
}
