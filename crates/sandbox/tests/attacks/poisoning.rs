//! Built-ins replaced before ours would need them, and hostile use of what handlers are given.

use serde_json::json;

use crate::support::{
    assert_error, assert_limit, attack, attack_within, body, brief, error, kinvey, modern,
};
use lode_sandbox::{Limit, Outcome};

/// Both forms still work with the poison in place: an answer, a log line, a host call and an error.
fn survives(poison: &str) {
    let answer = attack(&modern(&format!("{poison}; return {{ a: 1 }};")));
    assert_eq!(body(&answer), json!({ "a": 1 }), "{poison}");
    let answer =
        attack(&kinvey(&format!("{poison}; response.body = {{ a: 1 }}; response.complete(201);")));
    assert_eq!(body(&answer), json!({ "a": 1 }), "{poison}");
    let thrown = attack(&modern(&format!("{poison}; throw new TypeError('mine');")));
    assert_error(&thrown, "TypeError", "mine");
    let called = attack(&kinvey(&format!(
        "{poison}; console.log('a', {{ b: [1, new Map()] }}); modules.logger.info({{ a: 1 }});
         modules.hostCall('echo', {{ a: 1 }}, (error, result) => response.complete(200, result));"
    )));
    assert_eq!(body(&called), json!({ "a": 1 }), "{poison}");
}

#[test]
fn array_and_promise_species_are_not_consulted() {
    survives(
        "for (const C of [Array, Promise, RegExp, ArrayBuffer, Map, Set])
           Object.defineProperty(C, Symbol.species, { get() { throw new Error('species'); } })",
    );
}

#[test]
fn a_patched_promise_then_is_not_called() {
    survives("Promise.prototype.then = function () { throw new Error('then'); }");
    survives("Promise.resolve = Promise.reject = Promise.all = () => { throw new Error('x'); }");
    survives(
        "Object.defineProperty(Promise.prototype, 'constructor', { get() { throw new Error('c'); } })",
    );
}

#[test]
fn a_then_on_object_prototype_is_the_scripts_own_doing() {
    // The language itself asks every returned object for `then`: an async function that returns one
    // settles as it says.
    let outcome = attack(&modern(
        "Object.prototype.then = function (f) { delete Object.prototype.then; f('mine'); }; return {};",
    ));
    assert_eq!(body(&outcome), json!("mine"));
    let outcome = attack(&modern("Object.prototype.then = () => {}; return {};"));
    assert!(matches!(outcome, Outcome::NeverCompleted), "{outcome:?}");
    let outcome =
        attack(&kinvey("Object.prototype.then = () => {}; response.complete(200, { a: 1 });"));
    assert_eq!(body(&outcome), json!({ "a": 1 }));
}

#[test]
fn a_thenable_answer_is_awaited() {
    let outcome = attack("export function onRequest() { return { then(ok) { ok({ a: 1 }); } }; }");
    assert_eq!(body(&outcome), json!({ "a": 1 }));
    let outcome = attack(
        "export function onRequest() { return { get then() { throw new RangeError('t'); } }; }",
    );
    assert_error(&outcome, "RangeError", "t");
}

#[test]
fn patched_json_is_not_called() {
    survives("JSON.stringify = JSON.parse = () => { throw new Error('JSON'); }; JSON.rawJSON = 1");
}

#[test]
fn setters_on_prototypes_see_nothing() {
    survives(
        "for (const P of [Array.prototype, Object.prototype])
           for (let i = 0; i < 64; i++)
             Object.defineProperty(P, i, { configurable: true,
               set() { throw new Error('setter'); }, get() { return undefined; } })",
    );
}

#[test]
fn a_setter_on_object_prototype_sees_nothing() {
    survives(
        "Object.defineProperty(Object.prototype, 0, { set() { throw new Error('setter'); }, get() { return undefined; } })",
    );
}

#[test]
fn a_setter_on_array_prototype_sees_nothing() {
    survives(
        "Object.defineProperty(Array.prototype, 0, { set() { throw new Error('setter'); }, get() { return undefined; } })",
    );
}

#[test]
fn inherited_options_and_descriptors_are_not_read() {
    survives(
        "for (const key of ['get', 'set', 'value', 'writable', 'enumerable', 'configurable', 'status',
            'headers', 'params', 'tempObjectStore', 'script', 'depth'])
           Object.defineProperty(Object.prototype, key, { __proto__: null, configurable: true,
             get() { return undefined; }, set() { throw new Error(key); } })",
    );
}

