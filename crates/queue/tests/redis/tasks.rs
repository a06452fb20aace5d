//! What becomes of tasks that are taken, given, lost and put back.

use super::*;

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
