use lode_store::{Credential, DeploymentSummary, Place, Session, Store, StoreError};
use serde_json::json;

use crate::{APP, Fixture, ORDERS, app, batch, cluster, doc, filter_of};

pub(crate) async fn made_saved_and_deleted(f: Fixture) {
    let mut record = app(APP);
    assert_eq!(f.store.app(APP).await, Ok(Some(record.clone())));
    let taken = StoreError::Duplicate { id: APP.to_owned() };
    assert_eq!(f.store.create_app(&record).await, Err(taken));
    record.settings = json!({ "egress": ["example.com"], "zero": "\0" });
    record.scheduled = true;
    record.active = Some(7);
    record.name = "another name".to_owned();
    let new = record.clone();
    let changed = f.store.change_app(APP, move |app| std::mem::replace(app, new.clone())).await;
    assert_eq!(changed, Ok(Some(app(APP))));
    assert_eq!(f.store.app(APP).await, Ok(Some(record.clone())));
    f.store.create_app(&app("kid_0")).await.expect("an app");
    assert_eq!(f.store.apps().await, Ok(vec![app("kid_0"), record]));
    assert_eq!(f.store.scheduled().await, Ok(vec![APP.to_owned()]));
    assert_eq!(f.store.change_app("kid_x", |_| ()).await, Ok(None));
    assert_eq!(f.store.delete_app("kid_x").await, Ok(false));
    assert_eq!(f.store.delete_app(APP).await, Ok(true));
    assert_eq!(f.store.app(APP).await, Ok(None));
}

pub(crate) async fn deployments_are_numbered_and_activated(f: Fixture) {
    f.store.create_app(&app("kid_b")).await.expect("an app");
    let content = |n: i64| json!({ "scripts": { "a.js": format!("\0{n}") } });
    assert_eq!(f.store.add_deployment(APP, &content(1), 10, true).await, Ok(1));
    assert_eq!(f.store.add_deployment(APP, &content(2), 20, false).await, Ok(2));
    assert_eq!(f.store.add_deployment("kid_b", &content(3), 30, false).await, Ok(1));
    assert_eq!(f.store.app(APP).await.expect("a read").expect("it").active, Some(1));
    assert_eq!(f.store.app("kid_b").await.expect("a read").expect("it").active, None);
    let two = f.store.deployment(APP, 2).await.expect("a read").expect("it");
    assert_eq!((two.number, two.created_ms, two.content), (2, 20, content(2)));
    assert_eq!(f.store.deployment(APP, 3).await, Ok(None));
    assert_eq!(
        f.store.deployments(APP).await,
        Ok(vec![
            DeploymentSummary { number: 1, created_ms: 10 },
            DeploymentSummary { number: 2, created_ms: 20 },
        ])
    );
    assert_eq!(f.store.activate(APP, 2).await, Ok(true));
    assert_eq!(f.store.activate(APP, 3).await, Ok(false));
    assert_eq!(f.store.activate("kid_b", 2).await, Ok(false));
    assert_eq!(f.store.app(APP).await.expect("a read").expect("it").active, Some(2));
}

