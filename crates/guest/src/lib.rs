//! The engine inside Lode's sandbox: QuickJS-ng compiled to one WebAssembly module for all apps, and
//! the JavaScript world that customer code sees.
//!
//! This crate holds bytes, not behaviour: `lode-sandbox` compiles and runs them. The module's
//! imports and exports (its ABI) are described in `c/lode.h`.
#![forbid(unsafe_code)]

include!(concat!(env!("OUT_DIR"), "/generated.rs"));

/// The WebAssembly module, without data segments: instantiating it writes nothing to memory.
pub const MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.wasm"));

/// SHA-256 over the module, its data segments, the bootstrap JavaScript and the libraries: the engine's
/// identity, part of every snapshot's key.
pub const DIGEST: [u8; 32] = DIGEST_BYTES;

/// QuickJS-ng's version, e.g. `0.16.2`.
pub const QUICKJS_VERSION: &str = QUICKJS;

/// Bytes of linear memory, from address 0, that are the engine's C stack. At rest (between calls)
/// nothing in it is alive.
pub const STACK_BYTES: u32 = STACK;

/// The bootstrap JavaScript as (file name, source), in the order it must be evaluated, once, into the
/// pristine image. The names start with `lode:`, by which error stacks are cleared of our frames.
pub const BOOTSTRAP: &[(&str, &str)] = BOOTSTRAP_FILES;

/// The libraries that scripts can use, as (name, source), in the order of their names: each is evaluated, as
/// a bootstrap file called `lode:` and its name, into the snapshots of apps that use it, before their scripts.
pub const LIBRARIES: &[(&str, &str)] = LIBRARY_FILES;

/// The data segments as (address, bytes): the host writes them once, into the first memory.
pub fn segments() -> impl Iterator<Item = (u32, &'static [u8])> {
    const DATA: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.data"));
    SEGMENT_RANGES.iter().map(|(address, range)| (*address, &DATA[range.clone()]))
}
