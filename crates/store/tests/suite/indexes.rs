use lode_store::query::sql::{Dialect, Param, Scope, index_name, register};
use lode_store::{MOST_INDEXES, Query, StoreError};
use serde_json::{Value, json};

use crate::{Fixture, ORDERS, cluster, doc, filter_of};

pub(crate) async fn made_listed_and_dropped(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a", "n": 1 })).await;
    for field in ["n", "customer.name", "n", "_id", "_kmd.lmt"] {
        f.store.create_index(ORDERS, field).await.expect("an index");
    }
    // Those that every collection has are not listed.
    let listed = f.store.indexes(ORDERS).await;
    assert_eq!(listed, Ok(vec!["customer.name".to_owned(), "n".to_owned()]));
    assert_eq!(f.ids(ORDERS, json!({ "n": 1 })).await, ["a"]);
    assert_eq!(f.store.drop_index(ORDERS, "n").await, Ok(true));
    assert_eq!(f.store.drop_index(ORDERS, "n").await, Ok(false));
    assert_eq!(f.ids(ORDERS, json!({ "n": 1 })).await, ["a"]);
    for n in 1..MOST_INDEXES {
        f.store.create_index(ORDERS, &format!("f{n}")).await.expect("an index");
    }
    let one_more = f.store.create_index(ORDERS, "more").await;
    assert!(matches!(one_more, Err(StoreError::Invalid(_))), "{one_more:?}");
    let odd = f.store.drop_index(ORDERS, "f1").await.map(|_| ());
    assert_eq!(odd, Ok(()));
    let odd = f.store.create_index(ORDERS, "a\"b'; DROP TABLE entities; --").await;
    assert!(matches!(odd, Err(StoreError::Query(_))), "{odd:?}");
    // A quote is only a name.
    f.store.create_index(ORDERS, "it's").await.expect("an index");
    f.insert(ORDERS, json!({ "_id": "b", "it's": 5 })).await;
    assert_eq!(f.ids(ORDERS, json!({ "it's": 5 })).await, ["b"]);
}

pub(crate) async fn the_planner_uses_them(f: Fixture) {
    // The first collection of this database.
    let collection = 1;
    let many = (0..2_000).map(|n| {
        let creator = format!("u{}", n % 500);
        let time = format!("2026-01-01T00:00:00.{n:04}Z");
        doc(json!({
            "_id": format!("{n:04}"), "n": n, "tags": ["a", n],
            "_acl": { "creator": creator }, "_kmd": { "lmt": time, "ect": time },
        }))
    });
    f.store.insert(ORDERS, many).await.expect("an insert");
    f.store.create_index(ORDERS, "n").await.expect("an index");
    let asked = index_name(collection, "n");
    let late = "2026-01-01T00:00:00.1998Z";
    for (filter, index, found) in [
        (json!({ "_acl.creator": "u7" }), "entities_by_creator", 4),
        (json!({ "_kmd.lmt": { "$gt": late } }), "entities_by_lmt", 1),
        (json!({ "_kmd.ect": { "$gte": late } }), "entities_by_ect", 2),
        (json!({ "n": 5 }), asked.as_str(), 1),
        (json!({ "n": { "$gt": 1, "$lte": 5 } }), asked.as_str(), 4),
        (json!({ "n": { "$in": [1, 2, 3] } }), asked.as_str(), 3),
    ] {
        let plan = plan(&f, collection, &filter).await;
        assert!(plan.contains(index), "{filter}:\n{plan}");
        assert_eq!(f.ids(ORDERS, filter.clone()).await.len(), found, "{filter}");
    }
}

async fn plan(f: &Fixture, collection: i64, filter: &Value) -> String {
    let indexed = ["n", "_acl.creator", "_kmd.lmt", "_kmd.ect"].map(str::to_owned);
    let dialect = if f.is_sqlite() { Dialect::Sqlite } else { Dialect::Postgres };
    let query = Query { filter: filter_of(filter.clone()), ..Query::default() };
    let sql = Scope { dialect, collection, indexed: &indexed }.select(&query).expect("a rendering");
    if let Some(directory) = f.url.strip_prefix("sqlite:") {
        let database =
            rusqlite::Connection::open(format!("{directory}/lode.db")).expect("the database");
        register(&database).expect("the functions");
        let explain = format!("EXPLAIN QUERY PLAN {}", sql.text);
        let mut statement = database.prepare(&explain).expect("a statement");
        let steps = statement
            .query_map(rusqlite::params_from_iter(&sql.params), |row| row.get::<_, String>(3))
            .expect("a plan");
        return steps.collect::<Result<Vec<_>, _>>().expect("a plan").join("\n");
    }
    let client = cluster::connect(&f.url).await.expect("a connection");
    client.batch_execute("ANALYZE entities").await.expect("statistics");
    let params: Vec<_> = sql
        .params
        .iter()
        .map(|p: &Param| p as &(dyn tokio_postgres::types::ToSql + Sync))
        .collect();
    let rows = client.query(&format!("EXPLAIN {}", sql.text), &params).await.expect("a plan");
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

pub(crate) async fn long_values_do_not_break(f: Fixture) {
    f.store.create_index(ORDERS, "text").await.expect("an index");
    // More than a row of an index can hold, and nothing that compresses well.
    let long: String = (0_u32..20_000).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
    f.insert(ORDERS, json!({ "_id": "a", "text": long })).await;
    assert_eq!(f.ids(ORDERS, json!({ "text": long })).await, ["a"]);
    f.store.drop_index(ORDERS, "text").await.expect("a drop");
    f.store.create_index(ORDERS, "text").await.expect("an index over what is there");
    assert_eq!(f.ids(ORDERS, json!({ "text": long })).await, ["a"]);
}
