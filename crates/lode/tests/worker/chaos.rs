//! Children that are killed or stopped under load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lode_child::protocol::Outcome;
use rustix::process::{Pid, Signal};

use crate::{Worker, outcome, task};

const SLOW: &str = "function onRequest(request, response) {
  setTimeout(() => response.complete(200, request.body), request.body % 7);
}";

fn signal(pid: i32, signal: Signal) {
    // It may have ended by itself.
    let _ = rustix::process::kill_process(Pid::from_raw(pid).expect("a process"), signal);
}

/// Keeps tasks going while `harm` is done to the children every 150 ms; returns how tasks ended.
async fn under_load(
    worker: &Worker,
    rounds: usize,
    mut harm: impl FnMut([i32; 2], usize),
) -> BTreeMap<String, usize> {
    worker.deploy("app", SLOW).await;
    let until = Instant::now() + Duration::from_millis(150) * u32::try_from(rounds).expect("few");
    let clients: Vec<_> = (0..24_usize)
        .map(|client| {
            let master = worker.master.clone();
            tokio::spawn(async move {
                let mut endings = Vec::new();
                while Instant::now() < until {
                    let number = endings.len() * 100 + client;
                    let task = task("app", &number.to_string(), Duration::from_secs(3));
                    let report = master.run(task).await;
                    if let Outcome::Completed { body: Some(body), .. } = &report.outcome {
                        assert_eq!(body.get(), number.to_string(), "another task's answer");
                    }
                    endings.push(outcome(&report)["kind"].as_str().expect("a kind").to_owned());
                }
                endings
            })
        })
        .collect();
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let children = worker.master.children();
        if let Some(child) = children.get(round % children.len().max(1)) {
            harm(*child, round);
        }
    }
    let mut endings = BTreeMap::new();
    for client in clients {
        for ending in client.await.expect("the client is sound") {
            *endings.entry(ending).or_default() += 1;
        }
    }
    endings
}

/// Only these may come of children that are killed from outside.
fn check(endings: &BTreeMap<String, usize>) {
    for ending in endings.keys() {
        assert!(
            ["completed", "platform", "limit", "expired"].contains(&ending.as_str()),
            "{endings:?}"
        );
    }
    assert!(endings["completed"] > 100, "{endings:?}");
}

#[tokio::test]
async fn killed_children_cost_only_their_own_runs() {
    let worker = Worker::start(2).await;
    let endings = under_load(&worker, 20, |[outer, inner], round| {
        signal(if round % 2 == 0 { outer } else { inner }, Signal::KILL);
    })
    .await;
    check(&endings);
    assert!(!endings.contains_key("limit") && !endings.contains_key("expired"), "{endings:?}");
    assert!(endings["platform"] < endings["completed"], "{endings:?}");
    // The last one killed may be given a run before it is known to be gone.
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let report = worker.run("app", "1").await;
        if report.outcome.is_success() {
            break;
        }
        assert_eq!(outcome(&report)["kind"], "platform", "{report:?}");
        assert!(Instant::now() < until, "no child serves: {report:?}");
    }
}

#[tokio::test]
async fn stopped_children_are_found_out_and_replaced() {
    let worker = Worker::with(|config| {
        (config.min_children, config.max_children) = (2, 2);
        config.patience = Duration::from_millis(200);
    })
    .await;
    let endings = under_load(&worker, 12, |[_, inner], round| {
        if round == 2 || round == 6 {
            signal(inner, Signal::STOP);
        }
    })
    .await;
    check(&endings);
    assert!(!endings.contains_key("platform"), "{endings:?}");
    let until = Instant::now() + Duration::from_secs(20);
    while worker.master.children().len() < 2 {
        assert!(Instant::now() < until, "a stopped child was not replaced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(worker.run("app", "1").await.outcome.is_success());
}

#[tokio::test]
async fn draining_answers_what_was_admitted_and_admits_no_more() {
    let worker = Worker::start(1).await;
    worker.deploy("app", SLOW).await;
    let before: Vec<_> = (0..50)
        .map(|number: u32| worker.spawn("app", &number.to_string(), Duration::from_secs(20)))
        .collect();
    tokio::time::sleep(Duration::from_millis(5)).await;
    worker.master.drain(Duration::from_secs(20)).await;
    let report = worker.run("app", "1").await;
    assert_eq!(outcome(&report)["kind"], "rejected");
    for run in before {
        assert!(run.is_finished(), "drained too early");
        assert!(run.await.expect("it ran").outcome.is_success());
    }
}
