//! Requests that are wrong, too large, or somebody else's: each has its own clear answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Server, basic};

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let server = Server::start();
    let app = server.app();
    let books = format!("/appdata/{}/books", app.key);
    let ask = |method: &str, path: &str, body: Value| {
        let answer = server.ask(&app.as_master(), method, path, body);
        (answer.status, answer.body["error"].as_str().unwrap_or_default().to_owned())
    };
    let expect = |status: u16, error: &str| (status, error.to_owned());
    let path = |rest: &str| format!("{books}{rest}");
    assert_eq!(ask("GET", &path("?query={"), Value::Null), expect(400, "InvalidQuerySyntax"));
    let unknown = path("?query=%7B%22a%22:%7B%22$where%22:1%7D%7D");
    assert_eq!(ask("GET", &unknown, Value::Null), expect(400, "InvalidQuerySyntax"));
    assert_eq!(
        ask("GET", &path("?limit=-1"), Value::Null),
        expect(400, "ParameterValueOutOfRange")
    );
    assert_eq!(ask("GET", &path("/none"), Value::Null), expect(404, "EntityNotFound"));
    assert_eq!(ask("DELETE", &path("/none"), Value::Null), expect(404, "EntityNotFound"));
    assert_eq!(ask("DELETE", &books, Value::Null), expect(400, "MissingQuery"));
    assert_eq!(ask("POST", &books, json!([1])), expect(400, "FeatureUnavailable"));
    assert_eq!(ask("POST", &books, json!({ "$a": 1 })), expect(400, "InvalidIdentifier"));
    assert_eq!(ask("POST", &books, json!({ "_id": 5 })), expect(400, "InvalidIdentifier"));
    assert_eq!(ask("PUT", &path("/a"), json!({ "_id": "b" })), expect(400, "BadRequest"));
    assert_eq!(ask("PATCH", &books, json!({})), expect(405, "MethodNotAllowed"));
    assert_eq!(ask("GET", "/nowhere", Value::Null), expect(404, "NotFound"));
    assert_eq!(ask("GET", "/appdata/kid_none/books", Value::Null), expect(404, "AppNotFound"));
    let system = format!("/appdata/{}/user", app.key);
    assert_eq!(ask("GET", &system, Value::Null), expect(400, "InvalidIdentifier"));
    let endpoint = format!("/rpc/{}/custom/none", app.key);
    assert_eq!(ask("POST", &endpoint, json!({})), expect(404, "NotFound"));
}

#[test]
fn bodies_have_limits() {
    let server = Server::start();
    let app = server.app();
    let books = format!("/appdata/{}/books", app.key);
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let wide: Vec<u32> = vec![1; 250_000];
    for body in [json!({ "t": "x".repeat(5 << 20) }), json!({ "d": deep }), json!({ "w": wide })] {
        let answer = server.ask(&app.as_master(), "POST", &books, body);
        assert_eq!((answer.status, &answer.body["error"]), (413, &json!("RequestTooLarge")));
    }
    let count = server.ask(&app.as_master(), "GET", &format!("{books}/_count"), Value::Null);
    assert_eq!(count.body, json!({ "count": 0 }));
}

#[test]
fn each_credential_opens_its_own_doors() {
    let server = Server::start();
    let (app, other) = (server.app(), server.app());
    let books = format!("/appdata/{}/books", app.key);
    let handshake = format!("/appdata/{}", app.key);
    let status = |auth: &str, path: &str| server.ask(auth, "GET", path, Value::Null).status;
    assert_eq!(status(&app.as_app(), &handshake), 200);
    assert_eq!(status(&app.as_app(), &books), 401);
    assert_eq!(status(&app.as_master(), &books), 200);
    // Browsers would ask for what they know as `Basic`, and keep it.
    let refused = server.ask(&app.as_app(), "GET", &books, Value::Null);
    assert_eq!(refused.headers["www-authenticate"], "Kinvey realm=\"lode\"");
    // Another app's secrets are worth nothing here, whatever name they come with.
    for auth in [other.as_master(), basic(&app.key, &other.master_secret), "Kinvey x".into()] {
        assert_eq!(status(&auth, &books), 401, "{auth}");
    }
    let users = format!("/user/{}", app.key);
    let new = json!({ "username": "ada", "password": "lovelace" });
    let signed = server.ask(&app.as_app(), "POST", &users, new.clone());
    assert_eq!(signed.status, 201, "{signed:?}");
    assert!(signed.body.get("password").is_none(), "{signed:?}");
    let token = format!("Kinvey {}", signed.body["_kmd"]["authtoken"].as_str().expect("a token"));
    assert_eq!(status(&token, &books), 200);
    assert_eq!(status(&basic("ada", "lovelace"), &books), 200);
    let elsewhere = format!("/appdata/{}/books", other.key);
    assert_eq!(status(&token, &elsewhere), 401);
    let again = server.ask(&app.as_app(), "POST", &users, new);
    assert_eq!((again.status, &again.body["error"]), (409, &json!("UserAlreadyExists")));
    let out = server.ask(&token, "POST", &format!("{users}/_logout"), Value::Null);
    assert_eq!(out.status, 204);
    assert_eq!(status(&token, &books), 401);
}

