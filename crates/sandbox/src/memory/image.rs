//! What a memory holds when a run starts, and where those bytes lie.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::tuning::RESERVATION_BYTES;

/// The unit in which images are compared, stored and reset: the kernel's page on the supported
/// machines (`Engine::new` refuses others).
pub(crate) const PAGE: usize = 4096;

/// A sealed memory file and its bytes, mapped read-only. Sealed means that nobody, in no process that
/// holds the descriptor, can change or shrink it: the bytes are as constant as the program's own.
pub(crate) struct View {
    file: OwnedFd,
    base: *const u8,
    len: usize,
}

// SAFETY: the bytes are constant and the mapping lives as long as the view.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

impl View {
    /// A new sealed file with the bytes of `parts`.
    pub(crate) fn create(parts: &[&[u8]]) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create("lode-snapshot", flags)?);
        for part in parts {
            file.write_all(part)?;
        }
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        Self::open(file.into())
    }

    /// Takes a file from elsewhere; fails unless it is a sealed memory file.
    pub(crate) fn open(file: OwnedFd) -> io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        if !seals.contains(SEALS) {
            return Err(io::Error::other("the file is not sealed"));
        }
        let size = rustix::fs::fstat(&file)?.st_size;
        let len = usize::try_from(size).map_err(io::Error::other)?;
        if len == 0 {
            return Err(io::Error::other("the file is empty"));
        }
        // SAFETY: a fresh read-only mapping; the seals keep the file from shrinking under it.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &file, 0)
        }?;
        Ok(Self { file, base: base.cast(), len })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` mapped bytes that nobody can change.
        unsafe { std::slice::from_raw_parts(self.base, self.len) }
    }
}

impl AsFd for View {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `open`; `bytes` borrows end before the view does.
        let _ = unsafe { rustix::mm::munmap(self.base.cast_mut().cast(), self.len) };
    }
}

/// Where an extent's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Zero,
    /// At this offset of the base image's file.
    Base(usize),
    /// At this offset of the image's own file.
    Own(usize),
}

/// `len` bytes of linear memory from `start`, both multiples of [`PAGE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) origin: Origin,
}

impl Extent {
    fn end(&self) -> usize {
        self.start + self.len
    }
}

/// The content of a linear memory: extents that cover it without gap or overlap.
pub(crate) struct Image {
    size: usize,
    extents: Vec<Extent>,
    own: View,
    base: Option<Arc<Image>>,
}

