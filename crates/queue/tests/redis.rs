//! The queue against a real Redis: what the tests over HTTP (tests/queue) cannot bring about.

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lode_queue::status::Watch;
use lode_queue::{
    Answer, Caller, Change, Config, ConnectError, Host, Load, Rejection, Role, Taker, Task,
};
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Redis {
    process: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let directory = tempfile::tempdir().expect("a directory");
        let process = Self::spawn(port, &directory);
        Self { process, directory, port }
    }

    fn spawn(port: u16, directory: &tempfile::TempDir) -> Child {
        // Hosts are who operators are told to let them be; the tests themselves may do all.
        let deployed = include_str!("../../../deploy/redis/users.acl").lines();
        let mut users: Vec<_> = deployed.filter(|line| !line.starts_with("user default")).collect();
        users.push("user default on nopass ~* &* +@all\n");
        let file = directory.path().join("users.acl");
        std::fs::write(&file, users.join("\n")).expect("written");
        Command::new("redis-server")
            .arg("--aclfile")
            .arg(file)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which scripts/setup.sh installs")
    }

    /// Ends it the hard way, and starts it with what its disk has.
    fn restart(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
        self.process = Self::spawn(self.port, &self.directory);
    }

    fn config(&self) -> Config {
        Config::new(format!("redis://lode:CHANGE-ME@127.0.0.1:{}", self.port))
    }

    async fn connection(&self) -> MultiplexedConnection {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let client = redis::Client::open(url).expect("a URL");
        loop {
            if let Ok(connection) = client.get_multiplexed_async_connection().await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn join(&self, name: &str, role: Role) -> Host {
        self.join_with(self.config(), name, role).await
    }

    async fn join_with(&self, config: Config, name: &str, role: Role) -> Host {
        let mut connection = self.connection().await;
        // It answers while it still loads.
        while redis::cmd("PING").query_async::<()>(&mut connection).await.is_err() {}
        let joined = Host::join(config, role, name.into(), "0", Load::default).await;
        let (host, changes) = joined.expect("joined");
        // Nobody listens: hosts must not mind.
        drop(changes);
        host
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Redis, somebody who asks, and a worker that takes.
async fn both() -> (Redis, Caller, Host, Taker) {
    let redis = Redis::start();
    let caller = Caller::new(&redis.join("a", Role::Api).await);
    let worker = redis.join("w", Role::Worker).await;
    let taker = Taker::new(&worker);
    (redis, caller, worker, taker)
}

fn task(app: &str, payload: &str) -> Task {
    Task {
        app: app.into(),
        deadline: Instant::now() + Duration::from_secs(20),
        most: 1_000,
        rate: None,
        payload: payload.into(),
    }
}

/// Asks, and goes on.
fn ask(caller: &Caller, task: Task) -> tokio::task::JoinHandle<Answer> {
    let caller = caller.clone();
    tokio::spawn(async move { caller.call(task).await })
}

/// The one task that there is.
async fn take_one(taker: &mut Taker) -> lode_queue::Taken {
    loop {
        let mut taken = taker.take(1).await;
        if let Some(one) = taken.pop() {
            assert!(taken.is_empty(), "{taken:?}");
            return one;
        }
    }
}

/// Comes back when the queue has nothing any more.
async fn all_streams_are_empty(connection: &mut MultiplexedConnection) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let mut left = Vec::new();
        for lane in 0..8 {
            let length = redis::cmd("XLEN").arg(format!("{{lode}}:tasks:{lane}")).to_owned();
            left.push(length.query_async::<i64>(connection).await.expect("a length"));
        }
        let load = redis::cmd("GET").arg("{lode}:load").to_owned();
        left.extend(load.query_async::<Option<i64>>(connection).await.expect("the load"));
        let apps = redis::cmd("HVALS").arg("{lode}:apps").to_owned();
        left.extend(apps.query_async::<Vec<i64>>(connection).await.expect("the apps' counts"));
        if left.iter().all(|n| *n == 0) {
            return;
        }
        assert!(Instant::now() < until, "lanes, load and apps: {left:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Comes back when so many tasks have been put in, whatever became of them.
async fn taken_in(connection: &mut MultiplexedConnection, count: i64) {
    loop {
        let mut all = 0;
        for lane in 0..8 {
            let mut info = redis::cmd("XINFO");
            info.arg("STREAM").arg(format!("{{lode}}:tasks:{lane}"));
            let info: HashMap<String, redis::Value> =
                info.query_async(connection).await.expect("a stream");
            if let Some(redis::Value::Int(added)) = info.get("entries-added") {
                all += added;
            }
        }
        if all >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Comes back when so many tasks are in the queue or in hand.
async fn outstanding(connection: &mut MultiplexedConnection, count: usize) {
    let load = redis::cmd("GET").arg("{lode}:load").to_owned();
    loop {
        let load: Option<usize> = load.query_async(connection).await.expect("a load");
        // 2^33 for each task.
        if load.unwrap_or(0) >> 33 == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets Redis do nothing for a while.
async fn pause(connection: &mut MultiplexedConnection, ms: u64) {
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(ms).arg("ALL").query_async::<()>(connection).await.expect("paused");
}

#[tokio::test]
async fn a_task_goes_there_and_its_answer_back() {
    let (redis, caller, _worker, mut taker) = both().await;
    // Bytes are carried as they are, of any value.
    let mut odd = task("app", "");
    odd.payload = (0..=255).cycle().take(100_000).collect();
    let sent = odd.payload.clone();
    let answer = ask(&caller, odd);
    let taken = take_one(&mut taker).await;
    assert_eq!((&*taken.app, taken.payload == sent), ("app", true));
    assert!(taken.deadline > Instant::now() + Duration::from_secs(15));
    assert!(taker.answerer().answer(taken.ticket, b"\0\xff").await);
    assert!(
        matches!(answer.await.expect("no panic"), Answer::Answered(answer) if answer == b"\0\xff")
    );
    assert_eq!(taker.answerer().held(), 0);
    all_streams_are_empty(&mut redis.connection().await).await;
}

#[tokio::test]
async fn an_answer_that_comes_after_the_reaper_is_dropped() {
    let (redis, caller, worker, mut taker) = both().await;
    let answer = ask(&caller, task("app", "x"));
    let taken = take_one(&mut taker).await;
    // As if its lease had ended.
    worker.leave().await;
    assert!(matches!(answer.await.expect("no panic"), Answer::Lost(_)));
    assert!(!taker.answerer().answer(taken.ticket, b"late").await);
    // It is given to nobody else.
    let other = redis.join("w2", Role::Worker).await;
    assert!(Taker::new(&other).take(10).await.is_empty());
    all_streams_are_empty(&mut redis.connection().await).await;
}

#[tokio::test]
async fn the_lease_of_a_host_that_stops_ends_and_its_tasks_are_lost_at_once() {
    let (redis, caller, worker, mut taker) = both().await;
    let answer = ask(&caller, task("app", "x"));
    take_one(&mut taker).await;
    drop((worker, taker));
    // Its deadline is far; the lease is not.
    let lost = tokio::time::timeout(Duration::from_secs(15), answer).await;
    assert!(matches!(lost.expect("before the deadline").expect("no panic"), Answer::Lost(_)));
    let status = Watch::open(&redis.config()).await.expect("open").status().await;
    let names: Vec<String> = status.expect("a status").hosts.into_iter().map(|h| h.name).collect();
    assert_eq!(names, ["a"]);
}

#[tokio::test]
async fn what_no_worker_was_given_is_taken_back() {
    let redis = Redis::start();
    let api = redis.join("a", Role::Api).await;
    let caller = Caller::new(&api);
    let mut soon = task("app", "x");
    soon.deadline = Instant::now() + Duration::from_millis(300);
    assert!(matches!(caller.call(soon).await, Answer::Expired));
    let mut over = task("app", "x");
    over.deadline = Instant::now();
    assert!(matches!(caller.call(over).await, Answer::Expired));
    // Nor what nobody waits for any more.
    let mut connection = redis.connection().await;
    let gone = ask(&caller, task("app", "x"));
    taken_in(&mut connection, 2).await;
    gone.abort();
    all_streams_are_empty(&mut connection).await;
    let worker = redis.join("w", Role::Worker).await;
    assert!(Taker::new(&worker).take(10).await.is_empty());
}

#[tokio::test]
async fn what_is_left_while_it_is_taken_in_never_runs() {
    let redis = Redis::start();
    let caller = Caller::new(&redis.join("a", Role::Api).await);
    let mut connection = redis.connection().await;
    // Redis has been sent them, and does not answer yet.
    pause(&mut connection, 300).await;
    let gone = [ask(&caller, task("app", "x")), ask(&caller, task("other", "y"))];
    tokio::time::sleep(Duration::from_millis(100)).await;
    gone.iter().for_each(tokio::task::JoinHandle::abort);
    taken_in(&mut connection, 2).await;
    all_streams_are_empty(&mut connection).await;
    let worker = redis.join("w", Role::Worker).await;
    assert!(Taker::new(&worker).take(10).await.is_empty());
}

#[tokio::test]
async fn an_expired_task_is_answered_and_not_given() {
    let redis = Redis::start();
    let api = redis.join("a", Role::Api).await;
    let caller = Caller::new(&api);
    let worker = redis.join("w", Role::Worker).await;
    let mut connection = redis.connection().await;
    let deadline = Instant::now() + Duration::from_millis(400);
    let answer = ask(&caller, Task { deadline, ..task("app", "x") });
    taken_in(&mut connection, 1).await;
    // Given to a host that does not look at it until it is too late.
    given_and_never_arrived(&mut connection, 10).await;
    tokio::time::sleep_until((deadline + Duration::from_millis(20)).into()).await;
    // Its first read is of what was given to it before.
    assert!(Taker::new(&worker).take(10).await.is_empty());
    assert!(matches!(answer.await.expect("no panic"), Answer::Expired));
    all_streams_are_empty(&mut connection).await;
}

#[tokio::test]
async fn what_was_given_through_a_connection_that_broke_is_not_forgotten() {
    let (redis, caller, _worker, mut taker) = both().await;
    let first = ask(&caller, task("app", "held"));
    let held = take_one(&mut taker).await;
    let mut connection = redis.connection().await;
    break_all_but(&mut connection).await;
    let second = ask(&caller, task("app", "fresh"));
    let mut seen = Vec::new();
    while seen.is_empty() {
        seen = taker.take(10).await;
    }
    // What it has in hand is not given again.
    let payloads: Vec<_> = seen.iter().map(|taken| taken.payload.clone()).collect();
    assert_eq!(payloads, [b"fresh"]);
    let answerer = taker.answerer();
    assert!(answerer.answer(held.ticket, b"1").await);
    assert!(answerer.answer(seen.remove(0).ticket, b"2").await);
    assert!(matches!(first.await.expect("no panic"), Answer::Answered(a) if a == b"1"));
    assert!(matches!(second.await.expect("no panic"), Answer::Answered(a) if a == b"2"));
}

/// Breaks every connection but this one.
async fn break_all_but(connection: &mut MultiplexedConnection) {
    for kind in ["normal", "pubsub"] {
        let mut kill = redis::cmd("CLIENT");
        kill.arg(&["KILL", "TYPE", kind, "SKIPME", "yes"]);
        kill.query_async::<()>(connection).await.expect("killed");
    }
}

/// Has what waits given to "w", and the answer that says so lost on its way.
async fn given_and_never_arrived(connection: &mut MultiplexedConnection, count: usize) {
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg("workers").arg("w").arg("COUNT").arg(count).arg("STREAMS");
    for lane in 0..8 {
        read.arg(format!("{{lode}}:tasks:{lane}"));
    }
    read.arg(&[">"; 8]);
    let given: redis::Value = read.query_async(connection).await.expect("given");
    assert_ne!(given, redis::Value::Nil);
}

#[tokio::test]
async fn what_was_given_and_never_arrived_is_found_behind_all_that_is_in_hand() {
    let (redis, caller, _worker, mut taker) = both().await;
    let held = 150;
    let asked: Vec<_> = (0..2 * held).map(|_| ask(&caller, task("app", "x"))).collect();
    let mut taken = Vec::new();
    while taken.len() < held {
        taken.extend(taker.take((held - taken.len()).min(50)).await);
    }
    let mut connection = redis.connection().await;
    outstanding(&mut connection, 2 * held).await;
    given_and_never_arrived(&mut connection, 2 * held).await;
    break_all_but(&mut connection).await;
    let until = Instant::now() + Duration::from_secs(10);
    while taken.len() < 2 * held && Instant::now() < until {
        taken.extend(taker.take(64).await);
    }
    assert_eq!(taken.len(), 2 * held);
    let answerer = taker.answerer();
    for taken in taken {
        let answerer = answerer.clone();
        tokio::spawn(async move { answerer.answer(taken.ticket, b"y").await });
    }
    for answer in asked {
        assert!(matches!(answer.await.expect("no panic"), Answer::Answered(_)));
    }
    all_streams_are_empty(&mut connection).await;
}

#[tokio::test]
async fn what_is_taken_after_a_lease_has_ended_is_taken_with_one_that_lasts() {
    let (redis, caller, worker, mut taker) = both().await;
    let mut connection = redis.connection().await;
    // Nobody gets through for longer than a lease, and the host knows before that has ended.
    pause(&mut connection, 3700).await;
    let (mut fenced, over) = (worker.fenced(), Instant::now() + Duration::from_millis(3800));
    let before = *fenced.borrow();
    fenced.changed().await.expect("it goes on");
    tokio::time::sleep_until(over.into()).await;
    let answer = ask(&caller, task("app", "x"));
    let taken = take_one(&mut taker).await;
    // Once in time, and once when it learned that the lease had ended.
    let fences = *fenced.borrow();
    assert_eq!(fences, before + 2);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(*fenced.borrow(), fences, "what was taken would have been given up");
    assert!(taker.answerer().answer(taken.ticket, b"y").await);
    assert!(matches!(answer.await.expect("no panic"), Answer::Answered(a) if a == b"y"));
}

#[tokio::test]
async fn what_was_handed_back_can_be_taken_back() {
    let (redis, caller, _worker, mut taker) = both().await;
    // By its deadline, which comes while it waits again: it has not begun, and is not lost.
    let deadline = Instant::now() + Duration::from_millis(600);
    let answer = ask(&caller, Task { deadline, ..task("app", "x") });
    let taken = take_one(&mut taker).await;
    taker.answerer().hand_back(taken.ticket, &taken.payload).await;
    let answer = answer.await.expect("no panic");
    assert!(matches!(answer, Answer::Expired), "{answer:?}");
    // By its caller, before and after it is handed back.
    let mut connection = redis.connection().await;
    for is_back in [true, false] {
        let answer = ask(&caller, task("app", "x"));
        let taken = take_one(&mut taker).await;
        if is_back {
            taker.answerer().hand_back(taken.ticket, &taken.payload).await;
            answer.abort();
        } else {
            answer.abort();
            taken.withdrawn.await.expect("its caller has left");
            taker.answerer().hand_back(taken.ticket, &taken.payload).await;
        }
        all_streams_are_empty(&mut connection).await;
        let again = taker.take(10).await;
        assert!(again.is_empty(), "{is_back}: {again:?}");
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