#[test]
fn guessing_passwords_gets_slower() {
    let server = Server::start();
    let app = server.app();
    let login = format!("/user/{}/login", app.key);
    let guess = |name: &str| {
        let body = json!({ "username": name, "password": "guess" });
        server.ask(&app.as_app(), "POST", &login, body)
    };
    for _ in 0..5 {
        assert_eq!(guess("ada").status, 401);
    }
    let slowed = guess("ada");
    assert_eq!(slowed.status, 429, "{slowed:?}");
    assert!(slowed.headers.contains_key("retry-after"));
    assert_eq!(guess("bob").status, 401);
}

#[test]
fn users_have_what_is_theirs() {
    let server = Server::start();
    let app = server.app();
    let users = format!("/user/{}", app.key);
    let books = format!("/appdata/{}/books", app.key);
    let sign_up = |name: &str| {
        let body = json!({ "username": name, "password": "secret" });
        let signed = server.ask(&app.as_app(), "POST", &users, body);
        let token = signed.body["_kmd"]["authtoken"].as_str().expect("a token").to_owned();
        (format!("Kinvey {token}"), signed.body["_id"].as_str().expect("an id").to_owned())
    };
    let ((ada, ada_id), (bob, _)) = (sign_up("ada"), sign_up("bob"));
    let forged = json!({ "_id": "emma", "title": "Emma", "_acl": { "creator": "somebody" } });
    let saved = server.ask(&ada, "POST", &books, forged);
    assert_eq!(saved.body["_acl"]["creator"], json!(ada_id), "{saved:?}");
    let emma = format!("{books}/emma");
    assert_eq!(server.ask(&bob, "GET", &emma, Value::Null).status, 200);
    let refused = server.ask(&bob, "PUT", &emma, json!({ "title": "Bob's" }));
    assert_eq!(refused.body["error"], "InsufficientCredentials", "{refused:?}");
    assert_eq!(server.ask(&bob, "DELETE", &emma, Value::Null).status, 401);
    let all = server.ask(&bob, "DELETE", &format!("{books}?query=%7B%7D"), Value::Null);
    assert_eq!(all.body, json!({ "count": 0 }));
    let shared = json!({ "title": "Emma", "_acl": { "creator": "bob", "gw": true } });
    let opened = server.ask(&ada, "PUT", &emma, shared);
    assert_eq!(opened.body["_acl"], json!({ "creator": ada_id, "gw": true }));
    assert_eq!(server.ask(&bob, "PUT", &emma, json!({ "title": "Bob's" })).status, 200);
    // Nobody reads or changes another user.
    let ada_path = format!("{users}/{ada_id}");
    assert_eq!(server.ask(&bob, "GET", &ada_path, Value::Null).status, 401);
    assert_eq!(server.ask(&bob, "PUT", &ada_path, json!({ "x": 1 })).status, 401);
    assert_eq!(server.ask(&bob, "GET", &users, Value::Null).body.as_array().map(Vec::len), Some(1));
    // Nor takes a role.
    let kmd = json!({ "username": "ada", "_kmd": { "roles": [{ "roleId": "r" }] } });
    let changed = server.ask(&ada, "PUT", &ada_path, kmd);
    assert!(changed.body["_kmd"].get("roles").is_none(), "{changed:?}");
}

