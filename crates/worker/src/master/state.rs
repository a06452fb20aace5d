//! What the master knows: apps, tasks and children, and what follows when one of them moves.
//!
//! Everything here is synchronous and under one lock, held for microseconds; sockets are written
//! without waiting. What a child sends has been decoded, and is believed only as far as it concerns a
//! run that this child was given.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lode_child::frame::Outbox;
use lode_child::protocol::{
    HostCall, HostError, HostReply, Lie, Limit, Limits, LogLine, MAX_RECORDING, Outcome, RunId,
    SnapshotId, Start, ToChild, Usage, carried,
};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot, watch};

use super::lateness::Lateness;
use super::penalty::SUSPECT;
use super::process::Process;
use super::scheduler::Scheduler;
use super::snapshots::Snapshots;
use super::{App, AppName, Config, Overload, Report, Task, driver};
use crate::broker::Origin;
use crate::metrics::Metrics;

/// Runs a child may be given that have not yet been with it for [`YOUNG`]: enough that it always has the
/// next one at hand while an answer travels (an empty run takes a third of that time), few enough that
/// fairness between apps stays with the scheduler: a child takes its runs in the order they come.
const DEPTH: usize = 5;

/// After this a run is no short one: it waits for something or hogs, and its child takes another.
const YOUNG: Duration = Duration::from_millis(4);

/// Runs under way in one child at most. Each may hold its memory limit.
const MAX_RUNS: usize = 128;

/// Snapshots a child holds at most; each is a descriptor and a few mappings. The least recently used
/// makes room.
const MAX_SNAPSHOTS: usize = 512;

/// A child that holds an app's snapshot is preferred until it has this many more young runs than the
/// least busy one: loading a snapshot costs about as much as that many small runs.
const PREFERENCE: usize = 4;

/// Bytes for a child that may wait for it to read: ten of the largest answers of host calls. What its runs ask for
/// beyond that is not answered: a script makes more than its child may come to read.
const MOST_UNSENT: usize = 128 << 20;

/// A child for which more waits reads nothing: it is killed. Only runs to start come beyond [`MOST_UNSENT`], each of
/// at most 16 MiB ([`lode_child::protocol::MAX_TEXT`]), and a child that reads has few of them not begun.
pub(super) const UNSENT_FOR_NOBODY: usize = 2 * MOST_UNSENT;

/// What whoever finds the worker's queue full is told to wait: a full queue is seconds of work.
const FULL_FOR: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChildId(pub(super) u64);

pub(super) struct ChildState {
    pub(super) socket: Arc<UnixStream>,
    pub(super) process: Arc<Process>,
    pub(super) outbox: Outbox,
    /// Tells its driver that the socket took less than there is.
    pub(super) blocked: Arc<Notify>,
    /// The trust group whose runs it has seen; none but theirs from then on. `None` before the first.
    group: Option<Option<Arc<str>>>,
    /// The runs it was given and has not answered, and when their time is up.
    pub(super) runs: HashMap<RunId, Instant>,
    young: VecDeque<(RunId, Instant)>,
    late: Option<Lateness>,
    /// The snapshots it holds, and when each was last used. They keep the memory files open.
    snapshots: HashMap<SnapshotId, (Instant, Arc<OwnedFd>)>,
    /// It gets no more runs, and ends when those it has are over.
    pub(super) retiring: bool,
    pub(super) born: Instant,
    pub(super) idle_since: Instant,
    /// Runs it has answered.
    served: u64,
}

impl ChildState {
    pub(super) fn new(socket: Arc<UnixStream>, process: Arc<Process>, now: Instant) -> Self {
        Self {
            socket,
            process,
            outbox: Outbox::default(),
            blocked: Arc::default(),
            group: None,
            runs: HashMap::new(),
            young: VecDeque::new(),
            late: None,
            snapshots: HashMap::new(),
            retiring: false,
            born: now,
            idle_since: now,
            served: 0,
        }
    }

