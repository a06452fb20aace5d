//! Linear memories: slots of address space with a snapshot mapped copy-on-write over them, and the
//! reset that gives each run a memory that holds its snapshot and nothing else.
//!
//! A **slot** is 4 GiB of reserved addresses and a guard (so compiled code needs no bounds checks),
//! bound to one [`Image`] for as long as it lives. A run writes to private copies of the image's pages.
//! Afterwards [`ResetMethod::CopyBack`] finds those copies (`scan.rs`) and writes the image's bytes back
//! into them, which costs a tenth of the page faults that dropping them would bring the next run;
//! [`ResetMethod::Discard`] drops them. Either way the next run must read its image and nothing else:
//! this is where runtimes have leaked memory between tenants (Wasmtime's GHSA-wh6w-3828-g9qf and
//! GHSA-6wgr-89rj-399p), so `tests/residue.rs` attacks it.
//!
//! With `scan.rs`, `stack.rs` and `image.rs` this is all of the crate's unsafe code that touches
//! memory; the other unsafe file is `module.rs`.

mod image;
mod scan;
mod stack;

use std::cell::RefCell;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use serde::{Deserialize, Serialize};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

pub(crate) use image::{Extent, Image, Origin, PAGE, View};
pub(crate) use stack::{Creator as StackCreator, KeptStack, StackPool};

use crate::idle::Idle;
use crate::tuning::{GUARD_BYTES, RESERVATION_BYTES};
use scan::Pagemap;

/// How a slot is brought back to its image after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResetMethod {
    /// Copies the image's bytes back into the pages that were written, found with the kernel's
    /// `PAGEMAP_SCAN` (Linux 6.7 and later).
    CopyBack,
    /// Drops the written pages (`MADV_DONTNEED`): slower, and works everywhere.
    Discard,
}

impl ResetMethod {
    /// The method for this machine: copy-back where the kernel can list written pages.
    pub fn detect() -> Self {
        match Pagemap::open(None) {
            Ok(_) => Self::CopyBack,
            Err(_) => Self::Discard,
        }
    }
}

/// Slots without an instance kept for reuse at most (guest.rs keeps those with one). Each holds address
/// space, and up to [`KEEP_PAGES`] of memory.
const MAX_IDLE_SLOTS: usize = 64;

/// Pages a slot may keep resident between runs: above it, copying costs more than the faults it saves,
/// and one large run should not hold memory for long. 1,024 pages are 4 MiB.
const KEEP_PAGES: usize = 1024;

thread_local! {
    /// The image for the memory about to be created on this thread: Wasmtime's creator hook is told
    /// the memory's type, not for which snapshot it is.
    static NEXT_IMAGE: RefCell<Option<Arc<Image>>> = const { RefCell::new(None) };
}

/// All slots of one engine.
pub(crate) struct SlotPool {
    pagemap: Option<Pagemap>,
    idle: Idle<Slot, MAX_IDLE_SLOTS>,
}

impl SlotPool {
    /// `None` takes the fastest method there is. `opened` is this process's page map, if it is open.
    pub(crate) fn new(
        method: Option<ResetMethod>,
        opened: Option<Arc<File>>,
    ) -> io::Result<Arc<Self>> {
        let pagemap = match method {
            Some(ResetMethod::CopyBack) => Some(Pagemap::open(opened)?),
            Some(ResetMethod::Discard) => None,
            None => Pagemap::open(opened).ok(),
        };
        Ok(Arc::new(Self { pagemap, idle: Idle::default() }))
    }

    pub(crate) fn method(&self) -> ResetMethod {
        match self.pagemap {
            Some(_) => ResetMethod::CopyBack,
            None => ResetMethod::Discard,
        }
    }

    /// Runs `instantiate`, whose one memory becomes a copy of `image`.
    pub(crate) fn with_image<T>(image: &Arc<Image>, instantiate: impl FnOnce() -> T) -> T {
        NEXT_IMAGE.set(Some(image.clone()));
        let made = instantiate();
        NEXT_IMAGE.set(None);
        made
    }

