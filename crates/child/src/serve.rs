//! The serving loop: one thread, one socket, many runs that interleave.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use lode_sandbox::{Engine, HostError, Outcome, Sandbox, Snapshot};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::frame::{Files, Filled, FrameError, Inbox, Outbox};
use crate::protocol::{self, Ending, FromChild, RunId, SnapshotId, ToChild};
use crate::run::{Finished, Run, Turn};
use crate::turns::Turns;

/// Outcomes are sent together as long as short runs wait, up to this time after the first: a wake-up of
/// the master costs as much as a small run.
const BATCH: Duration = Duration::from_micros(200);

/// For so long a child that has nothing to do looks for more before it sleeps: waking a sleeping
/// processor takes about as long (more on a virtual machine), and the next run often comes at once.
const LINGER: Duration = Duration::from_micros(50);

/// Bytes to send beyond which no more runs get turns until the master has read: it bounds what a slow
/// master makes this process hold.
const HIGH_WATER: usize = 8 << 20;

/// Why a child stops serving.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The socket failed: the master is gone.
    Socket,
    /// The master sent what it should not: a defect.
    Frame(FrameError),
    /// A sandbox failed in a way that no script can bring about: this process is not to be trusted with
    /// more runs.
    Broken(String),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// Serves runs over `socket` until the master closes it.
pub(crate) fn serve(
    engine: &Engine,
    socket: BorrowedFd<'_>,
    ready: &FromChild<'_>,
) -> Result<(), Stop> {
    let mut child = Child {
        engine,
        snapshots: HashMap::new(),
        runs: HashMap::new(),
        turns: Turns::default(),
        outbox: Outbox::default(),
        unsent_since: None,
        worked: false,
        spent: Vec::new(),
    };
    child.outbox.push(ready, None)?;
    child.serve(socket)
}

struct Child<'e> {
    engine: &'e Engine,
    snapshots: HashMap<SnapshotId, Snapshot>,
    runs: HashMap<RunId, Run>,
    turns: Turns,
    outbox: Outbox,
    /// When the oldest outcome in the outbox was put there.
    unsent_since: Option<Instant>,
    /// A run had a turn since the loop last waited.
    worked: bool,
    /// The sandboxes of ended runs, reset once the outcomes are sent.
    spent: Vec<Sandbox>,
}

