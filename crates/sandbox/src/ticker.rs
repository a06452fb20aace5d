//! The tick: one thread that moves Wasmtime's epoch on, by which runs are preempted.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::guest::GuestPool;
use crate::memory::SlotPool;

/// How long a run may keep a thread before others get a turn.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a run after which the thread sleeps until there is one: an idle program must not wake
/// a thousand times a second, and a busy one must not pay a wake-up for every run.
const LINGER_TICKS: u32 = 200;

/// Instances and slots unused for this long are given back.
const IDLE: Duration = Duration::from_secs(10);

struct Shared {
    /// Guest code being run at this moment, on any thread.
    active: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

/// While one lives, the tick goes on.
pub(crate) struct Ticking<'t>(&'t Ticker);

impl Ticker {
    pub(crate) fn start(
        engine: wasmtime::Engine,
        guests: Arc<GuestPool>,
        slots: Arc<SlotPool>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            active: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let theirs = shared.clone();
        let started = Arc::new(Barrier::new(2));
        let begun = started.clone();
        let handle = thread::Builder::new().name("lode-tick".into()).spawn(move || {
            begun.wait();
            run(&engine, &guests, &slots, &theirs);
        })?;
        // A thread's first steps take system calls that a process may give up after this.
        started.wait();
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Call before guest code runs.
    pub(crate) fn ticking(&self) -> Ticking<'_> {
        self.shared.active.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Ticking(self)
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.shared.active.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn run(engine: &wasmtime::Engine, guests: &GuestPool, slots: &SlotPool, shared: &Shared) {
    let mut quiet = 0;
    while !shared.ended.load(Ordering::SeqCst) {
        if shared.active.load(Ordering::SeqCst) > 0 {
            quiet = 0;
        } else {
            quiet += 1;
        }
        if quiet <= LINGER_TICKS {
            thread::sleep(TICK);
            engine.increment_epoch();
            continue;
        }
        let idle = guests.release_idle(IDLE) + slots.release_idle(IDLE);
        shared.asleep.store(true, Ordering::SeqCst);
        // A run that began between the load above and this store did not see `asleep`.
        let begun = shared.active.load(Ordering::SeqCst) > 0;
        if begun {
            quiet = 0;
        } else if idle > 0 {
            thread::park_timeout(IDLE);
        } else {
            thread::park();
        }
    }
}
