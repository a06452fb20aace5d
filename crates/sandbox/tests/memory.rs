//! What a script may do with the memory it has.

mod support;

use lode_sandbox::Limits;
use serde_json::json;
use support::{app, body, modern, patient, run_handler};

/// What a run builds and lets go, it can build again: as often as its time allows.
#[test]
fn texts_and_arrays_built_over_and_over_take_no_more_memory_than_one() {
    let each = [
        ("JSON.stringify(text).length", 5002),
        ("JSON.stringify(numbers).length", 3891),
        ("words.join(',').length", 4889),
        ("numbers.map((n) => n + 1).filter((n) => n % 2).concat(numbers).length", 1500),
        (
            "(() => { const all = []; for (const n of numbers) all.push(n); return all.length; })()",
            1000,
        ),
        ("text.replace(/x{50}/g, 'y').length", 100),
    ];
    let within = Limits { memory: 8 << 20, ..patient() };
    for (expression, length) in each {
        let script = format!(
            "const text = 'x'.repeat(5000), numbers = Array.from({{ length: 1000 }}, (_, i) => i);
             const words = numbers.map((n) => 'w' + n);
             let length; for (let i = 0; i < 1500; i++) length = {expression};
             return {{ length }};"
        );
        let outcome = run_handler(&app(&modern(&script)), "onRequest", "{}", &within).outcome;
        assert_eq!(body(&outcome), json!({ "length": length }), "{expression}");
    }
}