    /// Young runs, those grown old left out.
    fn load(&mut self, now: Instant) -> usize {
        while let Some((run, since)) = self.young.front() {
            if self.runs.contains_key(run) && now.saturating_duration_since(*since) < YOUNG {
                break;
            }
            self.young.pop_front();
        }
        self.young.len().min(self.runs.len())
    }

    /// Whether it owes an answer for longer than `patience`, and could have given it.
    pub(super) fn is_silent(&mut self, patience: Duration, now: Instant) -> bool {
        if !self.runs.values().any(|due| *due < now) {
            self.late = None;
            return false;
        }
        let waited = self.process.waited().unwrap_or_default();
        Lateness::is_silent(&mut self.late, waited, patience, now)
    }

    fn has_room(&mut self, now: Instant) -> bool {
        !self.retiring && self.runs.len() < MAX_RUNS && self.load(now) < DEPTH
    }

    fn admits(&self, group: &Option<Arc<str>>) -> bool {
        self.group.as_ref().is_none_or(|own| own == group)
    }

    /// Sends a message, as far as the socket takes it now. What cannot be sent is the driver's to
    /// notice: the child is dead or dying.
    pub(super) fn send(&mut self, message: &ToChild<'_>, file: Option<Arc<OwnedFd>>) -> bool {
        let fits = self.outbox.push(message, file).is_ok();
        self.flush();
        fits
    }

    /// Sends what the socket takes now; the driver goes on when it takes more. If it takes nothing ever
    /// again, the driver hears of that, too: as the end of what the child says.
    pub(super) fn flush(&mut self) {
        if matches!(driver::flush(&self.socket, &mut self.outbox), Ok(false)) {
            self.blocked.notify_one();
        }
    }
}

/// Where a task is being run.
struct Place {
    child: ChildId,
    since: Instant,
    calls: u32,
}

/// A task from its admission to its answer.
pub(super) struct Flight {
    app: AppName,
    snapshot: SnapshotId,
    handler: u32,
    request: Arc<str>,
    limits: Limits,
    origin: Arc<Origin>,
    submitted: Instant,
    deadline: Instant,
    /// `None` once nobody waits any more.
    reply: Option<oneshot::Sender<Report>>,
    place: Option<Place>,
    /// A child refused to begin it.
    refused: bool,
    /// What its child says that it takes to run it again.
    recording: Option<Box<str>>,
    /// Closed when the task is answered, for those of its host calls that have not begun by then.
    over: watch::Sender<()>,
}

/// What a run costs its app: processor time in its turns, and what it counts in the penalty box, 0 to 1.
#[derive(Default)]
struct Charge {
    cpu: Duration,
    fault: f64,
}

/// How a task ended, and what is known of its run.
struct Answer {
    outcome: Outcome,
    logs: Vec<LogLine>,
    usage: Usage,
}

impl Answer {
    fn of(outcome: Outcome) -> Self {
        Self { outcome, logs: Vec::new(), usage: Usage::default() }
    }
}

/// Whose host call it is, the request behind it, when its answer is worth nothing any more, and what is closed when
/// its run is over.
type Caller = (Arc<App>, Arc<Origin>, Instant, watch::Receiver<()>);

pub(super) struct State {
    pub(super) apps: HashMap<AppName, Arc<App>>,
    pub(super) scheduler: Scheduler,
    pub(super) children: BTreeMap<ChildId, ChildState>,
    pub(super) snapshots: Snapshots,
    pub(super) flights: HashMap<RunId, Flight>,
    /// Tasks that may wait, of all apps.
    queue: usize,
    pub(super) metrics: Arc<Metrics>,
    pub(super) draining: bool,
    /// Children in a row that could not be started, or ended before they had served anything.
    pub(super) failures: u32,
    next_run: u64,
    next_child: u64,
}

