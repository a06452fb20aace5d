use lode_store::{
    Change, Document, DocumentText, Filter, FindAndModify, LARGEST_ANSWER, Modify, Place, Query,
    SortKey, Store, StoreError,
};
use serde_json::{Value, json};

use crate::{APP, Fixture, ORDERS, app, batch, doc, filter_of};

pub(crate) async fn stored_and_read_back(f: Fixture) {
    let order = json!({
        "_id": "o1", "_acl": { "creator": "u" }, "_kmd": { "lmt": "2026-01-01T00:00:00.000Z" },
        "total": 12.5, "lines": [{ "sku": "ä\"\\ 😀", "n": 2 }], "note": null, "paid": false,
    });
    f.insert(ORDERS, order.clone()).await;
    assert_eq!(f.store.get(ORDERS, "o1").await, Ok(Some(doc(order))));
    assert_eq!(f.store.get(ORDERS, "o2").await, Ok(None));
    assert_eq!(f.store.count(ORDERS, &filter_of(json!({}))).await, Ok(1));
    assert_eq!(f.store.collections(APP).await, Ok(vec!["orders".to_owned()]));
}

pub(crate) async fn duplicates_insert_nothing(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "b", "n": 1 })).await;
    let taken = |id: &str| Err(StoreError::Duplicate { id: id.to_owned() });
    let documents = vec![doc(json!({ "_id": "a" })), doc(json!({ "_id": "b" }))];
    assert_eq!(f.store.insert(ORDERS, documents).await, taken("b"));
    let twice = vec![doc(json!({ "_id": "c" })), doc(json!({ "_id": "c" }))];
    assert_eq!(f.store.insert(ORDERS, twice).await, taken("c"));
    assert_eq!(f.store.insert(ORDERS, vec![doc(json!({ "_id": "b" }))]).await, taken("b"));
    assert_eq!(f.ids(ORDERS, json!({})).await, ["b"]);
    assert_eq!(f.store.get(ORDERS, "b").await, Ok(Some(doc(json!({ "_id": "b", "n": 1 })))));
    // The same id elsewhere is another document.
    f.insert(Place { app: APP, collection: "others" }, json!({ "_id": "b" })).await;
}

pub(crate) async fn ids_and_documents_that_cannot_be_stored(f: Fixture) {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    for (what, document) in [
        ("no id", json!({ "a": 1 })),
        ("an empty id", json!({ "_id": "" })),
        ("a number as id", json!({ "_id": 7 })),
        ("a long id", json!({ "_id": "x".repeat(1025) })),
        ("zero in an id", json!({ "_id": "a\0b" })),
        ("zero in a text", json!({ "_id": "a", "b": ["a\0b"] })),
        ("zero in a name", json!({ "_id": "a", "b": { "a\0b": 1 } })),
        ("too deep", json!({ "_id": "a", "b": deep })),
    ] {
        let outcome = f.store.insert(ORDERS, vec![doc(document)]).await;
        assert!(matches!(outcome, Err(StoreError::Invalid(_))), "{what}: {outcome:?}");
    }
    let nameless = Place { app: APP, collection: "" };
    let outcome = f.store.insert(nameless, vec![doc(json!({ "_id": "a" }))]).await;
    assert!(matches!(outcome, Err(StoreError::Invalid(_))), "{outcome:?}");
    // What can be stored, at the edge: the text of an escape is no zero.
    let edge = json!({ "_id": "x".repeat(1024), "b": "\\u0000", "c": "\u{1}\u{7f}\u{ffff}" });
    f.insert(ORDERS, edge.clone()).await;
    assert_eq!(f.store.get(ORDERS, &"x".repeat(1024)).await, Ok(Some(doc(edge))));
    assert_eq!(f.store.get(ORDERS, "a\0b").await, Ok(None));
}

