//! Many at once. Each case is about an outcome, whatever the order was.

use std::collections::HashSet;
use std::future::Future;

use lode_store::{
    AppRecord, Change, Document, FindAndModify, Modify, Store, StoreError, Update, UpdateHow,
};
use serde_json::{Value, json};

use crate::{APP, Fixture, ORDERS, doc, filter_of};

/// What as many tasks as callers of a busy server say.
async fn all<T: Send + 'static, F>(store: &Store, of: impl Fn(Store, usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..32).map(|n| tokio::spawn(of(store.clone(), n))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("a task"));
    }
    answers
}

fn number(document: &Document) -> i64 {
    document["n"].as_i64().expect("a number")
}

fn update_of(value: Value) -> Update {
    Update::parse(&value).expect("an update")
}

pub(crate) async fn no_update_is_lost(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a", "n": 0 })).await;
    all(&f.store, |store, _| async move {
        for _ in 0..5 {
            let add = |document: Option<Document>| {
                let mut document = document.expect("the document");
                document["n"] = json!(number(&document) + 1);
                (Change::Put(document), ())
            };
            store.change(ORDERS, "a", add).await.expect("a change");
            let add = update_of(json!({ "$inc": { "n": 1 } }));
            let filter = filter_of(json!({ "_id": "a" }));
            let how = UpdateHow::default();
            let updated = store.update(ORDERS, &filter, &add, how).await.expect("an update");
            assert_eq!(updated.modified, 1);
        }
    })
    .await;
    let document = f.store.get(ORDERS, "a").await.expect("a read").expect("it");
    assert_eq!(number(&document), 320);
}

pub(crate) async fn each_finds_another(f: Fixture) {
    for n in 0..32 {
        f.insert(ORDERS, json!({ "_id": format!("job{n:02}"), "taken": false })).await;
    }
    let taken: Vec<String> = all(&f.store, |store, n| async move {
        let request = FindAndModify {
            filter: filter_of(json!({ "taken": false })),
            sort: Vec::new(),
            action: Modify::Update(update_of(json!({ "$set": { "taken": true, "by": n } }))),
            return_new: true,
            upsert: false,
            fields: None,
        };
        let job = store.find_and_modify(ORDERS, &request).await.expect("a claim");
        let job = job.expect("as many jobs as claims");
        assert_eq!(job["by"], json!(n));
        job["_id"].as_str().expect("an id").to_owned()
    })
    .await;
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 32, "{taken:?}");
}

/// On SQLite all of these share commits.
pub(crate) async fn a_failing_write_takes_no_other_along(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "there" })).await;
    let outcomes = all(&f.store, |store, n| async move {
        let good = doc(json!({ "_id": format!("good{n}") }));
        let other = doc(json!({ "_id": format!("other{n}") }));
        let bad = vec![other, doc(json!({ "_id": "there" }))];
        let (good, bad) = tokio::join!(store.insert(ORDERS, vec![good]), store.insert(ORDERS, bad));
        good.expect("the good write");
        bad
    })
    .await;
    let taken = StoreError::Duplicate { id: "there".to_owned() };
    assert!(outcomes.iter().all(|outcome| outcome == &Err(taken.clone())), "{outcomes:?}");
    let mut ids = f.ids(ORDERS, json!({})).await;
    ids.retain(|id| id != "there");
    assert_eq!(ids.len(), 32);
    assert!(ids.iter().all(|id| id.starts_with("good")), "{ids:?}");
}

pub(crate) async fn upserts_insert_once(f: Fixture) {
    all(&f.store, |store, _| async move {
        let filter = filter_of(json!({ "name": "counter" }));
        let add = update_of(json!({ "$inc": { "n": 1 } }));
        let how = UpdateHow { multi: false, upsert: true };
        store.update(ORDERS, &filter, &add, how).await.expect("an upsert");
    })
    .await;
    let query = lode_store::Query::default();
    let found = f.find(ORDERS, &query).await;
    assert_eq!(found.iter().map(number).collect::<Vec<_>>(), [32]);
}

pub(crate) async fn changes_that_insert_collide(f: Fixture) {
    let firsts = all(&f.store, |store, _| async move {
        let add = |document: Option<Document>| {
            let is_first = document.is_none();
            let n = document.as_ref().map_or(0, number) + 1;
            (Change::Put(doc(json!({ "_id": "a", "n": n }))), is_first)
        };
        store.change(ORDERS, "a", add).await.expect("a change")
    })
    .await;
    assert_eq!(firsts.iter().filter(|first| **first).count(), 1);
    let document = f.store.get(ORDERS, "a").await.expect("a read").expect("it");
    assert_eq!(number(&document), 32);
}

pub(crate) async fn numbers_of_deployments(f: Fixture) {
    let mut numbers = all(&f.store, |store, n| async move {
        store.add_deployment(APP, &json!({ "n": n }), 1, true).await.expect("a deployment")
    })
    .await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=32).collect::<Vec<u32>>());
}

pub(crate) async fn changes_of_an_app_undo_no_deployment(f: Fixture) {
    all(&f.store, |store, n| async move {
        if n % 2 == 0 {
            store.add_deployment(APP, &json!({}), 1, true).await.expect("a deployment");
        } else {
            let add = move |app: &mut AppRecord| app.settings[format!("{n}")] = n.into();
            store.change_app(APP, add).await.expect("a change").expect("the app");
        }
    })
    .await;
    let app = f.store.app(APP).await.expect("a read").expect("the app");
    assert_eq!(app.active, Some(16));
    let added = app.settings.as_object().expect("an object").keys();
    assert_eq!(added.filter(|name| name.parse::<u8>().is_ok()).count(), 16);
}
