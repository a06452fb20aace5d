use serde_json::{Value, json};

use crate::{APP, Fixture};

pub(crate) async fn only_the_newest_stay(f: Fixture) {
    let ids = async || -> Vec<String> {
        let kept = f.store.kept_all(APP, "run").await.expect("a read");
        kept.into_iter().map(|(id, _)| id).collect()
    };
    let keep = async |kind: &str, id: &str, content: Value| {
        f.store.keep(APP, kind, id, &content, 3).await.expect("something kept");
    };
    for id in ["a", "b", "c", "d"] {
        keep("run", id, json!({ "of": id, "zero": "\0" })).await;
    }
    assert_eq!(ids().await, ["d", "c", "b"]);
    assert_eq!(f.store.kept(APP, "run", "a").await, Ok(None));
    let kept = f.store.kept(APP, "run", "b").await;
    assert_eq!(kept, Ok(Some(json!({ "of": "b", "zero": "\0" }))));
    // What is kept again is the newest, and is there once.
    keep("run", "b", json!(2)).await;
    assert_eq!(ids().await, ["b", "d", "c"]);
    keep("run", "e", json!(null)).await;
    assert_eq!(ids().await, ["e", "b", "d"]);
    assert_eq!(f.store.kept(APP, "run", "b").await, Ok(Some(json!(2))));
    // Another kind counts for itself.
    keep("schedule", "a", json!(1)).await;
    assert_eq!(ids().await.len(), 3);
    assert_eq!(f.store.forget(APP, "run", "b").await, Ok(true));
    assert_eq!(f.store.forget(APP, "run", "b").await, Ok(false));
    assert_eq!(ids().await, ["e", "d"]);

    let many = (0..16).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move { store.keep(APP, "run", &n.to_string(), &json!(n), 3).await })
    });
    for task in many.collect::<Vec<_>>() {
        task.await.expect("a task").expect("something kept");
    }
    assert_eq!(ids().await.len(), 3);
}
