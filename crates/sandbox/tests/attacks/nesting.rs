//! Nesting bombs: in answers, in requests, and in source text.

use lode_sandbox::{BuildError, Source};
use serde_json::json;

use crate::support::{
    assert_engine_serves, assert_error, attack, attack_report, body, deploy, error, kinvey, modern,
    patient,
};

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn deep_answers_are_the_scripts_error() {
    for (depth, fits) in [(100, true), (200, false), (1000, false)] {
        let source =
            modern(&format!("let a = 1; for (let i = 0; i < {depth}; i++) a = [a]; return a;"));
        let outcome = attack(&source);
        if fits {
            body(&outcome);
        } else {
            assert_error(&outcome, "RangeError", "nested deeper");
        }
    }
    for make in ["a = [a]", "a = { a }"] {
        let source = kinvey(&format!(
            "let a = 1; for (let i = 0; i < 1e5; i++) {make}; response.complete(200, a);"
        ));
        assert_eq!(error(&attack(&source)).name, "RangeError");
    }
}

#[test]
fn deep_host_call_arguments_are_the_scripts_error() {
    let source = modern(
        "let a = 1; for (let i = 0; i < 500; i++) a = [a]; return await context.hostCall('echo', a);",
    );
    error(&attack(&source));
}

#[test]
fn deep_json_text_is_parsed_or_a_range_error() {
    for (open, close) in [("[", "]"), (r#"{\"a\":"#, "}")] {
        let outcome = attack(&modern(&format!(
            "try {{ JSON.parse('{open}'.repeat(1e6) + '1' + '{close}'.repeat(1e6)); return 'parsed'; }}
             catch (e) {{ return e.name; }}"
        )));
        let name = body(&outcome);
        assert!(name == "RangeError" || name == "parsed" || name == "SyntaxError", "{name}");
    }
}

#[test]
fn a_deep_request_is_parsed_or_the_scripts_error() {
    for depth in [100, 1000, 100_000] {
        let request = format!(r#"{{"body":{}}}"#, nested("[", "", "]", depth));
        let outcome = attack_report(&modern("return 1"), &request, &patient()).outcome;
        if depth <= 1000 {
            assert_eq!(body(&outcome), json!(1));
        } else {
            error(&outcome);
        }
    }
}

/// Deploying ends as a snapshot or as its author's error.
fn builds_or_is_refused(what: &str, text: String) {
    for name in ["bomb.js", "bomb.mjs", "bomb.cjs"] {
        match deploy(&[Source::entry(name, text.clone())]) {
            Ok(_) => {}
            Err(BuildError::Syntax(_) | BuildError::Script(_) | BuildError::NoHandler) => {}
            Err(BuildError::Limit(limit)) => {
                assert_eq!(limit, lode_sandbox::Limit::Memory, "{what}")
            }
            Err(other) => panic!("{what}: {other:?}"),
        }
    }
    assert_engine_serves();
}

#[test]
fn deep_source_is_a_snapshot_or_the_authors_error() {
    const N: usize = 100_000;
    let tail = "; function onRequest() {}";
    for (what, open, inner, close) in [
        ("parentheses", "(", "1", ")"),
        ("brackets", "[", "1", "]"),
        ("objects", "({a:", "1", "})"),
        ("blocks", "{", "", "}"),
        ("open parentheses", "(", "", ""),
        ("open braces", "{", "", ""),
        ("negations", "!", "1", ""),
        ("typeofs", "typeof ", "1", ""),
        ("arrows", "()=>", "1", ""),
        ("functions", "(function(){", "", "})"),
        ("classes", "(class{m(){", "", "}})"),
        ("class heads", "class A extends ", "B{}", ""),
        ("templates", "`${", "1", "}`"),
        ("ifs", "if(1)", ";", ""),
        ("else-ifs", "if(0);else ", ";", ""),
        ("loops", "for(;;)", ";", ""),
        ("labels", "a", ":;", ""),
        ("tries", "try{", "", "}finally{}"),
        ("ternaries", "1?", "1", ":1"),
        ("assignments", "a=", "1", ""),
        ("powers", "1**", "1", ""),
        ("commas", "1,", "1", ""),
        ("sums", "1+", "1", ""),
        ("members", "a[", "1", "]"),
        ("calls", "f(", "", ")"),
        ("news", "new ", "f", ""),
        ("patterns", "[", "a", "]"),
        ("optional chains", "a?.[", "1", "]"),
        ("spreads", "[...", "[]", "]"),
        ("awaits", "await ", "1", ""),
    ] {
        builds_or_is_refused(what, nested(open, inner, close, N) + tail);
    }
    builds_or_is_refused("patterns", format!("var {} = 1{tail}", nested("[", "a", "]", N)));
    builds_or_is_refused("parameters", format!("(({}) => 1){tail}", nested("{a:", "a", "}", N)));
    builds_or_is_refused("chain", format!("var a{}{tail}", ".a".repeat(N)));
    builds_or_is_refused(
        "one long line of names",
        format!("var {}a{tail}", (0..50_000).map(|i| format!("v{i},")).collect::<String>()),
    );
}

#[test]
fn deep_source_evaluated_in_a_run_is_the_scripts_error() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!", ""),
        ("()=>", ""),
        ("`${", "}`"),
        ("{", "}"),
        ("(class{m(){", "}})"),
    ] {
        let outcome = attack(&modern(&format!(
            "const close = '{close}';
             try {{ (0, eval)('{open}'.repeat(1e5) + (close === '' || close === ')' || close === '}}`' ? '1' : '') + close.repeat(1e5)); return 'ran'; }}
             catch (e) {{ return e.name; }}"
        )));
        assert!(outcome.is_success(), "{open}: {outcome:?}");
        let name = body(&outcome);
        let known = ["RangeError", "SyntaxError", "InternalError", "ran"];
        assert!(known.iter().any(|k| name == *k), "{open}: {name}");
    }
}

#[test]
fn deep_regexes_are_refused_or_work() {
    for (open, inner, close) in [
        ("(", "a", ")"),
        ("(?:", "a", ")"),
        ("(?=", "a", ")"),
        ("(?<!", "a", ")"),
        ("a|", "b", ""),
        ("(a|", "b", ")*"),
        ("a{0,9}", "", ""),
    ] {
        let outcome = attack(&modern(&format!(
            "try {{ return new RegExp('{open}'.repeat(5e4) + '{inner}' + '{close}'.repeat(5e4)).test('aaaa'); }}
             catch (e) {{ return e.name; }}"
        )));
        let name = body(&outcome);
        assert!(
            name.is_boolean()
                || name == "SyntaxError"
                || name == "RangeError"
                || name == "InternalError",
            "{open}: {name}"
        );
    }
    // Nested classes of the v flag.
    let outcome = attack(&modern(
        "try { return new RegExp('['.repeat(1e5) + 'a' + ']'.repeat(1e5), 'v').test('a'); } catch (e) { return e.name; }",
    ));
    body(&outcome);
}
