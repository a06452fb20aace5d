//! Ways out of the script, to globals it should not have or frames that are not its own.

use serde_json::json;

use crate::support::{
    assert_error, assert_limit, attack, attack_report, attack_within, body, brief, error, kinvey,
    modern, patient,
};
use lode_sandbox::Limit;

#[test]
fn function_constructors_reach_only_the_guests_own_globals() {
    let outcome = attack(&modern(
        "const kinds = [function () {}, function* () {}, async function () {}, async function* () {}];
         const found = [];
         for (const kind of kinds) {
           const made = kind.constructor('return Object.keys(globalThis).concat(typeof process, \
             typeof native, typeof internal, typeof primordials, typeof WebAssembly, typeof SharedArrayBuffer)');
           let result = made();
           if (typeof result.next === 'function') result = result.next();
           result = await result;
           if (!Array.isArray(result)) result = result.value;
           found.push(result.slice(-6).every((type) => type === 'undefined'));
         }
         return found;",
    ));
    assert_eq!(body(&outcome), json!([true, true, true, true]));
}

#[test]
fn constructors_of_given_objects_lead_nowhere_else() {
    let outcome = attack(&kinvey(
        "const given = [request, response, modules, modules.logger, modules.hostCall, response.complete, console.log];
         response.complete(200, given.map((value) =>
           value.constructor === undefined ||
           value.constructor.constructor('return this')() === globalThis));",
    ));
    assert_eq!(body(&outcome), json!([true, true, true, true, true, true, true]));
}

#[test]
fn eval_and_function_stay_inside() {
    let outcome = attack(&modern(
        "const direct = eval('typeof request'); const indirect = (0, eval)('typeof request');
         return [direct, indirect, new Function('return typeof process + typeof module')()];",
    ));
    assert_eq!(body(&outcome), json!(["object", "undefined", "undefinedundefined"]));
}

/// There is a `require`, and it is not Node's.
#[test]
fn require_finds_nothing_outside_the_deployment() {
    for name in [
        "fs",
        "node:fs",
        "module",
        "lode:run",
        "lode:lodash",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "",
        ".",
        "../../../etc/passwd",
        "/etc/passwd",
    ] {
        let outcome = attack(&modern(&format!("return require('{name}')")));
        assert_error(&outcome, "Error", "Cannot find module");
    }
}

#[test]
fn dynamic_import_finds_nothing_outside_the_deployment() {
    for specifier in [
        "fs",
        "node:fs",
        "std",
        "os",
        "lode:run",
        "file:///etc/passwd",
        "../../../etc/passwd",
        "/etc/passwd",
    ] {
        let outcome = attack(&modern(&format!("return await import('{specifier}')")));
        assert_error(&outcome, "ReferenceError", "cannot find module");
    }
}

#[test]
fn prepare_stack_trace_sees_no_frame_of_ours() {
    let outcome = attack(&modern(
        "const seen = [];
         Error.prepareStackTrace = (error, frames) => {
           for (const frame of frames) {
             const name = String(frame.getFileName());
             seen.push(name);
             const callee = typeof frame.getFunction === 'function' ? frame.getFunction() : undefined;
             if (name.includes('lode:') && callee !== undefined) seen.push('lode:function ' + callee.name);
           }
           return 'gone';
         };
         try { context.hostCall('x', 1, 'not a function'); } catch (e) { e.stack; }
         try { setTimeout(1); } catch (e) { e.stack; }
         try { new Error('x').stack; } catch {}
         return seen.filter((name) => name.includes('lode:'));",
    ));
    assert_eq!(body(&outcome), json!([]));
}

#[test]
fn a_throwing_prepare_stack_trace_changes_only_the_scripts_stack() {
    let outcome =
        attack(&modern("Error.prepareStackTrace = () => { throw new Error('poison'); }; null.x;"));
    error(&outcome);
    let outcome =
        attack(&modern("Error.prepareStackTrace = () => ({ toString() { for (;;); } }); null.x;"));
    assert_error(&outcome, "TypeError", "null");
}

#[test]
fn stack_trace_limit_may_be_anything() {
    for limit in ["Infinity", "-1", "1e9", "NaN", "'x'", "{ valueOf() { throw 1; } }"] {
        let outcome = attack(&modern(&format!("Error.stackTraceLimit = {limit}; null.x;")));
        error(&outcome);
    }
}

#[test]
fn no_error_shows_a_frame_of_ours() {
    let outcome = attack(&modern(
        "const stacks = [];
         const attempts = [
           () => setTimeout(1), () => new URL('x'), () => structuredClone(() => {}), () => atob('*'),
           () => crypto.getRandomValues(1), () => new Headers([1]), () => new TextDecoder('x'),
           () => context.hostCall(Symbol()), () => context.hostCall('x', undefined, 1),
           () => [1].map(() => { throw new Error(); }), () => [1].map(setTimeout),
         ];
         for (const attempt of attempts) {
           try { await attempt(); } catch (e) { stacks.push(e.stack); }
         }
         const foreign = stacks.filter((stack) => !stack.includes('app.js:'));
         try { await context.hostCall('fail'); } catch (e) { stacks.push(e.stack); }
         return stacks.filter((stack) => typeof stack !== 'string' || stack.includes('lode:')).concat(foreign);",
    ));
    assert_eq!(body(&outcome), json!([]));
}

