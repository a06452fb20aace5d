//! The libraries that Kinvey had among its modules, and common code: how scripts come by them, and what apps
//! that do not use them pay (nothing).

mod support;

use lode_sandbox::{BuildError, Outcome, Snapshot, Source};
use serde_json::{Value, json};
use support::{
    app, assert_error, body, deploy, error, kinvey, modern, patient, run_app, run_handler,
};

fn run_all(sources: &[Source], name: &str) -> Outcome {
    let snapshot = deploy(sources).expect("the app builds");
    run_handler(&snapshot, name, "{}", &patient()).outcome
}

/// What the expression, with all libraries at hand, comes to in both forms.
fn both(expression: &str) -> Value {
    let script = format!(
        "const {{ async: a, bluebird, bson, lodash, moment, underscore, validator }} = modules;
         Promise.resolve({expression}).then((value) => response.complete(200, value), response.error);"
    );
    let module = format!(
        "const {{ async: a, bluebird, bson, lodash, moment, underscore, validator }} = context;
         return {{ value: await ({expression}) }}"
    );
    let outcome = run_app(&kinvey(&script));
    let value = body(&outcome);
    let module = modern(&module);
    assert_eq!(body(&run_app(&module))["value"], value, "{expression}");
    value
}

#[test]
fn each_library_works() {
    for (expression, expected) in [
        ("lodash.chunk(lodash.map([{ a: 1 }, { a: 2 }, { a: 3 }], 'a'), 2)", json!([[1, 2], [3]])),
        ("[lodash.VERSION, lodash.cloneDeep({ a: [1] }), lodash.template('<%= a %>!')({ a: 1 })]",
         json!(["4.18.1", { "a": [1] }, "1!"])),
        ("underscore.pluck(underscore.where([{ a: 1, b: 2 }, { a: 2, b: 3 }], { a: 1 }), 'b')", json!([2])),
        ("moment.utc('2013-05-08T13:48:36Z').add(1, 'month').format('YYYY-MM-DD HH:mm')", json!("2013-06-08 13:48")),
        ("[validator.isEmail('a@b.org'), validator.isURL('nothing'), validator.isUUID('x')]", json!([true, false, false])),
        ("bluebird.map([1, 2, 3], (n) => bluebird.delay(5).then(() => n * 2), { concurrency: 2 })", json!([2, 4, 6])),
        ("bluebird.promisify((n, done) => setTimeout(() => done(null, n), 1))(7)", json!(7)),
        ("bluebird.all([1, bluebird.resolve(2)]).spread((x, y) => x + y)", json!(3)),
        ("a.mapLimit([1, 2, 3], 2, (n, done) => setTimeout(() => done(null, n * 2), 1))", json!([2, 4, 6])),
        ("new Promise((resolve) => a.waterfall([(next) => next(null, 1), (n, next) => setImmediate(next, null, n + 1)],
          (failure, n) => resolve([failure, n])))", json!([null, 2])),
        ("new Promise((resolve) => a.auto({ x: (done) => done(null, 1), y: ['x', (r, done) => done(null, r.x + 1)] },
          (failure, r) => resolve(r)))", json!({ "x": 1, "y": 2 })),
        ("[bson.ObjectID('518a57b4d79b4d4308000002'), bson.ObjectID === bson.ObjectId,
          bson.deserialize(bson.serialize({ a: [1, 'é', null] }))]".replace("bson.ObjectID('", "new bson.ObjectID('").as_str(),
         json!(["518a57b4d79b4d4308000002", true, { "a": [1, "é", null] }])),
    ] {
        assert_eq!(both(expression), expected, "{expression}");
    }
}

#[test]
fn libraries_are_required_and_imported() {
    let script =
        "const _ = require('lodash'); function onRequest(request, response, modules) {
           response.complete(200, [_.VERSION === require('lodash').VERSION, _ === modules.lodash]); }";
    assert_eq!(body(&run_app(script)), json!([true, true]));
    let module = "import _, { chunk, default as lodash } from 'lodash';
        import * as all from 'underscore';
        import each from 'async';
        export async function onRequest(request, context) {
          const { map } = await import('underscore');
          return [_ === context.lodash, chunk === _.chunk, lodash === _, all.default === context.underscore,
            map === all.map, typeof each.each];
        }";
    assert_eq!(body(&run_app(module)), json!([true, true, true, true, true, "function"]));
    // The app's own file comes first.
    let own = [
        Source::entry(
            "main.mjs",
            "import x from 'lodash'; export function onRequest() { return x }",
        ),
        Source::library("lodash.js", "export default 'mine'"),
    ];
    assert_eq!(body(&run_all(&own, "onRequest")), json!("mine"));
}

#[test]
fn what_is_not_there_is_said_clearly() {
    let outcome = run_app(&kinvey("modules['lod' + 'ash']"));
    assert_error(&outcome, "Error", "the library lodash is not in this deployment");
    let outcome = run_app(&kinvey("require('lod' + 'ash')"));
    assert_error(&outcome, "Error", "the library lodash is not in this deployment");
    let outcome =
        run_app(&kinvey("try { require('fs') } catch (e) { throw new Error(e.code + e.message) }"));
    assert_error(&outcome, "Error", "MODULE_NOT_FOUNDCannot find module 'fs'");
    let refused =
        deploy(&[Source::entry("app.mjs", "import 'left-pad'; export function onRequest() {}")]);
    assert!(matches!(refused, Err(BuildError::Script(e)) if e.message.contains("left-pad")));
}