pub(crate) async fn numbers_come_back_exactly(f: Fixture) {
    let numbers = json!({
        "_id": "n", "a": 0.1, "b": 5e-324, "c": 1.797_693_134_862_315_7e308, "d": u64::MAX,
        "e": i64::MIN, "f": 1.000_000_000_000_000_2, "g": 123_456_789.123_456_79,
    });
    f.insert(ORDERS, numbers.clone()).await;
    let back = f.store.get(ORDERS, "n").await.expect("a read").expect("the document");
    for (name, number) in &doc(numbers) {
        assert_eq!(back[name].as_f64(), number.as_f64(), "{name}");
    }
    assert_eq!(back["d"].as_u64(), Some(u64::MAX));
    assert_eq!(back["e"].as_i64(), Some(i64::MIN));
}

pub(crate) async fn apps_do_not_see_each_other(f: Fixture) {
    f.store.create_app(&app("kid_b")).await.expect("an app");
    let other = Place { app: "kid_b", ..ORDERS };
    f.insert(ORDERS, json!({ "_id": "x", "of": "a" })).await;
    f.insert(other, json!({ "_id": "x", "of": "b" })).await;
    f.insert(other, json!({ "_id": "y", "of": "b" })).await;
    assert_eq!(f.ids(ORDERS, json!({})).await, ["x"]);
    assert_eq!(f.store.remove(ORDERS, &filter_of(json!({})), Default::default()).await, Ok(1));
    assert_eq!(f.ids(other, json!({})).await, ["x", "y"]);
    assert_eq!(f.store.deleted_since(other, 0, &Filter::all(), 100).await, Ok(vec![]));
    f.store.drop_collection(ORDERS).await.expect("a drop");
    assert_eq!(f.store.get(other, "x").await.expect("a read").expect("it")["of"], json!("b"));
    assert_eq!(f.store.delete_app(APP).await, Ok(true));
    assert_eq!(f.ids(other, json!({})).await, ["x", "y"]);
}

pub(crate) async fn a_collection_is_dropped_with_all_of_it(f: Fixture) {
    // More than one step of removing takes.
    let many = (0..2_500).map(|n| doc(json!({ "_id": format!("{n:04}"), "n": n })));
    f.store.insert(ORDERS, many).await.expect("an insert");
    f.store.create_index(ORDERS, "n").await.expect("an index");
    f.store
        .remove(ORDERS, &filter_of(json!({ "_id": "0000" })), Default::default())
        .await
        .expect("a removal");
    f.store.drop_collection(ORDERS).await.expect("a drop");
    assert_eq!(f.store.collections(APP).await, Ok(vec![]));
    assert_eq!(f.ids(ORDERS, json!({})).await, [""; 0]);
    // A new one of the same name starts from nothing.
    f.insert(ORDERS, json!({ "_id": "0001" })).await;
    assert_eq!(f.ids(ORDERS, json!({})).await, ["0001"]);
    assert_eq!(f.store.indexes(ORDERS).await, Ok(vec![]));
    assert_eq!(f.store.deleted_since(ORDERS, 0, &Filter::all(), 100).await, Ok(vec![]));
    f.store
        .drop_collection(Place { collection: "never", ..ORDERS })
        .await
        .expect("nothing to drop");
}

pub(crate) async fn removed_ids_are_remembered(f: Fixture) {
    for id in ["a", "b", "c"] {
        f.insert(ORDERS, json!({ "_id": id })).await;
    }
    for id in ["b", "a"] {
        let filter = filter_of(json!({ "_id": id }));
        assert_eq!(f.store.remove(ORDERS, &filter, Default::default()).await, Ok(1));
    }
    let mut gone = f.store.deleted_since(ORDERS, 0, &Filter::all(), 100).await.expect("a read");
    gone.sort();
    assert_eq!(gone, ["a", "b"]);
    // One that is there again is not gone.
    f.insert(ORDERS, json!({ "_id": "b" })).await;
    assert_eq!(
        f.store.deleted_since(ORDERS, 0, &Filter::all(), 100).await,
        Ok(vec!["a".to_owned()])
    );
    assert_eq!(f.store.deleted_since(ORDERS, i64::MAX, &Filter::all(), 100).await, Ok(vec![]));
    // Removed twice: remembered once.
    assert_eq!(f.store.remove(ORDERS, &filter_of(json!({})), Default::default()).await, Ok(2));
    assert_eq!(
        f.store.deleted_since(ORDERS, 0, &Filter::all(), 100).await.expect("a read").len(),
        3
    );
}