/// Deleting by the query `null` once deleted all, as did deleting by one that a hook had dropped.
#[test]
fn deleting_by_a_query_that_is_none_deletes_nothing() {
    let server = Server::start();
    let hook = "function onPreDelete(request, response) {\n\
        delete request.params.query; response.continue();\n}";
    let app = server.app_of(&[("collections/dropped/onPreDelete.js", hook)]);
    let delete = |collection: &str, query: &str| {
        let path = format!("/appdata/{}/{collection}", app.key);
        assert_eq!(server.ask(&app.as_master(), "POST", &path, json!({})).status, 201);
        let path = format!("{path}?query={query}");
        let answer = server.ask(&app.as_master(), "DELETE", &path, Value::Null);
        (answer.status, answer.body)
    };
    for (collection, query) in
        [("books", "null"), ("books", "%22%22"), ("books", "[]"), ("dropped", "%7B%7D")]
    {
        let (status, body) = delete(collection, query);
        assert_eq!((status, &body["error"]), (400, &json!("MissingQuery")), "{query} {body}");
    }
    assert_eq!(delete("books", "%7B%7D"), (200, json!({ "count": 4 })));
}

#[test]
fn a_user_is_deleted_for_good_only_if_the_hook_leaves_it_so() {
    let server = Server::start();
    let hook = "function onPreDelete(request, response) {\n\
        delete request.params.hard; response.continue();\n}";
    let app = server.app_of(&[("collections/user/onPreDelete.js", hook)]);
    let users = format!("/user/{}", app.key);
    let made = server.ask(&app.as_master(), "POST", &users, json!({ "_id": "ada" }));
    assert_eq!(made.status, 201, "{made:?}");
    let gone =
        server.ask(&app.as_master(), "DELETE", &format!("{users}/ada?hard=true"), Value::Null);
    assert_eq!(gone.status, 204, "{gone:?}");
    let ada = server.ask(&app.as_master(), "GET", &format!("{users}/ada"), Value::Null);
    assert_eq!(ada.body["_kmd"]["status"]["val"], "disabled", "{ada:?}");
}

/// A save that is under way, half of its body sent.
fn half_sent(server: &Server, auth: &str, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(&server.url["http://".len()..]).expect("a connection");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: {auth}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{{\"title\":",
        BODY.len()
    );
    connection.write_all(head.as_bytes()).expect("sent");
    connection
}

const BODY: &str = r#"{"title":"Emma"}"#;

#[test]
fn rights_that_are_lost_while_a_body_arrives_are_lost_for_it() {
    let server = Server::start();
    let app = server.app();
    let (users, books) = (format!("/user/{}", app.key), format!("/appdata/{}/books", app.key));
    let role = server.ask(&app.as_master(), "POST", &format!("/roles/{}", app.key), json!({}));
    let role = role.body["_id"].as_str().expect("an id").to_owned();
    // Each with what happens to them meanwhile.
    let cases = [
        ("logs out", "POST", "/_logout".to_owned(), "InvalidCredentials"),
        ("is disabled", "DELETE", "/ID".to_owned(), "InvalidCredentials"),
        ("is deleted", "DELETE", "/ID?hard=true".to_owned(), "InvalidCredentials"),
        ("is given a role", "PUT", format!("/ID/roles/{role}"), "InsufficientCredentials"),
        ("stays", "GET", "/ID".to_owned(), ""),
    ];
    let saves: Vec<_> = cases
        .iter()
        .map(|(what, method, path, error)| {
            let signed = server.ask(&app.as_app(), "POST", &users, json!({}));
            let token = signed.body["_kmd"]["authtoken"].as_str().expect("a token");
            let own = format!("Kinvey {token}");
            let save = half_sent(&server, &own, &books);
            // Its head is read, and its sender known, before anything happens to them.
            std::thread::sleep(Duration::from_secs(1));
            let id = signed.body["_id"].as_str().expect("an id");
            let path = format!("{users}{}", path.replace("ID", id));
            let auth = if *method == "POST" { own } else { app.as_master() };
            let body = if *method == "PUT" { json!({}) } else { Value::Null };
            let done = server.ask(&auth, method, &path, body);
            assert!(done.status < 300, "{what}: {done:?}");
            (what, error, save)
        })
        .collect();
    // A body that takes no longer than a moment (5 s) is taken as its head was.
    std::thread::sleep(Duration::from_secs(5));
    for (what, error, mut save) in saves {
        save.write_all(&BODY.as_bytes()["{\"title\":".len()..]).expect("sent");
        let mut answer = String::new();
        save.read_to_string(&mut answer).expect("an answer");
        let status = if error.is_empty() { "HTTP/1.1 201" } else { "HTTP/1.1 401" };
        assert!(answer.starts_with(status) && answer.contains(*error), "{what}: {answer}");
    }
    let count = server.ask(&app.as_master(), "GET", &format!("{books}/_count"), Value::Null);
    assert_eq!(count.body, json!({ "count": 1 }));
}