#[test]
fn patched_strings_are_not_called() {
    survives(
        "for (const P of [String.prototype, Array.prototype, Number.prototype, RegExp.prototype, Function.prototype])
           for (const key of Object.getOwnPropertyNames(P))
             if (key !== 'constructor' && key !== 'length')
               try { Object.defineProperty(P, key, { value() { throw new Error('patched ' + key); } }); } catch {}",
    );
}

#[test]
fn a_patched_concat_is_not_called_by_our_template_literals() {
    survives("String.prototype.concat = () => { throw new Error('concat'); }");
}

#[test]
fn patched_symbols_are_not_called() {
    survives(
        "for (const P of [Array.prototype, String.prototype, Map.prototype, Object.getPrototypeOf([][Symbol.iterator]())])
           P[Symbol.iterator] = P.next = () => { throw new Error('iterator'); };
         String.prototype[Symbol.toPrimitive] = Object.prototype[Symbol.toPrimitive] = undefined;
         Object.defineProperty(Object, Symbol.hasInstance, { value() { throw new Error('instance'); } })",
    );
}

#[test]
fn to_json_runs_as_the_script() {
    let outcome = attack(&modern("return { toJSON() { return { a: 1 }; } };"));
    assert_eq!(body(&outcome), json!({ "a": 1 }));
    let outcome = attack(&modern("return { toJSON() { throw new RangeError('mine'); } };"));
    assert_error(&outcome, "RangeError", "mine");
    assert_limit(
        &attack_within(&modern("return { toJSON() { for (;;); } };"), &brief()),
        Limit::Cpu,
    );
    // One that answers by itself: the first answer is the only one.
    let outcome = attack(&kinvey(
        "response.complete(200, { toJSON() { response.complete(201, 'inner'); } });",
    ));
    assert!(matches!(outcome, Outcome::Completed { status: 201, .. }), "{outcome:?}");
}

#[test]
fn to_json_on_prototypes_cannot_malform_an_answer() {
    // Ours is an object without a prototype, so that it is asked for no toJSON.
    let outcome = attack(&modern(
        "Object.prototype.toJSON = function () { return 'replaced'; }; return { a: 1 };",
    ));
    assert_eq!(body(&outcome), json!("replaced"));
    for replaced in ["'x'", "[]", "1", "null"] {
        let outcome = attack(&modern(&format!(
            "String.prototype.toJSON = Number.prototype.toJSON = Boolean.prototype.toJSON =
             Object.prototype.toJSON = () => {replaced}; throw new TypeError('mine');"
        )));
        error(&outcome);
    }
}

#[test]
fn a_hijacked_reviver_and_raw_json_stay_well_formed() {
    let outcome = attack(&modern(
        "JSON.parse('[1,2]', function (key, value) { this.length = 0; return value; });
         const raw = typeof JSON.rawJSON === 'function' ? JSON.rawJSON('1e999') : 1;
         return { raw };",
    ));
    assert!(body(&outcome)["raw"].is_number() || error_is_script(&outcome));
}

fn error_is_script(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Error(_))
}

#[test]
fn deleted_globals_are_not_missed() {
    survives(
        "const all = globalThis, Keep = TypeError, drop = Reflect.deleteProperty;
         for (const key of Object.getOwnPropertyNames(all)) drop(all, key);
         all.console = { log() {} }; all.TypeError = Keep; all.Map = class {}",
    );
    survives("delete globalThis.Promise; delete globalThis.JSON; delete globalThis.Error");
    survives("globalThis.Promise = globalThis.Error = globalThis.Object = globalThis.Array = null");
}

#[test]
fn frozen_prototypes_do_not_matter() {
    survives(
        "for (const C of [Object, Array, Function, Error, TypeError, Promise, String, Map]) {
           Object.freeze(C.prototype); Object.freeze(C);
         }
         Object.freeze(globalThis.console)",
    );
}

#[test]
fn only_the_first_completion_counts_and_nothing_runs_after_it() {
    let report = crate::support::attack_report(
        &kinvey(
            "try { response.complete(201, 'first'); } finally { console.log('after'); }
             console.log('after'); response.complete(202, 'second');",
        ),
        "{}",
        &crate::support::patient(),
    );
    assert!(matches!(report.outcome, Outcome::Completed { status: 201, .. }), "{report:?}");
    assert!(report.logs.is_empty(), "{:?}", report.logs);
}

#[test]
fn hostile_statuses_are_the_scripts_error() {
    for status in
        ["99", "600", "0", "-1", "1e9", "NaN", "Infinity", "200.5", "'x'", "{}", "2 ** 32 + 200"]
    {
        let outcome = attack(&kinvey(&format!("response.complete({status}, 1)")));
        assert_error(&outcome, "RangeError", "HTTP status");
    }
    for status in ["Symbol()", "200n", "{ valueOf() { throw new TypeError(); } }"] {
        let outcome = attack(&kinvey(&format!("response.complete({status}, 1)")));
        assert_eq!(error(&outcome).name, "TypeError", "{status}");
    }
    let outcome = attack(&kinvey("response.statusCode = 1000; response.continue();"));
    assert_error(&outcome, "RangeError", "HTTP status");
}