pub(crate) async fn without_an_app_nothing_is_stored(f: Fixture) {
    let nowhere = Place { app: "kid_x", collection: "orders" };
    let none = StoreError::NoApp("kid_x".to_owned());
    let document = doc(json!({ "_id": "a" }));
    assert_eq!(f.store.insert(nowhere, vec![document]).await, Err(none.clone()));
    assert_eq!(f.store.keep("kid_x", "k", "i", &json!(1), 1).await, Err(none.clone()));
    assert_eq!(f.store.add_deployment("kid_x", &json!(1), 1, false).await, Err(none));
    assert_eq!(f.ids(nowhere, json!({})).await, [""; 0]);
}

pub(crate) async fn query_with_order_page_and_fields(f: Fixture) {
    for n in 0..10 {
        f.insert(ORDERS, json!({ "_id": format!("o{n}"), "n": n, "even": n % 2 == 0 })).await;
    }
    let query = Query {
        filter: filter_of(json!({ "n": { "$gte": 2 }, "even": true })),
        sort: SortKey::parse(&json!({ "n": -1 })).expect("a sort"),
        limit: Some(2),
        skip: 1,
        fields: Some(lode_store::Projection::parse(&json!("n")).expect("fields")),
    };
    let found = f.find(ORDERS, &query).await;
    let numbers: Vec<_> = found.iter().map(|d| d["n"].as_i64()).collect();
    assert_eq!(numbers, [Some(6), Some(4)]);
    assert!(!found[0].contains_key("even"), "{found:?}");
    assert_eq!(f.store.count(ORDERS, &query.filter).await, Ok(4));
}

pub(crate) async fn unknown_collections_read_as_empty(f: Fixture) {
    let nowhere = Place { collection: "never", ..ORDERS };
    assert_eq!(f.store.get(nowhere, "a").await, Ok(None));
    assert_eq!(f.ids(nowhere, json!({})).await, [""; 0]);
    assert_eq!(f.store.count(nowhere, &filter_of(json!({}))).await, Ok(0));
    assert_eq!(f.store.remove(nowhere, &filter_of(json!({})), Default::default()).await, Ok(0));
    assert_eq!(f.store.deleted_since(nowhere, 0, &Filter::all(), 100).await, Ok(vec![]));
    assert_eq!(f.store.drop_index(nowhere, "a").await, Ok(false));
    // Looking makes none.
    assert_eq!(f.store.collections(APP).await, Ok(vec![]));
}

pub(crate) async fn distinct_values_and_groups(f: Fixture) {
    for (id, city, sum, tags) in [
        ("a", "Bern", 1, json!(["x", "y"])),
        ("b", "Bern", 2, json!("x")),
        ("c", "Aarau", 4, json!(null)),
    ] {
        f.insert(ORDERS, json!({ "_id": id, "city": city, "sum": sum, "tags": tags })).await;
    }
    let all = filter_of(json!({}));
    let values = async |field: &str| {
        let mut values: Vec<String> = f
            .store
            .distinct(ORDERS, field, &all)
            .await
            .expect("values")
            .iter()
            .map(ToString::to_string)
            .collect();
        values.sort();
        values
    };
    assert_eq!(values("city").await, ["\"Aarau\"", "\"Bern\""]);
    assert_eq!(values("tags").await, ["\"x\"", "\"y\"", "null"]);
    assert_eq!(values("sum").await, ["1", "2", "4"]);

    let group = lode_store::Group::parse(&json!({
        "key": { "city": true }, "initial": { "result": 0 },
        "reduce": "function(doc,out){ out.result += doc.sum; }", "condition": {},
    }))
    .expect("a group");
    let found = f.store.group(ORDERS, &group).await.expect("groups");
    let expected =
        [json!({ "city": "Bern", "result": 3 }), json!({ "city": "Aarau", "result": 4 })];
    assert_eq!(found.iter().map(read).collect::<Vec<_>>(), expected.map(doc));
    let nowhere = Place { collection: "never", ..ORDERS };
    assert_eq!(f.store.distinct(nowhere, "city", &all).await.map(|found| found.len()), Ok(0));
    assert_eq!(f.store.group(nowhere, &group).await.map(|found| found.len()), Ok(0));
}

