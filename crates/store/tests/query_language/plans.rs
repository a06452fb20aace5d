//! Conditions on indexed fields use the index, arrays or not.

use lode_store::query::sql::{Dialect, index_sql};
use lode_store::query::{Filter, Query};
use serde_json::json;

use crate::support::postgres::Postgres;
use crate::support::{Sqlite, document};

fn people() -> Vec<lode_store::query::Document> {
    (0..2000)
        .map(|n| {
            let name = format!("name{n:04}");
            let tags = if n % 500 == 0 { json!([name, n]) } else { json!(n) };
            document(json!({
                "_id": format!("id{n:04}"), "name": name, "age": n % 100, "tag": tags,
                "address": { "city": format!("city{n}") }, "o'clock": n,
            }))
        })
        .collect()
}

const FILTERS: [&str; 8] = [
    r#"{"name": "name0007"}"#,
    r#"{"name": {"$in": ["name0007", "name0008"]}}"#,
    r#"{"name": {"$gte": "name1990"}}"#,
    r#"{"tag": {"$gt": 1990}}"#,
    r#"{"tag": {"$gt": 10, "$lt": 12}}"#,
    r#"{"address.city": "city77", "age": {"$ne": 3}}"#,
    r#"{"$or": [{"name": "name0001"}, {"tag": {"$lte": 3}}]}"#,
    r#"{"o'clock": 5}"#,
];

const FIELDS: [&str; 4] = ["name", "tag", "address.city", "o'clock"];

fn filter(text: &str) -> Filter {
    Filter::parse(&serde_json::from_str(text).unwrap()).unwrap()
}

#[test]
fn sqlite_uses_the_index() {
    let mut sqlite = Sqlite::new(&people());
    for field in FIELDS {
        sqlite.index(field);
    }
    for text in FILTERS {
        let plan = sqlite.plan(&filter(text));
        assert!(plan.contains("INDEX entities_17_"), "{text}: {plan}");
    }
}

#[test]
fn postgres_uses_the_index() {
    let mut postgres = Postgres::new(&people());
    for field in FIELDS {
        postgres.index(field);
    }
    postgres.batch("ANALYZE entities");
    for text in FILTERS {
        let plan = postgres.plan(&filter(text));
        assert!(plan.contains("entities_17_"), "{text}: {plan}");
    }
}

#[test]
fn an_id_is_looked_up() {
    let sqlite = Sqlite::new(&people());
    let plan = sqlite.plan(&Filter::id("id0007"));
    assert!(plan.contains("USING PRIMARY KEY (collection=? AND id=?)"), "{plan}");
}

#[test]
fn names_that_cannot_stand_in_an_index_are_refused() {
    for field in ["a\"b", "a\\b", "a\nb", "", "a..b", "$a", "a\0", "a.$b", "a.b\"]"] {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert!(index_sql(dialect, 17, field).is_err(), "{field:?}");
        }
    }
    let sql = index_sql(Dialect::Sqlite, 17, "it's').b").unwrap();
    assert!(sql.contains(r#"'$."it''s'')"."b"'"#), "{sql}");
    let sql = index_sql(Dialect::Postgres, 17, "it's']::x").unwrap();
    assert!(sql.contains("ARRAY['it''s'']::x']"), "{sql}");
}

/// The largest filters that are let in: no database refuses them.
#[test]
fn large_filters_are_answered() {
    let documents = people();
    let (mut sqlite, mut postgres) = (Sqlite::new(&documents), Postgres::new(&documents));
    for field in FIELDS {
        sqlite.index(field);
        postgres.index(field);
    }
    let list =
        |n: i64, of: fn(i64) -> serde_json::Value| (0..n).map(of).collect::<serde_json::Value>();
    let deep = (0..18).fold(
        json!({"tag": {"$gt": 1}}),
        |inner, _| json!({"$or": [inner, {"tag": {"$lt": 0}}, {"name": "name0001"}]}),
    );
    for filter in [
        json!({"$or": list(330, |n| json!({"tag": {"$gte": n}}))}),
        json!({"$or": list(99, |n| json!({"tag": {"$gte": n, "$lt": n + 2}}))}),
        json!({"$and": list(330, |n| json!({"tag": {"$gte": -n}}))}),
        json!({"$nor": list(330, |n| json!({"address.city": {"$gte": n}}))}),
        json!({"name": {"$in": list(990, |n| json!(format!("name{n:04}")))}}),
        json!({"tag": {"$all": list(900, |n| json!(n))}}),
        deep,
    ] {
        let filter = Filter::parse(&filter)
            .unwrap()
            .and(Filter::parse(&json!({"age": {"$ne": 3}})).unwrap());
        let query = Query { filter, ..Query::default() };
        assert_eq!(sqlite.ids(&query), postgres.ids(&query));
    }
}
