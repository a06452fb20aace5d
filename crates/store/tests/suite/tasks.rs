//! Runs that are owed.

use lode_store::{KEY_KEPT_MS, TaskEnd, TaskState};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{APP, Fixture, app};

const NOW: i64 = 1_700_000_000_000;

fn of(id: &str) -> (String, String) {
    (APP.to_owned(), id.to_owned())
}

impl Fixture {
    async fn owe(&self, id: &str, key: Option<&str>, now: i64) -> Option<String> {
        let content = json!({ "endpoint": "e" });
        self.store.add_task(APP, id, key, &content, now, 5).await.expect("an answer")
    }

    async fn claim(&self, owner: &str, now: i64) -> Vec<String> {
        let claimed = self.store.claim_tasks(owner, &[], now, now + 5_000, 100).await;
        let mut ids: Vec<String> = claimed.expect("claims").into_iter().map(|t| t.id).collect();
        ids.sort();
        ids
    }

    async fn end(&self, id: &str, owner: &str, end: TaskEnd, now: i64) -> bool {
        self.store.end_task(APP, id, owner, end, now).await.expect("an end")
    }
}

pub(crate) async fn a_key_names_one_task(f: Fixture) {
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(f.owe("a", Some("k"), NOW).await, id("a"));
    assert_eq!(f.owe("b", Some("k"), NOW + 1).await, id("a"));
    assert_eq!(f.owe("c", None, NOW).await, id("c"));
    // Done or not, for as long as keys are kept.
    assert_eq!(f.claim("h", NOW).await, ["a", "c"]);
    assert!(f.end("a", "h", TaskEnd::Done(None), NOW).await);
    assert_eq!(f.owe("d", Some("k"), NOW + KEY_KEPT_MS - 1).await, id("a"));
    assert_eq!(f.owe("e", Some("k"), NOW + KEY_KEPT_MS).await, id("e"));
    // Another app's key is another key.
    f.store.create_app(&app("kid_b")).await.expect("an app");
    let other = f.store.add_task("kid_b", "a", Some("k"), &json!({}), NOW, 5).await;
    assert_eq!(other.expect("an answer"), id("a"));
    assert!(f.store.add_task("kid_none", "a", None, &json!({}), NOW, 5).await.is_err());
}

pub(crate) async fn one_host_at_a_time_has_a_task(f: Fixture) {
    f.owe("a", None, NOW).await;
    f.owe("b", None, NOW + 100).await;
    assert_eq!(f.claim("h1", NOW).await, ["a"], "b is not due");
    assert_eq!(f.claim("h2", NOW + 100).await, ["b"]);
    // h1 says nothing more; h2 does.
    let held = f.store.hold_tasks("h2", &[of("b")], NOW + 20_000).await.expect("held");
    assert_eq!(held, [of("b")]);
    assert_eq!(f.claim("h3", NOW + 6_000).await, ["a"]);
    assert!(!f.end("a", "h1", TaskEnd::Done(None), NOW).await, "it is h3's now");
    assert!(f.end("a", "h3", TaskEnd::Done(None), NOW).await);
    f.store.forget_done_tasks(NOW).await.expect("forgotten");
    let task = f.store.task(APP, "a").await.expect("an answer").expect("a task");
    assert_eq!(
        (task.state, task.tries, task.content),
        (TaskState::Done, 2, json!({ "endpoint": "e" }))
    );
    f.store.forget_done_tasks(NOW + 1).await.expect("forgotten");
    assert_eq!(f.store.task(APP, "a").await.expect("an answer"), None);
    assert!(f.store.delete_task(APP, "b").await.expect("deleted"));
    assert!(f.store.hold_tasks("h2", &[of("b")], NOW).await.expect("held").is_empty());
}

