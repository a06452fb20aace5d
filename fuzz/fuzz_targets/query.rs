//! The query language: whatever JSON a client sends as a filter, sort, projection, update or group, reading it
//! never crashes; what is read can be evaluated and rendered; a statement binds exactly what its placeholders
//! name, and its quotation marks pair up, so that no client's text ends a literal; and an update that is refused
//! changes nothing, while one that is not leaves a document that can be stored and read again.
//!
//! The input is a line of JSON that is all of these at once, then a line that is the document; then, for the elements
//! of arrays that an update is about, the query that has found the document and the update's array filters.
//!
//! `cargo +nightly fuzz run query -- -max_total_time=120`
#![no_main]

use libfuzzer_sys::fuzz_target;
use lode_store::query::sql::{Dialect, Scope, Sql, index_sql};
use lode_store::query::{Document, Filter, Group, Projection, Query, SortKey, Update, check};
use lode_store::read_json;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n');
    let mut next = || lines.next().and_then(|line| Some(read_json(line.as_bytes(), 60).ok()?.0));
    let Some(value) = next() else { return };
    let document = match next() {
        Some(Value::Object(document)) => document,
        _ => Document::new(),
    };
    let found_by = Filter::parse(&next().unwrap_or_default()).unwrap_or_default();
    let array_filters = next().unwrap_or_default();
    let names: Vec<String> =
        value.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
    let indexed: Vec<String> =
        names.iter().filter(|name| index_sql(Dialect::Sqlite, 17, name).is_ok()).cloned().collect();
    for name in &names {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            if let Ok(sql) = index_sql(dialect, 17, name) {
                paired(&sql);
            }
        }
    }
    let sort = SortKey::parse(&value).unwrap_or_default();
    if let Ok(projection) = Projection::parse(&value) {
        projection.apply(&mut document.clone());
    }
    let filter = Filter::parse(&value).unwrap_or_default();
    let _ = filter.matches(&document);
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let scope = Scope { dialect, collection: 17, indexed: &indexed };
        let query = Query {
            filter: filter.clone(),
            sort: sort.clone(),
            limit: Some(1),
            skip: 1,
            ..Query::default()
        };
        let statements = [scope.select(&query), scope.count(&filter), scope.where_clause(&filter)];
        statements.into_iter().flatten().for_each(|sql| bound(&sql));
        names
            .iter()
            .filter_map(|name| scope.distinct(name, &filter).ok())
            .for_each(|sql| bound(&sql));
        if let Ok(group) = Group::parse(&value) {
            scope.group(&group).iter().for_each(bound);
        }
    }
    if let Ok(update) = Update::parse_filtered(&value, &array_filters) {
        let mut changed = document.clone();
        match update.apply(&mut changed, &found_by) {
            Ok(_) => {
                assert_eq!(changed.get("_id"), document.get("_id").or(changed.get("_id")));
                assert!(check(&changed).is_ok());
                let text = Value::Object(changed).to_string();
                assert!(
                    serde_json::from_str::<Value>(&text).is_ok(),
                    "cannot be read again: {text}"
                );
            }
            Err(_) => assert_eq!(changed, document),
        }
        let _ = update.on_insert(&found_by);
    }
});

fn bound(sql: &Sql) {
    paired(&sql.text);
    let mut seen = vec![false; sql.params.len()];
    // A field's name in a literal may look like a placeholder.
    let outside: String = sql.text.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
    let mut rest = outside.as_str();
    while let Some(at) = rest.find(['?', '$']) {
        rest = &rest[at + 1..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Ok(number) = rest[..digits].parse::<usize>() {
            assert!((1..=seen.len()).contains(&number), "{sql:?}");
            seen[number - 1] = true;
        }
    }
    assert!(seen.iter().all(|seen| *seen), "{sql:?}");
}

fn paired(text: &str) {
    assert!(text.matches('\'').count() % 2 == 0, "{text}");
    assert!(!text.contains('\0'), "{text}");
}