impl Child<'_> {
    fn serve(&mut self, socket: BorrowedFd<'_>) -> Result<(), Stop> {
        let mut inbox = Inbox::default();
        let mut looked = Instant::now();
        loop {
            // A short run takes as long as a few system calls: the socket and the timers can wait.
            if !self.turns.short_ones() || looked.elapsed() >= BATCH {
                looked = Instant::now();
                if inbox.fill(socket)? == Filled::Closed {
                    return Ok(());
                }
                self.take(&mut inbox)?;
                self.ring();
            }
            let crowded = self.outbox.len() > HIGH_WATER;
            if !crowded {
                self.turn()?;
            }
            let due = self.unsent_since.is_some_and(|since| since.elapsed() >= BATCH);
            if due || !self.turns.short_ones() {
                self.outbox.flush(socket)?;
                self.unsent_since = None;
                self.spent.clear();
            }
            if crowded || self.turns.is_empty() {
                let worked = std::mem::take(&mut self.worked);
                if !(worked && self.outbox.is_empty() && self.linger(socket, &mut inbox)?) {
                    self.wait(socket)?;
                }
            }
        }
    }

    /// Looks for more to do for a moment. Returns whether something came.
    fn linger(&mut self, socket: BorrowedFd<'_>, inbox: &mut Inbox) -> Result<bool, Stop> {
        let began = Instant::now();
        while began.elapsed() < LINGER {
            // The end is found again, and acted on, by the loop.
            if inbox.fill(socket)? != Filled::Nothing {
                self.take(inbox)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take(&mut self, inbox: &mut Inbox) -> Result<(), Stop> {
        while let Some((message, files)) = inbox.next()? {
            self.hear(message, files)?;
        }
        Ok(())
    }

    fn hear(&mut self, message: ToChild<'_>, mut files: Files<'_>) -> Result<(), Stop> {
        match message {
            ToChild::Load(id) => {
                let file = files.take()?;
                // Runs of one that is damaged are answered `NotStarted`.
                if let Ok(snapshot) = Snapshot::from_file(self.engine, file) {
                    self.snapshots.insert(id, snapshot);
                }
            }
            ToChild::Start(start) => match self.snapshots.get(&start.snapshot) {
                Some(snapshot) if (start.handler as usize) < snapshot.handlers().len() => {
                    let run = Run::new(snapshot.clone(), &start);
                    self.turns.push(run.id, run.held);
                    self.runs.insert(run.id, run);
                }
                _ => self.outbox.push(&FromChild::NotStarted(start.run), None)?,
            },
            ToChild::Reply { run, call, reply } => {
                // The run may have ended meanwhile.
                if let Some(run) = self.runs.get(&run) {
                    let reply = reply.map(protocol::json).and_then(|json| {
                        json.map_err(|lie| HostError {
                            name: "Error".into(),
                            message: lie.to_string(),
                        })
                    });
                    if run.answer(call, reply) {
                        self.turns.push(run.id, run.held);
                    }
                }
            }
            ToChild::Cancel(id) => {
                // Whether or not it had ended by itself, the master hears of each run exactly once.
                if self.runs.remove(&id).is_some() {
                    self.outbox.push(&FromChild::Cancelled(id), None)?;
                }
            }
            ToChild::Unload(id) => {
                self.snapshots.remove(&id);
            }
            ToChild::Build { .. } => return Err(FrameError::Malformed.into()),
        }
        Ok(())
    }

    /// Gives one run its turn, if one is ready.
    fn turn(&mut self) -> Result<(), Stop> {
        let Some(id) = self.turns.next() else { return Ok(()) };
        let Some(run) = self.runs.get_mut(&id) else { return Ok(()) };
        self.worked = true;
        let before = run.held;
        let turn = run.turn();
        self.turns.took(run.held - before);
        for call in run.take_calls() {
            self.unsent_since.get_or_insert_with(Instant::now);
            let call =
                FromChild::Call { run: id, call: call.id, name: &call.name, args: call.args.get() };
            self.outbox.push(&call, None)?;
        }
        match turn {
            Turn::Again => self.turns.push(id, run.held),
            Turn::Waits => {}
            Turn::Ended(finished) => self.end(id, *finished)?,
        }
        Ok(())
    }

    fn end(&mut self, id: RunId, finished: Finished) -> Result<(), Stop> {
        let Some(run) = self.runs.remove(&id) else { return Ok(()) };
        let Finished { outcome, logs, usage, recording, sandbox } = finished;
        let Some(ending) = Ending::of(&outcome, &run.limits) else {
            let began = usage.memory_peak > 0;
            let Outcome::Platform { detail } = outcome else {
                return Err(Stop::Broken("a sandbox came to no outcome of its own".into()));
            };
            if began {
                return Err(Stop::Broken(detail));
            }
            // No memory for one more sandbox: another child may have some.
            return Ok(self.outbox.push(&FromChild::NotStarted(id), None)?);
        };
        if let Some(recording) = &recording {
            self.outbox.push(&FromChild::Recorded { run: id, recording }, None)?;
        }
        self.outbox.push(&FromChild::Ended { run: id, ending, logs, usage }, None)?;
        self.unsent_since.get_or_insert_with(Instant::now);
        if self.turns.is_empty() {
            self.spent.extend(sandbox);
        }
        Ok(())
    }

    /// Waits for the socket, or the first timer or deadline.
    fn wait(&mut self, socket: BorrowedFd<'_>) -> Result<(), Stop> {
        let first =
            self.runs.values().map(|run| run.timer().map_or(run.left(), |t| t.min(run.left())));
        let timeout = first.min().map(|left| Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut flags = PollFlags::IN;
        if !self.outbox.is_empty() {
            flags |= PollFlags::OUT;
        }
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(socket, flags)], timeout.as_ref())
        {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Turns to the runs whose timers are due, or whose time is up.
    fn ring(&mut self) {
        for run in self.runs.values_mut() {
            if run.left().is_zero() {
                if !run.hurried {
                    run.hurried = true;
                    run.close();
                    self.turns.push_first(run.id);
                }
            } else if run.timer() == Some(Duration::ZERO) && run.ring() {
                self.turns.push(run.id, run.held);
            }
        }
    }
}