#[test]
fn hostile_bodies_are_the_scripts_error() {
    let cases = [
        ("10n", "TypeError"),
        ("(() => { const a = {}; a.a = a; return a; })()", "TypeError"),
        ("{ get a() { throw new RangeError('mine'); } }", "RangeError"),
        ("new Proxy({}, { ownKeys() { throw new RangeError('mine'); } })", "RangeError"),
    ];
    for (value, name) in cases {
        for source in [
            modern(&format!("return {value};")),
            kinvey(&format!("response.complete(200, {value});")),
            kinvey(&format!("response.body = {value}; response.continue();")),
        ] {
            assert_eq!(error(&attack(&source)).name, name, "{source}");
        }
    }
}

#[test]
fn bodies_that_json_leaves_out_are_no_body() {
    for value in ["() => {}", "Symbol()", "undefined"] {
        let outcome = attack(&kinvey(&format!("response.body = {value}; response.complete(200);")));
        assert!(matches!(outcome, Outcome::Completed { body: None, .. }), "{value}: {outcome:?}");
    }
}

#[test]
fn hostile_headers_are_text_or_the_scripts_error() {
    for headers in ["'x'", "[1]", "5", "{ a: {} }", "{ a: [1] }"] {
        error(&attack(&kinvey(&format!("response.headers = {headers}; response.complete(200);"))));
    }
    let outcome = attack(&kinvey(
        "response.headers = { 'a\\r\\nb': 'c\\r\\nd: e' }; response.complete(200);",
    ));
    assert!(outcome.is_success() || error_is_script(&outcome));
}

#[test]
fn replaced_response_and_modules_change_nothing_of_ours() {
    let outcome = attack(&kinvey(
        "const complete = response.complete;
         for (const key of Object.keys(response)) delete response[key];
         Object.setPrototypeOf(response, new Proxy({}, { get() { throw new Error('trap'); } }));
         Object.defineProperty(response, 'headers', { value: undefined });
         Object.defineProperty(response, 'body', { value: undefined });
         Object.freeze(response); modules.logger.info = null;
         complete.call(null, 202, 'ok');",
    ));
    assert_eq!(body(&outcome), json!("ok"));
}

#[test]
fn a_thousand_unhandled_rejections_are_one_error() {
    let outcome =
        attack(&kinvey("for (let i = 0; i < 1000; i++) Promise.reject(new RangeError('r' + i));"));
    assert_error(&outcome, "RangeError", "r0");
    let outcome = attack(&modern(
        "for (let i = 0; i < 1000; i++) { const p = Promise.reject(i); p.catch(() => {}); } return 1;",
    ));
    assert_eq!(body(&outcome), json!(1));
}

#[test]
fn a_megabyte_of_error_message_is_cut() {
    let outcome = attack(&modern(
        "const e = new TypeError('x'.repeat(1 << 20)); e.stack = 'y'.repeat(1 << 20); e.name = 'z'.repeat(1 << 20); throw e;",
    ));
    let error = error(&outcome);
    for (text, max) in [(&error.name, 4096), (&error.message, 4096), (&error.stack, 8192)] {
        assert!(text.chars().count() <= max + 64, "{}", text.len());
    }
    let outcome = attack(&modern("throw 'x'.repeat(1 << 20);"));
    assert!(crate::support::error(&outcome).message.len() < 5000);
    let outcome =
        attack(&modern("throw Array.from({ length: 1e5 }, () => ({ a: 'x'.repeat(100) }));"));
    assert!(crate::support::error(&outcome).message.len() < 5000);
}

#[test]
fn finalizers_and_weak_references_see_nothing_after_the_end() {
    let report = crate::support::attack_report(
        &kinvey(
            "const registry = new FinalizationRegistry(() => { console.log('finalized'); response.complete(500); });
             for (let i = 0; i < 1e4; i++) registry.register({ big: new Array(10) }, i);
             const weak = new WeakRef({});
             setTimeout(() => console.log('timer'), 1); setInterval(() => {}, 1);
             queueMicrotask(() => console.log('microtask'));
             Promise.resolve().then(() => console.log('promise'));
             response.complete(200, 'done');",
        ),
        "{}",
        &crate::support::patient(),
    );
    assert_eq!(body(&report.outcome), json!("done"));
    assert!(report.logs.iter().all(|line| line.text == "finalized"), "{:?}", report.logs);
}
