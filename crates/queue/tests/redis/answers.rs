//! How answers, and word of callers that left, reach a host.

use super::*;

#[tokio::test]
async fn a_user_who_may_not_use_the_channels_is_refused() {
    let redis = Redis::start();
    let mut connection = redis.connection().await;
    for (may, joins) in [("resetchannels", false), ("&{lode}:replies:*", true)] {
        let mut user = redis::cmd("ACL");
        user.arg(&["SETUSER", "deaf", "on", ">x", "~{lode}:*", "+@all", may]);
        user.query_async::<()>(&mut connection).await.expect("a user");
        let config = Config::new(format!("redis://deaf:x@127.0.0.1:{}", redis.port));
        match Host::join(config, Role::Api, "a".into(), "0", Load::default).await {
            Err(ConnectError::Refused(why)) if !joins => assert!(why.contains("channel"), "{why}"),
            joined => assert!(joined.is_ok() && joins, "{may}: {:?}", joined.err()),
        }
    }
}

#[tokio::test]
async fn what_was_answered_while_a_host_was_cut_off_or_is_too_long_to_be_pushed_is_found() {
    let (redis, caller, _worker, mut taker) = both().await;
    let mut connection = redis.connection().await;
    let kept = |name: &str| redis::cmd("HLEN").arg(format!("{{lode}}:replies:{name}")).to_owned();
    let answerer = taker.answerer();
    let long = vec![b'x'; 100_000];
    for payload in [&b"short"[..], &long] {
        let answer = ask(&caller, task("app", "x"));
        let taken = take_one(&mut taker).await;
        assert!(answerer.answer(taken.ticket, payload).await);
        assert!(matches!(answer.await.expect("no panic"), Answer::Answered(a) if a == payload));

        let answer = ask(&caller, task("app", "x"));
        let taken = take_one(&mut taker).await;
        let mut kill = redis::cmd("CLIENT");
        kill.arg(&["KILL", "TYPE", "pubsub"]);
        kill.query_async::<()>(&mut connection).await.expect("killed");
        assert!(answerer.answer(taken.ticket, payload).await);
        assert!(matches!(answer.await.expect("no panic"), Answer::Answered(a) if a == payload));
    }
    let until = Instant::now() + Duration::from_secs(10);
    while kept("a").query_async::<usize>(&mut connection).await.expect("a length") > 0 {
        assert!(Instant::now() < until, "what was read is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What a host is told that never comes back goes by itself.
    let mut add = redis::cmd("XADD");
    add.arg("{lode}:tasks:0").arg(&["*", "h", "gone", "n", "1", "a", "app", "p", "x", "d"]);
    add.arg("9999999999999");
    add.query_async::<()>(&mut connection).await.expect("added");
    let taken = take_one(&mut taker).await;
    assert!(answerer.answer(taken.ticket, b"late").await);
    let left = redis::cmd("PTTL").arg("{lode}:replies:gone").to_owned();
    while left.query_async::<i64>(&mut connection).await.expect("a time") <= 0 {
        assert!(Instant::now() < until, "what nobody reads stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_worker_is_told_when_a_caller_leaves_and_not_at_a_deadline() {
    let (redis, caller, _worker, mut taker) = both().await;
    let mut connection = redis.connection().await;
    let answerer = taker.answerer();
    // Its worker ends it by itself, and how it ended is waited for.
    let deadline = Instant::now() + Duration::from_millis(300);
    let answer = ask(&caller, Task { deadline, ..task("app", "x") });
    let taken = take_one(&mut taker).await;
    let known = redis::cmd("GET").arg("{lode}:moved:a:1").to_owned();
    while known.query_async::<Option<String>>(&mut connection).await.expect("a text").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(answerer.answer(taken.ticket, b"ended").await);
    assert!(matches!(answer.await.expect("no panic"), Answer::Answered(a) if a == b"ended"));
    let told = redis::cmd("EXISTS").arg("{lode}:replies:w").to_owned();
    assert!(!told.query_async::<bool>(&mut connection).await.expect("whether it is there"));

    let left = ask(&caller, task("app", "x"));
    let first = take_one(&mut taker).await;
    let stays = ask(&caller, task("app", "y"));
    let mut second = take_one(&mut taker).await;
    left.abort();
    first.withdrawn.await.expect("its caller has left");
    answerer.give_up(first.ticket).await;
    assert!(second.withdrawn.try_recv().is_err(), "the other one's has not");
    assert!(answerer.answer(second.ticket, b"z").await);
    assert!(matches!(stays.await.expect("no panic"), Answer::Answered(a) if a == b"z"));
    all_streams_are_empty(&mut connection).await;
}

/// Somewhere far from a Redis: what is sent there takes a while, each way. Its port.
async fn far_from(redis: &Redis, each_way: Duration) -> u16 {
    let near = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (port, to) = (near.local_addr().expect("an address").port(), redis.port);
    tokio::spawn(async move {
        while let Ok((here, _)) = near.accept().await {
            let there = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.expect("Redis");
            let ((from_here, to_here), (from_there, to_there)) =
                (here.into_split(), there.into_split());
            for (mut from, mut to) in [(from_here, to_there), (from_there, to_here)] {
                tokio::spawn(async move {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = from.read(&mut bytes).await {
                        tokio::time::sleep(each_way).await;
                        if to.write_all(&bytes[..count]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    port
}

#[tokio::test]
async fn answering_for_the_dead_costs_a_host_no_lease() {
    let redis = Redis::start();
    let mut connection = redis.connection().await;
    // One after the other, 20 ms each: longer than a lease.
    for n in 0..200 {
        let dead = ["{lode}:hosts", &format!("dead-{n}"), "worker {}"].map(str::to_owned);
        redis::cmd("HSET").arg(&dead).exec_async(&mut connection).await.expect("set");
    }
    let port = far_from(&redis, Duration::from_millis(10)).await;
    let config = Config::new(format!("redis://127.0.0.1:{port}"));
    let host = redis.join_with(config, "w", Role::Worker).await;
    let fences = *host.fenced().borrow();
    let hosts = redis::cmd("HLEN").arg("{lode}:hosts").to_owned();
    while hosts.query_async::<i64>(&mut connection).await.expect("a length") > 1 {
        let lease = redis::cmd("EXISTS").arg("{lode}:lease:w").to_owned();
        assert!(lease.query_async::<bool>(&mut connection).await.expect("whether it holds"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(*host.fenced().borrow(), fences);
}
