//! Requests that try to get where they may not, and calls that are no requests.

use super::*;

#[tokio::test]
async fn redirects_are_checked_as_the_first_url_was() {
    let target = Server::http("127.0.0.1:0", |head| {
        let to = head.lines().find_map(|line| line.strip_prefix("x-to: ")).unwrap_or_default();
        Says::redirect(302, to)
    })
    .await;
    let port = target.port;
    let broker = broker(Config::default()).await;
    // Listing an address does not open it: that is the operator's to do.
    let app = app(&[
        &format!("http://a.test:{port}"),
        "http://10.0.0.1",
        "http://169.254.169.254",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
        "http://127.0.0.2",
        "http://0.0.0.0",
    ]);
    for (to, name, why) in [
        ("http://10.0.0.1/", "NotAllowedError", "private"),
        ("http://0x0a.1/", "NotAllowedError", "private"),
        ("//169.254.169.254/latest/meta-data", "NotAllowedError", "link-local"),
        ("http://2852039166/", "NotAllowedError", "link-local"),
        ("http://[::1]/", "NotAllowedError", "loopback"),
        ("http://[::ffff:127.0.0.1]/", "NotAllowedError", "IPv4-mapped"),
        ("http://127.2/", "NotAllowedError", "may not send requests to http://127.0.0.2"),
        ("http://127.0.0.2/", "NotAllowedError", "loopback"),
        ("http://0/", "NotAllowedError", "this network"),
        ("http://b.test/", "NotAllowedError", "may not send requests to http://b.test"),
        ("https://a.test/", "NotAllowedError", "may not send requests to a.test"),
        ("http://a.test/", "NotAllowedError", "may not send requests to http://a.test"),
        ("http://user:pw@a.test/", "NetworkError", "user name or password"),
        ("file:///etc/passwd", "NetworkError", "must be https: or http:"),
        ("gopher://a.test/", "NetworkError", "must be https: or http:"),
        ("http://[", "NetworkError", "where nothing can be sent"),
    ] {
        // (127.2 is 127.0.0.2: allowed as a host, forbidden as an address.)
        let why = if to == "http://127.2/" { "loopback" } else { why };
        let args = json!({ "url": format!("http://a.test:{port}/"), "headers": [["x-to", to]] });
        assert_eq!(fails(&broker, &app, args, why).await, name, "{to}");
    }
    for (redirect, expected) in [("error", Err("NetworkError")), ("manual", Ok(302))] {
        let args = json!({ "url": format!("http://a.test:{port}/"), "redirect": redirect, "headers": [["x-to", "/"]] });
        let answer = send(&broker, &app, args).await;
        let answer = answer.as_ref().map(|answer| answer["status"].as_u64().expect("a number"));
        assert_eq!(answer.map_err(|(name, _)| name.as_str()), expected);
    }
    for (most, requests) in [(0, 1), (3, 4), (1000, 11)] {
        let before = target.requests().len();
        let args = json!({ "url": format!("http://a.test:{port}/"), "maxRedirects": most, "headers": [["x-to", "/"]] });
        assert_eq!(fails(&broker, &app, args, "redirects").await, "LimitError");
        assert_eq!(target.requests().len() - before, requests);
    }
}

#[tokio::test]
async fn redirects_change_methods_as_the_fetch_standard_says() {
    let server = Server::http("127.0.0.1:0", |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path.trim_start_matches('/').parse() {
            Ok(status) => Says::redirect(status, "/end"),
            Err(_) => Says::ok(head.split(' ').next().unwrap_or_default()),
        }
    })
    .await;
    let broker = broker(Config::default()).await;
    let app = app(&[&format!("http://a.test:{}", server.port)]);
    for (status, method, becomes) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ] {
        let args = json!({
            "method": method, "url": format!("http://a.test:{}/{status}", server.port), "body": "the body",
            "headers": [["content-type", "a/b"], ["x", "y"]],
        });
        let answer = send(&broker, &app, args).await.expect("an answer");
        assert_eq!(answer["body"], becomes, "{status} {method}");
        assert_eq!(answer["redirected"], true);
        assert_eq!(answer["url"], format!("http://a.test:{}/end", server.port));
        let seen = server.requests().pop().expect("it got one");
        assert!(seen.contains("x: y"));
        let kept = becomes == method;
        assert_eq!(
            (seen.contains("the body"), seen.contains("content-type")),
            (kept, kept),
            "{seen}"
        );
    }
}

