//! The key-value store for tests: what it keeps, for whom, and how much.

use std::time::Instant;

use lode_child::protocol::HostCall;
use lode_worker::broker::keyvalue::Bounds;
use lode_worker::broker::{AppContext, Broker, Options, Origin};
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn broker(bounds: Bounds) -> Broker {
    Broker::new(Options { key_value: Some(bounds), ..Options::default() })
        .expect("nothing to go wrong")
}

async fn call(
    broker: &Broker,
    app: &str,
    what: &str,
    args: Value,
) -> Result<Value, (String, String)> {
    let args = RawValue::from_string(args.to_string()).expect("JSON");
    let call = HostCall { id: 1, name: format!("kv.{what}"), args };
    match broker.answer(&AppContext::new(app), &Origin::default(), call, Instant::now()).await {
        Ok(answer) => Ok(serde_json::from_str(answer.get()).expect("JSON")),
        Err(error) => Err((error.name, error.message)),
    }
}

#[tokio::test]
async fn what_an_app_keeps_is_its_own() {
    let broker = broker(Bounds::default());
    for (app, what, args, answer) in [
        ("a", "get", json!({ "key": "k" }), json!(null)),
        ("a", "set", json!({ "key": "k", "value": { "é": [1, null] } }), json!(null)),
        ("a", "get", json!({ "key": "k" }), json!({ "é": [1, null] })),
        ("b", "get", json!({ "key": "k" }), json!(null)),
        ("b", "set", json!({ "key": "k", "value": "mine" }), json!(null)),
        ("b", "delete", json!({ "key": "k" }), json!(true)),
        ("b", "delete", json!({ "key": "k" }), json!(false)),
        ("a", "get", json!({ "key": "k" }), json!({ "é": [1, null] })),
        ("a", "increment", json!({ "key": "n" }), json!(1)),
        ("a", "increment", json!({ "key": "n", "by": -5 }), json!(-4)),
        ("a", "set", json!({ "key": "ka", "value": 1 }), json!(null)),
        ("a", "set", json!({ "key": "", "value": null }), json!(null)),
        ("a", "list", json!({}), json!(["", "k", "ka", "n"])),
        ("a", "list", json!({ "prefix": "k" }), json!(["k", "ka"])),
        ("a", "list", json!({ "prefix": "k", "limit": 1 }), json!(["k"])),
        ("a", "list", json!(null), json!(["", "k", "ka", "n"])),
        ("b", "list", json!(null), json!([])),
    ] {
        assert_eq!(call(&broker, app, what, args.clone()).await, Ok(answer), "{app} {what} {args}");
    }
}

#[tokio::test]
async fn calls_that_make_no_sense_are_the_scripts_mistake() {
    let broker = broker(Bounds::default());
    call(&broker, "a", "set", json!({ "key": "text", "value": "x" })).await.expect("kept");
    call(&broker, "a", "set", json!({ "key": "most", "value": 9_007_199_254_740_991_i64 }))
        .await
        .expect("kept");
    for (what, args, name, why) in [
        ("get", json!(null), "TypeError", "arguments are wrong"),
        ("get", json!({}), "TypeError", "missing field `key`"),
        ("get", json!({ "key": 1 }), "TypeError", "invalid type"),
        ("set", json!({ "key": "k" }), "TypeError", "missing field `value`"),
        ("set", json!({ "key": "k", "value": 1, "ttl": 1 }), "TypeError", "unknown field `ttl`"),
        ("increment", json!({ "key": "text" }), "TypeError", "\"text\" is not a whole number"),
        ("increment", json!({ "key": "k", "by": 1.5 }), "TypeError", "arguments are wrong"),
        ("increment", json!({ "key": "most" }), "TypeError", "too large"),
        ("increment", json!({ "key": "most", "by": i64::MAX }), "TypeError", "too large"),
        ("list", json!({ "limit": -1 }), "TypeError", "arguments are wrong"),
        ("flush", json!(null), "NotFoundError", "kv.flush"),
        ("", json!(null), "NotFoundError", "kv."),
    ] {
        let (found, message) = call(&broker, "a", what, args.clone()).await.expect_err(what);
        assert!(found == name && message.contains(why), "{what} {args}: {found}: {message}");
    }
}

#[tokio::test]
async fn an_app_keeps_so_much_and_no_more() {
    let broker = broker(Bounds { keys: 3, bytes: 100, key_bytes: 10 });
    let set = async |app: &str, key: &str, value: &str| {
        call(&broker, app, "set", json!({ "key": key, "value": value }))
            .await
            .map_err(|(name, _)| name)
    };
    let too_much = Err("LimitError".to_owned());
    assert_eq!(set("a", "12345678901", "").await, too_much);
    assert_eq!(set("a", "1", &"x".repeat(98)).await, too_much);
    assert_eq!(set("a", "1", &"x".repeat(97)).await, Ok(Value::Null)); // and two quotes
    assert_eq!(set("a", "2", "").await, too_much);
    assert_eq!(set("b", "2", "").await, Ok(Value::Null));
    // Replacing gives back what was there.
    assert_eq!(set("a", "1", &"y".repeat(97)).await, Ok(Value::Null));
    assert_eq!(set("a", "1", "").await, Ok(Value::Null));
    for (key, kept) in [
        ("2", Ok(Value::Null)),
        ("3", Ok(Value::Null)),
        ("4", too_much.clone()),
        ("3", Ok(Value::Null)),
    ] {
        assert_eq!(set("a", key, "z").await, kept, "{key}");
    }
    assert_eq!(call(&broker, "a", "delete", json!({ "key": "1" })).await, Ok(json!(true)));
    assert_eq!(set("a", "4", "z").await, Ok(Value::Null));
    let (name, _) =
        call(&broker, "a", "increment", json!({ "key": "5" })).await.expect_err("no room");
    assert_eq!(name, "LimitError");
}
