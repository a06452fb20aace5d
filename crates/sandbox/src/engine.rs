//! The engine: one per process, shared by every snapshot and run.

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, InstancePre, ModuleExport};

use crate::guest::{self, Guest, GuestPool};
use crate::memory::{self, Image, ResetMethod, SlotPool, StackPool, View};
use crate::outcome::Limits;
use crate::state::{self, Phase, RunState};
use crate::ticker::Ticker;
use crate::{module, tuning};

/// How an [`Engine`] is set up.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Count the exact cost of every run ([`crate::Usage::cost`]). Slower: see `bench/results`.
    pub metering: bool,
    /// How memories are reset; `None` picks the fastest that this machine has.
    pub reset: Option<ResetMethod>,
    /// This process's own `/proc/self/pagemap`, opened before it could no longer be; `None` opens it.
    /// Opened by another process (before a fork, say) it would tell of that one's memory.
    pub pagemap: Option<Arc<File>>,
}

/// Why an engine cannot be had on this machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// The kernel's pages are not 4 KiB: what they are, in bytes.
    PageSize(usize),
    /// The processor lacks what the engine was compiled for (on x86-64: x86-64-v3).
    Processor(String),
    /// The reset method asked for is not to be had, or memory cannot be mapped.
    Memory(std::io::Error),
    /// The engine does not start: a defect of this build.
    Start(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageSize(bytes) => {
                write!(f, "this kernel's pages have {bytes} bytes; the sandbox needs pages of 4096")
            }
            Self::Processor(detail) => {
                write!(f, "this processor cannot run the sandbox's engine: {detail}")
            }
            Self::Memory(error) => write!(f, "the sandbox's memory cannot be set up: {error}"),
            Self::Start(detail) => write!(f, "the sandbox's engine does not start: {detail}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Memory(error) => Some(error),
            _ => None,
        }
    }
}

/// The JavaScript engine, ready to build snapshots and run them. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) instance: InstancePre<RunState>,
    pub(crate) exports: guest::Exports,
    pub(crate) memory_export: ModuleExport,
    pub(crate) stack_pointer_export: ModuleExport,
    /// The engine's memory with the JavaScript world in it, before any app's code.
    pub(crate) pristine: Arc<Image>,
    /// The address at which small requests are written.
    pub(crate) inbox: u32,
    pub(crate) slots: Arc<SlotPool>,
    pub(crate) guests: Arc<GuestPool>,
    pub(crate) ticker: Ticker,
    pub(crate) metering: bool,
}

impl Engine {
    /// Loads the precompiled engine and evaluates the JavaScript world once: some 20 ms.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let page = rustix::param::page_size();
        if page != memory::PAGE {
            return Err(EngineError::PageSize(page));
        }
        let start = |error: wasmtime::Error| EngineError::Start(format!("{error:?}"));
        let slots = SlotPool::new(options.reset, options.pagemap).map_err(EngineError::Memory)?;

        let mut config = Config::new();
        tuning::tune(&mut config, options.metering);
        config
            .with_host_memory(Arc::new(memory::Creator(slots.clone())))
            .with_host_stack(Arc::new(memory::StackCreator(Arc::<StackPool>::default())));
        #[cfg(feature = "profiling")]
        if std::env::var_os("LODE_PERF_MAP").is_some() {
            config.profiler(wasmtime::ProfilingStrategy::PerfMap);
        }
        let wasmtime = wasmtime::Engine::new(&config).map_err(start)?;
        let module = module::load(&wasmtime, options.metering)
            .map_err(|error| EngineError::Processor(format!("{error:#}")))?;
        let exports = guest::Exports::of(&module).map_err(start)?;
        let memory_export = module
            .get_export_index("memory")
            .ok_or_else(|| EngineError::Start("the engine exports no memory".into()))?;
        let stack_pointer_export = module
            .get_export_index("__stack_pointer")
            .ok_or_else(|| EngineError::Start("the engine exports no stack pointer".into()))?;
        let instance =
            state::linker(&wasmtime).and_then(|l| l.instantiate_pre(&module)).map_err(start)?;

