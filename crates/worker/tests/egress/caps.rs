//! Servers that send too much, too slowly or too often.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

const MOST: usize = 100_000;

/// 1 MiB of zeros, by brotli.
const BROTLI_BOMB: [u8; 14] =
    [0x5b, 0xff, 0xff, 0x8f, 0x7f, 0x02, 0x20, 0x1e, 0x0b, 0x04, 0x72, 0xef, 0x1f, 0x00];
/// `hello, brotli`.
const BROTLI: [u8; 17] = *b"\x0b\x06\x80hello, brotli\x03";

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn capped() -> Config {
    limits(Limits {
        request_bytes: MOST,
        response_bytes: MOST,
        header_bytes: 16 << 10,
        headers: 50,
        ..Limits::default()
    })
}

/// What the answer `says` comes to.
async fn receive(
    config: Config,
    says: impl Fn() -> Says + Send + Sync + 'static,
) -> Result<Value, (String, String)> {
    let server = Server::http("127.0.0.1:0", move |_| says()).await;
    let broker = broker(config).await;
    let url = format!("http://a.test:{}/", server.port);
    send(&broker, &app(&[&format!("http://a.test:{}", server.port)]), json!({ "url": url })).await
}

#[tokio::test]
async fn packed_bodies_are_unpacked_and_bombs_are_not() {
    let zeros = vec![0; 1 << 20];
    let twice = || gzip(&gzip(&vec![0; 1 << 20]));
    for (encoding, packed) in [
        ("gzip", gzip(&zeros)),
        ("x-gzip", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("deflate", deflate(&zeros)),
        ("br", BROTLI_BOMB.to_vec()),
        ("gzip, gzip", twice()),
        ("gzip,br", BROTLI_BOMB.to_vec()),
        // Many members, each small.
        ("gzip", gzip(&[0; 1000]).repeat(200)),
    ] {
        assert!(packed.len() < 20_000);
        let headers = format!("content-encoding: {encoding}\r\n");
        let (name, message) =
            receive(capped(), move || Says::with(&headers, &packed)).await.expect_err(encoding);
        assert_eq!(name, "LimitError", "{encoding}: {message}");
        assert!(message.contains("100000 bytes"), "{message}");
    }
    let hello = b"hello, brotli".to_vec();
    for (encoding, packed) in [
        ("gzip", gzip(&hello)),
        ("GZIP", gzip(&hello)),
        ("deflate", zlib(&hello)),
        ("deflate", deflate(&hello)),
        ("br", BROTLI.to_vec()),
        ("identity", hello.clone()),
        ("gzip, br", hello.clone()),
    ] {
        let broken = encoding == "gzip, br";
        let headers = format!("content-encoding: {encoding}\r\n");
        match receive(capped(), move || Says::with(&headers, &packed)).await {
            Ok(answer) => {
                assert!(!broken && answer["body"] == "hello, brotli", "{encoding}: {answer}")
            }
            Err((name, message)) => {
                assert!(broken && name == "NetworkError", "{encoding}: {message}")
            }
        }
    }
    // Just what is allowed is allowed; what is not known is left as it is.
    let answer =
        receive(capped(), || Says::with("content-encoding: gzip\r\n", gzip(&vec![b'x'; MOST])))
            .await;
    assert_eq!(answer.expect("an answer")["body"].as_str().map(str::len), Some(MOST));
    let answer = receive(capped(), || Says::with("content-encoding: zstd\r\n", [255])).await;
    assert_eq!(answer.expect("an answer")["bodyBase64"], "/w==");
    let cut =
        receive(capped(), || Says::with("content-encoding: gzip\r\n", &gzip(&[7; 500])[..20]))
            .await;
    assert_eq!(cut.expect_err("it is cut").0, "NetworkError");
}

#[tokio::test]
async fn large_bodies_are_not_taken() {
    let large = || Says::ok(vec![b'x'; MOST + 1]);
    assert_eq!(receive(capped(), large).await.expect_err("too large").0, "LimitError");
    let chunked = || {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(MOST / 4096 + 1);
        // It would go on: what is refused is not waited for.
        Says::raw(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}")).waiting()
    };
    assert_eq!(receive(capped(), chunked).await.expect_err("too large").0, "LimitError");
    let endless =
        || Says::raw(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MOST + 1))).waiting();
    assert_eq!(receive(capped(), endless).await.expect_err("too large").0, "LimitError");
    let claimed =
        || Says::raw("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nx").waiting();
    receive(capped(), claimed).await.expect_err("too large");

    // A body of control characters is no larger as JSON than as base64.
    let answer = receive(capped(), || Says::ok(vec![1; 1000])).await.expect("an answer");
    assert_eq!(answer["bodyBase64"].as_str().map(str::len), Some(1336));

    let broker = broker(capped()).await;
    let args = json!({ "url": "https://a.test/", "method": "PUT", "body": "x".repeat(MOST + 1) });
    assert_eq!(
        fails(&broker, &app(&["a.test"]), args, "larger than 100000 bytes").await,
        "LimitError"
    );
    let args = json!({ "url": "https://a.test/", "headers": vec![["a", "b"]; 51] });
    assert_eq!(fails(&broker, &app(&["a.test"]), args, "more than 50 headers").await, "LimitError");
}

