//! Groups and distinct values.

use lode_store::query::sql::Sql;
use lode_store::query::{Document, Filter, Group, Reduce, Reducer};
use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::{Sqlite, document};

fn reduce(source: &str) -> Option<Reduce> {
    Group::parse(&json!({ "reduce": source })).ok().map(|group| group.reduce)
}

/// As the SDKs write them, field names as they escape them.
#[test]
fn the_sdks_reducers_are_read() {
    let body = |text: &str| format!("function(doc, out) {{  {text}  return out;}}");
    for (text, out) in
        [("out.count += 1;", "count"), ("out.result++;", "result"), ("out[\"n\"]=out.n+1;", "n")]
    {
        let reducer = Reducer::Count;
        assert_eq!(reduce(&body(text)), Some(Reduce { reducer, out: out.into() }), "{text}");
    }
    let field = |name: &str| lode_store::query::Path::parse(name).unwrap();
    let cases = [
        (body("out.sum += doc[\"age\"];"), Reducer::Sum(field("age")), "sum"),
        (body("out.max = Math.max(out.max, doc[\"it\\'s\"]);"), Reducer::Max(field("it's")), "max"),
        (body("out.min\n=Math.min( out.min,doc['a.b'] );"), Reducer::Min(field("a.b")), "min"),
        (
            body("out.average = (out.average * out.count + doc[\"age\"]) / (out.count + 1);  out.count += 1;"),
            Reducer::Average { field: field("age"), count: "count".into() },
            "average",
        ),
        (
            "function(doc,out){ var count = (out._n == undefined) ? 0 : out._n; out._result =(out._result * count \
             + doc.age) / (count + 1); out._n = count+1;}"
                .into(),
            Reducer::Average { field: field("age"), count: "_n".into() },
            "_result",
        ),
        ("function sum(o, r) { r.total = r.total + o.age; }".into(), Reducer::Sum(field("age")), "total"),
    ];
    for (text, reducer, out) in cases {
        assert_eq!(reduce(&text), Some(Reduce { reducer, out: out.into() }), "{text}");
    }
}

#[test]
fn any_other_reducer_is_refused() {
    for text in [
        "",
        "function",
        "function(doc, out) {",
        "function(doc, out) { out.n += 2; }",
        "out.n += 1",
        "function(doc, doc) { doc.n += 1; }",
        "function(doc, out) { out.n += 1; while (true) {} }",
        "function(doc, out) { out.n = Math.min(out.m, doc.a); }",
        "function(doc, out) { out += 1; }",
        "function(doc, out) { out.n += doc[\"a\\x41\"]; }",
        "function(doc, out) { out.n += doc[\"a.$b\"]; }",
        "function(doc, out) { out.n += 1; } x",
        "function(doc, out) { /* a */ out.n += 1; }",
    ] {
        let error = Group::parse(&json!({ "reduce": text }));
        assert!(error.is_err(), "{text}: {error:?}");
    }
}

fn people() -> Vec<Document> {
    [
        json!({"_id": "1", "city": "Bern", "age": 10, "tags": ["x", "y", ["z"]], "a": [{"b": 1}, {"b": [2, 1.0]}]}),
        json!({"_id": "2", "city": "Bern", "age": 20.5, "tags": "x", "a": {"b": {"q": 1, "p": 2}}}),
        json!({"_id": "3", "city": "Oslo", "age": "old", "tags": [], "a": {"b": {"p": 2.0, "q": 1}}}),
        json!({"_id": "4", "age": -3, "tags": null}),
        json!({"_id": "5", "city": null, "age": [7]}),
    ]
    .into_iter()
    .map(document)
    .collect()
}

fn both<T: PartialEq + std::fmt::Debug>(
    sqlite: impl Fn(&Sqlite) -> T,
    postgres: impl Fn(&Postgres) -> T,
) -> T {
    let documents = people();
    let (a, b) = (sqlite(&Sqlite::new(&documents)), postgres(&Postgres::new(&documents)));
    assert_eq!(a, b);
    a
}

