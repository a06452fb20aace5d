// Included by both build/main.rs (which compiles the engine) and src/engine.rs (which loads it): the
// two configurations must agree, and Wasmtime refuses a module where they do not.

/// Address space reserved for one linear memory: all a 32-bit address can name, so that compiled code
/// needs no bounds checks.
pub(crate) const RESERVATION_BYTES: u64 = 1 << 32;

/// Never mapped, after the reservation: catches the constant offsets of loads and stores (Wasmtime's
/// default).
pub(crate) const GUARD_BYTES: u64 = 32 << 20;

/// Native stack for the engine's own frames. QuickJS stops at 256 KiB of its C stack with a RangeError the
/// script can catch; compiled frames of the same calls take up to some 30 times that, as most of their
/// values never are on the C stack. Untouched pages cost nothing (memory/stack.rs).
pub(crate) const WASM_STACK_BYTES: usize = 16 << 20;

/// The whole fiber: the above, and the host functions called at its deepest point.
pub(crate) const FIBER_STACK_BYTES: usize = WASM_STACK_BYTES + (256 << 10);

/// The processor features the engine is compiled for: x86-64-v3, which every server processor since
/// 2015 has. Wasmtime checks them when the module is loaded.
#[cfg(target_arch = "x86_64")]
#[allow(dead_code)] // only the build script names them
pub(crate) const CPU_FEATURES: &[&str] = &[
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
    "has_fma",
];
#[cfg(not(target_arch = "x86_64"))]
#[allow(dead_code)]
pub(crate) const CPU_FEATURES: &[&str] = &[];

/// What compiled code and loader must agree on. `metering` makes the engine count its instructions.
pub(crate) fn tune(config: &mut wasmtime::Config, metering: bool) {
    config
        .memory_reservation(RESERVATION_BYTES)
        .memory_guard_size(GUARD_BYTES)
        .memory_may_move(false)
        .memory_init_cow(false)
        .epoch_interruption(true)
        .consume_fuel(metering)
        .async_stack_size(FIBER_STACK_BYTES)
        .max_wasm_stack(WASM_STACK_BYTES)
        // Frames of the engine say nothing about the script, and gathering them slows every trap.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
}
