//! Secrets: they reach the servers they are for, and nobody else.

use lode_worker::broker::egress::AppEgress;

use super::server::with_secrets;
use super::*;

const KEY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

/// A server that gives back what it was sent.
fn echo(head: &str) -> Says {
    let authorization =
        head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("none");
    Says::with(&format!("x-echo: {authorization}\r\n"), head)
}

#[tokio::test]
async fn a_secret_reaches_its_server_and_never_the_script() {
    let authority = Authority::new();
    let server = Server::https(&authority, &["api.test", "other.test"], echo).await;
    let broker = broker(Config { extra_roots: vec![authority.der()], ..Config::default() }).await;
    let host = format!("api.test:{}", server.port);
    let other = format!("other.test:{}", server.port);
    let app = with_secrets(
        &[&host, &other],
        &[("KEY", KEY, &host), ("USER_1", "user", &host), ("ELSE", "elsewhere", "api.test")],
    );
    let ask = |host: &str, headers: Value| json!({ "url": format!("https://{host}/"), "headers": headers });

    let answer = send(
        &broker,
        &app,
        ask(
            &host,
            json!([
                ["Authorization", "Bearer secret:KEY"],
                ["x", "secret:, secret:KEY+secret:USER_1"]
            ]),
        ),
    )
    .await
    .expect("an answer");
    let seen = server.requests().concat();
    assert!(seen.contains(&format!("authorization: Bearer {KEY}\r\n")), "{seen}");
    assert!(seen.contains(&format!("x: secret:, {KEY}+user\r\n")), "{seen}");
    assert!(!answer.to_string().contains(KEY), "{answer}");
    assert!(
        answer["body"]
            .as_str()
            .is_some_and(|body| body.contains("authorization: Bearer [secret:KEY]\r\n")
                && body.contains("x: secret:, [secret:KEY]+[secret:USER_1]")),
        "{answer}"
    );
    assert!(
        answer["headers"]
            .as_array()
            .expect("a list")
            .contains(&json!(["x-echo", "Bearer [secret:KEY]"])),
        "{answer}"
    );

    // As a password; nor does its base64 come back.
    let mut args = ask(&host, json!([]));
    args["auth"] = json!({ "user": "me", "pass": "secret:KEY" });
    let answer = send(&broker, &app, args).await.expect("an answer");
    let coded = "bWU6c2tfbGl2ZV80ZUMzOUhxTHlqV0Rhcmp0VDF6ZHA3ZGM=";
    assert!(
        server.requests()[1].contains(&format!("authorization: Basic {coded}\r\n")),
        "{:?}",
        server.requests()[1]
    );
    assert!(!answer.to_string().contains(&coded[..40]), "{answer}");

    let before = server.requests().len();
    for (host, header, why) in [
        (&other, "secret:KEY", "may not be sent to other.test"),
        (&host, "secret:ELSE", "may not be sent to api.test"), // another port
        (&host, "secret:NONE", "has no secret NONE"),
        (&host, "Bearer secret:KEYS", "has no secret KEYS"),
    ] {
        let args = ask(host, json!([["x", header]]));
        assert_eq!(fails(&broker, &app, args, why).await, "NotAllowedError");
    }
    assert_eq!(server.requests().len(), before);
    for text in [format!("{app:?}"), format!("{:?}", app.egress.secrets)] {
        assert!(text.contains("KEY") && !text.contains(KEY), "{text}");
    }
}

#[tokio::test]
async fn a_secret_is_sent_over_tls_only() {
    let server = Server::http("127.0.0.1:0", echo).await;
    let host = format!("http://api.test:{}", server.port);
    let app = with_secrets(&[&host], &[("KEY", KEY, &host)]);
    let args = json!({ "url": host, "headers": [["x", "secret:KEY"]] });
    let strict = broker(Config::default()).await;
    assert_eq!(fails(&strict, &app, args.clone(), "over https only").await, "NotAllowedError");
    assert!(server.requests().is_empty());
    let lax = broker(Config { allow_secrets_over_http: true, ..Config::default() }).await;
    send(&lax, &app, args).await.expect("an answer");
    assert!(server.requests()[0].contains(KEY));
}

#[tokio::test]
async fn a_redirect_takes_no_secret_to_another_origin() {
    let authority = Authority::new();
    let names = ["api.test", "other.test"];
    let end = Server::https(&authority, &names, echo).await;
    let to = end.port;
    let start = Server::https(&authority, &names, move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path {
            "/same" => Says::redirect(307, "/end"),
            "/host" => Says::redirect(307, &format!("https://other.test:{to}/")),
            "/port" => Says::redirect(307, &format!("https://api.test:{to}/")),
            "/url" => Says::redirect(307, &format!("/end?{KEY}")),
            _ => echo(head),
        }
    })
    .await;
    let broker = broker(Config { extra_roots: vec![authority.der()], ..Config::default() }).await;
    let hosts =
        [format!("api.test:{}", start.port), format!("api.test:{to}"), format!("other.test:{to}")];
    let mut app = with_secrets(&[], &[]);
    let list = json!({
        "allow": hosts,
        "secrets": { "KEY": { "value": KEY, "hosts": hosts }, "PASS": { "value": "hunter22", "hosts": hosts } },
    });
    app.egress = std::sync::Arc::new(serde_json::from_value::<AppEgress>(list).expect("it reads"));
    let ask = |path: &str| {
        json!({
            "url": format!("https://api.test:{}{path}", start.port),
            "headers": [["authorization", "Bearer mine"], ["x-key", "secret:KEY"], ["cookie", "a=b"], ["x-plain", "kept"]],
        })
    };

    send(&broker, &app, ask("/same")).await.expect("an answer");
    let same = start.requests().pop().expect("it got one");
    assert!(
        same.starts_with("GET /end") && same.contains(KEY) && same.contains("Bearer mine"),
        "{same}"
    );

    // Even to hosts that the secret is for.
    for path in ["/host", "/port"] {
        send(&broker, &app, ask(path)).await.expect("an answer");
        let elsewhere = end.requests().pop().expect("it got one");
        assert!(
            !elsewhere.contains(KEY)
                && !elsewhere.contains("Bearer")
                && !elsewhere.contains("cookie"),
            "{elsewhere}"
        );
        assert!(elsewhere.contains("x-plain: kept"), "{elsewhere}");
    }
    let mut args = ask("/host");
    args["headers"] = json!([]);
    args["auth"] = json!({ "user": "me", "pass": "secret:PASS" });
    send(&broker, &app, args).await.expect("an answer");
    assert!(start.requests().pop().expect("one").contains("authorization: Basic "));
    assert!(!end.requests().pop().expect("one").contains("authorization"));

    // Where it led is told without what the server put there.
    let answer = send(&broker, &app, ask("/url")).await.expect("an answer");
    assert!(
        answer["url"].as_str().is_some_and(|url| url.ends_with("/end?[secret:KEY]")),
        "{answer}"
    );
}
