use lode_store::{Change, Credential, Document, Place, Session, StoreError};
use serde_json::json;

use crate::{APP, Fixture, app, doc};

const USERS: Place<'_> = Place { app: APP, collection: "user" };

fn credential(user_id: &str, username: &str) -> Credential {
    Credential {
        user_id: user_id.to_owned(),
        username: username.to_owned(),
        password_hash: format!("hash of {user_id}"),
    }
}

async fn add(f: &Fixture, app: &str, credential: &Credential) -> Result<(), StoreError> {
    let document = doc(json!({ "_id": credential.user_id, "username": credential.username }));
    f.store.add_user(app, &document, credential).await
}

pub(crate) async fn credentials(f: Fixture) {
    f.store.create_app(&app("kid_b")).await.expect("an app");
    let ada = credential("u1", "ada");
    add(&f, APP, &ada).await.expect("a user");
    add(&f, APP, &credential("u2", "bob")).await.expect("a user");
    // Another app's ada.
    add(&f, "kid_b", &credential("u1", "ada")).await.expect("a user");
    assert_eq!(f.store.credential(APP, "ada").await, Ok(Some(ada.clone())));
    assert_eq!(f.store.credential_of(APP, "u1").await, Ok(Some(ada)));
    assert_eq!(f.store.credential(APP, "Ada").await, Ok(None));
    assert_eq!(f.store.credential(APP, "a\0").await, Ok(None));

    let taken = StoreError::Duplicate { id: "ada".to_owned() };
    assert_eq!(add(&f, APP, &credential("u3", "ada")).await, Err(taken));
    assert_eq!(f.store.get(USERS, "u3").await, Ok(None), "a document without its credential");
    let strange = f.store.add_user(APP, &doc(json!({ "_id": "u5" })), &credential("u4", "d")).await;
    assert!(matches!(strange, Err(StoreError::Invalid(_))), "{strange:?}");
    assert_eq!(f.store.remove_credential(APP, "u2").await, Ok(true));
    assert_eq!(f.store.remove_credential(APP, "u2").await, Ok(false));
    assert!(f.store.credential("kid_b", "ada").await.expect("a read").is_some());
}

/// A user that is there keeps name and password, whoever asks for one with the same id.
pub(crate) async fn an_id_that_is_taken_changes_no_credential(f: Fixture) {
    let ada = credential("u1", "ada");
    add(&f, APP, &ada).await.expect("a user");
    let eve = Credential { password_hash: "mine".into(), ..credential("u1", "eve") };
    assert_eq!(add(&f, APP, &eve).await, Err(StoreError::Duplicate { id: "u1".to_owned() }));
    assert_eq!(f.store.credential_of(APP, "u1").await, Ok(Some(ada)));
    assert_eq!(f.store.credential(APP, "eve").await, Ok(None));
}

fn session(token: u8, user_id: &str) -> Session {
    Session {
        token_hash: [token; 32],
        app: APP.to_owned(),
        user_id: user_id.to_owned(),
        created_ms: 1_000,
        expires_ms: i64::MAX,
    }
}

async fn begin(f: &Fixture, session: &Session) -> Result<bool, StoreError> {
    f.store.add_session(session, &format!("hash of {}", session.user_id)).await
}

