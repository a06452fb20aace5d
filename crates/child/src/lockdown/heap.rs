//! Freed memory goes back to the system.

/// Blocks of so many bytes and more are mappings of their own, which end when they are freed. It is twice
/// what glibc starts with: bodies of common sizes stay cheap.
const MAPPED_FROM: libc::c_int = 256 << 10;

/// Has this process's allocator give large blocks back to the system when they are freed. Left to itself
/// glibc raises the size from which it does, up to 32 MiB, with each such block that is freed, and keeps
/// what is smaller (mallopt(3), `M_MMAP_THRESHOLD`): bodies of a busy minute stayed resident, 410 MiB of
/// them after `make attack`. To be called before there are other threads. Returns whether it was done; only
/// glibc has it.
pub fn give_back_large_blocks() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt changes a setting of the allocator, under its own lock; both numbers are valid.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) == 1 }
    }
    #[cfg(not(target_env = "gnu"))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are mapped.
    fn mapped() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("it is there");
        let pages: usize = statm.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        pages * rustix::param::page_size()
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn freed_blocks_do_not_stay() {
        assert!(give_back_large_blocks());
        // One that would raise the size from which blocks are mappings…
        drop(vec![1_u8; 30 << 20]);
        let before = mapped();
        // …and then some below that, of which the last keeps the heap from shrinking.
        let blocks: Vec<Vec<u8>> = (0..64).map(|_| vec![1_u8; 2 << 20]).collect();
        let last = vec![1_u8; 100];
        drop(blocks);
        let kept = mapped().saturating_sub(before);
        assert!(kept < 32 << 20, "{kept} bytes are still mapped");
        drop(last);
    }
}
