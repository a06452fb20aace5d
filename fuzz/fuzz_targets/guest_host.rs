//! A guest that has taken over its engine: the fuzzer's bytes overwrite the linear memory of a valid
//! snapshot (heap, stacks and function tables' indices alike), and a handler runs. However the engine
//! then abuses its imports, the run has one outcome, within its limits, that does not blame the
//! platform, and the next run in the process sees nothing of it.
//!
//! `cargo +nightly fuzz run guest_host -- -max_total_time=120`
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use lode_sandbox::Snapshot;
use support::{Input, TARGET, assemble, check_others, check_run, corrupt};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let handler = usize::try_from(input.number(1)).unwrap_or(0) % TARGET.valid.handlers().len();
    let mut pages = TARGET.pages.clone();
    corrupt(&mut pages, &mut input);
    let bytes = assemble(TARGET.header.clone(), &pages);
    let snapshot =
        Snapshot::from_bytes(&TARGET.engine, &bytes).expect("only its memory is damaged");
    check_run(&snapshot, handler);
    check_others();
});