pub(crate) async fn what_is_found_is_bounded_in_bytes(f: Fixture) {
    let text = "x".repeat(LARGEST_ANSWER / 4);
    let query = |limit| Query { limit: Some(limit), ..Query::default() };
    for n in 0..5 {
        f.insert(ORDERS, json!({ "_id": format!("o{n}"), "text": text, "n": n })).await;
    }
    // Three and their other members: the fourth does not fit any more.
    assert_eq!(f.find(ORDERS, &query(3)).await.len(), 3);
    assert_eq!(f.store.find(ORDERS, &query(4)).await.err(), Some(StoreError::TooLarge));
    assert_eq!(f.store.ids(ORDERS, &query(5)).await.expect("ids").len(), 5);
    let fields = lode_store::Projection::parse(&json!("n")).expect("fields");
    let few = Query { fields: Some(fields), ..query(5) };
    assert_eq!(f.find(ORDERS, &few).await.len(), 5);
    let all = filter_of(json!({}));
    assert_eq!(f.store.distinct(ORDERS, "text", &all).await.expect("values").len(), 1);
    assert_eq!(f.store.count(ORDERS, &all).await, Ok(5));
}

fn read(text: &DocumentText) -> Document {
    serde_json::from_str(text.get()).expect("a document")
}

pub(crate) async fn groups_are_bounded_by_what_they_answer(f: Fixture) {
    // Rows of the database are small; each result has what it holds at first, too.
    let documents = (0..6_000).map(|n| doc(json!({ "_id": format!("o{n}"), "n": n })));
    f.store.insert(ORDERS, documents.collect::<Vec<_>>()).await.expect("inserts");
    let group = |bytes: usize, most: u32| {
        lode_store::Group::parse(&json!({
            "key": { "n": true }, "initial": { "count": 0, "x": "x".repeat(bytes) },
            "reduce": "function(doc,out){ out.count += 1; }",
            "condition": { "n": { "$lt": most } },
        }))
    };
    let large = group(4_000, 6_000).expect("a group");
    assert_eq!(f.store.group(ORDERS, &large).await.err(), Some(StoreError::TooLarge));
    let fewer = group(4_000, 100).expect("a group");
    assert_eq!(f.store.group(ORDERS, &fewer).await.expect("groups").len(), 100);
    let error = group(4_096, 1).expect_err("a refusal").to_string();
    assert_eq!(error, "a group's initial is larger than 4096 bytes");
}

pub(crate) async fn distinct_values_of_one_document_are_bounded(f: Fixture) {
    let half = |letter: &str| letter.repeat(LARGEST_ANSWER / 2);
    f.insert(ORDERS, json!({ "_id": "a", "n": 1, "t": [half("x"), half("y")] })).await;
    let all = filter_of(json!({}));
    assert_eq!(f.store.distinct(ORDERS, "t", &all).await.err(), Some(StoreError::TooLarge));
    // Short values are counted with what they take in memory.
    let numbers: Vec<u32> = (0..500_000).collect();
    f.insert(ORDERS, json!({ "_id": "b", "numbers": numbers })).await;
    assert_eq!(f.store.distinct(ORDERS, "numbers", &all).await.err(), Some(StoreError::TooLarge));
    assert_eq!(f.store.distinct(ORDERS, "n", &all).await.expect("values").len(), 1);
}

