//! Apps beside each other: who may ask for how much, who shares a child with whom.

use std::time::{Duration, Instant};

use lode_worker::master::{Overload, Quota, Standing};

use crate::{Worker, outcome};

const LOOP: &str = "function onRequest() { for (;;); }";
const HELLO: &str = "function onRequest(request, response) { response.complete(200, 'hello'); }";

#[tokio::test]
async fn a_flood_is_rejected_and_told_when_to_come_back() {
    let worker = Worker::start(1).await;
    worker
        .deploy_with(
            "flood",
            "function onRequest(r, response) { setTimeout(() => response.complete(200), 300); }",
            |s| {
                s.quota = Quota { concurrency: 2, queue: 3, rate: None };
            },
        )
        .await;
    let runs: Vec<_> =
        (0..20).map(|_| worker.spawn("flood", "null", Duration::from_secs(20))).collect();
    let mut rejected = 0;
    for run in runs {
        let report = run.await.expect("it ran");
        if let Some((overload, wait)) = report.overload {
            assert_eq!(overload, Overload::AppQueue);
            assert!(wait > Duration::ZERO);
            rejected += 1;
        } else {
            assert!(report.outcome.is_success(), "{report:?}");
        }
    }
    assert_eq!(rejected, 15);
}

#[tokio::test]
async fn the_worker_holds_no_more_than_its_queue() {
    let worker = Worker::with(|config| {
        (config.min_children, config.max_children) = (1, 1);
        config.queue = 4;
    })
    .await;
    worker.deploy_with("a", LOOP, |settings| settings.quota.concurrency = 1).await;
    let mut runs: Vec<_> =
        (0..10).map(|_| worker.spawn("a", "null", Duration::from_secs(3))).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut rejected = 0;
    for run in runs.extract_if(.., |run| run.is_finished()) {
        let report = run.await.expect("it ran");
        assert!(matches!(report.overload, Some((Overload::WorkerQueue, _))), "{report:?}");
        rejected += 1;
    }
    // One runs, four wait.
    assert_eq!(rejected, 5);
}

#[tokio::test]
async fn an_app_that_keeps_hitting_limits_is_slowed_then_paused_then_released() {
    let worker = Worker::start(1).await;
    worker
        .deploy_with("hog", LOOP, |settings| settings.limits.cpu = Duration::from_millis(5))
        .await;
    worker.deploy("calm", HELLO).await;
    let hog = "hog".into();
    let mut standings = vec![worker.master.standing(&hog)];
    let until = Instant::now() + Duration::from_secs(60);
    let pause = loop {
        let report = worker.run("hog", "null").await;
        let standing = worker.master.standing(&hog);
        if standings.last() != Some(&standing) {
            standings.push(standing);
        }
        if let Some((Overload::Paused, wait)) = report.overload {
            break wait;
        }
        assert!(Instant::now() < until, "never paused: {standings:?}");
    };
    assert_eq!(standings[..2], [Some(Standing::Good), Some(Standing::Slowed)]);
    assert!(worker.run("calm", "null").await.outcome.is_success());
    tokio::time::sleep(pause).await;
    let report = worker.run("hog", "null").await;
    assert_eq!(outcome(&report)["kind"], "limit", "released by itself: {report:?}");
}