impl Image {
    /// `changed` says, in ascending order, how the image differs from `base` (or from zeros): ranges
    /// that are zero or lie in `own`. Fails on anything that does not fit, as `changed` may come from
    /// a hostile file.
    pub(crate) fn new(
        size: usize,
        own: View,
        base: Option<Arc<Image>>,
        changed: &[Extent],
    ) -> Result<Self, &'static str> {
        if size == 0 || !size.is_multiple_of(PAGE) || size as u64 > RESERVATION_BYTES {
            return Err("the size is not that of a linear memory");
        }
        let mut extents = Vec::new();
        let mut covered = 0;
        for extent in changed {
            let aligned = extent.start.is_multiple_of(PAGE) && extent.len.is_multiple_of(PAGE);
            let end = extent.start.checked_add(extent.len).ok_or("an extent overflows")?;
            if !aligned || extent.len == 0 || extent.start < covered || end > size {
                return Err("the extents are not in order, or not within the memory");
            }
            match extent.origin {
                Origin::Zero => {}
                Origin::Base(_) => return Err("an extent names the base"),
                Origin::Own(offset) => {
                    let within = offset.checked_add(extent.len).is_some_and(|end| end <= own.len);
                    if !within || !offset.is_multiple_of(PAGE) {
                        return Err("an extent lies outside the file");
                    }
                }
            }
            Self::fill(&mut extents, base.as_deref(), covered..extent.start);
            extents.push(extent.clone());
            covered = end;
        }
        Self::fill(&mut extents, base.as_deref(), covered..size);
        Ok(Self { size, extents, own, base })
    }

    /// Covers `range` with the base's bytes, and zeros past its end.
    fn fill(extents: &mut Vec<Extent>, base: Option<&Image>, range: Range<usize>) {
        let inherited = base.map_or(range.start, |base| base.size.clamp(range.start, range.end));
        if let Some(base) = base {
            for extent in &base.extents {
                let start = extent.start.max(range.start);
                let end = extent.end().min(inherited);
                if start < end {
                    let origin = match extent.origin {
                        Origin::Own(offset) => Origin::Base(offset + (start - extent.start)),
                        _ => Origin::Zero,
                    };
                    extents.push(Extent { start, len: end - start, origin });
                }
            }
        }
        if inherited < range.end {
            extents.push(Extent {
                start: inherited,
                len: range.end - inherited,
                origin: Origin::Zero,
            });
        }
    }

    /// How `memory` differs from `base` (or from zeros), page by page: extents whose `Own` offsets
    /// count from 0, and the bytes they mean. What lies below `dead` counts as zero. Changed pages at
    /// most `gap` apart are stored as one extent with what lies between them, as each extent is a
    /// mapping, and mappings slow every reset.
    pub(crate) fn differences<'m>(
        base: Option<&Image>,
        memory: &'m [u8],
        dead: usize,
        gap: usize,
    ) -> (Vec<Extent>, Vec<&'m [u8]>) {
        const ZERO: [u8; PAGE] = [0; PAGE];
        let mut extents: Vec<Extent> = Vec::new();
        for (number, page) in memory.chunks_exact(PAGE).enumerate() {
            let start = number * PAGE;
            let page = if start < dead { &ZERO[..] } else { page };
            let before = base.and_then(|base| base.bytes_at(start)).unwrap_or(&ZERO);
            if page == before {
                continue;
            }
            let zero = start < dead;
            match extents.last_mut() {
                Some(last) if !zero && last.origin != Origin::Zero && start - last.end() <= gap => {
                    last.len = start + PAGE - last.start;
                }
                // What lies between is zero on either side.
                Some(last) if zero && last.origin == Origin::Zero && start - last.end() <= gap => {
                    last.len = start + PAGE - last.start;
                }
                _ => {
                    let origin = if zero { Origin::Zero } else { Origin::Own(0) };
                    extents.push(Extent { start, len: PAGE, origin });
                }
            }
        }
        let mut bytes = Vec::new();
        let mut stored = 0;
        for extent in &mut extents {
            if let Origin::Own(offset) = &mut extent.origin {
                *offset = stored;
                stored += extent.len;
                bytes.push(&memory[extent.start..extent.end()]);
            }
        }
        (extents, bytes)
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The file and offset to map for an extent, if it is not zero.
    pub(crate) fn file(&self, extent: &Extent) -> Option<(BorrowedFd<'_>, usize)> {
        match (extent.origin, &self.base) {
            (Origin::Own(offset), _) => Some((self.own.as_fd(), offset)),
            (Origin::Base(offset), Some(base)) => Some((base.own.as_fd(), offset)),
            _ => None,
        }
    }

    /// The file this image is stored in.
    pub(crate) fn view(&self) -> &View {
        &self.own
    }

    fn extent_bytes(&self, extent: &Extent) -> Option<&[u8]> {
        let (view, offset) = match (extent.origin, &self.base) {
            (Origin::Own(offset), _) => (&self.own, offset),
            (Origin::Base(offset), Some(base)) => (&base.own, offset),
            _ => return None,
        };
        Some(&view.bytes()[offset..offset + extent.len])
    }

    /// The page at `start`; `None` when it is zero or past the end.
    fn bytes_at(&self, start: usize) -> Option<&[u8]> {
        let extent = self.extents.get(self.extents.partition_point(|e| e.end() <= start))?;
        let at = start - extent.start;
        self.extent_bytes(extent).map(|bytes| &bytes[at..at + PAGE])
    }

    /// Writes the image's bytes over `range` of `memory`, which is as large as the image.
    pub(crate) fn restore(&self, memory: &mut [u8], range: Range<usize>) {
        let first = self.extents.partition_point(|extent| extent.end() <= range.start);
        for extent in &self.extents[first..] {
            let (start, end) = (extent.start.max(range.start), extent.end().min(range.end));
            if start >= end {
                break;
            }
            match self.extent_bytes(extent) {
                Some(bytes) => memory[start..end]
                    .copy_from_slice(&bytes[start - extent.start..end - extent.start]),
                None => memory[start..end].fill(0),
            }
        }
    }
}