impl State {
    pub(super) fn new(snapshots: Snapshots, config: &Config, metrics: Arc<Metrics>) -> Self {
        Self {
            apps: HashMap::new(),
            scheduler: Scheduler::default(),
            children: BTreeMap::new(),
            snapshots,
            flights: HashMap::new(),
            queue: config.queue,
            metrics,
            draining: false,
            failures: 0,
            next_run: 0,
            next_child: 0,
        }
    }

    pub(super) fn add_child(&mut self, child: ChildState, now: Instant) -> ChildId {
        let id = ChildId(self.next_child);
        self.next_child += 1;
        self.children.insert(id, child);
        self.pump(now);
        id
    }

    /// Takes a task in, and starts it if there is room.
    pub(super) fn submit(
        &mut self,
        task: Task,
        now: Instant,
    ) -> Result<(RunId, oneshot::Receiver<Report>), (Overload, Duration)> {
        let app = self.apps.get(&task.app);
        let known = |app: &&Arc<App>| task.deployment.is_none_or(|id| id.0 == app.snapshot);
        let Some(app) = app.filter(known).cloned() else {
            return Err((Overload::NotDeployed, Duration::ZERO));
        };
        let run = RunId(self.next_run);
        self.next_run += 1;
        if self.draining {
            return Err((Overload::Draining, Duration::from_secs(1)));
        }
        if self.scheduler.waiting() >= self.queue {
            return Err((Overload::WorkerQueue, FULL_FOR));
        }
        if let Err((overload, wait)) = self.scheduler.push(&task.app, run, now) {
            tracing::debug!(task = run.0, app = &*task.app, ?overload, "a task was rejected");
            return Err((overload, wait));
        }
        let (reply, answer) = oneshot::channel();
        let flight = Flight {
            app: task.app,
            snapshot: app.snapshot,
            handler: task.handler,
            request: task.request,
            limits: carried(task.limits.unwrap_or_else(|| app.limits.clone())),
            origin: task.origin,
            submitted: now,
            deadline: task.deadline,
            reply: Some(reply),
            place: None,
            refused: false,
            recording: None,
            over: watch::Sender::new(()),
        };
        self.flights.insert(run, flight);
        self.pump(now);
        Ok((run, answer))
    }

    /// Starts what waits, as long as there is room.
    pub(super) fn pump(&mut self, now: Instant) {
        while self.scheduler.waiting() > 0 {
            let Self { scheduler, children, apps, .. } = self;
            if !children.values_mut().any(|child| child.has_room(now)) {
                return;
            }
            let place = |app: &AppName| pick(children, apps.get(app)?, now);
            let Some((app, run, child)) = scheduler.next(now, place) else { return };
            if !self.start(run, child, now) {
                self.scheduler.ended(&app, Duration::ZERO, 0.0, now);
            }
        }
    }

    /// Gives a task to a child. Returns whether the child now has it.
    fn start(&mut self, run: RunId, id: ChildId, now: Instant) -> bool {
        let Some(flight) = self.flights.get_mut(&run) else { return false };
        let left = flight.deadline.saturating_duration_since(now);
        if left.is_zero() {
            self.end(run, Outcome::Expired, Charge::default(), now);
            return false;
        }
        let Some(child) = self.children.get_mut(&id) else { return false };
        if !child.snapshots.contains_key(&flight.snapshot) {
            let file = match self.snapshots.open(flight.snapshot) {
                Ok(file) => file,
                Err(error) => {
                    let detail = format!("the snapshot cannot be read: {error}");
                    self.end(run, Outcome::Platform { detail }, Charge::default(), now);
                    return false;
                }
            };
            make_room(child);
            child.snapshots.insert(flight.snapshot, (now, file.clone()));
            child.outbox.push(&ToChild::Load(flight.snapshot), Some(file)).unwrap_or_default();
        } else if let Some((used, _)) = child.snapshots.get_mut(&flight.snapshot) {
            *used = now;
        }
        if child.group.is_none() {
            child.group = self.apps.get(&flight.app).map(|app| app.trust_group.clone());
        }
        flight.limits.wall = flight.limits.wall.min(left);
        let start = Start {
            run,
            snapshot: flight.snapshot,
            handler: flight.handler,
            request: &flight.request,
            limits: flight.limits.clone(),
            seed: super::seed(),
        };
        if !child.send(&ToChild::Start(start), None) {
            let detail = "the request is larger than a frame".into();
            self.end(run, Outcome::Platform { detail }, Charge::default(), now);
            return false;
        }
        tracing::trace!(task = run.0, app = &*flight.app, child = id.0, "a task starts");
        self.metrics.waited(now.saturating_duration_since(flight.submitted));
        child.runs.insert(run, now + flight.limits.wall);
        child.young.push_back((run, now));
        flight.place = Some(Place { child: id, since: now, calls: 0 });
        true
    }