#[test]
fn an_app_without_a_library_has_nothing_of_it() {
    let size = |text: &str| app(text).as_bytes().len();
    let plain = size(&kinvey("response.complete(200, 'losash');"));
    let other = size(&kinvey("response.complete(200, 'losesh');"));
    assert_eq!(plain, other);
    let lodash = size(&kinvey("response.complete(200, 'lodash');"));
    assert!(lodash > plain + 100_000, "{plain} {lodash}");
    let keyword = size("async function f() {} function onRequest(request, response) { f(); }");
    assert!(keyword < plain + 16_384, "{plain} {keyword}");
}

#[test]
fn no_frame_of_a_library_is_in_a_stack() {
    let outcome =
        run_app(&kinvey("\n  modules.lodash.map([1], () => {\n    throw new Error('mine'); });"));
    let error = error(&outcome);
    assert_eq!(error.position(), Some(("app.js", 3, 15)), "{}", error.stack);
    assert!(!error.stack.contains("lode:"), "{}", error.stack);
}

#[test]
fn a_librarys_own_state_does_not_outlive_a_run() {
    let script = "modules.lodash.templateSettings.n = (modules.lodash.templateSettings.n || 0) + 1;
        response.complete(200, modules.lodash.templateSettings.n);";
    let snapshot = app(&kinvey(script));
    for _ in 0..3 {
        let outcome = run_handler(&snapshot, "onRequest", "{}", &patient()).outcome;
        assert_eq!(body(&outcome), json!(1));
    }
}

// ---- common code ----

fn endpoint(text: &str) -> Source {
    Source::entry("endpoints/e.js", kinvey(text))
}

#[test]
fn common_code_shares_its_functions_by_name() {
    for entry in [true, false] {
        let common = |name: &str, text: &str| Source { entry, ..Source::entry(name, text) };
        let sources = [
            // Whatever the order that files come in.
            endpoint("response.complete(200, [timesTwo(4), LIMIT, again(), typeof onPreSave]);"),
            common(
                "common/maths.js",
                "var timesTwo = function (n) { return n * 2; }; const LIMIT = 5; function onPreSave() {}",
            ),
            common("common/more.js", "function again() { return timesTwo(LIMIT); }"),
        ];
        assert_eq!(body(&run_all(&sources, "e")), json!([8, 5, 10, "function"]));
        let snapshot = deploy(&sources).expect("the app builds");
        assert_eq!(snapshot.handlers().len(), 1, "common code has no handlers");
    }
}

#[test]
fn common_code_exports_to_those_that_require_it() {
    let sources = [
        endpoint(
            "const a = require('a'); const b = require('./common/b.js');
             response.complete(200, [a.one(), b(), typeof one, require('../common/a') === a]);",
        ),
        Source::library(
            "common/a.js",
            "const b = require('b'); function one() { return 1; } exports.one = one; exports.both = () => b() + one();",
        ),
        Source::library(
            "common/b.js",
            "var _ = require('lodash'); module.exports = function () { return _.sum([1, 1]) + require('a').one(); };",
        ),
    ];
    assert_eq!(body(&run_all(&sources, "e")), json!([1, 3, "undefined", true]));
}

#[test]
fn common_codes_mistakes_are_its_own() {
    let throws = [endpoint(""), Source::library("common/a.js", "\nthrow new Error('mine')")];
    assert!(
        matches!(deploy(&throws), Err(BuildError::Script(e)) if e.position() == Some(("common/a.js", 2, 11)))
    );
    let throws = [endpoint(""), Source::library("common/a.js", "\nexports.x = y.z")];
    let refused = deploy(&throws);
    let Err(BuildError::Script(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.position(), Some(("common/a.js", 2, 13)), "{}", refused.stack);
    let late = [
        endpoint("\n fails();"),
        Source::library("common/a.js", "function fails() { throw new TypeError('mine') }"),
    ];
    let outcome = run_all(&late, "e");
    let error = error(&outcome);
    assert_eq!(error.position(), Some(("common/a.js", 1, 30)), "{}", error.stack);
    assert!(error.stack.contains("onRequest (endpoints/e.js:2:"), "{}", error.stack);
    let module = [endpoint("require('m')"), Source::library("common/m.js", "export const x = 1")];
    assert_error(&run_all(&module, "e"), "TypeError", "'common/m.js' is a module: import it");
    let handler = [endpoint("require('endpoints/e')")];
    assert_error(&run_all(&handler, "e"), "TypeError", "exports nothing");
}

#[test]
fn a_library_that_no_run_touches_is_in_the_snapshot_and_read_only() {
    // Loading it is the deploy's work: a run's cost does not depend on it.
    let snapshot: Snapshot = app(&kinvey("response.complete(200, typeof modules.lodash.map);"));
    let again = app(&kinvey("response.complete(200, typeof modules.lodash.map);"));
    assert_eq!(snapshot.key(), again.key());
    assert_eq!(snapshot.as_bytes(), again.as_bytes(), "a deploy is the same each time");
}
