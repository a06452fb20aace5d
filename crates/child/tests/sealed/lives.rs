//! What becomes of a sealed child that nobody asks for anything, or whose master is gone.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use lode_child::protocol::ResetMethod;

use crate::exercises::{APP_ID, APPS, many_at_once, meet};
use crate::peer::{Peer, Said};

/// Waits until something is so: for as long as a machine may take that is busy with other things.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether it has ended. Who is nobody's child may stay a zombie for a while.
fn has_ended(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    status.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']))
}

fn start_by_another(role: &str) -> (Peer, u32) {
    // The socket stays open in this process: only the death of the one that started it tells the child.
    let mut peer = Peer::run("start", &[role]);
    let mut line = String::new();
    BufReader::new(peer.outer.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let outer = line.trim().parse().unwrap();
    assert!(matches!(peer.hear(), Ok(Said::Ready(_))));
    assert!(!has_ended(outer) && !has_ended(peer.inner) && outer != peer.inner);
    (peer, outer)
}

#[test]
fn a_child_dies_with_the_process_that_started_it() {
    for role in ["runner", "builder"] {
        let (mut peer, outer) = start_by_another(role);
        peer.outer.kill().unwrap();
        peer.outer.wait().unwrap();
        wait_until("the outer process lives on", || has_ended(outer));
        wait_until("the inner process lives on", || has_ended(peer.inner));
    }
}

#[test]
fn a_busy_child_dies_with_the_process_that_started_it() {
    let (mut runner, met) = meet("", "", ResetMethod::CopyBack);
    met.unwrap();
    (runner.peer, _) = start_by_another("runner");
    runner.load(APP_ID, &APPS.app).unwrap();
    runner.start(APP_ID, "call", "").unwrap();
    assert!(matches!(runner.peer.hear(), Ok(Said::Call(..))));
    runner.start(APP_ID, "churn", "").unwrap();
    runner.peer.outer.kill().unwrap();
    runner.peer.outer.wait().unwrap();
    wait_until("the inner process lives on", || has_ended(runner.peer.inner));
}

#[test]
fn an_idle_runner_gives_its_slots_back() {
    let (mut runner, met) = meet("", "", ResetMethod::CopyBack);
    met.unwrap();
    runner.load(APP_ID, &APPS.app).unwrap();
    many_at_once(&mut runner).unwrap();
    let inner = runner.peer.inner;
    let addresses = || -> usize {
        let statm = std::fs::read_to_string(format!("/proc/{inner}/statm")).unwrap();
        statm.split(' ').next().unwrap().parse::<usize>().unwrap() << 12
    };
    // Each slot is 4 GiB of addresses.
    assert!(addresses() > 100 << 32);
    wait_until("it keeps its slots", || addresses() < 4 << 32);
    runner.answers("log", "1").unwrap();
    assert_eq!(runner.peer.end(), (0, String::new()));
}
