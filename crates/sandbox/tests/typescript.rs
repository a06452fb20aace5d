//! The type stripper under the worst nesting: a snapshot or a syntax error, never a crash.

mod support;

use lode_sandbox::{BuildError, Source};
use support::{assert_engine_serves, deploy};

/// Deploys `text` as TypeScript. The engine itself may refuse what the stripper let through.
fn ends_well(what: &str, text: String) {
    match deploy(&[Source::entry("bomb.ts", text)]) {
        Ok(_) | Err(BuildError::Syntax(_) | BuildError::Script(_) | BuildError::NoHandler) => {}
        Err(BuildError::Limit(limit)) => assert_eq!(limit, lode_sandbox::Limit::Memory, "{what}"),
        Err(other) => panic!("{what}: {other:?}"),
    }
}

/// `open` and `close` around `inner`, `depth` times, closed and left open.
fn bomb(what: &str, head: &str, open: &str, inner: &str, close: &str, depth: usize) {
    let opened = format!("{head}{}{inner}", open.repeat(depth));
    eprintln!("{what}"); // shown when the test fails or is too slow
    ends_well(what, opened.clone());
    ends_well(what, format!("{opened}{}", close.repeat(depth)));
    assert_engine_serves();
}

#[test]
fn two_hundred_thousand_brackets_end_well() {
    bomb("parentheses", "", "(", "1", ")", 200_000);
    bomb("arrays", "", "[", "1", "]", 200_000);
    bomb("blocks", "", "{", "", "}", 200_000);
}

#[test]
fn two_hundred_thousand_operators_end_well() {
    bomb("negations", "", "!", "1", "", 200_000);
    bomb("minuses", "", "- ", "1", "", 200_000);
    bomb("sums", "", "1+", "1", "", 200_000);
    bomb("powers", "", "1**", "1", "", 100_000);
    bomb("ternaries", "", "1?", "1", ":1", 100_000);
}

#[test]
fn nested_functions_end_well() {
    bomb("arrows", "", "()=>", "1", "", 200_000);
    bomb("typed arrows", "", "(a:A)=>", "1", "", 50_000);
    bomb("functions", "", "(function(){", "", "})", 50_000);
    bomb("classes", "", "(class{m(){", "", "}})", 50_000);
    bomb("templates", "", "`${", "1", "}`", 100_000);
}

#[test]
fn nested_types_end_well() {
    bomb("generics", "type T = ", "A<", "A", ">", 100_000);
    bomb("arrays of", "type T = A", "[]", "", "", 100_000);
    bomb("tuples", "type T = ", "[", "A", "]", 100_000);
    bomb("objects", "type T = ", "{a:", "A", "}", 100_000);
    bomb("conditions", "type T = ", "A extends B ? C : ", "A", "", 20_000);
    bomb("functions", "type T = ", "()=>", "A", "", 100_000);
    bomb("keyofs", "type T = ", "keyof ", "A", "", 100_000);
    bomb("assertions", "let a = ", "<A>", "1", "", 100_000);
    bomb("as", "let a = 1 ", "as A ", "", "", 100_000);
}

#[test]
fn chains_of_statements_end_well() {
    bomb("else-ifs", "", "if(0);else ", ";", "", 80_000);
    bomb("ifs", "", "if(1)", ";", "", 150_000);
    bomb("labels", "", "a:", ";", "", 200_000);
    bomb("namespaces", "", "declare namespace A{", "", "}", 40_000);
}

#[test]
fn a_file_beyond_the_bound_is_refused() {
    let refusal =
        deploy(&[Source::entry("big.ts", " ".repeat((1 << 20) + 1))]).expect_err("refused");
    assert!(
        matches!(&refusal, BuildError::Syntax(e) if e.message.contains("bytes")),
        "{refusal:?}"
    );
}
