use lode_store::{Change, FindAndModify, Modify, Place, Store, StoreError, Update, UpdateHow};
use serde_json::{Value, json};

use crate::{APP, Fixture, ORDERS, app, batch, doc, filter_of};

const GROUPS: Place<'static> = Place { app: APP, collection: "group" };

/// What is kept of groups must be what a query of their documents finds.
async fn are_as_a_query_finds_them(f: &Fixture) {
    for user in ["ada", "bob", "eve"] {
        let of = json!({ "$or": [{ "users.list._id": user }, { "users.all": true }] });
        let groups = f.store.groups_of(APP, user, 100).await.expect("groups");
        assert_eq!(groups, f.ids(GROUPS, of).await, "{user}");
    }
}

pub(crate) async fn a_group_of_too_many_is_refused_and_changes_nothing(f: Fixture) {
    let of = |count: usize| {
        let users: Vec<Value> = (0..count).map(|i| json!({ "_id": format!("u{i}") })).collect();
        doc(json!({ "_id": "g", "users": { "list": users } }))
    };
    f.store.insert(GROUPS, [of(10_000)]).await.expect("as many as may be");
    let refused = f.store.change(GROUPS, "g", move |_| (Change::Put(of(10_001)), ())).await;
    assert!(
        matches!(&refused, Err(StoreError::Invalid(what)) if what.contains("10000")),
        "{refused:?}"
    );
    assert_eq!(f.store.groups_of(APP, "u9999", 1).await, Ok(vec!["g".to_owned()]));
    assert_eq!(f.store.groups_of(APP, "u10000", 1).await, Ok(vec![]));
}

pub(crate) async fn they_follow_every_write_of_a_group(f: Fixture) {
    are_as_a_query_finds_them(&f).await;
    let groups = [
        json!({ "_id": "g1", "users": { "list": [{ "_id": "ada" }, { "_id": "bob" }, { "_id": "ada" }] } }),
        json!({ "_id": "g2", "users": { "list": { "_id": ["ada", ["eve"]] } } }),
        json!({ "_id": "g3", "users": [{ "list": [{ "_id": "eve" }] }, { "list": [] }] }),
        json!({ "_id": "g4", "users": { "all": "true", "list": [{ "_id": "" }, { "_id": 5 }, { "_id": null }] } }),
        json!({ "_id": "g5", "users": [{ "all": [false, true] }] }),
        json!({ "_id": "g6", "users": { "list": [{ "_id": "x".repeat(5_000) }, "ada"] } }),
        json!({ "_id": "g7" }),
    ];
    f.store.insert(GROUPS, groups.map(doc)).await.expect("an insert");
    are_as_a_query_finds_them(&f).await;
    assert_eq!(
        f.store.groups_of(APP, "ada", 100).await,
        Ok(["g1", "g2", "g5"].map(Into::into).to_vec())
    );
    assert_eq!(f.store.groups_of(APP, "ada", 2).await, Ok(["g1", "g2"].map(Into::into).to_vec()));
    assert_eq!(f.store.groups_of(APP, "nobody", 2).await, Ok(vec!["g5".to_owned()]));
    // Nothing of an insert that fails.
    let taken = [json!({ "_id": "g8", "users": { "all": true } }), json!({ "_id": "g1" })];
    let refused = f.store.insert(GROUPS, taken.map(doc)).await;
    assert_eq!(refused, Err(StoreError::Duplicate { id: "g1".into() }));
    are_as_a_query_finds_them(&f).await;

    let with = |id: &'static str, user: &'static str| {
        move |_| {
            (Change::Put(doc(json!({ "_id": id, "users": { "list": [{ "_id": user }] } }))), ())
        }
    };
    f.store.change(GROUPS, "g1", with("g1", "eve")).await.expect("a change");
    f.store.change(GROUPS, "g9", with("g9", "bob")).await.expect("a change that inserts");
    are_as_a_query_finds_them(&f).await;
    f.store.change(GROUPS, "g5", |_| (Change::Remove, ())).await.expect("a removal");
    are_as_a_query_finds_them(&f).await;
    let update = |value| Update::parse(&value).expect("an update");
    let add = update(json!({ "$push": { "users.list": { "_id": "bob" } } }));
    let some = filter_of(json!({ "_id": { "$in": ["g1", "g6", "g9"] } }));
    let multi = UpdateHow { multi: true, upsert: false };
    assert_eq!(f.store.update(GROUPS, &some, &add, multi).await.expect("an update").modified, 3);
    are_as_a_query_finds_them(&f).await;
    let upsert = UpdateHow { multi: false, upsert: true };
    let new = filter_of(json!({ "_id": "g0" }));
    f.store.update(GROUPS, &new, &add, upsert).await.expect("an upsert");
    are_as_a_query_finds_them(&f).await;
    for action in [Modify::Update(update(json!({ "$unset": { "users": 1 } }))), Modify::Remove] {
        let request = FindAndModify {
            filter: filter_of(json!({ "users.list._id": "bob" })),
            sort: Vec::new(),
            action,
            return_new: false,
            upsert: false,
            fields: None,
        };
        assert!(f.store.find_and_modify(GROUPS, &request).await.expect("a change").is_some());
        are_as_a_query_finds_them(&f).await;
    }
    assert!(!f.store.groups_of(APP, "bob", 100).await.expect("groups").is_empty());
    f.store.remove(GROUPS, &filter_of(json!({})), Default::default()).await.expect("a removal");
    are_as_a_query_finds_them(&f).await;
}

pub(crate) async fn only_an_apps_own_groups_count(f: Fixture) {
    let all = json!({ "_id": "g", "users": { "all": true } });
    f.store.create_app(&app("kid_b")).await.expect("an app");
    f.insert(Place { app: "kid_b", ..GROUPS }, all.clone()).await;
    f.insert(ORDERS, all.clone()).await;
    assert_eq!(f.store.groups_of(APP, "ada", 9).await, Ok(vec![]));
    f.insert(GROUPS, all).await;
    assert_eq!(f.store.groups_of(APP, "ada", 9).await, Ok(vec!["g".to_owned()]));
    f.store.drop_collection(GROUPS).await.expect("a drop");
    f.insert(GROUPS, json!({ "_id": "h" })).await;
    assert_eq!(f.store.groups_of(APP, "ada", 9).await, Ok(vec![]));
    assert_eq!(f.store.groups_of("kid_b", "ada", 9).await, Ok(vec!["g".to_owned()]));
}

pub(crate) async fn those_of_an_older_layout_are_found(f: Fixture) {
    let users: Value = json!({ "list": [{ "_id": "ada" }, { "_id": "ada" }] });
    f.insert(GROUPS, json!({ "_id": "g", "users": users })).await;
    f.insert(GROUPS, json!({ "_id": "h", "users": { "all": true } })).await;
    f.insert(ORDERS, json!({ "_id": "o", "users": users })).await;
    let Fixture { store, url, _directory } = f;
    drop(store);
    let back =
        "DROP VIEW memberships; DROP TABLE members; DELETE FROM migrations WHERE number >= 7";
    batch(&url, back).await;
    let store = Store::open(&url).await.expect("an open store");
    let groups = store.groups_of(APP, "ada", 9).await;
    assert_eq!(groups, Ok(vec!["g".to_owned(), "h".to_owned()]));
}
