//! Users, groups and roles: what they cannot take, and what stays whole.

use std::time::Duration;

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

/// Delta sets once told everybody the ids of all that was removed.
#[test]
fn delta_sets_name_what_one_could_read() {
    let server = Server::start();
    let app = server.app();
    let settings = json!({ "collections": { "letters": { "permission": "private" } } });
    let path = format!("/admin/apps/{}/settings", app.key);
    assert_eq!(server.admin("PUT", &path, settings).status, 200);
    let (ada, _) = sign_up(&server, &app, "ada");
    let (bob, bob_id) = sign_up(&server, &app, "bob");
    let users = json!({ "list": [{ "_id": bob_id }] });
    let group = server.ask(&ada, "POST", &format!("/group/{}", app.key), json!({ "users": users }));
    let group = group.body["_id"].as_str().expect("an id").to_owned();
    let letters = format!("/appdata/{}/letters", app.key);
    let of = [
        ("own", json!({})),
        ("named", json!({ "r": [bob_id] })),
        ("grouped", json!({ "groups": { "r": [group] } })),
        ("open", json!({ "gr": true })),
    ];
    let mut times = Vec::new();
    for (id, acl) in of {
        let made = server.ask(&ada, "POST", &letters, json!({ "_id": id, "_acl": acl }));
        assert_eq!(made.status, 201, "{made:?}");
        times.push(made.body["_kmd"]["ect"].as_str().expect("a time").to_owned());
        let deleted = server.ask(&ada, "DELETE", &format!("{letters}/{id}"), Value::Null);
        assert_eq!(deleted.status, 200, "{deleted:?}");
    }
    let deleted = |auth: &str| {
        let path = format!("{letters}/_deltaset?since={}", times[0]);
        let answer = server.ask(auth, "GET", &path, Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        let deleted = answer.body["deleted"].as_array().expect("a list").iter();
        let mut ids: Vec<_> =
            deleted.map(|one| one["_id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    for all in [&ada, &app.as_master()] {
        assert_eq!(deleted(all), ["grouped", "named", "open", "own"]);
    }
    assert_eq!(deleted(&bob), ["grouped", "named", "open"]);
}

/// 500 groups of all users once made every request of every user fail.
#[test]
fn many_groups_lock_nobody_out() {
    let server = Server::start();
    let app = server.app();
    let (ada, ada_id) = sign_up(&server, &app, "ada");
    let (eve, _) = sign_up(&server, &app, "eve");
    let groups = format!("/group/{}", app.key);
    let of_ada = json!({ "users": { "all": false, "list": [{ "_id": ada_id }] } });
    let mut friends = of_ada.clone();
    friends["_id"] = "zz friends".into();
    assert_eq!(server.ask(&app.as_master(), "POST", &groups, friends).status, 201);
    for _ in 0..510 {
        assert_eq!(server.ask(&eve, "POST", &groups, of_ada.clone()).status, 201);
    }
    let books = format!("/appdata/{}/books", app.key);
    let shared =
        json!({ "_id": "emma", "_acl": { "gr": false, "groups": { "r": ["zz friends"] } } });
    assert_eq!(server.ask(&app.as_master(), "POST", &books, shared).status, 201);
    // The owner's groups count before those that other users put one into.
    assert_eq!(server.ask(&ada, "GET", &format!("{books}/emma"), Value::Null).status, 200);
    assert_eq!(server.ask(&eve, "GET", &format!("{books}/emma"), Value::Null).status, 401);
}

#[test]
fn users_make_no_groups_of_all_nor_with_ids_of_their_choice() {
    let server = Server::start();
    let app = server.app();
    let (eve, eve_id) = sign_up(&server, &app, "eve");
    let groups = format!("/group/{}", app.key);
    let list = json!([{ "_id": eve_id }]);
    for wrong in [
        json!({ "_id": "staff", "users": { "list": list } }),
        json!({ "users": { "all": true } }),
        json!({ "users": [{ "all": true }] }),
    ] {
        let refused = server.ask(&eve, "POST", &groups, wrong);
        assert_eq!(named(&refused), (401, "InsufficientCredentials"), "{refused:?}");
    }
    let staff = format!("{groups}/staff");
    let refused = server.ask(&eve, "PUT", &staff, json!({ "users": { "list": list } }));
    assert_eq!(named(&refused), (404, "EntityNotFound"), "{refused:?}");
    let made = server.ask(&eve, "POST", &groups, json!({ "users": { "list": list } }));
    assert_eq!(made.status, 201, "{made:?}");
    let own = format!("{groups}/{}", made.body["_id"].as_str().expect("an id"));
    let refused = server.ask(&eve, "PUT", &own, json!({ "users": { "all": true } }));
    assert_eq!(named(&refused), (401, "InsufficientCredentials"), "{refused:?}");
    assert_eq!(server.ask(&eve, "PUT", &own, json!({ "users": { "list": [] } })).status, 200);
    let all = json!({ "users": { "all": true } });
    assert_eq!(server.ask(&app.as_master(), "PUT", &staff, all).status, 200);
}

/// The credential was once renamed before the document was found wanting.
#[test]
fn a_change_that_is_refused_leaves_user_and_credential_as_they_were() {
    let server = Server::start();
    let app = server.app();
    sign_up(&server, &app, "ada");
    let (bob, bob_id) = sign_up(&server, &app, "bob");
    let path = format!("/user/{}/{bob_id}", app.key);
    for (wrong, status) in [
        (json!({ "username": "bert", "password": "new", "$a": 1 }), 400),
        (json!({ "username": "bert", "password": "new", "_id": "other" }), 400),
        (json!({ "username": "bert", "password": "" }), 400),
        (json!({ "username": "ada", "password": "new", "more": 1 }), 409),
    ] {
        let refused = server.ask(&bob, "PUT", &path, wrong);
        assert_eq!(refused.status, status, "{refused:?}");
    }
    let me = server.ask(&basic("bob", "secret"), "GET", &path, Value::Null);
    assert_eq!((me.status, &me.body["username"], me.body.get("more")), (200, &json!("bob"), None));
    assert_eq!(server.ask(&bob, "GET", &path, Value::Null).status, 200, "the session goes on");
    // Without a name it stays; with one, both have it.
    assert_eq!(server.ask(&bob, "PUT", &path, json!({ "more": 1 })).body["username"], "bob");
    assert_eq!(server.ask(&bob, "PUT", &path, json!({ "username": "bert" })).status, 200);
    assert_eq!(server.ask(&basic("bert", "secret"), "GET", &path, Value::Null).status, 200);
}

#[test]
fn a_new_password_ends_all_sessions_but_the_one_it_opens() {
    let server = Server::start();
    let app = server.app();
    let (ada, id) = sign_up(&server, &app, "ada");
    let path = format!("/user/{}/{id}", app.key);
    let changed = server.ask(&ada, "PUT", &path, json!({ "password": "new" }));
    assert_eq!(changed.status, 200, "{changed:?}");
    let token = changed.body["_kmd"]["authtoken"].as_str().expect("a token");
    let status = |auth: &str| server.ask(auth, "GET", &path, Value::Null).status;
    assert_eq!(status(&ada), 401);
    assert_eq!(status(&format!("Kinvey {token}")), 200);
    assert_eq!(status(&basic("ada", "secret")), 401);
    assert_eq!(status(&basic("ada", "new")), 200);
    // Somebody else's change gives no session.
    let changed = server.ask(&app.as_master(), "PUT", &path, json!({ "password": "newer" }));
    assert_eq!((changed.status, changed.body["_kmd"].get("authtoken")), (200, None));
    assert_eq!(status(&format!("Kinvey {token}")), 401);
    // Nobody is made by a change.
    let none = format!("/user/{}/nobody", app.key);
    let refused = server.ask(&app.as_master(), "PUT", &none, json!({ "password": "x" }));
    assert_eq!(named(&refused), (404, "UserNotFound"), "{refused:?}");
}

#[test]
fn a_deleted_role_grants_nothing_any_more() {
    let server = Server::start();
    let app = server.app();
    let (ada, id) = sign_up(&server, &app, "ada");
    let master = app.as_master();
    let role = format!("/roles/{}/editor", app.key);
    assert_eq!(server.ask(&master, "PUT", &role, json!({ "name": "editor" })).status, 200);
    let granted = format!("/user/{}/{id}/roles", app.key);
    let grant = || server.ask(&master, "PUT", &format!("{granted}/editor"), json!({})).status;
    assert_eq!(grant(), 200);
    let books = format!("/appdata/{}/books", app.key);
    let emma = json!({ "_id": "emma", "_acl": { "gr": false, "roles": { "r": ["editor"] } } });
    assert_eq!(server.ask(&master, "POST", &books, emma).status, 201);
    let emma = format!("{books}/emma");
    assert_eq!(server.ask(&ada, "GET", &emma, Value::Null).status, 200);
    assert_eq!(server.ask(&master, "DELETE", &role, Value::Null).status, 204);
    assert_eq!(server.ask(&ada, "GET", &emma, Value::Null).status, 401);
    assert_eq!(server.ask(&master, "GET", &granted, Value::Null).body, json!([]));
    assert_eq!(grant(), 404);
}

#[test]
fn read_only_is_so_for_users_groups_and_files_too() {
    let server = Server::start();
    let app = server.app();
    let (ada, id) = sign_up(&server, &app, "ada");
    let closed = json!({ "permission": "full", "readOnly": true });
    let settings = json!({ "collections": { "user": closed, "group": closed, "_blob": closed } });
    let path = format!("/admin/apps/{}/settings", app.key);
    assert_eq!(server.admin("PUT", &path, settings).status, 200);
    let (user, group) = (format!("/user/{}", app.key), format!("/group/{}", app.key));
    let blob = format!("/blob/{}", app.key);
    for (method, path) in [
        ("POST", user.clone()),
        ("PUT", format!("{user}/{id}")),
        ("DELETE", format!("{user}/{id}")),
        ("POST", group.clone()),
        ("PUT", format!("{group}/g")),
        ("DELETE", format!("{group}/g")),
        ("POST", blob.clone()),
        ("PUT", format!("{blob}/b")),
        ("DELETE", format!("{blob}/b")),
    ] {
        let body = if method == "DELETE" { Value::Null } else { json!({}) };
        let refused = server.ask(&ada, method, &path, body);
        let expected = (403, "WritesToCollectionDisallowed");
        assert_eq!(named(&refused), expected, "{method} {path} {refused:?}");
    }
    assert_eq!(server.ask(&app.as_master(), "POST", &blob, json!({})).status, 201);
    let login = json!({ "username": "ada", "password": "secret" });
    assert_eq!(server.ask(&app.as_app(), "POST", &format!("{user}/login"), login).status, 200);
}

/// One user's key once named another's run, of another endpoint even.
#[test]
fn an_idempotency_key_is_one_users_and_one_endpoints() {
    let server = Server::start();
    let fails = "export function onRequest() { throw new Error('why'); }";
    let app = server.app_of(&[("endpoints/a.js", fails), ("endpoints/b.js", fails)]);
    let ((ada, _), (bob, _)) = (sign_up(&server, &app, "ada"), sign_up(&server, &app, "bob"));
    let owe = |auth: &str, endpoint: &str| {
        let path = format!("/rpc/{}/custom/{endpoint}", app.key);
        let headers =
            [("authorization", auth), ("prefer", "respond-async"), ("idempotency-key", "k")];
        let owed = server.send("POST", &path, &headers, Some(&json!({})));
        assert_eq!(owed.status, 202, "{owed:?}");
        owed.body["taskId"].as_str().expect("an id").to_owned()
    };
    let ids = [owe(&ada, "a"), owe(&bob, "a"), owe(&ada, "b"), owe(&app.as_master(), "a")];
    for (n, id) in ids.iter().enumerate() {
        assert!(!ids.iter().skip(n + 1).any(|other| other == id), "{ids:?}");
    }
    assert_eq!(owe(&ada, "a"), ids[0], "the same again");
    // They failed; a run that nobody waited for is kept like others.
    let runs = format!("/admin/apps/{}/runs", app.key);
    let kept = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        let kept = server.admin("GET", &runs, Value::Null).body;
        kept[0].as_str().map(str::to_owned)
    });
    assert_eq!(kept.expect("a recording").len(), 32);
}
