//! What only a data directory has.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use lode_store::{AppRecord, Change, Document, Store, StoreError};
use serde_json::json;

use crate::{APP, Fixture, ORDERS, app, batch, doc};

#[tokio::test]
async fn a_second_process_is_refused() {
    let f = Fixture::sqlite().await;
    let error = Store::open(&f.url).await.err().expect("a refusal");
    assert!(error.is_platform(), "{error}");
    assert!(error.to_string().contains("in use by another lode process"), "{error}");
    // A clone keeps it open; when the last is dropped, it can be opened at once.
    let Fixture { store, url, _directory } = f;
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&url).await.is_err());
    drop(clone);
    let store = Store::open(&url).await.expect("an open store");
    assert_eq!(store.app(APP).await, Ok(Some(app(APP))));
}

#[tokio::test]
async fn the_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("not/there/yet");
    let store = Store::open(&format!("sqlite:{}", data.display())).await.expect("an open store");
    let mode = std::fs::metadata(&data).expect("the directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    drop(store);
}

#[tokio::test]
async fn apps_with_schedules_of_an_older_layout_are_found() {
    let f = Fixture::sqlite().await;
    let settings = json!({ "schedules": [{ "endpoint": "e", "everyMs": 1000 }] });
    let busy = AppRecord { settings, ..app("kid_busy") };
    let idle = AppRecord { settings: json!({ "schedules": [] }), ..app("kid_idle") };
    for app in [&busy, &idle] {
        f.store.create_app(app).await.expect("an app");
    }
    let Fixture { store, url, _directory } = f;
    drop(store);
    let back = "DROP INDEX tasks_running; DROP INDEX apps_scheduled; ALTER TABLE apps DROP COLUMN scheduled;
        DROP VIEW memberships; DROP TABLE members; ALTER TABLE tombstones DROP COLUMN doc;
        DELETE FROM migrations WHERE number >= 4;";
    batch(&url, back).await;
    let store = Store::open(&url).await.expect("an open store");
    assert_eq!(store.scheduled().await, Ok(vec!["kid_busy".to_owned()]));
}

#[tokio::test]
async fn a_panic_ends_one_write_only() {
    let f = Fixture::sqlite().await;
    f.insert(ORDERS, json!({ "_id": "a", "n": 1 })).await;
    let panics = |_: Option<Document>| -> (Change, ()) { panic!("as this test wants") };
    let (outcome, other) = tokio::join!(
        f.store.change(ORDERS, "a", panics),
        f.store.insert(ORDERS, vec![doc(json!({ "_id": "b" }))]),
    );
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert_eq!(other, Ok(()));
    assert_eq!(f.ids(ORDERS, json!({})).await, ["a", "b"]);
}

const DIRECTORY: &str = "LODE_TEST_STORE";

/// Not a test: the process that the next one kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is run, and killed, by killed_while_writing_nothing_acknowledged_is_lost"]
async fn writes_until_it_is_killed() {
    let Ok(url) = std::env::var(DIRECTORY) else { return };
    let store = Store::open(&url).await.expect("an open store");
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0_u64.. {
                let id = format!("{writer}-{n}");
                let document = doc(json!({ "_id": id, "filler": "x".repeat(500) }));
                store.insert(ORDERS, vec![document]).await.expect("an insert");
                println!("acknowledged {id}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
}

#[tokio::test]
async fn killed_while_writing_nothing_acknowledged_is_lost() {
    let Fixture { store, url, _directory } = Fixture::sqlite().await;
    drop(store);
    let mut acknowledged = 0;
    // Killed at different moments of the log's growth.
    for lines in [50_usize, 700, 2_500] {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "sqlite_only::writes_until_it_is_killed"])
            .args(["--ignored", "--nocapture"])
            .env(DIRECTORY, &url)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut ids = Vec::new();
        for line in output.lines() {
            let line = line.expect("a line");
            // The harness may have written something before it on the same line.
            if let Some((_, id)) = line.split_once("acknowledged ") {
                ids.push(id.to_owned());
            }
            if ids.len() == lines {
                child.kill().expect("killing it"); // SIGKILL
            }
        }
        child.wait().expect("its end");
        assert!(ids.len() >= lines, "it ended by itself after {} writes", ids.len());
        // The last line may have been cut off.
        ids.pop();

        let store = Store::open(&url).await.expect("an open store");
        for id in &ids {
            let found = store.get(ORDERS, id).await.expect("a read");
            assert!(found.is_some(), "{id} was acknowledged and is gone");
        }
        acknowledged += ids.len();
        store.drop_collection(ORDERS).await.expect("a drop");
    }
    assert!(acknowledged > 3_000);
}
