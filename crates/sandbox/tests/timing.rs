//! The moment a step names for its next timer is late enough for that timer.

mod support;

use lode_sandbox::{Event, Invocation, Sandbox, Step};
use support::{NOW, SEED, app, block_on, kinvey, patient};

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
