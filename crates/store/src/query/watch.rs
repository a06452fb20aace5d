//! Until when this thread may evaluate. SQLite looks at the clock between its own instructions, and one of them
//! may be an evaluation of ours that takes long: of many conditions over one large document, say.
//!
//! Whatever is evaluated when time is up comes to an end quickly, with a result that means nothing; whoever asked
//! for it has to look here before it is believed.

use std::cell::Cell;
use std::time::Instant;

/// Work, in bytes read or values looked at, between two looks at the clock: less than a millisecond.
pub(crate) const BETWEEN_LOOKS: usize = 1 << 16;

struct Watch {
    until: Cell<Option<Instant>>,
    /// Work since the last look.
    work: Cell<usize>,
    over: Cell<bool>,
}

thread_local! {
    static WATCH: Watch = const {
        Watch { until: Cell::new(None), work: Cell::new(0), over: Cell::new(false) }
    };
}

/// While it lives, this thread's evaluations end at its time, or at that of a limit around it.
pub(crate) struct Limit {
    around: Option<Instant>,
}

impl Limit {
    pub(crate) fn until(at: Instant) -> Self {
        WATCH.with(|watch| {
            let around = watch.until.get();
            watch.until.set(Some(around.map_or(at, |around| around.min(at))));
            Self { around }
        })
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        WATCH.with(|watch| {
            watch.until.set(self.around);
            // A limit around it that is over, too, is found so at the next look.
            watch.work.set(0);
            watch.over.set(false);
        });
    }
}

/// Counts so much work, and says whether time is up.
pub(crate) fn is_over(work: usize) -> bool {
    WATCH.with(|watch| {
        let Some(until) = watch.until.get() else { return false };
        let done = watch.work.get().saturating_add(work);
        if done < BETWEEN_LOOKS {
            watch.work.set(done);
        } else {
            watch.work.set(0);
            watch.over.set(watch.over.get() || Instant::now() >= until);
        }
        watch.over.get()
    })
}
