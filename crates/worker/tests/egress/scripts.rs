//! Requests that scripts make, in the engine, through the broker, to a server and back.

use lode_sandbox::{
    Engine, EngineOptions, Host, HostCall, HostReply, Invocation, Limits as RunLimits, Outcome,
    Snapshot, Source, deploy_limits, random_seed, run,
};

use super::server::with_secrets;
use super::*;

struct Brokered<'a>(&'a Broker, &'a AppContext);

impl Host for Brokered<'_> {
    async fn call(&self, call: HostCall) -> HostReply {
        self.0
            .answer(
                self.1,
                &lode_worker::broker::Origin::default(),
                call,
                Instant::now() + Duration::from_secs(60),
            )
            .await
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// What a script's one handler completes with.
async fn complete(broker: &Broker, app: &AppContext, name: &str, source: &str, port: u16) -> Value {
    let engine = Engine::new(EngineOptions::default()).expect("the engine");
    let (snapshot, _) = Snapshot::build(&engine, &[Source::entry(name, source)], &deploy_limits());
    let request = json!({ "body": { "url": format!("http://api.test:{port}") } }).to_string();
    let invocation = Invocation { handler: 0, request: &request };
    let limits = RunLimits { wall: Duration::from_secs(60), ..RunLimits::default() };
    let seed = random_seed().expect("randomness");
    let report =
        run(&snapshot.expect("it builds"), &invocation, &limits, seed, &Brokered(broker, app))
            .await;
    match report.outcome {
        Outcome::Completed { body: Some(body), .. } => {
            serde_json::from_str(body.get()).expect("JSON")
        }
        other => panic!("{other:?}"),
    }
}

async fn server() -> (Server, Broker, AppContext) {
    let server = Server::http("127.0.0.1:0", |head| match head.split(' ').nth(1) {
        Some("/bytes") => Says::ok([0, 255, b'a']),
        Some("/go") => Says::redirect(302, "/json"),
        Some("/json") => Says::with(
            "content-type: application/json\r\nset-cookie: a\r\nset-cookie: b\r\n",
            "{\"a\":[1,\"é\"]}",
        ),
        _ => Says::ok(head),
    })
    .await;
    let broker = broker(Config { allow_secrets_over_http: true, ..Config::default() }).await;
    let host = format!("http://api.test:{}", server.port);
    let app = with_secrets(&[&host], &[("KEY", "a-very-secret-value", &host)]);
    (server, broker, app)
}

#[tokio::test]
async fn fetch_answers_with_a_response() {
    let (server, broker, app) = server().await;
    let source = r#"
        export async function onRequest(request) {
          const { url } = request.body;
          const went = await fetch(url + '/go');
          const bytes = await (await fetch(url + '/bytes')).bytes();
          const posted = await fetch(new URL('/echo', url), {
            method: 'POST', body: 'é', headers: { authorization: 'Bearer secret:KEY' },
          });
          const text = await posted.text();
          let refused;
          try { await fetch('https://elsewhere.test/'); } catch (e) {
            refused = [e instanceof TypeError, e.message.includes('may not send'), e.cause.name];
          }
          return [went.status, went.redirected, went.url === url + '/json', (await went.json()).a[1],
            went.headers.getSetCookie().length, bytes.join(), text.includes('Bearer [secret:KEY]'), text.endsWith('é'), refused];
        }"#;
    let body = complete(&broker, &app, "main.mjs", source, server.port).await;
    assert_eq!(
        body,
        json!([200, true, true, "é", 2, "0,255,97", true, true, [true, true, "NotAllowedError"]])
    );
    assert!(server.requests().concat().contains("authorization: Bearer a-very-secret-value"));
}

#[tokio::test]
async fn modules_request_answers_its_callback() {
    let (server, broker, app) = server().await;
    let source = r#"
        function onRequest(request, response, modules) {
          var url = request.body.url;
          modules.request.get({ uri: url + '/go', json: true }, function (error, res, body) {
            modules.request.post({ url: url + '/echo', json: { n: 1 }, auth: { user: 'me', pass: 'secret:KEY' } }, function (e2, r2, text) {
              modules.request('https://elsewhere.test/', function (e3) {
                response.complete(200, [error, res.statusCode, body.a[1], res.headers['set-cookie'].length,
                  e2, r2.status, text.indexOf('{"n":1}') > 0, text.indexOf('application/json') > 0, e3.name]);
              });
            });
          });
        }"#;
    let body = complete(&broker, &app, "main.js", source, server.port).await;
    assert_eq!(body, json!([null, 200, "é", 2, null, 200, true, true, "NotAllowedError"]));
    // me:a-very-secret-value
    assert!(
        server
            .requests()
            .concat()
            .contains("authorization: Basic bWU6YS12ZXJ5LXNlY3JldC12YWx1ZQ==")
    );
}