    /// Brings `memory`, a slot's that no run uses, back to its `image` without giving up the slot. False
    /// where only [`SlotPool::give_back`] can: then the memory is as it was.
    pub(crate) fn restore(&self, memory: &mut [u8], image: &Image) -> bool {
        memory.len() == image.size()
            && self.pagemap.as_ref().is_some_and(|pagemap| copy_back(pagemap, memory, image))
    }

    fn take(&self, image: &Arc<Image>) -> io::Result<Slot> {
        match self.idle.take(|slot| Arc::ptr_eq(&slot.image, image)) {
            Some(slot) => Ok(slot),
            None => Slot::map(image.clone()),
        }
    }

    fn give_back(&self, mut slot: Slot) {
        // A slot that cannot be reset is unmapped, never reused.
        if slot.reset(self.pagemap.as_ref()).is_ok() {
            self.idle.put(slot);
        }
    }

    /// Unmaps the slots unused for `age`. Returns how many are still idle.
    pub(crate) fn release_idle(&self, age: Duration) -> usize {
        self.idle.release(age)
    }
}

/// Writes the image's bytes over all written pages of `memory`, unless they cannot be found or are too
/// many.
fn copy_back(pagemap: &Pagemap, memory: &mut [u8], image: &Image) -> bool {
    let Ok(written) = pagemap.private_pages(memory.as_ptr() as usize, memory.len()) else {
        return false;
    };
    if written.iter().map(|range| range.len() / PAGE).sum::<usize>() > KEEP_PAGES {
        return false;
    }
    for range in written {
        image.restore(memory, range);
    }
    true
}

/// One reservation, bound to an image. `accessible` bytes from `base` may be read and written; the rest
/// faults.
struct Slot {
    /// All that is mapped: a little more than reservation and guard, somewhere in which `base` is.
    mapping: *mut c_void,
    base: *mut u8,
    accessible: usize,
    image: Arc<Image>,
}

// SAFETY: a slot owns its mapping; nothing else holds `base` while the slot moves between threads.
unsafe impl Send for Slot {}
// SAFETY: through a shared reference a slot only tells its numbers.
unsafe impl Sync for Slot {}

/// What one page table of the processor spans.
const PAGE_TABLE_BYTES: usize = 2 << 20;

/// The memory's first bytes, the far end of the engine's stack (`--stack-first` of lode-guest), that only
/// deep recursion reaches: all but 64 KiB.
const UNTOUCHED_STACK_BYTES: usize = lode_guest::STACK_BYTES as usize - (64 << 10);

const SLOT_BYTES: usize = (RESERVATION_BYTES + GUARD_BYTES) as usize;