    /// A child has something for the outside: the app that asks and until when an answer counts.
    pub(super) fn called(
        &mut self,
        id: ChildId,
        run: RunId,
        call: &HostCall,
    ) -> Result<Option<Caller>, Lie> {
        let flight = self.given(id, run)?;
        let Some(place) = &mut flight.place else { return Ok(None) };
        place.calls += 1;
        if place.calls > flight.limits.calls {
            return Err(Lie("a run made more host calls than it may"));
        }
        if call.name.len() > flight.limits.output || call.args.get().len() > flight.limits.output {
            return Err(Lie("a host call is larger than its run may make"));
        }
        let deadline = place.since + flight.limits.wall;
        let (app, origin) = (flight.app.clone(), flight.origin.clone());
        let over = flight.over.subscribe();
        // An app removed meanwhile: its run goes on, and reaches nothing.
        Ok(self.apps.get(&app).map(|app| (app.clone(), origin, deadline, over)))
    }

    /// Brings the answer of a host call to the run, if it goes on.
    pub(super) fn replied(&mut self, id: ChildId, run: RunId, call: u32, reply: &HostReply) {
        // A call that was given up at the run's own end must not let the script go on in the moment before its
        // child sees that end, too.
        let is_over = |flight: &Flight| {
            let end = flight.place.as_ref().map(|place| place.since + flight.limits.wall);
            end.is_some_and(|end| end <= Instant::now())
        };
        if self.flights.get(&run).is_some_and(is_over) {
            return;
        }
        let Some(child) = self.children.get_mut(&id) else { return };
        if child.runs.contains_key(&run) {
            let mut reply = reply.as_ref().map(|json| json.get()).map_err(Clone::clone);
            let size = reply.as_ref().map_or(0, |json| json.len());
            if child.outbox.len() + size > MOST_UNSENT {
                let message = "too many answers of host calls wait for the app's runs: try again";
                reply = Err(HostError { name: "BusyError".into(), message: message.into() });
            }
            child.send(&ToChild::Reply { run, call, reply }, None);
        }
    }

    /// A child says that a run has ended.
    pub(super) fn ended(
        &mut self,
        id: ChildId,
        run: RunId,
        ending: lode_child::protocol::Ending<'_>,
        logs: Vec<LogLine>,
        usage: Usage,
        now: Instant,
    ) -> Result<(), Lie> {
        let flight = self.given(id, run)?;
        let outcome = ending.parse(&flight.limits)?;
        let log_bytes: usize = logs.iter().map(|line| line.text.len() + LogLine::OVERHEAD).sum();
        // From invalid UTF-8, each byte may have become a three-byte replacement character.
        if log_bytes > 3 * flight.limits.log {
            return Err(Lie("a run logged more than it may"));
        }
        let since = flight.place.as_ref().map_or(now, |place| place.since);
        let held =
            u64::try_from(now.saturating_duration_since(since).as_nanos()).unwrap_or(u64::MAX);
        // It cannot have used more processor time than has passed, whatever the child says.
        let usage = Usage { cpu_ns: usage.cpu_ns.min(held), ..usage };
        let fault = if matches!(outcome, Outcome::Limit { .. }) { 1.0 } else { 0.0 };
        let charge = Charge { cpu: Duration::from_nanos(usage.cpu_ns), fault };
        self.release(id, run, now);
        self.answer(run, Answer { outcome, logs, usage }, charge, now);
        self.pump(now);
        Ok(())
    }

