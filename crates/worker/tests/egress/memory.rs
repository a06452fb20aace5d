//! What bodies cost: memory while they are unpacked, and of all of them together.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;

/// The most memory that this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

#[tokio::test]
async fn unpacking_a_bomb_takes_no_more_memory_than_its_limit() {
    // 1 GiB each: 1,024 members of 1 MiB; the same packed again; one stream.
    let mut member = GzEncoder::new(Vec::new(), Compression::best());
    member.write_all(&vec![0; 1 << 20]).expect("memory");
    let members = member.finish().expect("memory").repeat(1024);
    let mut twice = GzEncoder::new(Vec::new(), Compression::best());
    twice.write_all(&members).expect("memory");
    let twice = twice.finish().expect("memory");
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..1024 {
        stream.write_all(&vec![0; 1 << 20]).expect("memory");
    }
    let stream = stream.finish().expect("memory");
    let bombs = [("gzip", members), ("gzip, gzip", twice), ("deflate", stream)];
    let broker = broker(limits(Limits { response_bytes: 6 << 20, ..Limits::default() })).await;
    for (encoding, bomb) in bombs {
        assert!(bomb.len() < 6 << 20, "{encoding}: {}", bomb.len());
        let server = Server::http("127.0.0.1:0", move |_| {
            Says::with(&format!("content-encoding: {encoding}\r\n"), &bomb)
        })
        .await;
        let host = format!("http://a.test:{}", server.port);
        let before = peak();
        let url = json!({ "url": host });
        let why = "body is larger than 6291456 bytes";
        assert_eq!(fails(&broker, &app(&[&host]), url, why).await, "LimitError", "{encoding}");
        let more = peak() - before;
        // The server's copies, what came, and what was unpacked.
        assert!(more < 64 << 20, "{encoding}: {more} bytes more");
    }
}

#[tokio::test]
async fn all_bodies_together_have_so_much_memory() {
    let server = Server::http("127.0.0.1:0", |_| {
        Says::raw(format!("HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n{}", "x".repeat(9999)))
            .waiting()
    })
    .await;
    let tight = Limits {
        request_bytes: 10_000,
        response_bytes: 10_000,
        memory: 160_000,
        ..Limits::default()
    };
    let broker = broker(limits(tight)).await;
    let host = format!("http://a.test:{}", server.port);
    let mine = app(&[&host]);
    let other = |name: &str| AppContext { app: name.into(), ..mine.clone() };
    let args = || json!({ "url": host, "method": "PUT", "body": "y".repeat(9_000) });
    // Each holds its arguments, its body and, at last, almost all of what comes: 28,000 bytes.
    let (second, third) = (other("second"), other("third"));
    {
        let hanging = async {
            tokio::join!(
                send(&broker, &mine, args()),
                send(&broker, &mine, args()),
                send(&broker, &second, args()),
                send(&broker, &second, args()),
            )
        };
        let beside = async {
            while server.requests().len() < 4 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let why = "bodies of this app's requests";
            assert_eq!(fails(&broker, &mine, args(), why).await, "BusyError");
            // 112,000 are held: of two more one does not fit.
            let mut args = args();
            args["timeout"] = json!(2000);
            let (one, two) =
                tokio::join!(send(&broker, &third, args.clone()), send(&broker, &third, args));
            let refused = [one, two].map(|answer| answer.expect_err("nothing answers"));
            assert!(
                refused.iter().any(|(name, why)| name == "BusyError" && why.contains("all apps")),
                "{refused:?}"
            );
        };
        tokio::select! {
            _ = hanging => panic!("nothing answers"),
            () = beside => {}
        }
    }
    // What was given up holds nothing any more.
    let args = json!({ "url": host, "timeout": 200 });
    assert_eq!(fails(&broker, &mine, args, "took too long").await, "TimeoutError");
}
