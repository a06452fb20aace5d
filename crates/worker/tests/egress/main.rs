//! Egress end to end: the broker against real servers, with TLS and without, and a name server, all on
//! loopback, which the operator's `allow_networks` opens. Each test makes calls as a script's would arrive.

mod abuse;
mod caps;
mod logs;
mod memory;
mod scripts;
mod secrets;
mod server;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lode_child::protocol::HostCall;
use lode_worker::broker::egress::{Config, Limits};
use lode_worker::broker::{AppContext, Broker, Options};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use server::{Authority, Dns, Says, Server, app};

/// A broker that reaches 127.0.0.1 and nothing else, by names that all lead there.
async fn broker(config: Config) -> Broker {
    let dns =
        Dns::start(|name, _| if name == "none.test" { vec![] } else { vec![loopback(1)] }).await;
    with_dns(config, &dns)
}

fn with_dns(config: Config, dns: &Dns) -> Broker {
    let config = Config {
        nameservers: vec![dns.address],
        allow_networks: vec!["127.0.0.1/32".parse().expect("a network")],
        ..config
    };
    Broker::new(Options { egress: Some(config), ..Options::default() }).expect("it can be used")
}

fn limits(limits: Limits) -> Config {
    Config { limits, ..Config::default() }
}

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

async fn call(
    broker: &Broker,
    app: &AppContext,
    name: &str,
    args: &str,
) -> Result<Value, (String, String)> {
    let args = RawValue::from_string(args.to_owned()).expect("JSON");
    let call = HostCall { id: 1, name: name.into(), args };
    let deadline = Instant::now() + Duration::from_secs(60);
    match broker.answer(app, &lode_worker::broker::Origin::default(), call, deadline).await {
        Ok(answer) => Ok(serde_json::from_str(answer.get()).expect("JSON")),
        Err(error) => Err((error.name, error.message)),
    }
}

async fn send(broker: &Broker, app: &AppContext, args: Value) -> Result<Value, (String, String)> {
    call(broker, app, "egress.request", &args.to_string()).await
}

/// The name of the error that a request ends with, whose message says `part`.
async fn fails(broker: &Broker, app: &AppContext, args: Value, part: &str) -> String {
    let (name, message) = send(broker, app, args.clone()).await.expect_err(&args.to_string());
    assert!(message.contains(part), "{args}: {name}: {message}");
    name
}

#[tokio::test]
async fn a_request_reaches_its_server_over_tls_and_comes_back() {
    let authority = Authority::new();
    let server = Server::https(&authority, &["api.test"], |_| {
        Says::with("x-one: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n", "{\"é\":1}")
    })
    .await;
    let broker = broker(Config { extra_roots: vec![authority.der()], ..Config::default() }).await;
    let port = server.port;
    let app = app(&[&format!("api.test:{port}")]);
    let answer = send(&broker, &app, json!({
        "method": "post", "url": format!("https://api.test:{port}/a%20b?c=d|#secret"), "body": "héllo",
        "headers": [["X-Mine", "1"], ["x-mine", "2"], ["content-type", "text/plain"]],
    }))
    .await
    .expect("an answer");
    assert_eq!(
        answer,
        json!({
            "status": 200, "statusText": "OK", "redirected": false, "body": "{\"é\":1}",
            "url": format!("https://api.test:{port}/a%20b?c=d|"),
            "headers": [["content-length", "8"], ["x-one", "1"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]],
        })
    );
    let seen = server.requests().concat();
    assert!(seen.starts_with("POST /a%20b?c=d| HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nhéllo"), "{seen}");
    for line in [
        &format!("host: api.test:{port}")[..],
        "x-mine: 1",
        "x-mine: 2",
        "content-length: 6",
        concat!("user-agent: lode/", env!("CARGO_PKG_VERSION")),
        "accept-encoding: gzip, deflate, br",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line} in {seen}");
    }
    assert!(!seen.contains("cookie") && !seen.contains("connection"), "{seen}");

    // No cookie is kept, and no connection: each request makes its own.
    send(&broker, &app, json!({ "url": format!("https://api.test:{port}/") }))
        .await
        .expect("an answer");
    assert!(!server.requests()[1].contains("cookie"), "{:?}", server.requests());
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_gets_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let wrong_name = Server::https(&authority, &["other.test"], |_| Says::ok("")).await;
    let unknown = Server::https(&other, &["api.test"], |_| Says::ok("")).await;
    let plain = Server::rude("220 mail.test ESMTP\r\n").await;
    let broker = broker(Config { extra_roots: vec![authority.der()], ..Config::default() }).await;
    for (server, why) in
        [(wrong_name, "could not prove"), (unknown, "could not prove"), (plain, "speak TLS")]
    {
        let app = app(&[&format!("api.test:{}", server.port)]);
        let url = format!("https://api.test:{}/", server.port);
        assert_eq!(fails(&broker, &app, json!({ "url": url }), why).await, "NetworkError");
        assert!(server.requests().is_empty(), "{why}");
    }
}

