//! Hooks around requests: what each outcome means for the client.

use serde_json::{Value, json};

use crate::support::{Answer, App, Server};

fn save(server: &Server, app: &App, body: Value) -> Answer {
    server.ask(&app.as_master(), "POST", &format!("/appdata/{}/books", app.key), body)
}

#[test]
fn hooks_change_the_request_and_the_response() {
    let server = Server::start();
    let app = server.app_of(&[
        (
            "collections/books/onPreSave.js",
            "function onPreSave(request, response, modules) {\n\
               if (!request.body.title) { response.body = { error: 'title' }; return response.complete(400); }\n\
               request.body.slug = request.body.title.toLowerCase();\n\
               modules.utils.tempObjectStore.set('seen', request.collectionName);\n\
               response.continue();\n}",
        ),
        (
            "collections/books/onPostSave.js",
            "function onPostSave(request, response, modules) {\n\
               response.body.seen = modules.utils.tempObjectStore.get('seen');\n\
               response.continue();\n}",
        ),
    ]);
    let saved = save(&server, &app, json!({ "_id": "a", "title": "Emma" }));
    assert_eq!(saved.status, 201, "{saved:?}");
    assert_eq!((&saved.body["slug"], &saved.body["seen"]), (&json!("emma"), &json!("books")));
    assert_eq!(saved.headers["x-kinvey-executed-collection-hooks"], "onPreSave,onPostSave");
    let path = format!("/appdata/{}/books/a", app.key);
    let stored = server.ask(&app.as_master(), "GET", &path, Value::Null);
    assert_eq!((&stored.body["slug"], stored.body.get("seen")), (&json!("emma"), None));
    let refused = save(&server, &app, json!({}));
    assert_eq!((refused.status, &refused.body), (400, &json!({ "error": "title" })));
    let skipped = server.send(
        "POST",
        &format!("/appdata/{}/books", app.key),
        &[("authorization", &app.as_master()), ("x-kinvey-skip-business-logic", "true")],
        Some(&json!({ "title": "Emma" })),
    );
    assert_eq!((skipped.status, skipped.body.get("slug")), (201, None));
}

#[test]
fn a_query_can_be_narrowed_by_its_hook() {
    let server = Server::start();
    let app = server.app_of(&[(
        "collections/books/onPreFetch.js",
        "function onPreFetch(request, response) {\n\
           request.params.query = { title: 'Emma' }; response.continue();\n}",
    )]);
    for title in ["Emma", "Persuasion"] {
        assert_eq!(save(&server, &app, json!({ "title": title })).status, 201);
    }
    let path = format!("/appdata/{}/books", app.key);
    let found = server.ask(&app.as_master(), "GET", &path, Value::Null);
    assert_eq!(found.body.as_array().map(Vec::len), Some(1), "{found:?}");
    assert_eq!(found.body[0]["title"], "Emma");
}

#[test]
fn each_failure_has_its_name_and_its_blame() {
    let server = Server::start();
    let source =
        |body: &str| format!("function onRequest(request, response, modules) {{ {body} }}");
    let cases = [
        ("throws", "throw new Error('why');", "BLRuntimeError", "Error: why"),
        ("errs", "response.error('why');", "BLRuntimeError", "why"),
        ("spins", "while (true) {}", "BLTimeoutError", "cpu limit"),
        (
            "eats",
            "const a = []; for (;;) a.push(new Uint8Array(1 << 20));",
            "BLViolationError",
            "memory limit",
        ),
        ("forgets", "return;", "BLTimeoutError", "without completing"),
    ];
    let files: Vec<(String, String)> = cases
        .iter()
        .map(|(name, body, ..)| (format!("endpoints/{name}.js"), source(body)))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let app = server.app_of(&files);
    for (name, _, error, debug) in cases {
        let answer = server.endpoint(&app, name, json!({}));
        assert_eq!(
            (answer.status, answer.body["error"].as_str()),
            (550, Some(error)),
            "{answer:?}"
        );
        assert!(
            answer.body["debug"].as_str().is_some_and(|text| text.contains(debug)),
            "{answer:?}"
        );
    }
}