/// Name and password go with the document, or none of them does.
pub(crate) async fn a_user_and_the_credential_change_together(f: Fixture) {
    for (id, name) in [("u1", "ada"), ("u2", "bob")] {
        add(&f, APP, &credential(id, name)).await.expect("a user");
    }
    let before = f.store.get(USERS, "u2").await.expect("a read");
    let named = |name: &'static str, more: serde_json::Value| {
        move |before: &Document| {
            let mut after = before.clone();
            after.insert("username".into(), name.into());
            after.insert("more".into(), more.clone());
            after
        }
    };
    let taken = StoreError::Duplicate { id: "ada".to_owned() };
    let refused = f.store.change_user(APP, "u2", Some("new"), named("ada", json!(1))).await;
    assert_eq!(refused, Err(taken));
    let refused = f.store.change_user(APP, "u2", Some("new"), named("bert", json!("\0"))).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    assert_eq!(f.store.get(USERS, "u2").await.expect("a read"), before);
    assert_eq!(f.store.credential(APP, "bob").await, Ok(Some(credential("u2", "bob"))));

    assert_eq!(begin(&f, &session(1, "u2")).await, Ok(true));
    let renamed = f.store.change_user(APP, "u2", None, named("bert", json!(1))).await;
    let renamed = renamed.expect("it is free").expect("bert");
    assert_eq!(f.store.get(USERS, "u2").await, Ok(Some(renamed)));
    assert_eq!(f.store.credential(APP, "bob").await, Ok(None));
    assert_eq!(f.store.credential(APP, "bert").await, Ok(Some(credential("u2", "bert"))));
    assert!(f.store.session(&[1; 32]).await.expect("a read").is_some(), "a name ends no session");
    // Nobody is made, and somebody who is gone is not made again.
    let none = f.store.change_user(APP, "u9", Some("new"), named("zoe", json!(1))).await;
    assert_eq!(none, Ok(None));
    assert_eq!(f.store.get(USERS, "u9").await, Ok(None));
}

/// A login that verified the old password begins no session once there is a new one.
pub(crate) async fn a_changed_password_ends_sessions_and_those_about_to_begin(f: Fixture) {
    add(&f, APP, &credential("u1", "ada")).await.expect("a user");
    assert_eq!(begin(&f, &session(1, "u1")).await, Ok(true));
    let same = |before: &Document| before.clone();
    let changed = f.store.change_user(APP, "u1", Some("new"), same).await;
    assert!(changed.expect("a change").is_some());
    assert_eq!(f.store.session(&[1; 32]).await, Ok(None));
    assert_eq!(begin(&f, &session(2, "u1")).await, Ok(false));
    assert_eq!(f.store.session(&[2; 32]).await, Ok(None));
    assert_eq!(f.store.add_session(&session(3, "u1"), "new").await, Ok(true));
    assert_eq!(begin(&f, &session(4, "u9")).await, Ok(false), "nobody's");
}

pub(crate) async fn sessions(f: Fixture) {
    for (id, name) in [("u1", "ada"), ("u2", "bob")] {
        add(&f, APP, &credential(id, name)).await.expect("a user");
    }
    for (token, user_id) in [(1, "u1"), (2, "u1"), (3, "u2")] {
        begin(&f, &session(token, user_id)).await.expect("a session");
    }
    assert_eq!(f.store.session(&[9; 32]).await, Ok(None));
    // It comes with its user's document, if there is one: that of its app.
    f.store.create_app(&app("kid_b")).await.expect("an app");
    f.insert(Place { app: "kid_b", ..USERS }, json!({ "_id": "u2" })).await;
    f.store.change(USERS, "u2", |_| (Change::Remove, ())).await.expect("a change");
    let ada = f.store.get(USERS, "u1").await.expect("a read");
    assert!(ada.is_some());
    assert_eq!(f.store.session(&[1; 32]).await, Ok(Some((session(1, "u1"), ada.clone()))));
    assert_eq!(f.store.session(&[3; 32]).await, Ok(Some((session(3, "u2"), None))));
    let twice = begin(&f, &session(1, "u2")).await;
    assert!(matches!(twice, Err(StoreError::Duplicate { .. })), "{twice:?}");
    assert_eq!(f.store.remove_session(&[1; 32]).await, Ok(true));
    assert_eq!(f.store.remove_session(&[1; 32]).await, Ok(false));
    assert_eq!(f.store.remove_sessions_of(APP, "u1").await, Ok(1));
    assert!(f.store.session(&[3; 32]).await.expect("a read").is_some());
    // A user who goes takes the sessions along.
    assert_eq!(f.store.remove_credential(APP, "u2").await, Ok(true));
    assert_eq!(f.store.session(&[3; 32]).await, Ok(None));
    // Those that have expired are cleared away by the next.
    let expired = Session { expires_ms: 2_000, ..session(4, "u1") };
    begin(&f, &expired).await.expect("a session");
    assert_eq!(f.store.session(&[4; 32]).await, Ok(Some((expired, ada))));
    begin(&f, &session(5, "u1")).await.expect("a session");
    assert_eq!(f.store.session(&[4; 32]).await, Ok(None));
}