#[tokio::test]
async fn egress_is_off_until_a_host_is_allowed() {
    let server = Server::http("127.0.0.1:0", |_| Says::ok("hi")).await;
    let port = server.port;
    let broker = broker(Config::default()).await;
    let url = format!("http://api.test:{port}/");
    let how = format!("add \"http://api.test:{port}\" to the app's egress.allow list");
    assert_eq!(
        fails(&broker, &AppContext::new("app"), json!({ "url": url }), &how).await,
        "NotAllowedError"
    );
    for list in
        [format!("api.test:{port}"), "http://api.test".into(), format!("http://*.api.test:{port}")]
    {
        let why = "may not send requests to http://api.test:";
        assert_eq!(
            fails(&broker, &app(&[&list]), json!({ "url": url }), why).await,
            "NotAllowedError"
        );
    }
    assert!(server.requests().is_empty());
    let answer =
        send(&broker, &app(&[&format!("http://*.test:{port}")]), json!({ "url": url })).await;
    assert_eq!(answer.expect("an answer")["body"], "hi");

    let without = Broker::default();
    assert_eq!(
        fails(&without, &app(&["api.test"]), json!({ "url": url }), "without egress").await,
        "NotAllowedError"
    );
}

#[tokio::test]
async fn a_rebinding_name_leads_to_the_checked_address_or_nowhere() {
    let allowed = Server::http("127.0.0.1:0", |head| {
        if head.starts_with("GET /go") {
            Says::redirect(302, "/again")
        } else {
            Says::ok("allowed")
        }
    })
    .await;
    let port = allowed.port;
    let forbidden = Server::http(&format!("127.0.0.2:{port}"), |_| Says::ok("forbidden")).await;
    // The first answer passes; all later ones do not.
    let dns = Dns::start(|name, before| match (name, before) {
        ("mixed.test", _) => vec![loopback(1), loopback(2)],
        ("mixed6.test", _) => vec![loopback(1), "::1".parse().expect("an address")],
        (_, 0) => vec![loopback(1)],
        _ => vec![loopback(2)],
    })
    .await;
    let broker = with_dns(Config::default(), &dns);
    let app = app(&[&format!("http://*.test:{port}")]);
    let url = |name: &str, path: &str| json!({ "url": format!("http://{name}.test:{port}{path}") });
    let why = "are not allowed: it does not lead to public addresses only";

    let answer = send(&broker, &app, url("rebind", "/")).await.expect("an answer");
    assert_eq!((answer["body"].as_str(), dns.asked("rebind.test")), (Some("allowed"), 1));
    assert_eq!(fails(&broker, &app, url("rebind", "/"), why).await, "NotAllowedError");

    // Between the hops of one request.
    assert_eq!(fails(&broker, &app, url("hop", "/go"), why).await, "NotAllowedError");
    assert_eq!(dns.asked("hop.test"), 2);

    // One forbidden address among others forbids the name, whatever its family.
    assert_eq!(fails(&broker, &app, url("mixed", "/"), why).await, "NotAllowedError");
    assert_eq!(fails(&broker, &app, url("mixed6", "/"), why).await, "NotAllowedError");

    assert_eq!(forbidden.requests(), Vec::<String>::new());
    assert_eq!(allowed.requests().len(), 2);
}

#[tokio::test]
async fn what_a_name_leads_to_is_not_told() {
    let dns = Dns::start(|name, _| match name {
        "none.test" => vec![],
        "many.test" => (0..100).map(|_| loopback(1)).collect(),
        "shut.test" => vec![loopback(1)],
        "private.test" => vec!["10.1.2.3".parse().expect("an address")],
        _ => vec!["169.254.169.254".parse().expect("an address")],
    })
    .await;
    let broker = with_dns(Config::default(), &dns);
    let shut = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = shut.local_addr().expect("bound").port();
    drop(shut);
    let app = app(&[&format!("http://*.test:{port}")]);
    for (name, kind, why) in [
        ("none", "NetworkError", "cannot be reached"),
        ("many", "NetworkError", "cannot be reached"),
        ("shut", "NetworkError", "cannot be reached"),
        (
            "private",
            "NotAllowedError",
            "are not allowed: it does not lead to public addresses only",
        ),
        ("meta", "NotAllowedError", "are not allowed: it does not lead to public addresses only"),
    ] {
        let url = json!({ "url": format!("http://{name}.test:{port}/") });
        let (error, message) = send(&broker, &app, url).await.expect_err(name);
        let before = if kind == "NotAllowedError" { "requests to " } else { "" };
        assert_eq!((error.as_str(), message), (kind, format!("{before}{name}.test {why}")));
    }
}