#[tokio::test]
async fn floods_of_headers_are_not_taken() {
    for headers in [
        "x: y\r\n".repeat(51),
        format!("x: {}\r\n", "y".repeat(20_000)),
        format!("x{}: y\r\n", "x".repeat(20_000)),
        "x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(10_000),
    ] {
        let (name, message) =
            receive(capped(), move || Says::with(&headers, "")).await.expect_err("a flood");
        assert_eq!(name, "LimitError", "{message}");
    }
    let endless = || Says::raw(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(100_000))).waiting();
    assert_eq!(receive(capped(), endless).await.expect_err("a flood").0, "LimitError");
    // Trailers too, which nobody asked for.
    let trailers = || {
        let trailers = "x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(10_000);
        Says::raw(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{trailers}\r\n"
        ))
    };
    assert_eq!(receive(capped(), trailers).await.expect_err("a flood").0, "NetworkError");
}

#[tokio::test]
async fn answers_that_are_not_http_are_the_servers_failure() {
    for said in [
        "",
        "nonsense",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
    ] {
        let answer = receive(capped(), move || Says::raw(said)).await;
        match answer {
            Err((name, _)) => assert_eq!(name, "NetworkError", "{said:?}"),
            Ok(answer) => {
                assert!(said.contains(" 101 ") && answer["body"] == "", "{said:?}: {answer}")
            }
        }
    }
}

#[tokio::test]
async fn what_takes_too_long_is_given_up() {
    let slow = Server::http("127.0.0.1:0", |head| {
        if head.starts_with("GET /head") {
            Says::raw("HTTP/1.1 200 OK\r\n").waiting()
        } else {
            Says::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").waiting()
        }
    })
    .await;
    let app = app(&[&format!("http://a.test:{}", slow.port)]);
    let patient = broker(Config::default()).await;
    let hasty =
        broker(limits(Limits { time: Duration::from_millis(50), ..Limits::default() })).await;
    for path in ["head", "body"] {
        let url = format!("http://a.test:{}/{path}", slow.port);
        let args = json!({ "url": url, "timeout": 50 });
        assert_eq!(fails(&patient, &app, args, "took too long").await, "TimeoutError");
        let args = json!({ "url": url, "timeout": 1e300 });
        assert_eq!(fails(&hasty, &app, args, "took too long").await, "TimeoutError");
        // The run's own deadline has passed.
        let args = RawValue::from_string(json!({ "url": url }).to_string()).expect("JSON");
        let call = HostCall { id: 1, name: "egress.request".into(), args };
        let error = patient
            .answer(&app, &lode_worker::broker::Origin::default(), call, Instant::now())
            .await
            .expect_err("too late");
        assert_eq!(error.name, "TimeoutError");
    }
}

#[tokio::test]
async fn each_app_has_so_many_requests_under_way_and_all_have_so_many() {
    let server = Server::http("127.0.0.1:0", |_| Says::raw("").waiting()).await;
    let broker = broker(limits(Limits { per_app: 2, overall: 3, ..Limits::default() })).await;
    let allow = format!("http://a.test:{}", server.port);
    let mine = app(&[&allow]);
    let other = AppContext { app: "other".into(), ..mine.clone() };
    let args = || json!({ "url": format!("http://a.test:{}/", server.port) });
    {
        let hanging = async {
            tokio::join!(
                send(&broker, &mine, args()),
                send(&broker, &mine, args()),
                send(&broker, &other, args())
            )
        };
        let beside = async {
            while server.requests().len() < 3 {
                tokio::task::yield_now().await;
            }
            assert_eq!(fails(&broker, &mine, args(), "2 requests under way").await, "BusyError");
            assert_eq!(fails(&broker, &other, args(), "of all apps").await, "BusyError");
        };
        tokio::select! {
            _ = hanging => panic!("nothing answers"),
            () = beside => {}
        }
    }
    // What was given up counts no more.
    let args = json!({ "url": args()["url"], "timeout": 10 });
    assert_eq!(fails(&broker, &mine, args, "took too long").await, "TimeoutError");
}

#[test]
fn limits_that_cannot_hold_are_refused() {
    for wrong in [
        Limits { response_bytes: (8 << 20) + 1, ..Limits::default() },
        Limits { header_bytes: 100, ..Limits::default() },
        Limits { headers: 0, ..Limits::default() },
        Limits { memory: 63 << 20, ..Limits::default() },
    ] {
        assert!(
            Broker::new(Options { egress: Some(limits(wrong)), ..Options::default() }).is_err()
        );
    }
    let config = Config { extra_roots: vec![vec![1, 2, 3]], ..Config::default() };
    assert!(Broker::new(Options { egress: Some(config), ..Options::default() }).is_err());
}
