//! How a sealed child can come to an end, or near one, by a defect.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lode_sandbox::{
    Engine, Invocation, Limits, Outcome, Sandbox, Snapshot, Source, Step, deploy_limits,
};

use crate::wreck;

pub(crate) fn named(name: &str) -> Option<fn(&Engine)> {
    match name {
        "panic" => Some(|_| panic!("a defect")),
        "abort" => Some(|_| std::process::abort()),
        "panic-twice" => Some(|_| {
            let _again = AtDrop;
            panic!("a defect")
        }),
        "overflow" => Some(|_| assert_eq!(recurse(1), 0)),
        "allocate" => Some(|_| {
            std::hint::black_box(Vec::<u8>::with_capacity(1 << 50));
        }),
        "trap" => Some(trap),
        _ => None,
    }
}

/// Runs a wreck: the guest crashes, and the process goes on.
fn trap(engine: &Engine) {
    let source = Source::entry("main.mjs", "export const onRequest = () => 1;");
    let snapshot = Snapshot::build(engine, &[source], &deploy_limits()).0.unwrap();
    let wreck = Snapshot::from_bytes(engine, &wreck::wreck(snapshot.as_bytes())).unwrap();
    let mut sandbox = Sandbox::new(&wreck, Limits::default()).unwrap();
    let invocation = Invocation { handler: 0, request: "{}" };
    let mut run = std::pin::pin!(sandbox.start(&invocation, [0; 32], Duration::ZERO));
    // It yields at every tick.
    let step = loop {
        if let Poll::Ready(step) = run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break step;
        }
    };
    let Step::Ended(Outcome::Error(error)) = step else { panic!("it does not crash") };
    assert!(error.message.starts_with("the script crashed its engine"), "{error}");
    eprint!("{error}");
}

struct AtDrop;

impl Drop for AtDrop {
    fn drop(&mut self) {
        panic!("another")
    }
}

/// Takes more stack than there is.
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    if depth == u64::MAX { 0 } else { recurse(frame[7] + 1) + frame[11] }
}
