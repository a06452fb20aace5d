//! What the host keeps for one guest, and the guest's way to ask it for anything: the module's imports
//! (lode.h). Everything a guest passes is hostile.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::time::ClockId;
use wasmtime::{Caller, Linker, Memory, ResourceLimiter, Trap, UpdateDeadline};

use crate::host::{HostCall, LogLevel, LogLine};
use crate::outcome::{Limit, Limits};
use crate::payload::{self, Finish};
use crate::ticker::TICK;
use crate::urls;

/// What a guest is for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Deploy,
    Run,
}

/// Processor time of one run, over all the threads and moments it ran in.
///
/// The kernel's clock of a thread's processor time is a system call; the monotonic clock is not. A slice
/// shorter than a tick counts as long as it took: the kernel takes a processor away for longer than
/// that. A longer one counts what its thread has had since it was last asked, which is never less than
/// the slice's own and more by a tick at most; and a run that has had a tick is measured exactly, from
/// slice start to slice end.
#[derive(Default)]
pub(crate) struct CpuClock {
    spent: AtomicU64,
    /// By the monotonic clock.
    slice_start: AtomicU64,
    /// The thread's processor time at `slice_start`, or a little before.
    cpu_start: AtomicU64,
}

const TICK_NS: u64 = TICK.as_nanos() as u64;

thread_local! {
    /// The monotonic clock and this thread's processor time when they were last read together.
    static LAST_READ: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Nanoseconds of processor time this thread has had, as read less than `age` ago.
fn thread_cpu(now: u64, age: u64) -> u64 {
    let (at, cpu) = LAST_READ.get();
    if now.saturating_sub(at) < age && at != 0 {
        return cpu;
    }
    let cpu = nanoseconds(ClockId::ThreadCPUTime);
    LAST_READ.set((now, cpu));
    cpu
}

impl CpuClock {
    /// The thread turns to this run.
    pub(crate) fn start_slice(&self) {
        let now = nanoseconds(ClockId::Monotonic);
        let age = if self.spent() < TICK_NS { TICK_NS } else { 0 };
        self.slice_start.store(now, Ordering::Relaxed);
        self.cpu_start.store(thread_cpu(now, age), Ordering::Relaxed);
    }

    /// Nanoseconds spent, this slice included.
    pub(crate) fn read(&self) -> u64 {
        let now = nanoseconds(ClockId::Monotonic);
        let mut slice = now.saturating_sub(self.slice_start.load(Ordering::Relaxed));
        if slice >= TICK_NS || self.spent() >= TICK_NS {
            let cpu = thread_cpu(now, 0);
            slice = slice.min(cpu.saturating_sub(self.cpu_start.load(Ordering::Relaxed)));
        }
        self.spent().saturating_add(slice)
    }

    /// The thread turns to something else.
    pub(crate) fn end_slice(&self) {
        self.spent.store(self.read(), Ordering::Relaxed);
    }

    /// Nanoseconds spent in slices that have ended.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }
}

pub(crate) struct RunState {
    pub(crate) phase: Phase,
    pub(crate) limits: Limits,
    pub(crate) cpu: Arc<CpuClock>,
    pub(crate) started: Instant,
    pub(crate) memory: Option<Memory>,
    pub(crate) memory_peak: usize,
    pub(crate) log_bytes: usize,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) call_count: u32,
    /// Calls the guest made since it was last entered.
    pub(crate) calls: Vec<HostCall>,
    random: ChaCha20Rng,
    exceeded: Option<Limit>,
    finish: Option<Finish>,
    /// The kernel would not give memory that the limit allows.
    pub(crate) refused_memory: Option<String>,
}

impl RunState {
    pub(crate) fn new(phase: Phase, limits: Limits, memory: usize) -> Self {
        Self {
            phase,
            limits,
            cpu: Arc::default(),
            started: Instant::now(),
            memory: None,
            memory_peak: memory,
            log_bytes: 0,
            logs: Vec::new(),
            call_count: 0,
            calls: Vec::new(),
            // At deploy, randomness has a defined value (SPECIFICATION.md): this seed's.
            random: ChaCha20Rng::from_seed([0; 32]),
            exceeded: None,
            finish: None,
            refused_memory: None,
        }
    }

    /// Gives the run its randomness. Returns the seed of `Math.random`, which a script can work out: a
    /// quarter of the whole seed, which leaves 192 bits between it and what `crypto` returns.
    pub(crate) fn seed(&mut self, seed: [u8; 32]) -> u64 {
        self.random = ChaCha20Rng::from_seed(seed);
        let [a, b, c, d, e, f, g, h, ..] = seed;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether the guest has told how its run ends.
    pub(crate) fn finished(&self) -> bool {
        self.finish.is_some()
    }

    pub(crate) fn take_finish(&mut self) -> Option<Finish> {
        self.finish.take()
    }

    pub(crate) fn exceeded(&self) -> Option<Limit> {
        self.exceeded
    }

    pub(crate) fn exceed(&mut self, limit: Limit) -> wasmtime::Error {
        self.exceeded.get_or_insert(limit);
        stop()
    }

    /// Called at every tick while guest code runs.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        if u128::from(self.cpu.read()) > self.limits.cpu.as_nanos() {
            return Err(self.exceed(Limit::Cpu));
        }
        if self.started.elapsed() > self.limits.wall {
            return Err(self.exceed(Limit::Wall));
        }
        Ok(match self.phase {
            Phase::Deploy => UpdateDeadline::Continue(1),
            Phase::Run => UpdateDeadline::Yield(1),
        })
    }
}