    /// A run's recording has come, ahead of its end.
    pub(super) fn recorded(&mut self, id: ChildId, run: RunId, text: &str) -> Result<(), Lie> {
        let flight = self.given(id, run)?;
        if text.len() > MAX_RECORDING || flight.recording.is_some() {
            return Err(Lie("a run has more of a recording than it may"));
        }
        flight.recording = Some(text.into());
        Ok(())
    }

    /// A child would not begin a run: another may; after two, something is wrong with the snapshot.
    pub(super) fn not_started(&mut self, id: ChildId, run: RunId, now: Instant) -> Result<(), Lie> {
        let flight = self.given(id, run)?;
        if flight.place.as_ref().is_some_and(|place| place.calls > 0) {
            return Err(Lie("a run that made host calls had begun"));
        }
        flight.place = None;
        let again = !std::mem::replace(&mut flight.refused, true) && flight.reply.is_some();
        let (app, snapshot) = (flight.app.clone(), flight.snapshot);
        self.release(id, run, now);
        if let Some(child) = self.children.get_mut(&id) {
            child.retiring = true;
        }
        if again && self.apps.get(&app).is_some_and(|app| app.snapshot == snapshot) {
            self.scheduler.put_back(&app, run, now);
        } else if again {
            self.scheduler.ended(&app, Duration::ZERO, 0.0, now);
            self.outdated(run);
        } else {
            self.scheduler.ended(&app, Duration::ZERO, 0.0, now);
            let detail = "two children could not begin the run".into();
            self.end(run, Outcome::Platform { detail }, Charge::default(), now);
        }
        self.pump(now);
        Ok(())
    }

    /// A run was ended as asked. That its caller has gone is no fault of its app's, unless its time was over by
    /// then. What it used nobody says: it is charged for the time that it was held.
    pub(super) fn cancelled(&mut self, id: ChildId, run: RunId, now: Instant) -> Result<(), Lie> {
        let flight = self.given(id, run)?;
        if flight.reply.is_some() {
            return Err(Lie("a run was cancelled that nobody cancelled"));
        }
        let since = flight.place.as_ref().map_or(now, |place| place.since);
        let held = now.saturating_duration_since(since);
        let fault = if held >= flight.limits.wall { 1.0 } else { 0.0 };
        let charge = Charge { cpu: held.min(flight.limits.cpu), fault };
        self.release(id, run, now);
        self.end(run, Outcome::Limit { limit: Limit::Wall }, charge, now);
        self.pump(now);
        Ok(())
    }

    /// A child is gone, and with it its runs. Those past their time hit the wall limit; the others are
    /// lost through no fault that can be told: they are answered, and never run again. `suspect`: one
    /// of them may have brought it about, which counts against their apps, once for each run: in full if they
    /// are all of one app.
    pub(super) fn died(&mut self, id: ChildId, why: &str, suspect: bool, now: Instant) -> usize {
        let Some(child) = self.children.remove(&id) else { return 0 };
        let lost = child.runs.len();
        if child.served == 0 {
            self.failures += 1;
        }
        let mut apps = child.runs.keys().filter_map(|run| Some(&self.flights.get(run)?.app));
        let first = apps.next();
        let suspicion = match suspect {
            true if apps.all(|app| Some(app) == first) => 1.0,
            true => SUSPECT,
            false => 0.0,
        };
        for run in child.runs.into_keys() {
            let Some(flight) = self.flights.get(&run) else { continue };
            let over = flight.place.as_ref().is_some_and(|p| p.since + flight.limits.wall <= now);
            let (outcome, fault) = if over {
                (Outcome::Limit { limit: Limit::Wall }, 1.0)
            } else {
                let detail = format!("the run was lost with its child: {why}");
                (Outcome::Platform { detail }, suspicion)
            };
            self.end(run, outcome, Charge { cpu: Duration::ZERO, fault }, now);
        }
        self.pump(now);
        lost
    }

