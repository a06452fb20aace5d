//! What handlers get beside the request: Kinvey's modules, and the same for the modern form.

mod support;

use lode_sandbox::Outcome;
use serde_json::{Value, json};
use support::{app, body, kinvey, modern, patient, run_app, run_handler};

const REQUEST: &str = r#"{"appKey":"kid_1","body":{},"backend":{"appKey":"kid_1","masterToken":"m",
    "securityContext":"user","authenticated":{"userId":"u1","username":"ann","roles":[]},
    "clientAppVersion":"2.1","customRequestProperties":{"a":1}}}"#;

fn run(text: &str) -> Outcome {
    run_handler(&app(text), "onRequest", REQUEST, &patient()).outcome
}

#[test]
fn the_backend_is_known_to_the_contexts_and_no_part_of_the_request() {
    let expression = "[Object.keys(request), m.backendContext.getMasterSecret(),
        m.requestContext.getAuthenticatedUsername(), m.requestContext.clientAppVersion.minorVersion()]";
    let expected = json!([["appKey", "body"], "m", "ann", 1]);
    let script = kinvey(&format!("const m = modules; response.complete(200, {expression});"));
    assert_eq!(body(&run(&script)), expected);
    let module = modern(&format!("const m = context; return {expression}"));
    assert_eq!(body(&run(&module)), expected);
}

#[test]
fn custom_request_properties_come_back_once_set() {
    let properties = |outcome: &Outcome| match outcome {
        Outcome::Completed { custom_request_properties, .. }
        | Outcome::Continued { custom_request_properties, .. } => custom_request_properties
            .as_ref()
            .map(|json| serde_json::from_str::<Value>(json.get()).expect("JSON")),
        other => panic!("{other:?}"),
    };
    assert_eq!(properties(&run(&kinvey("response.complete(200);"))), None);
    let set = "modules.requestContext.setCustomRequestProperty('b', [2]);";
    let expected = Some(json!({ "a": 1, "b": [2] }));
    assert_eq!(properties(&run(&kinvey(&format!("{set} response.complete(200);")))), expected);
    let hook =
        format!("function onPreSave(request, response, modules) {{ {set} response.continue(); }}");
    let outcome = run_handler(&app(&hook), "onPreSave", REQUEST, &patient()).outcome;
    assert!(matches!(outcome, Outcome::Continued { .. }));
    assert_eq!(properties(&outcome), expected);
}

#[test]
fn collections_are_asked_for_by_host_calls() {
    // The host answers with what it was asked.
    let script =
        "modules.collectionAccess.collection('c').findOne({ n: /^x/i }, function (error, asked) {
        response.complete(200, asked); });";
    let asked = json!({ "collection": "c", "query": { "n": { "$regex": "^x", "$options": "i" } }, "options": {} });
    assert_eq!(body(&run_app(&kinvey(script))), asked);
    let module = "return await context.collectionAccess.collection('c').findOneAsync({ n: /^x/i })";
    assert_eq!(body(&run_app(&modern(module))), asked);
}

#[test]
fn a_script_cannot_forge_what_others_are_told() {
    // Prototypes changed while deploying do not reach what the modules hold.
    let script = "
        const seen = [];
        for (const key of ['backend', 'creator', 'query', 'appKey', 'masterToken']) {
          Object.defineProperty(Object.prototype, key, {
            get() { seen.push(key); return 'forged'; }, set() { seen.push(key); }, configurable: true });
        }
        function onRequest(request, response, modules) {
          modules.collectionAccess.collection('c').findOne({}, function (error, asked) {
            const answer = [seen.slice(), asked.collection, modules.backendContext.getMasterSecret(),
              modules.requestContext.getAuthenticatedUserId()];
            response.complete(200, answer);
          });
        }";
    assert_eq!(body(&run(script)), json!([[], "c", "m", "u1"]));
}