/// Unwinds the guest. Why, the state says.
fn stop() -> wasmtime::Error {
    Trap::Interrupt.into()
}

impl ResourceLimiter for RunState {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.limits.memory {
            return Err(self.exceed(Limit::Memory));
        }
        self.memory_peak = self.memory_peak.max(desired);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused_memory = Some(format!("{error:#}"));
        Err(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The engine's one table is made, and never grows.
        Ok(current == 0)
    }
}

/// `len` bytes of guest memory at `address`, or an end of the run: only a corrupted engine passes a
/// range outside its memory.
fn bytes<'c>(
    caller: &'c mut Caller<'_, RunState>,
    address: u32,
    len: u32,
) -> wasmtime::Result<(&'c mut [u8], &'c mut RunState)> {
    let memory = caller.data().memory.ok_or_else(stop)?;
    let (data, state) = memory.data_and_store_mut(caller);
    let start = address as usize;
    match data.get_mut(start..start + len as usize) {
        Some(bytes) => Ok((bytes, state)),
        None => Err(stop()),
    }
}

/// The module's imports.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<RunState>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(
        "lode",
        "log",
        |mut caller: Caller<'_, RunState>,
         level: i32,
         address: u32,
         len: u32|
         -> wasmtime::Result<()> {
            let (text, state) = bytes(&mut caller, address, len)?;
            state.log_bytes = state.log_bytes.saturating_add(text.len() + LogLine::OVERHEAD);
            if state.log_bytes > state.limits.log {
                return Err(state.exceed(Limit::Log));
            }
            let text = String::from_utf8_lossy(text).into_owned();
            state.logs.push(LogLine { level: LogLevel::from_guest(level), text });
            Ok(())
        },
    )?;
    linker.func_wrap("lode", "call", call)?;
    linker.func_wrap(
        "lode",
        "finish",
        |mut caller: Caller<'_, RunState>,
         kind: i32,
         status: i32,
         address: u32,
         len: u32|
         -> wasmtime::Result<()> {
            let (payload, state) = bytes(&mut caller, address, len)?;
            if payload.len() > state.limits.output {
                return Err(state.exceed(Limit::Output));
            }
            let payload = payload.to_vec();
            state.finish.get_or_insert(Finish { kind, status, payload });
            Err(stop())
        },
    )?;
    linker.func_wrap(
        "lode",
        "random",
        |mut caller: Caller<'_, RunState>, address: u32, len: u32| -> wasmtime::Result<()> {
            let (target, state) = bytes(&mut caller, address, len)?;
            state.random.fill_bytes(target);
            Ok(())
        },
    )?;
    linker.func_wrap(
        "lode",
        "url",
        |mut caller: Caller<'_, RunState>,
         address: u32,
         len: u32,
         out: u32,
         cap: u32|
         -> wasmtime::Result<u32> {
            let (request, _) = bytes(&mut caller, address, len)?;
            let answer = urls::answer(request);
            let size = u32::try_from(answer.len()).map_err(|_| stop())?;
            if size <= cap {
                bytes(&mut caller, out, size)?.0.copy_from_slice(&answer);
            }
            Ok(size)
        },
    )?;
    Ok(linker)
}

fn call(
    mut caller: Caller<'_, RunState>,
    id: u32,
    name: u32,
    name_len: u32,
    args: u32,
    args_len: u32,
) -> wasmtime::Result<()> {
    let most = caller.data().limits.output;
    if name_len as usize > most || args_len as usize > most {
        return Err(caller.data_mut().exceed(Limit::Output));
    }
    let name = String::from_utf8_lossy(bytes(&mut caller, name, name_len)?.0).into_owned();
    let (args, state) = bytes(&mut caller, args, args_len)?;
    let args = payload::to_json(args.to_vec());
    if state.phase == Phase::Deploy {
        return Err(stop());
    }
    state.call_count += 1;
    if state.call_count > state.limits.calls {
        return Err(state.exceed(Limit::Calls));
    }
    match args {
        Ok(args) => {
            state.calls.push(HostCall { id, name, args });
            Ok(())
        }
        Err(message) => {
            let error = serde_json::json!({ "name": "TypeError", "message": message });
            let payload = error.to_string().into_bytes();
            state.finish.get_or_insert(Finish { kind: 2, status: 0, payload });
            Err(stop())
        }
    }
}