pub(crate) async fn what_fails_is_tried_again_and_put_aside(f: Fixture) {
    f.owe("a", None, NOW).await;
    for (at, tries, counts) in [(1, 1, true), (2, 2, false), (3, 2, true)] {
        let now = NOW + at * 1_000;
        assert_eq!(f.claim("h", now).await, ["a"]);
        let task = f.store.task(APP, "a").await.expect("an answer").expect("a task");
        assert_eq!((task.state, task.tries), (TaskState::Running, tries));
        let again = TaskEnd::Again { due_ms: now + 1_000, counts, error: "lost".into() };
        assert!(f.end("a", "h", again, now).await);
        assert!(f.claim("h", now).await.is_empty());
    }
    assert_eq!(f.claim("h", NOW + 9_000).await, ["a"]);
    assert!(f.end("a", "h", TaskEnd::Dead("lost".into()), NOW + 9_000).await);
    assert!(f.claim("h", NOW + 900_000).await.is_empty());
    assert_eq!(f.store.dead_tasks().await.expect("a number"), 1);
    let dead = f.store.tasks::<Value>(APP, Some(TaskState::Dead), 10).await.expect("tasks");
    assert_eq!((dead.len(), dead[0].error.as_deref()), (1, Some("lost")));
    assert!(
        f.store.tasks::<Value>(APP, Some(TaskState::Done), 10).await.expect("tasks").is_empty()
    );
    assert!(f.store.retry_task(APP, "a", NOW + 10_000).await.expect("an answer"));
    assert!(!f.store.retry_task(APP, "a", NOW).await.expect("an answer"), "it is not dead");
    assert_eq!(f.claim("h", NOW + 10_000).await, ["a"]);
}

pub(crate) async fn an_app_owes_so_many(f: Fixture) {
    for id in ["a", "b", "c", "d", "e"] {
        assert!(f.owe(id, None, NOW).await.is_some());
    }
    assert_eq!(f.owe("f", None, NOW).await, None);
    assert_eq!(f.claim("h", NOW).await.len(), 5);
    assert!(f.end("a", "h", TaskEnd::Dead("why".into()), NOW).await);
    assert!(f.owe("f", None, NOW).await.is_some());
    assert!(f.store.delete_app(APP).await.expect("deleted"));
    assert!(f.claim("h", NOW + 900_000).await.is_empty());
}

pub(crate) async fn one_app_does_not_take_all_of_a_host(f: Fixture) {
    f.store.create_app(&app("kid_b")).await.expect("an app");
    for n in 0..20 {
        let id = format!("a{n:02}");
        let added = f.store.add_task(APP, &id, None, &json!({}), NOW, 100).await;
        assert!(added.expect("an answer").is_some());
    }
    let other = f.store.add_task("kid_b", "b", None, &json!({}), NOW + 1, 100).await;
    assert!(other.expect("an answer").is_some());
    let first = ["a00", "a01", "a02", "a03", "a04", "a05", "a06", "a07"];
    assert_eq!(f.claim("h", NOW + 1).await, [&first[..], &["b"]].concat());
    assert!(f.claim("h", NOW + 1).await.is_empty(), "it has as many as it may");
    assert_eq!(f.claim("h2", NOW + 1).await.len(), 8, "another host has its own");
    assert!(f.end("a00", "h", TaskEnd::Done(None), NOW + 1).await);
    assert_eq!(f.claim("h", NOW + 1).await, ["a16"]);
}

pub(crate) async fn a_host_is_not_given_again_what_it_is_at(f: Fixture) {
    f.owe("a", None, NOW).await;
    f.owe("lost", None, NOW).await;
    assert_eq!(f.claim("h", NOW).await, ["a", "lost"]);
    // It was kept from saying that it is at `a`, and knows nothing of the other any more.
    let late = NOW + 60_000;
    let claimed = f.store.claim_tasks("h", &[of("a")], late, late + 5_000, 10).await;
    let claimed: Vec<_> = claimed.expect("claims").into_iter().map(|task| task.id).collect();
    assert_eq!(claimed, ["lost"]);
    let held = f.store.hold_tasks("h", &[of("a")], late + 9_000).await;
    assert_eq!(held.expect("held"), [of("a")], "what it does not know it does not hold");
    assert_eq!(f.claim("h2", late + 8_000).await, ["lost"]);
}

pub(crate) async fn tasks_are_listed_without_their_contents(f: Fixture) {
    #[derive(Default, Debug, PartialEq, Deserialize)]
    struct Endpoint {
        endpoint: String,
    }
    let content = json!({ "endpoint": "e", "body": "x".repeat(1 << 20) });
    let added = f.store.add_task(APP, "a", None, &content, NOW, 5).await;
    assert!(added.expect("an answer").is_some());
    let listed = f.store.tasks::<Endpoint>(APP, None, 10).await.expect("tasks");
    assert_eq!(listed[0].content, Endpoint { endpoint: "e".into() });
    assert_eq!((listed.len(), &*listed[0].id), (1, "a"));
}
