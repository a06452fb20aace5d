//! Snapshots as hostile files: whatever the bytes, loading them is refused or gives a snapshot whose
//! runs end like any other; never a crash, never an outcome that blames the platform.
//!
//! The first byte picks: the rest as a file, or as damage to a valid one (its header's sizes and
//! extents, then its pages) whose digest is put right, so that the parser behind it is reached.
//!
//! `cargo +nightly fuzz run snapshot_load -- -max_total_time=120`
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use lode_sandbox::Snapshot;
use serde_json::{Value, json};
use support::{Input, TARGET, assemble, check_others, check_run, corrupt};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let bytes = match input.number(1) {
        0..64 => input.0.to_vec(),
        _ => damaged(&mut input),
    };
    if let Ok(snapshot) = Snapshot::from_bytes(&TARGET.engine, &bytes) {
        // One handler past the end too: a stale index is the caller's mistake, not a crash.
        for handler in 0..=snapshot.handlers().len().min(3) {
            check_run(&snapshot, handler);
        }
        check_others();
    }
});

fn damaged(input: &mut Input<'_>) -> Vec<u8> {
    let mut header = TARGET.header.clone();
    let mut pages = TARGET.pages.clone();
    for _ in 0..input.number(1) % 5 {
        let kind = input.number(1);
        let number = size(input);
        let extents = header["changed"].as_array_mut().expect("a list");
        let at = usize::try_from(input.number(2)).unwrap_or(0) % extents.len().max(1);
        match kind % 6 {
            0 => header["size"] = number,
            1 => extents.insert(at, json!([number, size(input), input.number(1) % 2 == 0])),
            2 if !extents.is_empty() => extents[at][0] = number,
            3 if !extents.is_empty() => extents[at][1] = number,
            4 if !extents.is_empty() => drop(extents.remove(at)),
            5 => pages.truncate(number.as_u64().unwrap_or(0) as usize % (pages.len() + 1)),
            _ => {}
        }
    }
    corrupt(&mut pages, input);
    assemble(header, &pages)
}

/// A number of the kind that borders are wrong about: whole pages, one off, or anything.
fn size(input: &mut Input<'_>) -> Value {
    let number = input.number(1);
    Value::from(match number % 5 {
        0 => input.number(2) * 4096,
        1 => input.number(1) * 65_536,
        2 => input.number(2) * 4096 + 1,
        3 => (u64::MAX - input.number(1)) & !4095,
        _ => input.number(8),
    })
}
