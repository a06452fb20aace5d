use lode_store::{Credential, Place, Session, StoreError};
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
    assert_eq!(add(&f, APP, &credential("u3", "ada")).await, Err(taken.clone()));
    assert_eq!(f.store.get(USERS, "u3").await, Ok(None), "a document without its credential");
    assert_eq!(f.store.rename_credential(APP, "u2", "ada").await, Err(taken));
    assert_eq!(f.store.rename_credential(APP, "u2", "bert").await, Ok(true));
    assert_eq!(f.store.rename_credential(APP, "u9", "zoe").await, Ok(false));
    assert_eq!(f.store.credential(APP, "bob").await, Ok(None));
    assert_eq!(f.store.set_password(APP, "u2", "new").await, Ok(true));
    let bert = f.store.credential(APP, "bert").await.expect("a read").expect("bert");
    assert_eq!((bert.user_id.as_str(), bert.password_hash.as_str()), ("u2", "new"));
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

pub(crate) async fn sessions(f: Fixture) {
    let session = |token: u8, user_id: &str| Session {
        token_hash: [token; 32],
        app: APP.to_owned(),
        user_id: user_id.to_owned(),
        created_ms: 1_000,
        expires_ms: i64::MAX,
    };
    for (token, user_id) in [(1, "u1"), (2, "u1"), (3, "u2")] {
        f.store.add_session(&session(token, user_id)).await.expect("a session");
    }
    assert_eq!(f.store.session(&[1; 32]).await, Ok(Some((session(1, "u1"), None))));
    assert_eq!(f.store.session(&[9; 32]).await, Ok(None));
    // It comes with its user's document: the one of its app.
    f.store.create_app(&app("kid_b")).await.expect("an app");
    f.insert(Place { app: "kid_b", ..USERS }, json!({ "_id": "u2" })).await;
    f.insert(USERS, json!({ "_id": "u1", "username": "ada" })).await;
    let ada = f.store.get(USERS, "u1").await.expect("a read");
    assert!(ada.is_some());
    assert_eq!(f.store.session(&[1; 32]).await, Ok(Some((session(1, "u1"), ada.clone()))));
    assert_eq!(f.store.session(&[3; 32]).await, Ok(Some((session(3, "u2"), None))));
    let twice = f.store.add_session(&session(1, "u2")).await;
    assert!(matches!(twice, Err(StoreError::Duplicate { .. })), "{twice:?}");
    assert_eq!(f.store.remove_session(&[1; 32]).await, Ok(true));
    assert_eq!(f.store.remove_session(&[1; 32]).await, Ok(false));
    assert_eq!(f.store.remove_sessions_of(APP, "u1").await, Ok(1));
    assert!(f.store.session(&[3; 32]).await.expect("a read").is_some());
    // A user who goes takes the sessions along.
    add(&f, APP, &credential("u2", "bob")).await.expect("a user");
    assert_eq!(f.store.remove_credential(APP, "u2").await, Ok(true));
    assert_eq!(f.store.session(&[3; 32]).await, Ok(None));
    // Those that have expired are cleared away by the next.
    let expired = Session { expires_ms: 2_000, ..session(4, "u1") };
    f.store.add_session(&expired).await.expect("a session");
    assert_eq!(f.store.session(&[4; 32]).await, Ok(Some((expired, ada))));
    f.store.add_session(&session(5, "u1")).await.expect("a session");
    assert_eq!(f.store.session(&[4; 32]).await, Ok(None));
}