#[tokio::test]
async fn headers_that_are_not_the_scripts_business_are_refused() {
    let server = Server::http("127.0.0.1:0", |_| Says::ok("")).await;
    let broker = broker(Config::default()).await;
    let app = app(&[&format!("http://a.test:{}", server.port)]);
    let url = format!("http://a.test:{}/", server.port);
    for name in [
        "Host",
        "hOsT",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "proxy-anything",
        "Via",
        "HTTP2-Settings",
    ] {
        let args = json!({ "url": url, "headers": [[name, "x"]] });
        assert_eq!(fails(&broker, &app, args, "cannot be set").await, "TypeError", "{name}");
    }
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("a\r\nhost", "x"),
        ("é", "x"),
        ("a", "x\r\nhost: evil"),
        ("a", "x\ny"),
        ("a", "\0"),
        ("a", "日本"),
        ("host ", "x"),
        (" host", "x"),
    ] {
        let args = json!({ "url": url, "headers": [[name, value]] });
        assert_eq!(
            fails(&broker, &app, args, "is not a header").await,
            "TypeError",
            "{name:?}: {value:?}"
        );
    }
    assert!(server.requests().is_empty());
    let args = json!({ "url": url, "headers": [["a", " é\t "], ["user-agent", "mine"], ["accept", "a/b"], ["accept-encoding", "identity"]] });
    send(&broker, &app, args).await.expect("an answer");
    let seen = server.requests().concat();
    assert!(seen.contains("a: \u{fffd}\r\n"), "{seen}"); // Latin-1, one byte
    for line in ["user-agent: mine", "accept: a/b", "accept-encoding: identity"] {
        assert_eq!(
            seen.lines()
                .filter(|seen| seen.starts_with(&line[..8]))
                .filter(|seen| *seen == line)
                .count(),
            1,
            "{line}: {seen}"
        );
    }
}

#[tokio::test]
async fn calls_that_are_no_requests_are_the_scripts_mistake() {
    let broker = broker(Config::default()).await;
    let app = app(&["a.test"]);
    let url = "https://a.test/";
    for (args, why) in [
        (json!(null), "arguments are wrong"),
        (json!([]), "arguments are wrong"),
        (json!("https://a.test/"), "arguments are wrong"),
        (json!({}), "missing field `url`"),
        (json!({ "url": 5 }), "invalid type"),
        (json!({ "url": url, "nonsense": 1 }), "unknown field `nonsense`"),
        (json!({ "url": url, "x".repeat(10_000): 1 }), "unknown field `xxx"),
        (json!({ "url": url, "method": "" }), "not an HTTP method"),
        (json!({ "url": url, "method": "GET / HTTP/1.1\r\nx: y" }), "not an HTTP method"),
        (json!({ "url": url, "method": "X".repeat(10_000) }), "not an HTTP method"),
        (json!({ "url": url, "method": "connect" }), "CONNECT cannot be sent"),
        (json!({ "url": url, "method": "Trace" }), "TRACE cannot be sent"),
        (json!({ "url": url, "body": "x" }), "a GET request has no body"),
        (json!({ "url": url, "method": "HEAD", "body": "" }), "a HEAD request has no body"),
        (json!({ "url": url, "method": "PUT", "body": "x", "bodyBase64": "eA==" }), "one body"),
        (json!({ "url": url, "method": "PUT", "bodyBase64": "!" }), "not base64"),
        (json!({ "url": url, "headers": { "a": "b" } }), "invalid type"),
        (json!({ "url": url, "headers": [["a"]] }), "invalid length"),
        (json!({ "url": url, "redirect": "maybe" }), "unknown variant"),
        (json!({ "url": url, "maxRedirects": -1 }), "invalid value"),
        (json!({ "url": url, "timeout": 0 }), "not a positive number"),
        (json!({ "url": url, "timeout": -1e300 }), "not a positive number"),
        (json!({ "url": url, "auth": { "user": "a:b" } }), "colon"),
        (
            json!({ "url": url, "auth": { "user": "a", "pass": "b" }, "headers": [["Authorization", "x"]] }),
            "not both",
        ),
        (json!({ "url": "" }), "URL is not valid"),
        (json!({ "url": "/relative" }), "URL is not valid"),
        (json!({ "url": format!("https://a.test/{}", "a".repeat(10_000)) }), "URL is not valid"),
        (json!({ "url": "ftp://a.test" }), "must be https: or http:"),
        (json!({ "url": "https://u:p@a.test" }), "user name or password"),
        (json!({ "url": "https://a..test" }), "not a host name"),
        (json!({ "url": "https://a.test/?key=secret:KEY" }), "never in a URL"),
    ] {
        let (name, message) = send(&broker, &app, args.clone()).await.expect_err("no request");
        assert_eq!(name, "TypeError", "{args}: {message}");
        assert!(message.contains(why) && message.len() < 500, "{args}: {message}");
    }
    let (name, message) =
        call(&broker, &app, &"n".repeat(100_000), "null").await.expect_err("no call");
    assert!(name == "NotFoundError" && message.len() < 200, "{message}");
    let (name, _) =
        call(&broker, &app, "kv.get", "{\"key\":\"a\"}").await.expect_err("not offered");
    assert_eq!(name, "NotFoundError");
}