    /// The task's time is up. Returns whether it is answered now; else it runs, and its child has a
    /// moment to answer.
    pub(super) fn expired(&mut self, run: RunId, now: Instant) -> bool {
        match self.flights.get(&run) {
            Some(flight) if flight.place.is_none() => {
                let app = flight.app.clone();
                self.scheduler.withdraw(&app, run);
                self.end(run, Outcome::Expired, Charge::default(), now);
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    /// Forgets a task that waits. Returns whether it does: not, if a child has it, or it is answered.
    pub(super) fn withdraw(&mut self, run: RunId) -> bool {
        if self.flights.get(&run).is_none_or(|flight| flight.place.is_some()) {
            return false;
        }
        self.abandon(run);
        true
    }

    /// Nobody waits for the task any more.
    pub(super) fn abandon(&mut self, run: RunId) {
        let Some(flight) = self.flights.get_mut(&run) else { return };
        flight.reply = None;
        match &flight.place {
            Some(place) => {
                if let Some(child) = self.children.get_mut(&place.child) {
                    child.send(&ToChild::Cancel(run), None);
                }
            }
            None => {
                let app = flight.app.clone();
                self.scheduler.withdraw(&app, run);
                self.flights.remove(&run);
            }
        }
    }

    /// Makes an app runnable, or puts another deployment in the place of what it has: what waits for that one is
    /// answered, what runs goes on.
    pub(super) fn set_app(&mut self, name: AppName, app: App) {
        for run in self.scheduler.take_waiting(&name) {
            self.outdated(run);
        }
        if let Some(before) = self.apps.insert(name, Arc::new(app)) {
            self.drop_snapshot(before.snapshot);
        }
    }

    /// Forgets an app: what it has waiting is answered, what runs goes on.
    pub(super) fn remove_app(&mut self, app: &AppName) {
        let Some(known) = self.apps.remove(app) else { return };
        for run in self.scheduler.remove(app) {
            self.outdated(run);
        }
        self.drop_snapshot(known.snapshot);
    }

    fn drop_snapshot(&mut self, snapshot: SnapshotId) {
        self.snapshots.remove(snapshot);
        for child in self.children.values_mut() {
            if child.snapshots.remove(&snapshot).is_some() {
                child.send(&ToChild::Unload(snapshot), None);
            }
        }
    }

    /// Bytes of memory that the runs of a child may have, together.
    pub(super) fn memory(&self, id: ChildId) -> usize {
        let runs = self.children.get(&id).into_iter().flat_map(|child| child.runs.keys());
        runs.filter_map(|run| Some(self.flights.get(run)?.limits.memory)).sum()
    }

    /// When something waits that no child's trust group admits: the child of another group with the
    /// least to do.
    pub(super) fn stranger(&mut self) -> Option<&mut ChildState> {
        let Self { scheduler, children, apps, .. } = self;
        let homeless = scheduler.round().any(|name| {
            apps.get(name).is_some_and(|app| {
                !children.values().any(|child| !child.retiring && child.admits(&app.trust_group))
            })
        });
        if !homeless || children.values().any(|child| child.retiring) {
            return None;
        }
        children.values_mut().min_by_key(|child| child.runs.len())
    }

    /// The flight of a run that this child was given; anything else that a child says is a lie.
    fn given(&mut self, id: ChildId, run: RunId) -> Result<&mut Flight, Lie> {
        let flight = self.flights.get_mut(&run);
        flight
            .filter(|flight| flight.place.as_ref().is_some_and(|place| place.child == id))
            .ok_or(Lie("it speaks of a run that it was not given, or has answered"))
    }

    /// The child is done with the run.
    fn release(&mut self, id: ChildId, run: RunId, now: Instant) {
        if let Some(child) = self.children.get_mut(&id) {
            child.runs.remove(&run);
            child.young.retain(|(young, _)| *young != run);
            child.served += 1;
            self.failures = 0;
            if child.runs.is_empty() {
                child.idle_since = now;
            }
        }
    }

    /// Answers a task of whose run nothing is known but how it ended.
    fn end(&mut self, run: RunId, outcome: Outcome, charge: Charge, now: Instant) {
        self.answer(run, Answer::of(outcome), charge, now);
    }

    /// Gives a task that was started, or could not be, its one answer.
    fn answer(&mut self, run: RunId, answer: Answer, charge: Charge, now: Instant) {
        let Some(flight) = self.flights.remove(&run) else { return };
        if flight.place.is_some() {
            self.scheduler.ended(&flight.app, charge.cpu, charge.fault, now);
        }
        finish(&self.metrics, run, flight, answer, now);
    }

    /// Answers a task that has not begun: what it was for is not deployed any more. Its caller looks again.
    fn outdated(&mut self, run: RunId) {
        let Some(flight) = self.flights.remove(&run) else { return };
        tracing::debug!(task = run.0, app = &*flight.app, "a waiting task's deployment is gone");
        self.metrics.rejected();
        if let Some(reply) = flight.reply {
            // Whoever asked may have gone in this very moment.
            let _ = reply.send(Report::rejected(Overload::NotDeployed, Duration::ZERO));
        }
    }
}

fn finish(metrics: &Metrics, run: RunId, flight: Flight, answer: Answer, now: Instant) {
    let Answer { outcome, logs, usage } = answer;
    let started = flight.place.as_ref().map_or(now, |place| place.since);
    let took = now.saturating_duration_since(started);
    metrics.ended(&flight.app, &outcome, took, &usage);
    tracing::debug!(
        task = run.0,
        app = &*flight.app,
        outcome = crate::metrics::name(&outcome),
        took_us = took.as_micros(),
        cpu_us = usage.cpu_ns / 1000,
        "a task was answered"
    );
    if let Outcome::Platform { detail } = &outcome {
        tracing::error!(
            task = run.0,
            app = &*flight.app,
            detail,
            "a task failed through our fault"
        );
    }
    if let Some(reply) = flight.reply {
        let waited = started.saturating_duration_since(flight.submitted);
        // Whoever asked may have gone in this very moment.
        let recording = flight.recording;
        let _ =
            reply.send(Report { outcome, logs, usage, waited, took, recording, overload: None });
    }
}

/// The child for a run of the app: one that holds its snapshot, unless it is much busier than another.
fn pick(children: &mut BTreeMap<ChildId, ChildState>, app: &App, now: Instant) -> Option<ChildId> {
    let mut best: Option<(usize, ChildId)> = None;
    for (id, child) in children.iter_mut() {
        if !child.admits(&app.trust_group) || !child.has_room(now) {
            continue;
        }
        let strange = if child.snapshots.contains_key(&app.snapshot) { 0 } else { PREFERENCE };
        let cost = child.load(now) + strange;
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, *id));
        }
    }
    best.map(|(_, id)| id)
}

/// Room for one more snapshot in a child.
fn make_room(child: &mut ChildState) {
    if child.snapshots.len() < MAX_SNAPSHOTS {
        return;
    }
    let oldest = child.snapshots.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
    if let Some(oldest) = oldest {
        child.snapshots.remove(&oldest);
        child.outbox.push(&ToChild::Unload(oldest), None).unwrap_or_default();
    }
}
