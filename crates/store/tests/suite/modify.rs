use lode_store::{
    Change, Filter, FindAndModify, Modify, RemoveHow, StoreError, Update, UpdateHow, Updated,
};
use serde_json::{Value, json};

use crate::{Fixture, ORDERS, doc, filter_of};

fn update_of(value: Value) -> Update {
    Update::parse(&value).expect("an update")
}

pub(crate) async fn change_reads_decides_and_writes(f: Fixture) {
    let put = |n: i64| {
        move |before: Option<lode_store::Document>| {
            (Change::Put(doc(json!({ "_id": "a", "n": n }))), before)
        }
    };
    assert_eq!(f.store.change(ORDERS, "a", put(1)).await, Ok(None));
    let before = f.store.change(ORDERS, "a", put(2)).await.expect("a change");
    assert_eq!(before, Some(doc(json!({ "_id": "a", "n": 1 }))));
    let kept = f.store.change(ORDERS, "a", |d| (Change::Nothing, d.is_some())).await;
    assert_eq!(kept, Ok(true));
    assert_eq!(f.store.get(ORDERS, "a").await, Ok(Some(doc(json!({ "_id": "a", "n": 2 })))));
    assert_eq!(f.store.change(ORDERS, "a", |_| (Change::Remove, ())).await, Ok(()));
    assert_eq!(f.store.get(ORDERS, "a").await, Ok(None));
    assert_eq!(
        f.store.deleted_since(ORDERS, 0, &Filter::all(), 100).await,
        Ok(vec!["a".to_owned()])
    );
    assert_eq!(f.store.change(ORDERS, "a", |_| (Change::Remove, ())).await, Ok(()));
    let other =
        f.store.change(ORDERS, "b", |_| (Change::Put(doc(json!({ "_id": "c" }))), ())).await;
    assert!(matches!(other, Err(StoreError::Invalid(_))), "{other:?}");
}

pub(crate) async fn update_one_many_and_upsert(f: Fixture) {
    for id in ["a", "b", "c"] {
        f.insert(ORDERS, json!({ "_id": id, "n": 1 })).await;
    }
    let add = update_of(json!({ "$inc": { "n": 1 } }));
    let one =
        f.store.update(ORDERS, &filter_of(json!({ "n": 1 })), &add, UpdateHow::default()).await;
    assert_eq!(one, Ok(Updated { matched: 1, modified: 1, upserted: None }));
    let multi = UpdateHow { multi: true, upsert: false };
    let all = f.store.update(ORDERS, &filter_of(json!({})), &add, multi).await;
    assert_eq!(all, Ok(Updated { matched: 3, modified: 3, upserted: None }));
    let same = update_of(json!({ "$set": { "n": 3 } }));
    let all = f.store.update(ORDERS, &filter_of(json!({ "n": 3 })), &same, multi).await;
    assert_eq!(all, Ok(Updated { matched: 1, modified: 0, upserted: None }));

    let upsert = UpdateHow { multi: false, upsert: true };
    let filter = filter_of(json!({ "_id": "d" }));
    let made = f.store.update(ORDERS, &filter, &add, upsert).await.expect("an upsert");
    assert_eq!(made, Updated { matched: 0, modified: 0, upserted: Some("d".to_owned()) });
    assert_eq!(f.store.get(ORDERS, "d").await, Ok(Some(doc(json!({ "_id": "d", "n": 1 })))));
    let filter = filter_of(json!({ "name": "e" }));
    let made = f.store.update(ORDERS, &filter, &add, upsert).await.expect("an upsert");
    let id = made.upserted.expect("an id that was made up");
    assert_eq!(f.ids(ORDERS, json!({ "name": "e", "n": 1 })).await, [id]);
    let again = f.store.update(ORDERS, &filter, &add, upsert).await;
    assert_eq!(again, Ok(Updated { matched: 1, modified: 1, upserted: None }));
}

pub(crate) async fn remove_one_and_all(f: Fixture) {
    for id in ["a", "b", "c", "d"] {
        f.insert(ORDERS, json!({ "_id": id, "old": id != "d" })).await;
    }
    let old = filter_of(json!({ "old": true }));
    assert_eq!(f.store.remove(ORDERS, &old, RemoveHow { only_one: true }).await, Ok(1));
    assert_eq!(f.ids(ORDERS, json!({})).await.len(), 3);
    assert_eq!(f.store.remove(ORDERS, &old, RemoveHow::default()).await, Ok(2));
    assert_eq!(f.ids(ORDERS, json!({})).await, ["d"]);
    assert_eq!(
        f.store.deleted_since(ORDERS, 0, &Filter::all(), 100).await.expect("a read").len(),
        3
    );
}

