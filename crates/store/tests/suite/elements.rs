//! Updates of elements of arrays: the database finds the documents, and which elements are meant is the same on each.

use lode_store::{FindAndModify, Modify, SortKey, StoreError, Update, UpdateHow, Updated};
use serde_json::{Value, json};

use crate::{Fixture, ORDERS, doc, filter_of};

const MULTI: UpdateHow = UpdateHow { multi: true, upsert: false };

fn update_of(value: Value, filters: Value) -> Update {
    Update::parse_filtered(&value, &filters).expect("an update")
}

async fn lines(f: &Fixture, id: &str) -> Value {
    f.store.get(ORDERS, id).await.expect("a read").expect("it")["lines"].clone()
}

pub(crate) async fn the_one_that_matched_is_changed_in_each_document(f: Fixture) {
    f.store.create_index(ORDERS, "lines.sku").await.expect("an index");
    for (id, lines) in [
        ("a", json!([{ "sku": "x", "n": 1 }, { "sku": "y", "n": 1 }])),
        ("b", json!([{ "sku": "y", "n": 5 }, { "sku": "y", "n": 1 }])),
        ("c", json!([{ "sku": "x", "n": 1 }])),
        ("d", json!("y")),
    ] {
        f.insert(ORDERS, json!({ "_id": id, "lines": lines })).await;
    }
    let add = update_of(json!({ "$inc": { "lines.$.n": 1 } }), Value::Null);
    for filter in [
        json!({ "lines.sku": "y" }),
        json!({ "lines": { "$elemMatch": { "sku": { "$regex": "^Y$", "$options": "i" } } } }),
        json!({ "_id": { "$ne": "c" }, "lines.sku": { "$in": ["y", "z"] } }),
    ] {
        let outcome = f.store.update(ORDERS, &filter_of(filter.clone()), &add, MULTI).await;
        let two = Updated { matched: 2, modified: 2, upserted: None };
        assert_eq!(outcome, Ok(two), "{filter}");
    }
    assert_eq!(lines(&f, "a").await, json!([{ "sku": "x", "n": 1 }, { "sku": "y", "n": 4 }]));
    assert_eq!(lines(&f, "b").await, json!([{ "sku": "y", "n": 8 }, { "sku": "y", "n": 1 }]));
    assert_eq!(lines(&f, "c").await, json!([{ "sku": "x", "n": 1 }]));

    for filter in [json!({}), json!({ "lines.sku": { "$ne": "y" } }), json!({ "lines": "y" })] {
        let outcome = f.store.update(ORDERS, &filter_of(filter.clone()), &add, MULTI).await;
        assert!(matches!(outcome, Err(StoreError::Query(_))), "{filter}: {outcome:?}");
    }
    assert_eq!(lines(&f, "c").await, json!([{ "sku": "x", "n": 1 }]));
}

pub(crate) async fn those_a_filter_names_are_changed(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a", "lines": [{ "n": 1 }, { "n": 5, "tags": ["x"] }] })).await;
    f.insert(ORDERS, json!({ "_id": "b", "lines": [{ "n": 7, "tags": ["y", "z"] }] })).await;
    let all = filter_of(json!({}));
    let many = update_of(
        json!({ "$set": { "lines.$[].seen": true, "lines.$[big].tags.$[t]": "w" } }),
        json!([{ "big.n": { "$gt": 4 } }, { "t": { "$ne": "x" } }]),
    );
    let outcome = f.store.update(ORDERS, &all, &many, MULTI).await;
    assert!(matches!(outcome, Ok(Updated { matched: 2, modified: 2, .. })), "{outcome:?}");
    assert_eq!(
        lines(&f, "a").await,
        json!([{ "n": 1, "seen": true }, { "n": 5, "tags": ["x"], "seen": true }])
    );
    assert_eq!(lines(&f, "b").await, json!([{ "n": 7, "tags": ["w", "w"], "seen": true }]));

    f.insert(ORDERS, json!({ "_id": "c" })).await;
    let outcome = f.store.update(ORDERS, &all, &many, MULTI).await;
    assert!(matches!(outcome, Err(StoreError::Query(_))), "{outcome:?}");
    assert_eq!(f.store.get(ORDERS, "c").await, Ok(Some(doc(json!({ "_id": "c" })))));
}

pub(crate) async fn an_upsert_has_none_that_matched(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a", "lines": [1, 2] })).await;
    let upsert = UpdateHow { multi: false, upsert: true };
    let set = update_of(json!({ "$set": { "lines.$": 9 } }), Value::Null);
    let there = filter_of(json!({ "lines": 2 }));
    let outcome = f.store.update(ORDERS, &there, &set, upsert).await;
    assert_eq!(outcome, Ok(Updated { matched: 1, modified: 1, upserted: None }));
    assert_eq!(lines(&f, "a").await, json!([1, 9]));
    let outcome = f.store.update(ORDERS, &there, &set, upsert).await;
    assert!(matches!(outcome, Err(StoreError::Query(_))), "{outcome:?}");

    let all = update_of(json!({ "$inc": { "lines.$[]": 1 } }), Value::Null);
    let given = filter_of(json!({ "_id": "b", "lines": [5, 6] }));
    let outcome = f.store.update(ORDERS, &given, &all, upsert).await;
    assert_eq!(outcome.map(|made| made.upserted), Ok(Some("b".to_owned())));
    assert_eq!(lines(&f, "b").await, json!([6, 7]));
    assert_eq!(f.store.count(ORDERS, &filter_of(json!({}))).await, Ok(2));
}

/// Seats of one row are asked for at once: each asker's `$` is in the document as the one before has left it.
pub(crate) async fn each_asker_takes_another(f: Fixture) {
    let seats: Vec<Value> = (0..8).map(|n| json!({ "n": n, "free": true })).collect();
    f.insert(ORDERS, json!({ "_id": "row", "lines": seats })).await;
    let askers: Vec<_> = (0..8)
        .map(|asker| {
            let store = f.store.clone();
            let request = FindAndModify {
                filter: filter_of(json!({ "lines": { "$elemMatch": { "free": true } } })),
                sort: SortKey::parse(&json!({ "_id": 1 })).expect("a sort"),
                action: Modify::Update(update_of(
                    json!({ "$set": { "lines.$.by": asker }, "$unset": { "lines.$.free": 1 } }),
                    Value::Null,
                )),
                return_new: true,
                upsert: false,
                fields: None,
            };
            tokio::spawn(async move { store.find_and_modify(ORDERS, &request).await })
        })
        .collect();
    for asker in askers {
        asker.await.expect("a task").expect("a change").expect("a free seat");
    }
    let seats = lines(&f, "row").await;
    let mut by: Vec<_> =
        seats.as_array().expect("a list").iter().map(|s| s["by"].as_u64()).collect();
    by.sort_unstable();
    assert_eq!(by, (0..8).map(Some).collect::<Vec<_>>());
    let free = filter_of(json!({ "lines.free": true }));
    assert_eq!(f.store.count(ORDERS, &free).await, Ok(0));
}