pub(crate) async fn deleting_leaves_nothing_behind(f: Fixture) {
    f.insert(ORDERS, json!({ "_id": "a", "n": 1 })).await;
    f.insert(ORDERS, json!({ "_id": "b", "n": 2 })).await;
    let groups = Place { collection: "group", ..ORDERS };
    f.insert(groups, json!({ "_id": "g", "users": { "list": [{ "_id": "u" }] } })).await;
    f.store.create_index(ORDERS, "n").await.expect("an index");
    let one = filter_of(json!({ "_id": "a" }));
    f.store.remove(ORDERS, &one, Default::default()).await.expect("a removal");
    f.store.add_deployment(APP, &json!({}), 1, true).await.expect("a deployment");
    let credential = Credential {
        user_id: "u".to_owned(),
        username: "ada".to_owned(),
        password_hash: "h".to_owned(),
    };
    let user = doc(json!({ "_id": "u" }));
    f.store.add_user(APP, &user, &credential).await.expect("a user");
    let session = Session {
        token_hash: [7; 32],
        app: APP.to_owned(),
        user_id: "u".to_owned(),
        created_ms: 1,
        expires_ms: i64::MAX,
    };
    assert_eq!(f.store.add_session(&session, "h").await, Ok(true));
    f.store.keep(APP, "run", "r", &json!({}), 5).await.expect("something kept");
    assert_eq!(f.store.delete_app(APP).await, Ok(true));

    for (table, rows) in counts(&f).await {
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(f.store.session(&[7; 32]).await, Ok(None));
    // Made again, it starts from nothing; its deployments too.
    f.store.create_app(&app(APP)).await.expect("an app");
    assert_eq!(f.ids(ORDERS, json!({})).await, [""; 0]);
    assert_eq!(f.store.add_deployment(APP, &json!({}), 1, true).await, Ok(1));
}

/// Every table that holds something of apps, and the database's own list of indexes that were asked for.
async fn counts(f: &Fixture) -> Vec<(String, i64)> {
    let tables = [
        "apps",
        "deployments",
        "collections",
        "dropped",
        "entities",
        "tombstones",
        "members",
        "indexes",
        "credentials",
        "sessions",
        "kept",
    ];
    let mut queries: Vec<_> = tables
        .iter()
        .map(|table| ((*table).to_owned(), format!("SELECT count(*) FROM {table}")))
        .collect();
    let list = if f.is_sqlite() { ("sqlite_master", "name") } else { ("pg_indexes", "indexname") };
    let (table, column) = list;
    queries.push((
        table.to_owned(),
        // entities_<collection>_<hash>
        format!("SELECT count(*) FROM {table} WHERE {column} LIKE 'entities!_1!_%' ESCAPE '!'"),
    ));
    let mut counts = Vec::new();
    if let Some(directory) = f.url.strip_prefix("sqlite:") {
        let database =
            rusqlite::Connection::open(format!("{directory}/lode.db")).expect("the database");
        for (table, sql) in queries {
            counts.push((table, database.query_row(&sql, [], |row| row.get(0)).expect("a count")));
        }
    } else {
        let client = cluster::connect(&f.url).await.expect("a connection");
        for (table, sql) in queries {
            counts.push((table, client.query_one(&sql, &[]).await.expect("a count").get(0)));
        }
    }
    counts
}

pub(crate) async fn a_newer_database_is_refused(f: Fixture) {
    let Fixture { store, url, _directory } = f;
    drop(store);
    batch(&url, "INSERT INTO migrations VALUES (1000, 'later', 1)").await;
    let error = Store::open(&url).await.err().expect("a refusal");
    assert!(matches!(error, StoreError::Newer { found: 1000, .. }), "{error}");
    assert!(error.to_string().contains("newer version of lode"), "{error}");
}

pub(crate) async fn opened_by_many_at_once(f: Fixture) {
    if f.is_sqlite() {
        return; // One process has its directory.
    }
    let openers: Vec<_> = (0..4)
        .map(|_| {
            let url = f.url.clone();
            tokio::spawn(async move { Store::open(&url).await })
        })
        .collect();
    for opener in openers {
        let other = opener.await.expect("a task").expect("an open store");
        assert_eq!(other.app(APP).await, Ok(Some(app(APP))));
    }
    // What one host drops and makes again, another finds: its writes at once.
    let other = Store::open(&f.url).await.expect("an open store");
    f.insert(ORDERS, json!({ "_id": "a" })).await;
    assert_eq!(other.count(ORDERS, &filter_of(json!({}))).await, Ok(1));
    f.store.drop_collection(ORDERS).await.expect("a drop");
    let document = json!({ "_id": "b" });
    other.insert(ORDERS, vec![crate::doc(document)]).await.expect("an insert");
    assert_eq!(f.ids(ORDERS, json!({})).await, ["b"]);
}