pub(crate) async fn find_and_modify_answers_before_or_after(f: Fixture) {
    for (id, n) in [("a", 2), ("b", 1), ("c", 3)] {
        f.insert(ORDERS, json!({ "_id": id, "n": n })).await;
    }
    let mut request = FindAndModify {
        filter: filter_of(json!({ "n": { "$lt": 10 } })),
        sort: lode_store::SortKey::parse(&json!({ "n": 1 })).expect("a sort"),
        action: Modify::Update(update_of(json!({ "$set": { "n": 10 } }))),
        return_new: false,
        upsert: false,
        fields: None,
    };
    let before = f.store.find_and_modify(ORDERS, &request).await;
    assert_eq!(before, Ok(Some(doc(json!({ "_id": "b", "n": 1 })))));
    request.return_new = true;
    let after = f.store.find_and_modify(ORDERS, &request).await;
    assert_eq!(after, Ok(Some(doc(json!({ "_id": "a", "n": 10 })))));
    request.action = Modify::Remove;
    let removed = f.store.find_and_modify(ORDERS, &request).await;
    assert_eq!(removed, Ok(Some(doc(json!({ "_id": "c", "n": 3 })))));
    assert_eq!(
        f.store.deleted_since(ORDERS, 0, &Filter::all(), 100).await,
        Ok(vec!["c".to_owned()])
    );
    assert_eq!(f.store.find_and_modify(ORDERS, &request).await, Ok(None));
    request.action = Modify::Update(update_of(json!({ "$set": { "made": true } })));
    assert_eq!(f.store.find_and_modify(ORDERS, &request).await, Ok(None));
    request.upsert = true;
    let made = f.store.find_and_modify(ORDERS, &request).await.expect("an upsert").expect("it");
    assert_eq!(made["made"], json!(true));
    assert_eq!(f.store.count(ORDERS, &filter_of(json!({}))).await, Ok(3));
}

pub(crate) async fn the_id_cannot_be_changed(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a", "n": 1 })).await;
    let Ok(update) = Update::parse(&json!({ "$set": { "_id": "b" } })) else { return };
    let all = filter_of(json!({}));
    let outcome = f.store.update(ORDERS, &all, &update, UpdateHow::default()).await;
    assert!(matches!(outcome, Err(StoreError::Invalid(_) | StoreError::Query(_))), "{outcome:?}");
    assert_eq!(f.ids(ORDERS, json!({})).await, ["a"]);
}

pub(crate) async fn more_than_a_page(f: Fixture) {
    let many = (0..1_203).map(|n| doc(json!({ "_id": format!("{n:04}"), "n": n })));
    f.store.insert(ORDERS, many).await.expect("an insert");
    let how = UpdateHow { multi: true, upsert: true };
    let set = update_of(json!({ "$set": { "n": -1 } }));
    let all = filter_of(json!({}));
    let updated = f.store.update(ORDERS, &all, &set, how).await;
    assert_eq!(updated, Ok(Updated { matched: 1_203, modified: 1_203, upserted: None }));
    let changed = filter_of(json!({ "n": -1 }));
    assert_eq!(f.store.count(ORDERS, &changed).await, Ok(1_203));
    assert_eq!(f.store.remove(ORDERS, &changed, RemoveHow::default()).await, Ok(1_203));
    assert_eq!(f.store.count(ORDERS, &all).await, Ok(0));
}

/// Documents of 3 MiB: a page has two of them and not 500.
pub(crate) async fn pages_end_at_their_bytes(f: Fixture) {
    let text = "x".repeat(3 << 20);
    for n in 0..7 {
        f.insert(ORDERS, json!({ "_id": format!("o{n}"), "text": text, "n": 0 })).await;
    }
    let how = UpdateHow { multi: true, upsert: false };
    let add = update_of(json!({ "$inc": { "n": 1 } }));
    let all = filter_of(json!({}));
    let updated = f.store.update(ORDERS, &all, &add, how).await;
    assert_eq!(updated, Ok(Updated { matched: 7, modified: 7, upserted: None }));
    assert_eq!(f.store.count(ORDERS, &filter_of(json!({ "n": 1 }))).await, Ok(7));
    assert_eq!(f.store.remove(ORDERS, &all, RemoveHow::default()).await, Ok(7));
}

/// What is found before it is written may be another's by then.
pub(crate) async fn what_was_found_is_looked_at_again_before_it_is_written(f: Fixture) {
    let documents = (0..700).map(|n| doc(json!({ "_id": format!("o{n:03}"), "n": 0, "m": n })));
    f.store.insert(ORDERS, documents.collect::<Vec<_>>()).await.expect("inserts");
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let store = f.store.clone();
            tokio::spawn(async move {
                let fresh = filter_of(json!({ "n": 0 }));
                let add = update_of(json!({ "$inc": { "n": 1 } }));
                let mut changed = 0;
                if n % 2 == 0 {
                    let how = UpdateHow { multi: true, upsert: false };
                    changed += store.update(ORDERS, &fresh, &add, how).await.expect("all").modified;
                } else {
                    for _ in 0..20 {
                        let one = store.update(ORDERS, &fresh, &add, UpdateHow::default()).await;
                        changed += one.expect("one").modified;
                    }
                }
                changed
            })
        })
        .collect();
    let mut changed = 0;
    for task in tasks {
        changed += task.await.expect("a task");
    }
    assert_eq!(changed, 700, "each once");
    assert_eq!(f.ids(ORDERS, json!({ "n": 1 })).await.len(), 700);

    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let store = f.store.clone();
            tokio::spawn(async move {
                let how = RemoveHow { only_one: n > 2 };
                let few = filter_of(json!({ "m": { "$lt": 600 } }));
                store.remove(ORDERS, &few, how).await.expect("a removal")
            })
        })
        .collect();
    let mut removed = 0;
    for task in tasks {
        removed += task.await.expect("a task");
    }
    assert_eq!(removed, 600, "each once");
}
