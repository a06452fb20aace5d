//! One instance of the engine: its calls, by the ABI of lode.h.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::{Instance, Memory, Module, ModuleExport, Store, Trap, WasmParams, WasmResults};

use crate::engine::Inner;
use crate::memory::{Image, SlotPool};
use crate::outcome::{Limits, Outcome, ScriptError};
use crate::state::{Phase, RunState};

/// Where the module's functions are, looked up once.
pub(crate) struct Exports {
    pub(crate) init: ModuleExport,
    pub(crate) bootstrap: ModuleExport,
    pub(crate) source: ModuleExport,
    pub(crate) compile: ModuleExport,
    pub(crate) evaluate: ModuleExport,
    pub(crate) freeze: ModuleExport,
    pub(crate) handlers: ModuleExport,
    pub(crate) alloc: ModuleExport,
    pub(crate) inbox: ModuleExport,
    pub(crate) invoke: ModuleExport,
    pub(crate) reply: ModuleExport,
    pub(crate) timers: ModuleExport,
}

impl Exports {
    pub(crate) fn of(module: &Module) -> wasmtime::Result<Self> {
        let find = |name: &str| {
            module
                .get_export_index(name)
                .ok_or_else(|| wasmtime::Error::msg(format!("the engine exports no {name}")))
        };
        Ok(Self {
            init: find("lode_init")?,
            bootstrap: find("lode_bootstrap")?,
            source: find("lode_source")?,
            compile: find("lode_compile")?,
            evaluate: find("lode_evaluate")?,
            freeze: find("lode_freeze")?,
            handlers: find("lode_handlers")?,
            alloc: find("lode_alloc")?,
            inbox: find("lode_inbox")?,
            invoke: find("lode_invoke")?,
            reply: find("lode_reply")?,
            timers: find("lode_timers")?,
        })
    }
}

/// Bytes that `lode_inbox` points at (`LODE_INBOX_BYTES` in lode.c).
pub(crate) const INBOX_BYTES: usize = 16 * 1024;

/// Bytes of memory the module asks for at least.
pub(crate) fn minimum_memory(module: &Module) -> usize {
    const WASM_PAGE: u64 = 64 * 1024;
    let minimum = module.exports().find_map(|export| Some(export.ty().memory()?.minimum()));
    usize::try_from(minimum.unwrap_or(0).saturating_mul(WASM_PAGE)).unwrap_or(usize::MAX)
}

/// An instance over its own copy of an image.
pub(crate) struct Guest {
    store: Store<RunState>,
    instance: Instance,
    memory: Memory,
    alloc: ModuleExport,
    metering: bool,
}

impl Guest {
    pub(crate) fn new(
        engine: &Inner,
        image: &Arc<Image>,
        limits: Limits,
        phase: Phase,
    ) -> wasmtime::Result<Self> {
        let mut store = Store::new(&engine.wasmtime, RunState::new(phase, limits, image.size()));
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut context| context.data_mut().tick());
        store.set_epoch_deadline(1);
        if engine.metering {
            store.set_fuel(u64::MAX)?;
        }
        let instance = SlotPool::with_image(image, || engine.instance.instantiate(&mut store))?;
        let memory = instance
            .get_module_export(&mut store, &engine.memory_export)
            .and_then(wasmtime::Extern::into_memory)
            .ok_or_else(|| wasmtime::Error::msg("the engine exports no memory"))?;
        store.data_mut().memory = Some(memory);
        Ok(Self { store, instance, memory, alloc: engine.exports.alloc, metering: engine.metering })
    }

    pub(crate) fn state(&mut self) -> &mut RunState {
        self.store.data_mut()
    }

    /// The linear memory.
    pub(crate) fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// What the guest has cost so far, when metered.
    pub(crate) fn cost(&self) -> Option<u64> {
        self.metering.then(|| u64::MAX - self.store.get_fuel().unwrap_or(0))
    }

    fn function<P: WasmParams, R: WasmResults>(
        &mut self,
        export: &ModuleExport,
    ) -> wasmtime::Result<wasmtime::TypedFunc<P, R>> {
        self.instance
            .get_module_export(&mut self.store, export)
            .and_then(wasmtime::Extern::into_func)
            .ok_or_else(|| wasmtime::Error::msg("an export is no function"))?
            .typed(&self.store)
    }

    /// As [`Guest::call_async`], for building images, which never yields ([`RunState::tick`]). Not on this
    /// thread's own stack, which may be smaller than the engine needs.
    pub(crate) fn call<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        export: &ModuleExport,
        params: P,
    ) -> wasmtime::Result<R> {
        let work = pin!(self.call_async(export, params));
        match work.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(wasmtime::Error::msg("deploying code yielded")),
        }
    }

    /// Calls an export on a stack of its own, off which the run steps at every tick.
    pub(crate) async fn call_async<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        export: &ModuleExport,
        params: P,
    ) -> wasmtime::Result<R> {
        let function = self.function(export)?;
        self.store.set_epoch_deadline(1);
        function.call_async(&mut self.store, params).await
    }

    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        self.memory.write(&mut self.store, address as usize, bytes).map_err(wasmtime::Error::new)
    }

    /// Writes `text` and a NUL into memory the guest allocates. Returns address and length.
    pub(crate) fn put_text(&mut self, text: &str) -> wasmtime::Result<(u32, u32)> {
        let len = u32::try_from(text.len())?;
        let alloc = self.alloc;
        let address = self.call(&alloc, len.checked_add(1).ok_or(Trap::MemoryOutOfBounds)?)?;
        self.put_at(address, text)?;
        Ok((address, len))
    }

    /// As [`Guest::put_text`], on a stack of its own.
    pub(crate) async fn put_text_async(&mut self, text: &str) -> wasmtime::Result<(u32, u32)> {
        let len = u32::try_from(text.len())?;
        let alloc = self.alloc;
        let size = len.checked_add(1).ok_or(Trap::MemoryOutOfBounds)?;
        let address = self.call_async(&alloc, size).await?;
        self.put_at(address, text)?;
        Ok((address, len))
    }

    pub(crate) fn put_at(&mut self, address: u32, text: &str) -> wasmtime::Result<()> {
        if address == 0 {
            return Err(Trap::MemoryOutOfBounds.into());
        }
        self.write(address, text.as_bytes())?;
        self.write(address.saturating_add(u32::try_from(text.len())?), &[0])
    }

    /// What an error that came out of guest code means for its run.
    pub(crate) fn ending(&mut self, error: &wasmtime::Error) -> Outcome {
        let state = self.state();
        if let Some(detail) = state.refused_memory.take() {
            return Outcome::Platform { detail };
        }
        if let Some(limit) = state.exceeded() {
            return Outcome::Limit { limit };
        }
        if let Some(finish) = state.take_finish() {
            return finish.into_outcome();
        }
        // Everything else that can happen in there is a corrupted or exhausted engine: the doing of
        // the script that runs on it.
        let (name, message) = match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => ("RangeError", "Maximum call stack size exceeded".into()),
            Some(trap) => ("InternalError", format!("the script crashed its engine: {trap}")),
            None => ("InternalError", format!("the script broke its engine: {error}")),
        };
        Outcome::Error(ScriptError { name: name.into(), message, stack: String::new() })
    }
}

/// Microseconds since the Unix epoch, the ABI's clock. Exact up to the year 2255.
pub(crate) fn microseconds(since_epoch: Duration) -> f64 {
    since_epoch.as_micros() as f64
}