        let guests = Arc::<GuestPool>::default();
        let ticker = Ticker::start(wasmtime.clone(), guests.clone(), slots.clone())
            .map_err(EngineError::Memory)?;
        let blank = View::create(&[&[0; memory::PAGE]]).map_err(EngineError::Memory)?;
        let minimum = guest::minimum_memory(&module);
        let blank = Image::new(minimum, blank, None, &[])
            .map_err(|detail| EngineError::Start(detail.into()))?;
        let mut inner = Inner {
            wasmtime,
            instance,
            exports,
            memory_export,
            stack_pointer_export,
            pristine: Arc::new(blank),
            inbox: 0,
            slots,
            guests,
            ticker,
            metering: options.metering,
        };
        let (pristine, inbox) = inner.bootstrap()?;
        inner.pristine = Arc::new(pristine);
        inner.inbox = inbox;
        inner.slots.release_idle(Duration::ZERO);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How memories are reset between runs.
    pub fn reset_method(&self) -> ResetMethod {
        self.inner.slots.method()
    }

    /// Whether runs are metered.
    pub fn metering(&self) -> bool {
        self.inner.metering
    }

    /// Bytes of the shared pristine image that are not zero.
    pub fn pristine_bytes(&self) -> usize {
        self.inner.pristine.view().bytes().len()
    }

    /// The engine's identity, part of every snapshot's: see [`lode_guest::DIGEST`].
    pub fn digest(&self) -> [u8; 32] {
        lode_guest::DIGEST
    }

    /// Gives the memory of sandboxes unused for `age` back to the system. Happens by itself after 10 to
    /// 20 s. Returns how many stay.
    pub fn release_idle(&self, age: Duration) -> usize {
        self.inner.guests.release_idle(age) + self.inner.slots.release_idle(age)
    }
}

impl Inner {
    /// Evaluates the JavaScript world over a blank memory. Returns its image and the inbox's address.
    fn bootstrap(&self) -> Result<(Image, u32), EngineError> {
        let failed = |detail: String| EngineError::Start(detail);
        // Building the world takes milliseconds: a bound that only a defect reaches.
        let limits = Limits { cpu: Duration::from_secs(60), ..Limits::default() };
        let mut guest = Guest::new(self, &self.pristine, limits, Phase::Deploy)
            .map_err(|error| failed(format!("{error:?}")))?;
        for (address, bytes) in lode_guest::segments() {
            guest.write(address, bytes).map_err(|error| failed(format!("{error:?}")))?;
        }
        let mut file = "";
        let mut build = || -> wasmtime::Result<u32> {
            guest.call::<_, ()>(&self.exports.init, ())?;
            for (name, source) in lode_guest::BOOTSTRAP {
                file = name;
                let (name, _) = guest.put_text(name)?;
                let (source, len) = guest.put_text(source)?;
                guest.call::<_, ()>(&self.exports.bootstrap, (name, source, len))?;
            }
            guest.call::<_, ()>(&self.exports.freeze, ())?;
            guest.call(&self.exports.inbox, ())
        };
        let inbox = build().map_err(|error| match guest.state().take_finish() {
            Some(finish) => failed(format!("{file}: {}", String::from_utf8_lossy(&finish.payload))),
            None => failed(format!("{error:?}")),
        })?;
        let memory = guest.memory();
        let (extents, bytes) = {
            let stack = lode_guest::STACK_BYTES as usize;
            Image::differences(None, memory, stack, usize::MAX)
        };
        let size = memory.len();
        let view = View::create(&bytes).map_err(EngineError::Memory)?;
        let image =
            Image::new(size, view, None, &extents).map_err(|detail| failed(detail.into()))?;
        Ok((image, inbox))
    }
}
