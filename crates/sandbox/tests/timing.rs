//! The moment a step names for its next timer is late enough for that timer.

mod support;

use std::cell::Cell;
use std::time::Duration;

use lode_sandbox::{Event, Host, HostCall, HostReply, Invocation, Sandbox, Step, run};
use support::{NOW, SEED, app, block_on, kinvey, modern, patient};

#[test]
fn a_timer_fires_at_the_moment_its_step_says() {
    // Else a host that sleeps exactly that long wakes to nothing, and one whose clock moves only by
    // such sleeps never gets on.
    let mut early = Vec::new();
    for delay in 1..200 {
        let snapshot =
            app(&kinvey(&format!("setTimeout(() => response.complete(200, 1), {delay});")));
        let mut sandbox = Sandbox::new(&snapshot, patient()).expect("a sandbox");
        let step = block_on(sandbox.start(&Invocation { handler: 0, request: "{}" }, SEED, NOW));
        let Step::Waiting { timer: Some(due), .. } = step else { panic!("{step:?}") };
        if let Step::Waiting { .. } = block_on(sandbox.resume(Event::Timers, due)) {
            early.push((delay, due - NOW));
        }
    }
    assert!(early.is_empty(), "{} of 199 are early: {:?}", early.len(), &early[..3]);
}

/// A host whose sleeps are over at once, as a virtual clock's are.
struct Sleepless(Cell<Duration>);

impl Host for Sleepless {
    async fn call(&self, call: HostCall) -> HostReply {
        Ok(call.args)
    }

    async fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }

    fn now(&self) -> Duration {
        self.0.get()
    }
}

#[test]
fn answers_come_through_beside_sleeps_that_are_over_at_once() {
    let snapshot = app(&modern(
        "await new Promise((done) => setTimeout(done, 5)); return context.hostCall('echo', [1]);",
    ));
    let invocation = Invocation { handler: 0, request: "{}" };
    let host = Sleepless(Cell::new(NOW));
    let report = block_on(run(&snapshot, &invocation, &patient(), SEED, &host));
    assert!(report.outcome.is_success(), "{report:?}");
}