#[test]
fn a_failed_pre_hook_stops_the_save_and_a_failed_operation_the_post_hook() {
    let server = Server::start();
    let app = server.app_of(&[
        (
            "collections/books/onPreSave.js",
            "function onPreSave(request, response) {\n\
            if (request.body.bad) throw new Error('bad'); response.continue();\n}",
        ),
        (
            "collections/books/onPostSave.js",
            "function onPostSave(request, response, modules) {\n\
            modules.logger.info('after'); response.continue();\n}",
        ),
    ]);
    assert_eq!(save(&server, &app, json!({ "bad": true })).status, 550);
    assert_eq!(save(&server, &app, json!({ "_id": "a" })).status, 201);
    let twice = save(&server, &app, json!({ "_id": "a" }));
    assert_eq!(twice.status, 409, "{twice:?}");
    let count = format!("/appdata/{}/books/_count", app.key);
    assert_eq!(
        server.ask(&app.as_master(), "GET", &count, Value::Null).body,
        json!({ "count": 1 })
    );
    let logs = server.admin("GET", &format!("/admin/apps/{}/logs", app.key), Value::Null);
    assert_eq!(logs.body.to_string().matches("after").count(), 1, "{logs:?}");
}

#[test]
fn scripts_reach_their_own_backend_and_no_secret() {
    let server = Server::start();
    let app = server.app_of(&[
        ("endpoints/ask.js", "function onRequest(request, response, modules) {\n\
            const { backendContext, request: http } = modules;\n\
            const url = backendContext.getApiHost() + '/appdata/' + backendContext.getAppKey() + '/books';\n\
            const auth = { user: backendContext.getAppKey(), pass: backendContext.getMasterSecret() };\n\
            http.get({ url, auth, json: true }, (error, answer, body) => {\n\
              response.body = { error, status: answer && answer.statusCode, body, token: auth.pass };\n\
              response.complete(200);\n\
            });\n}"),
        ("endpoints/self.js", "function onRequest(request, response, modules) {\n\
            const { backendContext, request: http } = modules;\n\
            const url = backendContext.getApiHost() + '/rpc/' + backendContext.getAppKey() + '/custom/self';\n\
            const auth = { user: backendContext.getAppKey(), pass: backendContext.getMasterSecret() };\n\
            http.post({ url, auth, json: {} }, (error, answer, body) => {\n\
              response.body = body; response.complete(200);\n\
            });\n}"),
    ]);
    assert_eq!(save(&server, &app, json!({ "title": "Emma" })).status, 201);
    let asked = server.endpoint(&app, "ask", json!({}));
    assert_eq!(asked.body["status"], 200, "{asked:?}");
    assert_eq!(asked.body["body"][0]["title"], "Emma", "{asked:?}");
    let token = asked.body["token"].as_str().expect("a token");
    assert_ne!(token, app.master_secret);
    // Outside its run it is worth nothing.
    let path = format!("/appdata/{}/books", app.key);
    let auth = crate::support::basic(&app.key, token);
    assert_eq!(server.ask(&auth, "GET", &path, Value::Null).status, 401);
    let own = server.endpoint(&app, "self", json!({}));
    assert_eq!(own.body["error"], "BLViolationError", "{own:?}");
}

/// They reserve what they may use, and wait for each other; none is refused what another gives back.
#[test]
fn calls_that_a_script_makes_at_once_are_all_answered() {
    let server = Server::start();
    let app = server.app_of(&[
        (
            "collections/books/onPreSave.js",
            "export async function onPreSave(request, context) {\n\
               await context.collectionAccess.collection('seen').insert({ n: request.body.n });\n}",
        ),
        (
            "endpoints/many.js",
            "function onRequest(request, response, modules) {\n\
               const { backendContext, request: http } = modules;\n\
               const url = backendContext.getApiHost() + '/appdata/' + backendContext.getAppKey() + '/books';\n\
               const auth = { user: backendContext.getAppKey(), pass: backendContext.getMasterSecret() };\n\
               const statuses = [];\n\
               for (let n = 0; n < 15; n++) http.post({ url, auth, json: { n } }, (error, answer, body) => {\n\
                 statuses.push(error ? String(error) : answer.statusCode);\n\
                 if (statuses.length === 15) { response.body = statuses; response.complete(200); }\n\
               });\n}",
        ),
    ]);
    let answer = server.endpoint(&app, "many", json!({}));
    assert_eq!(answer.body, json!(vec![201; 15]), "{answer:?}");
    let seen = format!("/appdata/{}/seen/_count", app.key);
    let seen = server.ask(&app.as_master(), "GET", &seen, Value::Null);
    assert_eq!(seen.body, json!({ "count": 15 }));
}
