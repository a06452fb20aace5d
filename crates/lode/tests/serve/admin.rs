//! The admin API.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Server, lode, text};

#[test]
fn only_the_token_lets_in() {
    let server = Server::start();
    let app = server.app();
    for auth in ["", "Bearer ", "Bearer wrong", &app.as_master(), "Basic Og=="] {
        let answer = server.ask(auth, "GET", "/admin/apps", Value::Null);
        assert_eq!((answer.status, &answer.body["error"]), (401, &json!("InvalidCredentials")));
    }
}

#[test]
fn a_short_admin_token_is_refused_wherever_it_comes_from() {
    let data = tempfile::TempDir::new().expect("a folder");
    let mut command = lode(&["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(data.path()).env("LODE_ADMIN_TOKEN", "short");
    let output = command.output().expect("it runs");
    assert!(!output.status.success(), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("LODE_ADMIN_TOKEN") && said.contains("16"), "{said}");
}

#[test]
fn a_deployment_is_numbered_kept_and_can_be_rolled_back_to() {
    let server = Server::start();
    let source = |n: u32| {
        format!("export function onRequest() {{ return {{ status: 200, body: {{ n: {n} }} }}; }}")
    };
    let app = server.app_of(&[("endpoints/which.js", &source(1))]);
    assert_eq!(server.endpoint(&app, "which", json!({})).body, json!({ "n": 1 }));
    let second = server.deploy(&app, &[("endpoints/which.js", &source(2))]);
    assert_eq!(second.body["number"], 2, "{second:?}");
    assert_eq!(server.endpoint(&app, "which", json!({})).body, json!({ "n": 2 }));
    let base = format!("/admin/apps/{}/deployments", app.key);
    let back = server.admin("POST", &format!("{base}/1/activate"), json!({}));
    assert_eq!(back.status, 204, "{back:?}");
    assert_eq!(server.endpoint(&app, "which", json!({})).body, json!({ "n": 1 }));
    let all = server.admin("GET", &base, Value::Null);
    let active: Vec<_> =
        all.body.as_array().expect("a list").iter().map(|d| &d["active"]).collect();
    assert!(active.contains(&&json!(true)) && active.contains(&&json!(false)), "{all:?}");
    assert_eq!(server.admin("POST", &format!("{base}/9/activate"), json!({})).status, 404);
}

#[test]
fn requests_go_on_while_deployments_replace_each_other() {
    let server = Server::start();
    let source = "export const onRequest = () => ({ status: 200, body: 'here' });";
    let app = server.app_of(&[("endpoints/e.js", source)]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let answer = server.endpoint(&app, "e", json!({}));
                    assert_eq!((answer.status, &answer.body), (200, &json!("here")), "{answer:?}");
                }
            });
        }
        for number in 2..8 {
            let deployed = server.deploy(&app, &[("endpoints/e.js", source)]);
            assert_eq!(deployed.body["number"], number, "{deployed:?}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn what_does_not_build_changes_nothing() {
    let server = Server::start();
    let good = "export const onRequest = () => ({ status: 200, body: 'old' });";
    let app = server.app_of(&[("endpoints/e.js", good)]);
    let bad =
        server.deploy(&app, &[("endpoints/e.js", "function onRequest() {\n  return (;\n}\n")]);
    assert_eq!((bad.status, &bad.body["error"]), (550, &json!("BLSyntaxError")), "{bad:?}");
    let debug = bad.body["debug"].as_str().expect("text");
    assert!(debug.contains("endpoints/e.js:2:") && debug.contains("2 |   return (;"), "{debug}");
    let thrown = server.deploy(&app, &[("endpoints/e.js", "throw new Error('at the top');")]);
    assert_eq!(thrown.body["error"], "BLRuntimeError", "{thrown:?}");
    let endless = server.deploy(&app, &[("endpoints/e.js", "for (;;) {}")]);
    assert_eq!(endless.body["error"], "BLTimeoutError", "{endless:?}");
    assert_eq!(server.endpoint(&app, "e", json!({})).body, json!("old"));
}

#[test]
fn settings_are_checked_and_secrets_not_shown() {
    let server = Server::start();
    let app = server.app();
    let path = format!("/admin/apps/{}/settings", app.key);
    let value = "sk_live_0123456789abcdef";
    let settings = json!({
        "limits": { "cpuMs": 50 },
        "allow": ["api.example.com"],
        "secrets": { "KEY": { "value": value, "hosts": ["api.example.com"] } },
    });
    let set = server.admin("PUT", &path, settings);
    assert_eq!(set.status, 200, "{set:?}");
    let shown = server.admin("GET", &path, Value::Null);
    assert!(!shown.body.to_string().contains(value), "{shown:?}");
    // What was shown can be sent back: the secret stays.
    assert_eq!(server.admin("PUT", &path, shown.body.clone()).status, 200);
    for wrong in [
        json!({ "limits": { "cpuMs": 0 } }),
        json!({ "limits": { "cpu": 5 } }),
        json!({ "allow": ["http://*"] }),
        json!({ "secrets": { "NEW": { "hosts": [] } } }),
        json!({ "schedules": [{ "endpoint": "e", "cron": "nonsense" }] }),
    ] {
        let answer = server.admin("PUT", &path, wrong.clone());
        assert_eq!(answer.status, 400, "{wrong} {answer:?}");
    }
    assert_eq!(server.admin("GET", &path, Value::Null).body, shown.body);
}

#[test]
fn with_a_key_the_data_directory_has_no_secret_in_clear() {
    let [old, new] = [[1; 32], [2; 32]].map(|key| BASE64_STANDARD.encode(key));
    let value = "sk_live_0123456789abcdef";
    let server = Server::start_with(&["--secrets-key", &old]);
    let path = format!("/admin/apps/{}/settings", server.app().key);
    let secret = |hosts: Value| json!({ "secrets": { "KEY": { "hosts": hosts } } });
    let mut settings = secret(json!(["a.example"]));
    settings["secrets"]["KEY"]["value"] = value.into();
    assert_eq!(server.admin("PUT", &path, settings).status, 200);
    for file in std::fs::read_dir(server.data.path()).expect("a folder") {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(!found, "{} has it", path.display());
    }

    // The old key opens what the new one seals from now on, though nobody gives the value again.
    let server = server.again(&["--secrets-key", &format!("{new},{old}")]);
    assert_eq!(server.admin("PUT", &path, secret(json!(["b.example"]))).status, 200);
    let server = server.again(&["--secrets-key", &new]);
    let shown = server.admin("GET", &path, Value::Null);
    assert_eq!(shown.body["secrets"], secret(json!(["b.example"]))["secrets"], "{shown:?}");
    // Without it the app is not served as if it had no secrets.
    let server = server.again(&["--secrets-key", &old]);
    assert_eq!(server.admin("GET", &path, Value::Null).status, 500);
}

#[test]
fn new_secrets_replace_the_old_ones() {
    let server = Server::start();
    let app = server.app();
    let path = format!("/appdata/{}", app.key);
    assert_eq!(server.ask(&app.as_app(), "GET", &path, Value::Null).status, 200);
    let rotated = server.admin("POST", &format!("/admin/apps/{}/rotate", app.key), json!({}));
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_eq!(server.ask(&app.as_app(), "GET", &path, Value::Null).status, 401);
    assert_eq!(server.ask(&app.as_master(), "GET", &path, Value::Null).status, 401);
}

#[test]
fn a_deleted_app_is_gone() {
    let server = Server::start();
    let app = server.app();
    let data = format!("/appdata/{}/books", app.key);
    assert_eq!(server.ask(&app.as_master(), "POST", &data, json!({})).status, 201);
    assert_eq!(
        server.admin("DELETE", &format!("/admin/apps/{}", app.key), Value::Null).status,
        204
    );
    let answer = server.ask(&app.as_master(), "GET", &data, Value::Null);
    assert_eq!((answer.status, &answer.body["error"]), (404, &json!("AppNotFound")));
    assert_eq!(
        server.admin("DELETE", &format!("/admin/apps/{}", app.key), Value::Null).status,
        404
    );
}

#[test]
fn a_schedule_runs_its_endpoint_and_says_so() {
    let server = Server::start();
    let app = server.app_of(&[(
        "endpoints/tick.js",
        "export async function onRequest(request, context) {\n\
           context.logger.info('ticked'); return { status: 200, body: {} };\n}",
    )]);
    let settings = json!({ "schedules": [{ "endpoint": "tick", "everyMs": 1000 }] });
    let path = format!("/admin/apps/{}", app.key);
    assert_eq!(server.admin("PUT", &format!("{path}/settings"), settings).status, 200);
    let schedules = loop {
        let answer = server.admin("GET", &format!("{path}/schedules"), Value::Null);
        if answer.body[0]["runs"].as_u64() >= Some(2) {
            break answer.body;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    assert_eq!(schedules[0]["outcome"], "ok", "{schedules}");
    let logs = server.admin("GET", &format!("{path}/logs"), Value::Null);
    assert!(logs.body.to_string().contains("ticked"), "{logs:?}");
}

#[test]
fn its_description_names_every_route() {
    let server = Server::start();
    let answer = server.admin("GET", "/admin/openapi.json", Value::Null);
    let paths = answer.body["paths"].as_object().expect("paths");
    for path in ["/admin/apps", "/admin/apps/{app}/settings", "/admin/apps/{app}/deployments"] {
        assert!(paths.contains_key(path), "{path} is not in {paths:?}");
    }
    let metrics = server.admin("GET", "/admin/metrics", Value::Null);
    assert!(metrics.body.to_string().contains("lode_"), "{metrics:?}");
}
