//! Loading the engine's native code, which build/main.rs compiled into this program.

use wasmtime::{Engine, Module};

/// The engine's module, metered or not. Fails when this processor lacks a feature it was compiled for.
pub(crate) fn load(engine: &Engine, metering: bool) -> wasmtime::Result<Module> {
    const PLAIN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.cwasm"));
    const METERED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/metered.cwasm"));
    let code = if metering { METERED } else { PLAIN };
    // SAFETY: the bytes are part of this program, as Wasmtime's own `precompile_module` wrote them at
    // build time; nobody but who can replace the program can change them.
    unsafe { Module::deserialize(engine, code) }
}
