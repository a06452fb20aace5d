//! How a sealed child can come to an end, or near one, by a defect.

use lode_sandbox::Engine;

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
        _ => None,
    }
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