#[tokio::test]
async fn clients_that_hang_up_do_not_get_an_app_slowed() {
    let worker = Worker::start(1).await;
    worker.deploy("app", "function onRequest() { setTimeout(() => {}, 60000); }").await;
    for _ in 0..40 {
        let run = worker.run("app", "null");
        let _ = tokio::time::timeout(Duration::from_millis(20), run).await;
    }
    let until = Instant::now() + Duration::from_secs(5);
    while worker.master.backlog().running > 0 {
        assert!(Instant::now() < until, "runs go on that nobody waits for");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(worker.master.standing(&"app".into()), Some(Standing::Good));
}

#[tokio::test]
async fn what_waits_when_its_app_is_deployed_anew_or_removed_is_told_to_look_again() {
    const SLOW: &str =
        "function onRequest(r, response) { setTimeout(() => response.complete(200), 400); }";
    let worker = Worker::start(1).await;
    for removed in [false, true] {
        worker.deploy_with("app", SLOW, |settings| settings.quota.concurrency = 1).await;
        let runs: Vec<_> =
            (0..4).map(|_| worker.spawn("app", "null", Duration::from_secs(20))).collect();
        let until = Instant::now() + Duration::from_secs(5);
        while worker.master.backlog().waiting < 3 {
            assert!(Instant::now() < until, "{:?}", worker.master.backlog());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if removed {
            worker.master.remove(&"app".into());
        } else {
            worker.deploy("app", HELLO).await;
        }
        assert_eq!(worker.master.backlog().waiting, 0);
        let mut ran = 0;
        for run in runs {
            let report = run.await.expect("it ran");
            match report.overload {
                Some((Overload::NotDeployed, _)) => {}
                None => {
                    assert!(report.outcome.is_success(), "{report:?}");
                    ran += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ran, 1, "what ran goes on");
    }
}

#[tokio::test]
async fn hogs_hold_up_nobody() {
    let worker = Worker::start(1).await;
    worker.deploy_with("hog", LOOP, |settings| settings.limits.cpu = Duration::from_secs(60)).await;
    worker.deploy("calm", HELLO).await;
    let hogs: Vec<_> =
        (0..8).map(|_| worker.spawn("hog", "null", Duration::from_secs(4))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..200 {
        assert!(worker.run("calm", "null").await.outcome.is_success());
    }
    assert!(hogs.iter().all(|hog| !hog.is_finished()), "the hogs were in the way");
    for hog in hogs {
        assert_eq!(outcome(&hog.await.expect("it ran"))["limit"], "wall");
    }
}

#[tokio::test]
async fn apps_of_different_trust_groups_never_share_a_child() {
    // The master's own view of who ran where: a child that ran one group's app is gone from the list
    // before the only other place runs another's.
    let worker = Worker::with(|config| (config.min_children, config.max_children) = (1, 1)).await;
    for (app, group) in [("red", Some("red")), ("blue", Some("blue")), ("none", None)] {
        worker
            .deploy_with(app, HELLO, |settings| settings.trust_group = group.map(Into::into))
            .await;
    }
    let mut used: Vec<(i32, &str)> = Vec::new();
    for app in ["red", "red", "blue", "none", "red", "blue", "blue"] {
        assert!(worker.run(app, "null").await.outcome.is_success());
        let children = worker.master.children();
        let [_, inner] = children.last().copied().expect("a child");
        used.push((inner, app));
    }
    for (inner, app) in &used {
        assert!(used.iter().all(|(other, by)| other != inner || by == app), "{used:?}");
    }
    assert_eq!(used[0].0, used[1].0, "one group keeps its child");
}

#[tokio::test]
async fn children_grow_with_the_load_and_go_when_idle() {
    let worker = Worker::with(|config| {
        (config.min_children, config.max_children) = (1, 3);
        config.idle_after = Duration::from_millis(200);
    })
    .await;
    worker
        .deploy_with("app", LOOP, |settings| {
            settings.limits.cpu = Duration::from_millis(20);
            settings.quota.concurrency = 1000;
        })
        .await;
    let runs: Vec<_> =
        (0..300).map(|_| worker.spawn("app", "null", Duration::from_secs(30))).collect();
    let until = Instant::now() + Duration::from_secs(20);
    while worker.master.children().len() < 3 {
        assert!(Instant::now() < until, "no more children for more load");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for run in runs {
        run.await.expect("it ran");
    }
    let until = Instant::now() + Duration::from_secs(20);
    while worker.master.children().len() > 1 {
        assert!(Instant::now() < until, "idle children stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.deploy("calm", HELLO).await;
    assert!(worker.run("calm", "null").await.outcome.is_success());
}

#[tokio::test]
async fn children_are_recycled_by_age_and_by_memory_without_losing_a_run() {
    for by_memory in [false, true] {
        let worker = Worker::with(|config| {
            (config.min_children, config.max_children) = (1, 2);
            if by_memory {
                config.recycle_above = 1;
            } else {
                config.recycle_after = Duration::from_millis(300);
            }
        })
        .await;
        worker.deploy("app", HELLO).await;
        let first = worker.master.children();
        let until = Instant::now() + Duration::from_secs(30);
        while worker.master.children().iter().any(|child| first.contains(child)) {
            let report = worker.run("app", "null").await;
            assert!(report.outcome.is_success(), "{report:?}");
            assert!(Instant::now() < until, "not recycled");
        }
        assert!(worker.master.metrics().contains("reason=\"recycled\""));
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let worker = Worker::start(1).await;
    worker.deploy("app", HELLO).await;
    for _ in 0..3 {
        worker.run("app", "null").await;
    }
    let metrics = worker.master.metrics();
    for line in [
        "lode_runs_total{outcome=\"completed\"} 3",
        "lode_app_runs_total{app=\"app\"} 3",
        "lode_children_alive 1",
        "lode_tasks_queued 0",
        "lode_tasks_running 0",
        "lode_run_seconds_count 3",
        "lode_task_wait_seconds_count 3",
        "lode_sandbox_memory_peak_bytes_count 3",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(metrics.contains("lode_sandbox_resets_total{method="));
    assert!(metrics.contains("lode_app_cpu_seconds_total{app=\"app\"}"));
}
