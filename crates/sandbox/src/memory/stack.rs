//! Native stacks for runs, kept for reuse: mapping one costs more than a small run.

use std::cell::RefCell;
use std::ops::Range;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{StackCreator, StackMemory};

use super::PAGE;

/// Idle stacks kept. Each holds at most about [`KEEP_BYTES`] of memory.
const MAX_IDLE_STACKS: usize = 64;

/// What of an idle stack stays resident: ordinary runs stay well within it.
const KEEP_BYTES: usize = 256 << 10;

#[derive(Default)]
pub(crate) struct StackPool {
    idle: Mutex<Vec<Arc<Mapping>>>,
}

/// A guard page, then `len` bytes of stack.
struct Mapping {
    base: *mut u8,
    len: usize,
}

// SAFETY: a mapping is owned by whoever holds this value.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference it only tells its addresses.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(len: usize) -> rustix::io::Result<Self> {
        // SAFETY: a fresh mapping at an address the kernel chooses; its lowest page stays
        // inaccessible.
        unsafe {
            let base = rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                PAGE + len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?;
            let mapping = Self { base: base.cast(), len };
            rustix::mm::mprotect(
                mapping.base.add(PAGE).cast(),
                len,
                MprotectFlags::READ | MprotectFlags::WRITE,
            )?;
            Ok(mapping)
        }
    }
}

impl Mapping {
    /// Gives back what a deep recursion touched. The stack grows page by page (the engine's frames are
    /// smaller), so the pages next to the kept ones tell whether there was one.
    fn release_depths(&self) {
        const PROBE: usize = 4;
        let Some(depth) = self.len.checked_sub(KEEP_BYTES + PROBE * PAGE) else { return };
        let mut resident = [0_u8; PROBE];
        // SAFETY: whole pages of this mapping, on which no fiber runs any more; `mincore` writes one
        // byte per page.
        unsafe {
            let probe = self.base.add(PAGE + depth).cast();
            let asked = libc::mincore(probe, PROBE * PAGE, resident.as_mut_ptr());
            if asked != 0 || resident.iter().any(|page| page & 1 == 1) {
                let deep = self.base.add(PAGE).cast();
                // Failing only keeps memory.
                let _ = rustix::mm::madvise(deep, depth + PROBE * PAGE, Advice::LinuxDontNeed);
            }
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; no fiber runs on it any more.
        let _ = unsafe { rustix::mm::munmap(self.base.cast(), PAGE + self.len) };
    }
}

thread_local! {
    /// The stack last made on this thread.
    static NEWEST: RefCell<Option<KeptStack>> = const { RefCell::new(None) };
}

/// A store's stack, which Wasmtime keeps in it from call to call.
pub(crate) struct KeptStack {
    mapping: Arc<Mapping>,
    /// Gone when the store has given the stack back, and another may run on it.
    held: Weak<()>,
}

impl KeptStack {
    /// Runs `work`; also returns the stack made in it, if one was.
    pub(crate) fn watch<T>(work: impl FnOnce() -> T) -> (T, Option<Self>) {
        NEWEST.set(None);
        let done = work();
        (done, NEWEST.take())
    }

    /// Gives back what a deep recursion touched. Only between calls of the store, by its owner.
    pub(crate) fn release_depths(&self) {
        if self.held.strong_count() > 0 {
            self.mapping.release_depths();
        }
    }
}

struct Stack {
    mapping: Option<Arc<Mapping>>,
    held: Option<Arc<()>>,
    pool: Arc<StackPool>,
}

impl Stack {
    fn mapping(&self) -> &Mapping {
        self.mapping.as_ref().expect("only Drop takes the mapping")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(mapping) = self.mapping.take() else { return };
        self.held = None;
        mapping.release_depths();
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_STACKS {
            idle.push(mapping);
        }
    }
}

// SAFETY: page-aligned, `len` a multiple of the page size, a guard page below. Reused stacks are not
// cleared: WebAssembly code cannot read a stack slot it has not written, so nothing of an earlier run is
// readable (Wasmtime's own pool does the same unless `async_stack_zeroing` is asked for).
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        self.mapping().base.wrapping_add(PAGE + self.mapping().len)
    }

    fn range(&self) -> Range<usize> {
        let start = self.mapping().base as usize + PAGE;
        start..start + self.mapping().len
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.mapping().base..self.mapping().base.wrapping_add(PAGE)
    }
}

/// What Wasmtime asks for stacks.
pub(crate) struct Creator(pub(crate) Arc<StackPool>);

// SAFETY: see `Stack`.
unsafe impl StackCreator for Creator {
    fn new_stack(&self, len: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        let len = len.next_multiple_of(PAGE);
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = idle.pop().filter(|mapping| mapping.len == len);
        drop(idle);
        let mapping = match reused {
            Some(mapping) => mapping,
            None => Mapping::new(len)
                .map(Arc::new)
                .map_err(|error| wasmtime::Error::new(std::io::Error::from(error)))?,
        };
        let held = Arc::new(());
        NEWEST.set(Some(KeptStack { mapping: mapping.clone(), held: Arc::downgrade(&held) }));
        Ok(Box::new(Stack { mapping: Some(mapping), held: Some(held), pool: self.0.clone() }))
    }
}
