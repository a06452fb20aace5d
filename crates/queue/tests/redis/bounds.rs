//! What is bounded and counted, and what a queue outlives.

use super::*;

#[tokio::test]
async fn what_counts_apps_tasks_is_forgotten_with_them_and_begins_anew_when_all_are_gone() {
    let (redis, caller, _worker, mut taker) = both().await;
    let mut connection = redis.connection().await;
    let done = ask(&caller, task("done", "x"));
    let taken = take_one(&mut taker).await;
    let waiting = ask(&caller, task("waiting", "x"));
    taken_in(&mut connection, 2).await;
    // As of a task that somebody deleted by hand.
    let leak = ["{lode}:apps", "deleted", "3"];
    redis::cmd("HSET").arg(&leak).query_async::<()>(&mut connection).await.expect("set");
    taker.answerer().answer(taken.ticket, b"").await;
    done.await.expect("no panic");
    let counts = redis::cmd("HGETALL").arg("{lode}:apps").to_owned();
    let until = Instant::now() + Duration::from_secs(10);
    let mut are = async |expected: &[(&str, &str)]| {
        let expected: HashMap<_, _> =
            expected.iter().map(|(app, count)| ((*app).to_owned(), (*count).to_owned())).collect();
        loop {
            let counts: HashMap<String, String> =
                counts.query_async(&mut connection).await.expect("counts");
            if counts == expected {
                return;
            }
            assert!(Instant::now() < until, "{counts:?}, and not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    are(&[("waiting", "1"), ("deleted", "3")]).await;
    waiting.abort();
    are(&[]).await;
}

#[tokio::test]
async fn a_queue_that_nobody_could_count_is_refused() {
    let redis = Redis::start();
    for (most_tasks, most_bytes) in [(1 << 20, 1), (1, 1 << 33)] {
        let config = Config { most_tasks, most_bytes, ..redis.config() };
        let joined = Host::join(config, Role::Api, "a".into(), "1", Load::default).await;
        assert!(matches!(joined, Err(ConnectError::Config(_))));
    }
}

#[tokio::test]
async fn what_a_host_gave_up_is_lost_and_not_given_to_it_again() {
    let (redis, caller, worker, mut taker) = both().await;
    let answer = ask(&caller, task("app", "x"));
    let taken = take_one(&mut taker).await;
    let mut connection = redis.connection().await;
    // Nobody gets through for a while, and connections are new after it.
    pause(&mut connection, 700).await;
    let answerer = taker.answerer();
    let given_up = tokio::spawn(async move { answerer.give_up(taken.ticket).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(taker.answerer().held(), 1, "it is in hand until Redis knows");
    given_up.await.expect("no panic");
    assert!(matches!(answer.await.expect("no panic"), Answer::Lost(_)));
    assert!(Taker::new(&worker).take(10).await.is_empty());
    assert_eq!(taker.answerer().held(), 0);
    all_streams_are_empty(&mut connection).await;
}

#[tokio::test]
async fn what_is_handed_back_goes_to_whoever_reads_next() {
    let (redis, caller, _worker, mut taker) = both().await;
    let answer = ask(&caller, task("app", "x"));
    let taken = take_one(&mut taker).await;
    let before = taken.deadline;
    taker.answerer().hand_back(taken.ticket, &taken.payload).await;
    assert_eq!(taker.answerer().held(), 0);
    let other = redis.join("w2", Role::Worker).await;
    let mut others = Taker::new(&other);
    let again = take_one(&mut others).await;
    assert_eq!((&*again.app, again.payload.as_slice()), ("app", &b"x"[..]));
    let moved = again.deadline.max(before) - again.deadline.min(before);
    assert!(moved < Duration::from_secs(5), "the deadline stays: {moved:?}");
    assert!(others.answerer().answer(again.ticket, b"y").await);
    assert!(matches!(answer.await.expect("no panic"), Answer::Answered(a) if a == b"y"));
    // One that was answered as lost meanwhile is not put back.
    let answer = ask(&caller, task("app", "z"));
    let taken = take_one(&mut others).await;
    other.leave().await;
    others.answerer().hand_back(taken.ticket, b"z").await;
    assert!(matches!(answer.await.expect("no panic"), Answer::Lost(_)));
    all_streams_are_empty(&mut redis.connection().await).await;
}

#[tokio::test]
async fn deleted_entries_flushed_scripts_and_groups_do_no_harm() {
    let (redis, caller, worker, mut taker) = both().await;
    let mut connection = redis.connection().await;
    for flush in [&["SCRIPT", "FLUSH"][..], &["FLUSHALL"]] {
        let mut command = redis::cmd(flush[0]);
        command.arg(&flush[1..]).query_async::<()>(&mut connection).await.expect("flushed");
        // The first is not counted, and so more tasks have ended than there were: that refuses nobody.
        for _ in 0..2 {
            let answer = ask(&caller, task("app", "x"));
            let taken = take_one(&mut taker).await;
            assert!(taker.answerer().answer(taken.ticket, b"y").await);
            assert!(matches!(answer.await.expect("no panic"), Answer::Answered(_)));
        }
    }
    // An entry that is deleted under the worker it was given to.
    let answer = ask(&caller, task("app", "x"));
    let taken = take_one(&mut taker).await;
    drop(taken);
    for lane in 0..8 {
        let key = format!("{{lode}}:tasks:{lane}");
        let _ = redis::cmd("XTRIM")
            .arg(&key)
            .arg(&["MAXLEN", "0"])
            .query_async::<()>(&mut connection)
            .await;
    }
    worker.leave().await;
    // Its fields are gone, so nobody can be told; the deadline does.
    answer.abort();
    let other = redis.join("w2", Role::Worker).await;
    assert!(Taker::new(&other).take(10).await.is_empty());
}

#[tokio::test]
async fn whoever_shares_a_lane_with_a_flood_waits_behind_a_few_of_its_tasks() {
    let (redis, caller, _worker, mut taker) = both().await;
    let mut connection = redis.connection().await;
    let flood: Vec<_> = (0..400).map(|_| ask(&caller, task("flood", "x"))).collect();
    outstanding(&mut connection, 400).await;
    // In every lane, the flood's among them.
    let others: Vec<_> = (0..40).map(|n| ask(&caller, task(&format!("calm-{n}"), "y"))).collect();
    outstanding(&mut connection, 440).await;
    let (mut seen, mut before) = (0, 0);
    while seen < others.len() {
        for taken in taker.take(8).await {
            let is_flood = taken.payload == b"x";
            (seen, before) = (seen + usize::from(!is_flood), before + usize::from(is_flood));
        }
    }
    assert!(before < 200, "{before} of the flood came first");
    flood.iter().chain(&others).for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn everything_is_bounded_for_all_hosts_together() {
    let redis = Redis::start();
    let hosts = [redis.join("a", Role::Api).await, redis.join("b", Role::Api).await];
    let mut connection = redis.connection().await;
    let callers = [Caller::new(&hosts[0]), Caller::new(&hosts[1])];
    let few = |app: &str| Task { most: 3, ..task(app, "x") };
    let mut waiting = Vec::new();
    for n in 0..3 {
        waiting.push(ask(&callers[n % 2], few("flood")));
    }
    outstanding(&mut connection, 3).await;
    let rejected = callers[1].call(few("flood")).await;
    assert!(matches!(rejected, Answer::Rejected(Rejection::App, _)), "{rejected:?}");
    waiting.push(ask(&callers[1], few("calm")));
    outstanding(&mut connection, 4).await;
    assert!(waiting.iter().all(|answer| !answer.is_finished()));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    all_streams_are_empty(&mut connection).await;

    // A rate, and one second's burst of it.
    let rated = |deadline: u64| Task {
        rate: Some(2.0),
        deadline: Instant::now() + Duration::from_millis(deadline),
        ..task("rated", "x")
    };
    let mut limited = 0;
    for n in 0..4 {
        match callers[n % 2].call(rated(50)).await {
            Answer::Rejected(Rejection::Rate, wait) => {
                assert!(wait <= Duration::from_millis(600), "{wait:?}");
                limited += 1;
            }
            answer => assert!(matches!(answer, Answer::Expired), "{answer:?}"),
        }
    }
    assert!(limited >= 1, "four in a row are more than two per second and a burst of two");

    // All of it: tasks and bytes.
    let small = Config { most_tasks: 2, most_bytes: 1_000, ..redis.config() };
    let host = redis.join_with(small, "c", Role::Api).await;
    let caller = Caller::new(&host);
    let large = Task { payload: vec![0; 1_001], ..task("app", "") };
    let rejected = caller.call(large).await;
    assert!(matches!(rejected, Answer::Rejected(Rejection::Queue, _)), "{rejected:?}");
    let two = [ask(&caller, task("one", "x")), ask(&caller, task("two", "x"))];
    outstanding(&mut connection, 2).await;
    let rejected = caller.call(task("three", "x")).await;
    assert!(matches!(rejected, Answer::Rejected(Rejection::Queue, _)), "{rejected:?}");
    drop(two);
}

#[tokio::test]
async fn a_burst_goes_in_at_once_and_each_of_it_has_its_own_answer() {
    let (redis, caller, _worker, mut taker) = both().await;
    let mut connection = redis.connection().await;
    // Somebody has spoilt an app's key: that is no trouble of the others in the same run of a script.
    let spoil = ["{lode}:rate:spoilt", "a", "text"];
    redis::cmd("HSET").arg(&spoil).exec_async(&mut connection).await.expect("set");
    let (all, most) = (400, 60);
    let asked: Vec<_> = (0..all)
        .map(|n| match n % 4 {
            0 => {
                let soon = Instant::now() + Duration::from_millis(400);
                ask(&caller, Task { deadline: soon, rate: Some(1e6), ..task("spoilt", "x") })
            }
            1 => ask(&caller, Task { most, ..task("flood", &n.to_string()) }),
            _ => ask(&caller, task(&format!("app-{}", n % 7), &n.to_string())),
        })
        .collect();
    // What is too much is told at once, and nothing is answered before all are in.
    let too_many = || asked.iter().skip(1).step_by(4).filter(|answer| answer.is_finished()).count();
    while too_many() < all / 4 - most {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut left = all / 2 + most;
    while left > 0 {
        let answerer = taker.answerer();
        for taken in taker.take(100).await {
            left -= 1;
            let answerer = answerer.clone();
            tokio::spawn(async move {
                assert!(answerer.answer(taken.ticket, &taken.payload).await);
            });
        }
    }
    let mut rejected = 0;
    for (n, answer) in asked.into_iter().enumerate() {
        match (n % 4, answer.await.expect("no panic")) {
            (0, Answer::Lost(_)) => {}
            (1, Answer::Rejected(Rejection::App, _)) => rejected += 1,
            (1..4, Answer::Answered(answer)) => assert_eq!(answer, n.to_string().as_bytes()),
            (_, answer) => panic!("{n}: {answer:?}"),
        }
    }
    assert_eq!(rejected, all / 4 - most, "exactly as many as are too many");
    all_streams_are_empty(&mut connection).await;
}

#[tokio::test]
async fn a_restart_of_redis_loses_no_answer() {
    let (mut redis, caller, _worker, mut taker) = both().await;
    let held = ask(&caller, task("app", "held"));
    let mut taken = vec![take_one(&mut taker).await];
    let waiting = ask(&caller, task("other", "waiting"));
    taken_in(&mut redis.connection().await, 2).await;
    redis.restart();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Asked when hosts know that they have lost it, if not yet that it is back.
    let meanwhile = ask(&caller, task("app", "meanwhile"));
    let answerer = taker.answerer();
    let mut answered = 0;
    while answered < 3 {
        for task in taken.drain(..) {
            assert!(answerer.answer(task.ticket, &task.payload).await);
            answered += 1;
        }
        if answered < 3 {
            taken = taker.take(10).await;
        }
    }
    for (answer, payload) in [(held, "held"), (waiting, "waiting"), (meanwhile, "meanwhile")] {
        let answer = answer.await.expect("no panic");
        assert!(matches!(&answer, Answer::Answered(a) if a == payload.as_bytes()), "{answer:?}");
    }
    all_streams_are_empty(&mut redis.connection().await).await;
}

#[tokio::test]
async fn changes_are_told_to_api_hosts() {
    let redis = Redis::start();
    let one = redis.join("a", Role::Api).await;
    let joined = Host::join(redis.config(), Role::Api, "b".into(), "0", Load::default).await;
    let (two, mut changes) = joined.expect("joined");
    let _caller = Caller::new(&two);
    one.announce("kid_a").await.expect("announced");
    loop {
        match changes.recv().await.expect("a change") {
            // Of joining.
            Change::Any => {}
            change => break assert_eq!(change, Change::App("kid_a".into())),
        }
    }
    let status = Watch::open(&redis.config()).await.expect("open").status().await.expect("one");
    let hosts: Vec<_> = status.hosts.iter().map(|h| (h.name.as_str(), h.kind.as_str())).collect();
    assert_eq!(hosts, [("a", "api"), ("b", "api")]);
}

#[tokio::test]
async fn a_queue_that_cannot_be_used_says_so() {
    let odd = Host::join(Config::new("redis//nowhere"), Role::Api, "a".into(), "0", Load::default);
    assert!(odd.await.expect_err("no URL").to_string().contains("configuration"));
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let nobody = Config::new(format!("redis://user:geheim@127.0.0.1:{port}"));
    assert!(!format!("{nobody:?}").contains("geheim"));
    let error = Host::join(nobody, Role::Api, "a".into(), "0", Load::default).await;
    let error = error.expect_err("nobody is there").to_string();
    assert!(error.contains("cannot be used") && !error.contains("geheim"), "{error}");
}