pub(crate) async fn removals_are_told_up_to_a_number(f: Fixture) {
    for n in 0..5 {
        f.insert(ORDERS, json!({ "_id": format!("o{n}") })).await;
    }
    let all = filter_of(json!({}));
    assert_eq!(f.store.remove(ORDERS, &all, Default::default()).await, Ok(5));
    assert_eq!(f.store.deleted_since(ORDERS, 0, &Filter::all(), 3).await.expect("ids").len(), 3);
    assert_eq!(f.store.deleted_since(ORDERS, 0, &Filter::all(), 9).await.expect("ids").len(), 5);
}

pub(crate) async fn removals_are_told_to_those_who_could_read(f: Fixture) {
    for (id, creator) in [("a", "ada"), ("b", "bob"), ("c", "ada"), ("d", "ada")] {
        f.insert(ORDERS, json!({ "_id": id, "_acl": { "creator": creator, "gr": id != "c" } }))
            .await;
    }
    f.insert(ORDERS, json!({ "_id": "e" })).await;
    let told = async |filter: Value| {
        let filter = filter_of(filter);
        let mut told = f.store.deleted_since(ORDERS, 0, &filter, 100).await.expect("a read");
        told.sort();
        told
    };
    // Each way to remove.
    let one = filter_of(json!({ "_id": { "$in": ["a", "b", "e"] } }));
    assert_eq!(f.store.remove(ORDERS, &one, Default::default()).await, Ok(3));
    assert_eq!(f.store.change(ORDERS, "c", |_| (Change::Remove, ())).await, Ok(()));
    let request = FindAndModify {
        filter: filter_of(json!({ "_id": "d" })),
        sort: Vec::new(),
        action: Modify::Remove,
        return_new: false,
        upsert: false,
        fields: None,
    };
    assert!(f.store.find_and_modify(ORDERS, &request).await.expect("a removal").is_some());
    let (ada, bob) = (json!({ "_acl.creator": "ada" }), json!({ "_acl.creator": "bob" }));
    let open = json!({ "_acl.gr": { "$ne": false } });
    assert_eq!(told(json!({})).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(told(ada.clone()).await, ["a", "c", "d"]);
    assert_eq!(told(json!({ "$or": [bob, open.clone()] })).await, ["a", "b", "d", "e"]);
    let most = f.store.deleted_since(ORDERS, 0, &filter_of(ada.clone()), 2).await;
    assert_eq!(most.expect("a read").len(), 2);
    // The last `_acl` counts.
    f.insert(ORDERS, json!({ "_id": "a", "_acl": { "creator": "bob", "gr": false } })).await;
    assert_eq!(f.store.change(ORDERS, "a", |_| (Change::Remove, ())).await, Ok(()));
    assert_eq!(told(ada).await, ["c", "d"]);
    assert_eq!(told(open).await, ["b", "d", "e"]);
}

pub(crate) async fn removals_of_an_older_layout_are_told_to_the_owner_only(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a", "_acl": { "creator": "ada" } })).await;
    assert_eq!(f.store.change(ORDERS, "a", |_| (Change::Remove, ())).await, Ok(()));
    let Fixture { store, url, _directory } = f;
    drop(store);
    let back = "DROP VIEW memberships; DROP TABLE members; ALTER TABLE tombstones DROP COLUMN doc;
        DELETE FROM migrations WHERE number >= 6";
    batch(&url, back).await;
    let store = Store::open(&url).await.expect("an open store");
    let told = async |filter: Value| {
        store.deleted_since(ORDERS, 0, &filter_of(filter), 9).await.expect("a read")
    };
    assert_eq!(told(json!({})).await, ["a"]);
    for filter in [json!({ "_acl.creator": "ada" }), json!({ "_acl.gr": { "$ne": false } })] {
        assert_eq!(told(filter.clone()).await, [""; 0], "{filter}");
    }
}

pub(crate) async fn a_collection_is_found_by_its_name(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a" })).await;
    assert_eq!(f.store.collection_exists(ORDERS).await, Ok(true));
    for name in ["never", "", "a\0b"] {
        let at = Place { collection: name, ..ORDERS };
        assert_eq!(f.store.collection_exists(at).await, Ok(false), "{name:?}");
    }
}