impl Slot {
    fn map(image: Arc<Image>) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address the kernel chooses.
        let mapping = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                SLOT_BYTES + PAGE_TABLE_BYTES,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        // A scan looks at every page of a page table that exists. So the part of the engine's stack that
        // small runs never touch lies in the span of a table of its own, which they never make.
        let aligned = (mapping as usize).next_multiple_of(PAGE_TABLE_BYTES) - mapping as usize;
        let base = mapping
            .cast::<u8>()
            .wrapping_add((aligned + PAGE_TABLE_BYTES - UNTOUCHED_STACK_BYTES) % PAGE_TABLE_BYTES);
        let slot = Self { mapping, base, accessible: image.size(), image };
        // A huge page would be cleared whole for the first byte written.
        // SAFETY: advice on the mapping just made.
        unsafe { rustix::mm::madvise(base.cast(), SLOT_BYTES, Advice::LinuxNoHugepage) }?;
        for extent in slot.image.extents() {
            let address = slot.address(extent.start);
            let rw = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: extents lie within the image, whose size `Image` keeps at or below the
            // reservation, so each fixed mapping replaces only part of this slot's own reservation.
            // The files are sealed (or private to this process): their bytes never change.
            unsafe {
                match slot.image.file(extent) {
                    Some((file, offset)) => {
                        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
                        rustix::mm::mmap(address, extent.len, rw, flags, file, offset as u64)?;
                    }
                    None => rustix::mm::mprotect(
                        address,
                        extent.len,
                        MprotectFlags::READ | MprotectFlags::WRITE,
                    )?,
                }
            }
        }
        Ok(slot)
    }

    fn address(&self, offset: usize) -> *mut c_void {
        self.base.wrapping_add(offset).cast()
    }

    fn grow(&mut self, size: usize) -> io::Result<()> {
        if size > self.accessible {
            // SAFETY: Wasmtime grows a memory to at most its reservation, which this slot holds.
            unsafe {
                rustix::mm::mprotect(
                    self.address(self.accessible),
                    size - self.accessible,
                    MprotectFlags::READ | MprotectFlags::WRITE,
                )
            }?;
            self.accessible = size;
        }
        Ok(())
    }

    fn reset(&mut self, pagemap: Option<&Pagemap>) -> io::Result<()> {
        let size = self.image.size();
        if self.accessible > size {
            // What was grown is unmapped, so that it faults again and can hold nothing.
            // SAFETY: a fixed mapping over this slot's own addresses, between runs.
            unsafe {
                rustix::mm::mmap_anonymous(
                    self.address(size),
                    self.accessible - size,
                    ProtFlags::empty(),
                    MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
                )
            }?;
            self.accessible = size;
        }
        if let Some(pagemap) = pagemap {
            // SAFETY: between runs this slot is the only user of its memory, all of which up to
            // `size` is mapped readable and writable.
            let memory = unsafe { std::slice::from_raw_parts_mut(self.base, size) };
            if copy_back(pagemap, memory, &self.image) {
                return Ok(());
            }
        }
        // SAFETY: as above; every mapping below `size` is private, so that its pages read as the
        // image's (or zero) again.
        unsafe { rustix::mm::madvise(self.base.cast(), size, Advice::LinuxDontNeed) }?;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the slot's own mapping, which nothing uses any more. It cannot fail on a range that
        // was mapped as one; if it did, the addresses would leak, which is safe.
        let _ = unsafe { rustix::mm::munmap(self.mapping, SLOT_BYTES + PAGE_TABLE_BYTES) };
    }
}

/// A slot in use by one instance.
struct Memory {
    slot: Option<Slot>,
    pool: Arc<SlotPool>,
}

impl Memory {
    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("only Drop takes the slot")
    }
}

// SAFETY: the base never moves; exactly `byte_size` bytes are accessible and the rest of reservation and
// guard fault; at creation the bytes are the image's, which stands for the data segments the module
// does not have.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.slot().accessible
    }

    fn byte_capacity(&self) -> usize {
        RESERVATION_BYTES as usize
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        let slot = self.slot.as_mut().expect("only Drop takes the slot");
        slot.grow(size).map_err(wasmtime::Error::new)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot().base
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.give_back(slot);
        }
    }
}

/// What Wasmtime asks for memories.
pub(crate) struct Creator(pub(crate) Arc<SlotPool>);

// SAFETY: see `Memory`; a request whose sizes are not those the slots are built for is refused.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let image = NEXT_IMAGE.take().ok_or("a memory was asked for outside `with_image`")?;
        if reserved != Some(RESERVATION_BYTES as usize) || guard > GUARD_BYTES as usize {
            return Err(format!(
                "no slot has a reservation of {reserved:?} and a guard of {guard}"
            ));
        }
        if image.size() < minimum {
            return Err(format!(
                "the image has {} bytes, the module needs {minimum}",
                image.size()
            ));
        }
        let slot = self.0.take(&image).map_err(|error| format!("no memory slot: {error}"))?;
        Ok(Box::new(Memory { slot: Some(slot), pool: self.0.clone() }))
    }
}
