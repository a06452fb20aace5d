//! One instance of the engine: its calls, by the ABI of lode.h.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::{
    Global, Instance, Memory, Module, ModuleExport, Store, Trap, TypedFunc, Val, WasmParams,
    WasmResults,
};

use crate::engine::Inner;
use crate::idle::Idle;
use crate::memory::{Image, KeptStack, SlotPool};
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
///
/// Making one costs more than an empty run, so instances are used again. What a run can change is its
/// memory, which is reset as for a new instance; the stack pointer, the module's only mutable global
/// (build/split.rs of lode-guest checks that, and that no code changes the table); and the host's own
/// [`RunState`], which is made anew. An instance is given up instead when its memory has grown, when a
/// call did not come to its end, or when the run crashed its engine.
pub(crate) struct Guest {
    store: Store<RunState>,
    instance: Instance,
    memory: Memory,
    alloc: ModuleExport,
    metering: bool,
    image: Arc<Image>,
    stack_pointer: Global,
    /// Looked up once: every run calls it.
    invoke: Option<TypedFunc<InvokeParams, f64>>,
    stack: Option<KeptStack>,
    runs: u32,
    /// A call has begun and not ended as it should.
    unfinished: bool,
}

type InvokeParams = (u32, u32, u32, f64, u64);

/// Runs of one instance at most: whatever a store gathers stays bounded.
const MAX_RUNS: u32 = 10_000;

/// Processor time in which a run could have gone deep: in less, calls do not get past what an idle stack
/// keeps anyway by more than a few pages.
const DEEP_NS: u64 = 30_000;

/// Idle instances at most. Each holds a slot: address space, and the pages that runs write.
const MAX_IDLE_GUESTS: usize = 256;

/// Instances waiting for their next run, each over its image's bytes.
#[derive(Default)]
pub(crate) struct GuestPool {
    idle: Idle<Guest, MAX_IDLE_GUESTS>,
}

impl GuestPool {
    /// A guest over `image`, as good as new.
    pub(crate) fn take(
        &self,
        engine: &Inner,
        image: &Arc<Image>,
        limits: Limits,
    ) -> wasmtime::Result<Guest> {
        match self.idle.take(|guest| Arc::ptr_eq(&guest.image, image)) {
            Some(mut guest) => {
                guest.renew(limits)?;
                Ok(guest)
            }
            None => Guest::new(engine, image, limits, Phase::Run),
        }
    }

    /// Keeps a guest whose run is over, if it can be made as good as new.
    pub(crate) fn give_back(&self, mut guest: Guest, slots: &SlotPool) {
        if guest.reset(slots) {
            self.idle.put(guest);
        }
    }

    /// Drops the guests unused for `age`. Returns how many are still idle.
    pub(crate) fn release_idle(&self, age: Duration) -> usize {
        self.idle.release(age)
    }
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
        let stack_pointer = instance
            .get_module_export(&mut store, &engine.stack_pointer_export)
            .and_then(wasmtime::Extern::into_global)
            .ok_or_else(|| wasmtime::Error::msg("the engine exports no stack pointer"))?;
        store.data_mut().memory = Some(memory);
        Ok(Self {
            store,
            instance,
            memory,
            alloc: engine.exports.alloc,
            metering: engine.metering,
            image: image.clone(),
            stack_pointer,
            invoke: None,
            stack: None,
            runs: 0,
            unfinished: false,
        })
    }

    /// After a run: undoes what it changed. False if this guest cannot serve another.
    fn reset(&mut self, slots: &SlotPool) -> bool {
        self.runs += 1;
        if self.unfinished || self.runs >= MAX_RUNS {
            return false;
        }
        if let Some(stack) = &self.stack
            && self.store.data().cpu.spent() >= DEEP_NS
        {
            stack.release_depths();
        }
        // Where every call starts (--stack-first of build/toolchain.rs).
        let top = Val::I32(lode_guest::STACK_BYTES.cast_signed());
        self.stack_pointer.set(&mut self.store, top).is_ok()
            && slots.restore(self.memory.data_mut(&mut self.store), &self.image)
    }

    /// Before the next run.
    fn renew(&mut self, limits: Limits) -> wasmtime::Result<()> {
        let mut state = RunState::new(Phase::Run, limits, self.image.size());
        state.memory = Some(self.memory);
        *self.store.data_mut() = state;
        if self.metering {
            self.store.set_fuel(u64::MAX)?;
        }
        Ok(())
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
    ) -> wasmtime::Result<TypedFunc<P, R>> {
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
        self.enter(&function, params).await
    }

    /// Begins the run (`lode_invoke`).
    pub(crate) async fn invoke(
        &mut self,
        export: &ModuleExport,
        params: InvokeParams,
    ) -> wasmtime::Result<f64> {
        let function = match &self.invoke {
            Some(function) => function.clone(),
            None => {
                let function = self.function(export)?;
                self.invoke.insert(function).clone()
            }
        };
        self.enter(&function, params).await
    }

    async fn enter<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        function: &TypedFunc<P, R>,
        params: P,
    ) -> wasmtime::Result<R> {
        self.store.set_epoch_deadline(1);
        self.unfinished = true;
        let result = {
            let mut call = pin!(function.call_async(&mut self.store, params));
            let stack = &mut self.stack;
            poll_fn(|context| {
                let (poll, made) = KeptStack::watch(|| call.as_mut().poll(context));
                if made.is_some() {
                    *stack = made;
                }
                poll
            })
            .await
        };
        // The guest's own way to end a run unwinds it too.
        self.unfinished = result.is_err() && !self.store.data().finished();
        result
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
