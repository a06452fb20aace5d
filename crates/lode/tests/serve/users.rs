//! Users, groups and roles: what they cannot take, and what stays whole.

use serde_json::{Value, json};

use crate::support::{App, Server, basic};

/// A user's header and id.
fn sign_up(server: &Server, app: &App, name: &str) -> (String, String) {
    let body = json!({ "username": name, "password": "secret" });
    let signed = server.ask(&app.as_app(), "POST", &format!("/user/{}", app.key), body);
    let token = signed.body["_kmd"]["authtoken"].as_str().expect("a token").to_owned();
    (format!("Kinvey {token}"), signed.body["_id"].as_str().expect("an id").to_owned())
}

fn named(answer: &crate::support::Answer) -> (u16, &str) {
    (answer.status, answer.body["error"].as_str().unwrap_or_default())
}

/// Whoever signed up as the app's key owned all that the master secret and scripts had made; as the id of a user
/// who was deleted, what ACLs still gave that user.
#[test]
fn only_the_owner_chooses_a_users_id_and_nobody_the_apps_key() {
    let server = Server::start();
    let app = server.app();
    let users = format!("/user/{}", app.key);
    let (eve, _) = sign_up(&server, &app, "eve");
    for id in [app.key.as_str(), "gone", ""] {
        for auth in [&app.as_app(), &eve] {
            let refused = server.ask(auth, "POST", &users, json!({ "_id": id }));
            assert_eq!(named(&refused), (401, "InsufficientCredentials"), "{refused:?}");
        }
    }
    let odd = server.ask(&app.as_app(), "POST", &users, json!({ "_id": 5 }));
    assert_eq!(named(&odd), (401, "InsufficientCredentials"), "{odd:?}");
    assert_eq!(server.ask(&app.as_app(), "POST", &users, json!({ "_id": null })).status, 201);
    let owner = |id: &str| server.ask(&app.as_master(), "POST", &users, json!({ "_id": id }));
    assert_eq!(named(&owner(&app.key)), (400, "InvalidIdentifier"));
    assert_eq!(owner("ada").body["_acl"]["creator"], "ada");
    assert_eq!(named(&owner("ada")), (409, "UserAlreadyExists"));
}

/// Signing up with the id of a user that is there once wrote that user's credential before the id was found
/// taken, and then removed it.
#[test]
fn signing_up_under_another_users_id_leaves_that_user_alone() {
    let server = Server::start();
    let app = server.app();
    let users = format!("/user/{}", app.key);
    let ada = json!({ "_id": "ada", "username": "ada", "password": "lovelace" });
    assert_eq!(server.ask(&app.as_master(), "POST", &users, ada).status, 201);
    let eve = json!({ "_id": "ada", "username": "eve", "password": "eve" });
    let refused = server.ask(&app.as_app(), "POST", &users, eve.clone());
    assert_eq!(named(&refused), (401, "InsufficientCredentials"));
    let refused = server.ask(&app.as_master(), "POST", &users, eve);
    assert_eq!(named(&refused), (409, "UserAlreadyExists"));
    let me = format!("{users}/_me");
    assert_eq!(server.ask(&basic("eve", "eve"), "GET", &me, Value::Null).status, 401);
    assert_eq!(server.ask(&basic("ada", "lovelace"), "GET", &me, Value::Null).status, 200);
}