#[test]
fn no_log_and_no_outcome_shows_a_frame_of_ours() {
    let report = attack_report(
        &modern(
            "console.trace('here');
             try { setTimeout(1); } catch (e) { console.log(e); }
             context.hostCall('x', 1, 'not a function');",
        ),
        "{}",
        &patient(),
    );
    let logs: Vec<&str> = report.logs.iter().map(|line| line.text.as_str()).collect();
    for text in logs.iter().copied().chain([error(&report.outcome).stack.as_str()]) {
        assert!(text.contains("app.js:") && !text.contains("lode:"), "{text}");
    }
    assert!(logs.len() == 2 && logs[0].starts_with("Trace: here\n    at "), "{logs:?}");
}

#[test]
fn callers_and_arguments_of_our_functions_are_hidden() {
    let outcome = attack(&kinvey(
        "const seen = [];
         function spy() { try { seen.push(spy.caller); } catch { seen.push(null); }
           try { seen.push(arguments.callee.caller); } catch { seen.push(null); } return 1; }
         const trap = { toString: spy, valueOf: spy, toJSON: spy };
         console.log(trap); modules.hostCall(trap, trap); setTimeout(spy, trap);
         response.complete(200, seen.every((x) => x === null || x === undefined));",
    ));
    assert_eq!(body(&outcome), json!(true));
}

#[test]
fn getters_and_proxies_on_thrown_values_run_in_the_guest_only() {
    let thrown = [
        (
            "new Proxy({}, { get() { throw 1; }, ownKeys() { throw 2; }, getPrototypeOf() { throw 3; } })",
            "",
        ),
        ("new Proxy(new Error('x'), { get() { throw 1; } })", ""),
        ("new Proxy(function () {}, { apply() { for (;;); } })", ""),
        ("Object.defineProperty(new Error('m'), 'message', { get() { throw 1; } })", ""),
        ("Object.defineProperty(new Error('m'), 'name', { get() { return {}; } })", "m"),
        ("Object.defineProperty(new Error('m'), 'stack', { get() { return 5; } })", "m"),
        ("{ toString() { throw 1; }, [Symbol.toPrimitive]() { throw 2; } }", ""),
        ("Object.setPrototypeOf(new Error('m'), null)", "m"),
        (
            "(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })()",
            "",
        ),
        ("Symbol('s')", "Symbol(s)"),
        ("undefined", "undefined"),
        ("null", "null"),
        ("10n", "10n"),
    ];
    for (value, message) in thrown {
        let outcome = attack(&modern(&format!("throw {value}")));
        assert!(error(&outcome).message.contains(message), "{value}: {outcome:?}");
        let outcome = attack(&kinvey(&format!("response.error({value} ?? null)")));
        error(&outcome);
    }
}

#[test]
fn an_endless_getter_on_a_thrown_value_meets_the_cpu_limit() {
    let source =
        modern("throw Object.defineProperty(new Error('m'), 'message', { get() { for (;;); } });");
    assert_limit(&attack_within(&source, &brief()), Limit::Cpu);
}

#[test]
fn proto_keys_in_a_request_are_plain_properties() {
    let source = modern(
        "const body = request.body;
         return { polluted: ({}).polluted ?? null, own: Object.hasOwn(body, '__proto__'),
                  proto: Object.getPrototypeOf(body) === Object.prototype };",
    );
    let request = r#"{"body":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":2}}},
                      "__proto__":{"polluted":3}}"#;
    let outcome = attack_report(&source, request, &patient()).outcome;
    assert_eq!(body(&outcome), json!({ "polluted": null, "own": true, "proto": true }));
}

#[test]
fn a_request_that_is_not_an_object_is_refused_in_the_scripts_name() {
    for request in ["null", "1", "[]", "\"x\"", "true"] {
        let outcome = attack_report(&modern("return 1"), request, &patient()).outcome;
        assert_error(&outcome, "TypeError", "not a JSON object");
    }
}

#[test]
fn odd_numbers_and_lone_surrogates_in_requests_and_answers() {
    let request = r#"{"body":{"a":1e999,"b":-0,"c":123456789012345678901234567890,"d":"\ud800","e":"\u0000"}}"#;
    let source = modern(
        "return [request.body.a === Infinity, request.body, '\\udc00\\ud800', { '\\ud800': 1 }, NaN, 1e308 * 10, -0]",
    );
    let outcome = attack_report(&source, request, &patient()).outcome;
    let body = body(&outcome);
    assert_eq!(body[0], true);
    assert_eq!(body[1]["d"], "\u{fffd}");
    assert_eq!(body[2], "\u{fffd}\u{fffd}");
    assert_eq!(body[3], json!({ "\u{fffd}": 1 }));
    assert_eq!(body[4], json!(null));
}
