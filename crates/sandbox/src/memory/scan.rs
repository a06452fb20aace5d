//! Finding the pages of a private mapping that were written: the `PAGEMAP_SCAN` ioctl
//! (Documentation/admin-guide/mm/pagemap.rst in the kernel's source).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::PAGE;

/// `/proc/self/pagemap`, opened before a process locks itself down (one that is not dumpable cannot
/// open it later).
pub(super) struct Pagemap(Arc<File>);

/// `struct page_region` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl = 0xC060_6610_u32 as libc::Ioctl;

/// The page belongs to the mapped file: it was only read.
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
/// A written page that was swapped out is as dirty as one that is present.
const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// The kernel's shared page of zeros: anonymous memory that was only read.
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Regions fetched by one call. A small run leaves fewer; each further call costs about a microsecond.
const REGIONS: usize = 256;

impl Pagemap {
    /// Uses `opened`, or opens the page map. Fails where the kernel has no `PAGEMAP_SCAN`, or hides
    /// the page map.
    pub(super) fn open(opened: Option<Arc<File>>) -> io::Result<Self> {
        let pagemap = match opened {
            Some(opened) => Self(opened),
            None => Self(Arc::new(File::open("/proc/self/pagemap")?)),
        };
        let probe = [0_u8; PAGE];
        // Any address will do: asking is what tells whether the ioctl exists.
        pagemap.private_pages(probe.as_ptr() as usize & !(PAGE - 1), PAGE)?;
        Ok(pagemap)
    }

    /// The written pages among `len` bytes from address `base`, as byte ranges relative to `base`.
    pub(super) fn private_pages(&self, base: usize, len: usize) -> io::Result<Vec<Range<usize>>> {
        let mut regions = [PageRegion::default(); REGIONS];
        let mut found = Vec::new();
        let end = (base + len) as u64;
        let mut start = base as u64;
        while start < end {
            let mut arguments = ScanArguments {
                size: size_of::<ScanArguments>() as u64,
                start,
                end,
                vec: regions.as_mut_ptr() as u64,
                vec_len: REGIONS as u64,
                category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
                category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                return_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                ..ScanArguments::default()
            };
            // SAFETY: the kernel writes at most `vec_len` regions to `vec` and the walk's end to
            // `arguments`, both alive and exclusively ours; it only reads page tables otherwise.
            let count =
                unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN, &raw mut arguments) };
            let Ok(count) = usize::try_from(count) else {
                return Err(io::Error::last_os_error());
            };
            found.extend(
                regions[..count]
                    .iter()
                    .map(|region| region.start as usize - base..region.end as usize - base),
            );
            if arguments.walk_end <= start {
                return Err(io::Error::other("PAGEMAP_SCAN made no progress"));
            }
            start = arguments.walk_end;
        }
        Ok(found)
    }
}