#[test]
fn groups_are_computed_alike() {
    let group = |key: Value, initial: Value, text: &str| {
        Group::parse(&json!({
            "key": key, "initial": initial, "reduce": format!("function(doc, out) {{ {text} return out; }}"),
            "condition": {"_id": {"$lt": "9"}},
        }))
        .unwrap()
    };
    let cases = [
        (
            group(json!({"city": true}), json!({"count": 0}), "out.count += 1;"),
            json!([{"city": "Bern", "count": 2}, {"city": "Oslo", "count": 1}, {"city": null, "count": 2}]),
        ),
        (
            group(json!({"": true}), json!({"sum": 100}), "out.sum += doc[\"age\"];"),
            json!([{"sum": 127.5}]),
        ),
        (
            group(
                json!({"city": true}),
                json!({"min": 15}),
                "out.min = Math.min(out.min, doc.age);",
            ),
            json!([{"city": "Bern", "min": 10}, {"city": "Oslo", "min": 15}, {"city": null, "min": -3}]),
        ),
        (
            group(json!({}), json!({"max": -9}), "out.max = Math.max(out.max, doc.age);"),
            json!([{"max": 20.5}]),
        ),
        (
            group(
                json!({"city": true}),
                json!({"count": 0, "average": 0}),
                "out.average = (out.average * out.count + doc.age) / (out.count + 1); out.count += 1;",
            ),
            json!([
                {"city": "Bern", "count": 2, "average": 15.25}, {"city": "Oslo", "count": 0, "average": 0},
                {"city": null, "count": 1, "average": -3},
            ]),
        ),
        (
            group(json!({"a.b": true}), json!({"n": 0}), "out.n++;"),
            json!([{"a.b": null, "n": 3}, {"a.b": {"p": 2, "q": 1}, "n": 2}]),
        ),
    ];
    for (group, wanted) in cases {
        let results = both(
            |sqlite| {
                let sql = sqlite.scope().group(&group).unwrap();
                sqlite.groups(&sql, &group)
            },
            |postgres| {
                let sql: Sql = postgres.scope().group(&group).unwrap();
                postgres.groups(&sql, &group)
            },
        );
        let results = Value::Array(results.into_iter().map(Value::Object).collect());
        assert_eq!(lode_json(&results), lode_json(&wanted));
    }
    let none = Group::parse(&json!({
        "reduce": "function(doc, out) { out.n += 1; }", "condition": {"city": "nowhere"},
    }))
    .unwrap();
    let results = both(
        |sqlite| sqlite.groups(&sqlite.scope().group(&none).unwrap(), &none),
        |postgres| postgres.groups(&postgres.scope().group(&none).unwrap(), &none),
    );
    assert!(results.is_empty());
}

/// Without a fraction where there is none: 2.0 and 2 are equal, and the databases keep what was written.
fn lode_json(value: &Value) -> Value {
    match value {
        Value::Number(n) if n.as_f64().is_some_and(|n| n.fract() == 0.0) => {
            json!(n.as_f64().map(|n| n as i64))
        }
        Value::Array(items) => items.iter().map(lode_json).collect(),
        Value::Object(object) => object.iter().map(|(k, v)| (k.clone(), lode_json(v))).collect(),
        other => other.clone(),
    }
}

#[test]
fn distinct_values_are_alike() {
    for (field, wanted) in [
        ("tags", json!(["x", "y", ["z"], null])),
        ("city", json!(["Bern", "Oslo", null])),
        ("a.b", json!([1, 2, {"p": 2, "q": 1}])),
        ("none", json!([])),
    ] {
        let values = |rows: Vec<String>| {
            let mut values: Vec<String> = rows
                .iter()
                .map(|text| lode_json(&serde_json::from_str(text).unwrap()).to_string())
                .collect();
            values.sort();
            values
        };
        let all = Filter::all();
        let found = both(
            |sqlite| values(sqlite.rows(&sqlite.scope().distinct(field, &all).unwrap())),
            |postgres| values(postgres.rows(&postgres.scope().distinct(field, &all).unwrap())),
        );
        let mut wanted: Vec<String> =
            wanted.as_array().unwrap().iter().map(Value::to_string).collect();
        wanted.sort();
        assert_eq!(found, wanted, "{field}");
    }
}
