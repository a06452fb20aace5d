//! All that a sealed child does, as its master has it do it. Each exercise is one child.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lode_child::protocol::{
    BuildFailure, Limit, Limits, Outcome, ResetMethod, RunId, ScriptError, SnapshotId, Source,
    Start, ToChild, deploy_limits,
};
use lode_sandbox::{Engine, EngineOptions, Snapshot};

use crate::peer::{Peer, Said, Seen, saw};
use crate::wreck;

/// What ends a sealed child that makes a forbidden call.
pub(crate) const SIGSYS: i32 = 128 + libc::SIGSYS;
const SIGABRT: i32 = 128 + libc::SIGABRT;

/// Its handler does what the request's `body` names.
const APP: &str = "
    const deep = (n) => deep(n + 1) + 1;
    const acts = {
        plain: () => [Math.random() < 1, new Date(0).toISOString(), /l+/.exec('hello')[0]],
        call: (_, context) => context.hostCall('echo', { sent: 'there' }),
        sleep: async () => { await new Promise((done) => setTimeout(done, 20)); return 'slept'; },
        log: () => { console.log('x'.repeat(1000)); return 1; },
        memory: () => { for (const kept = []; ;) kept.push(new Uint8Array(1 << 20).fill(1)); },
        dirty: () => { new Uint8Array(24 << 20).fill(1); return 'dirty'; },
        spin: () => { for (;;); },
        deep: () => deep(0),
        caught: () => { try { deep(0); } catch (error) { return error.name; } },
        churn: () => { for (const kept = []; ;) kept.push({}) > 1000 && kept.splice(0); },
        large: (request) => 'x'.repeat(request.text.length),
    };
    export const onRequest = (request, context) => acts[request.body](request, context);";

/// Where it is mapped it takes hundreds of mappings: its own pages lie far from each other.
const SCATTERED: &str = "
    const pages = new Uint8Array(54 << 20);
    for (let at = 0; at < pages.length; at += 1 << 20) pages[at] = 1;
    export const onRequest = (request, context) => context.hostCall('never', pages.length);";

pub(crate) struct Apps {
    pub(crate) app: Arc<OwnedFd>,
    wreck: Arc<OwnedFd>,
    scattered: Arc<OwnedFd>,
}

pub(crate) static APPS: LazyLock<Apps> = LazyLock::new(|| {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let file = |snapshot: &Snapshot| Arc::new(snapshot.file().try_clone_to_owned().unwrap());
    let build = |text| {
        Snapshot::build(&engine, &[Source::entry("main.mjs", text)], &deploy_limits()).0.unwrap()
    };
    let app = build(APP);
    let wreck = Snapshot::from_bytes(&engine, &wreck::wreck(app.as_bytes())).unwrap();
    Apps { app: file(&app), wreck: file(&wreck), scattered: file(&build(SCATTERED)) }
});

pub(crate) const APP_ID: SnapshotId = SnapshotId(1);
const WRECK: SnapshotId = SnapshotId(2);
const SCATTERED_ID: SnapshotId = SnapshotId(3);
const UNSEALED: SnapshotId = SnapshotId(4);

fn limits() -> Limits {
    // Only what is to be ended meets one, however slow the machine is.
    Limits {
        cpu: Duration::from_secs(20),
        wall: Duration::from_secs(60),
        memory: 256 << 20,
        output: 16 << 20,
        ..Limits::default()
    }
}

/// The master's part of one runner.
pub(crate) struct Runner {
    pub(crate) peer: Peer,
    next: u64,
}

impl Runner {
    pub(crate) fn start(&mut self, snapshot: SnapshotId, body: &str, text: &str) -> Seen<RunId> {
        let limits = match body {
            "spin" => Limits { cpu: Duration::from_millis(20), ..limits() },
            "memory" => Limits { memory: 32 << 20, ..limits() },
            _ => limits(),
        };
        self.start_within(snapshot, body, text, limits)
    }

    fn start_within(
        &mut self,
        snapshot: SnapshotId,
        body: &str,
        text: &str,
        limits: Limits,
    ) -> Seen<RunId> {
        let request = format!(r#"{{"body":"{body}","text":"{text}"}}"#);
        let run = RunId(self.next);
        self.next += 1;
        let start = Start { run, snapshot, handler: 0, request: &request, limits, seed: [7; 32] };
        self.peer.send(&ToChild::Start(start), None)?;
        Ok(run)
    }

    /// One run by itself.
    fn run(&mut self, snapshot: SnapshotId, body: &str) -> Seen<Outcome> {
        let started = self.start(snapshot, body, "")?;
        self.ended(started).map_err(|error| format!("{body}: {error}"))
    }

    fn ended(&mut self, started: RunId) -> Seen<Outcome> {
        saw!(self.peer.hear()?, Said::Ended(run, outcome) if run == started => Ok(outcome))
    }

    /// A run that answers with this JSON.
    pub(crate) fn answers(&mut self, body: &str, expected: &str) -> Seen {
        let outcome = self.run(APP_ID, body)?;
        is_answer(outcome, expected)
    }

    pub(crate) fn load(&mut self, id: SnapshotId, file: &Arc<OwnedFd>) -> Seen {
        self.peer.send(&ToChild::Load(id), Some(file.clone()))
    }

    fn reply(&mut self, run: RunId, call: u32) -> Seen {
        self.peer.send(&ToChild::Reply { run, call, reply: Ok(r#""back""#) }, None)
    }
}

fn is_answer(outcome: Outcome, expected: &str) -> Seen {
    saw!(outcome, Outcome::Completed { status: 200, body: Some(ref body), .. }
        if body.get() == expected);
    Ok(())
}

/// Begins to talk with a runner.
pub(crate) fn meet(rule: &str, end: &str, reset: ResetMethod) -> (Runner, Seen) {
    let mut peer = Peer::start(&["runner", rule, end]);
    let met = match peer.hear() {
        Ok(Said::Ready(method)) if method == reset => Ok(()),
        other => Err(format!("{other:?}")),
    };
    (Runner { peer, next: 1 }, met)
}

/// The end of an exercise: how it went, once the child has ended as it should.
fn goodbye(peer: Peer, seen: Seen, code: i32, said: &str) -> Seen {
    let (ended, stderr) = peer.end();
    let seen = seen.err().map(|error| format!(" ({error})")).unwrap_or_default();
    if ended == code && stderr.contains(said) && seen.is_empty() {
        return Ok(());
    }
    Err(format!("{ended}: {stderr}{seen}"))
}

/// A life of a runner.
fn serve(rule: &str, end: &str, reset: ResetMethod) -> Seen {
    let (mut runner, met) = meet(rule, end, reset);
    let seen = met.and_then(|()| all_runs(&mut runner));
    goodbye(runner.peer, seen, 0, "")
}

fn all_runs(runner: &mut Runner) -> Seen {
    runner.load(APP_ID, &APPS.app)?;
    runner.answers("plain", r#"[true,"1970-01-01T00:00:00.000Z","ll"]"#)?;
    let run = runner.start(APP_ID, "call", "")?;
    let call = saw!(runner.peer.hear()?, Said::Call(of, call) if of == run => call);
    runner.reply(run, call)?;
    is_answer(runner.ended(run)?, r#""back""#)?;
    runner.answers("sleep", r#""slept""#)?;
    runner.answers("log", "1")?;
    // Twice, as the second finds what the first left.
    for _ in 0..2 {
        saw!(runner.run(APP_ID, "memory")?, Outcome::Limit { limit: Limit::Memory });
        saw!(runner.run(APP_ID, "spin")?, Outcome::Limit { limit: Limit::Cpu });
        saw!(runner.run(APP_ID, "deep")?, Outcome::Error(ref error) if error.name == "RangeError");
        runner.answers("caught", r#""RangeError""#)?;
        runner.answers("dirty", r#""dirty""#)?;
    }
    large_texts(runner)?;
    crash(runner)?;
    odd_messages(runner)?;
    many_at_once(runner)?;
    // In the middle of the ticker's sleep, most of the time.
    for _ in 0..20 {
        runner.answers("log", "1")?;
        runner.peer.pause();
    }
    // The ticker goes to sleep for good, and is woken.
    runner.peer.wait_until_idle();
    runner.answers("log", "1")?;
    runner.peer.wait_until_idle();
    Ok(())
}

fn large_texts(runner: &mut Runner) -> Seen {
    for len in [1 << 20, 6 << 20, 12 << 20] {
        let run = runner.start(APP_ID, "large", &"x".repeat(len))?;
        saw!(runner.ended(run)?, Outcome::Completed { body: Some(ref body), .. }
            if body.get().len() == len + 2);
    }
    Ok(())
}

/// A guest that crashes, which is its script's doing.
fn crash(runner: &mut Runner) -> Seen {
    runner.load(WRECK, &APPS.wreck)?;
    saw!(runner.run(WRECK, "")?, Outcome::Error(ScriptError { ref message, .. })
        if message.starts_with("the script crashed its engine"));
    runner.peer.send(&ToChild::Unload(WRECK), None)
}

fn odd_messages(runner: &mut Runner) -> Seen {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let unsealed = Arc::new(rustix::fs::memfd_create("unsealed", flags).unwrap());
    runner.load(UNSEALED, &unsealed)?;
    for snapshot in [UNSEALED, WRECK] {
        let run = runner.start(snapshot, "plain", "")?;
        saw!(runner.peer.hear()?, Said::NotStarted(of) if of == run);
    }
    let run = runner.start(APP_ID, "call", "")?;
    saw!(runner.peer.hear()?, Said::Call(of, _) if of == run);
    runner.peer.send(&ToChild::Cancel(run), None)?;
    saw!(runner.peer.hear()?, Said::Cancelled(of) if of == run);
    Ok(())
}

/// More runs at once than slots and stacks are kept for.
pub(crate) fn many_at_once(runner: &mut Runner) -> Seen {
    const MANY: usize = 300;
    let mut waiting = Vec::new();
    for _ in 0..MANY {
        runner.start(APP_ID, "call", "")?;
        waiting.push(saw!(runner.peer.hear()?, Said::Call(run, call) => (run, call)));
    }
    for (run, call) in waiting {
        runner.reply(run, call)?;
        is_answer(runner.ended(run)?, r#""back""#)?;
    }
    Ok(())
}

/// A runner that has no mappings left, and so no memory for one more run, says so and lives on.
fn exhaust(rule: &str) -> Seen {
    let (mut runner, met) = meet(rule, "", ResetMethod::CopyBack);
    let seen = met.and_then(|()| {
        runner.load(APP_ID, &APPS.app)?;
        runner.load(SCATTERED_ID, &APPS.scattered)?;
        // With long texts, so that the allocator has to find room elsewhere.
        let text = "x".repeat(15 << 20);
        let mut waiting = Vec::new();
        loop {
            runner.start(SCATTERED_ID, "", if waiting.len() < 3 { &text } else { "" })?;
            match runner.peer.hear()? {
                Said::Call(run, _) => waiting.push(run),
                Said::NotStarted(_) => break,
                other => return Err(format!("{other:?}")),
            }
            if waiting.len() > 1000 {
                return Err("there is no end to its memory".into());
            }
        }
        for _ in 0..8 {
            runner.start(SCATTERED_ID, "", &text)?;
            saw!(runner.peer.hear()?, Said::NotStarted(_));
        }
        for run in waiting {
            runner.peer.send(&ToChild::Cancel(run), None)?;
            saw!(runner.peer.hear()?, Said::Cancelled(of) if of == run);
        }
        runner.answers("log", "1")
    });
    goodbye(runner.peer, seen, 0, "")
}

/// A frame that is no message ends it, and it says why.
fn malformed(role: &str, rule: &str) -> Seen {
    let mut peer = Peer::start(&[role, rule]);
    let seen = peer.hear().map(drop).and_then(|()| {
        rustix::io::write(&peer.socket, &[3, 0, 0, 0, 255, 255, 255]).map_err(crate::peer::text)?;
        // Until it has ended, as closing the socket first would end it well.
        match peer.hear() {
            Err(_) => Ok(()),
            Ok(other) => Err(format!("{other:?}")),
        }
    });
    goodbye(peer, seen, lode_child::exit::BROKEN.into(), "a frame is not a message")
}

/// Something that a defect brings about: how the child must end, and what it must say.
fn end(role: &str, rule: &str, end: &str, code: i32, said: &str) -> Seen {
    goodbye(Peer::start(&[role, rule, end]), Ok(()), code, said)
}

fn defects(role: &str, rule: &str) -> Seen {
    malformed(role, rule)?;
    end(role, rule, "panic", lode_child::exit::BROKEN.into(), "a defect\n")?;
    end(role, rule, "panic-twice", SIGABRT, "another\n")?;
    end(role, rule, "abort", SIGABRT, "")?;
    // A builder's stack is gigabytes.
    if role == "runner" {
        end(role, rule, "overflow", SIGABRT, "has overflowed its stack")?;
    }
    end(role, rule, "allocate", SIGABRT, "memory allocation of")
}

/// All that a runner does, without a rule.
pub(crate) fn runner(rule: &str) -> Seen {
    defects("runner", rule)?;
    serve(rule, "", ResetMethod::CopyBack)?;
    serve(rule, "discard", ResetMethod::Discard)?;
    exhaust(rule)
}

/// A deployment to build.
struct Deployment<'s> {
    name: &'s str,
    text: String,
    library: Option<(&'s str, &'s str)>,
    idle: bool,
    limits: Limits,
}

/// Has a builder build it. Returns what came of it.
fn build(rule: &str, end: &str, deployment: Deployment<'_>, came: fn(Said) -> Seen) -> Seen {
    let mut peer = Peer::start(&["builder", rule, end]);
    let seen = || {
        saw!(peer.hear()?, Said::Ready(_));
        if deployment.idle {
            for _ in 0..20 {
                peer.pause();
                // The ticker wakes, and sleeps again.
                std::thread::sleep(Duration::from_millis(2));
            }
            peer.wait_until_idle();
        }
        let mut sources = vec![Source::entry(deployment.name, deployment.text)];
        sources.extend(deployment.library.map(|(name, text)| Source::library(name, text)));
        peer.send(&ToChild::Build { sources, limits: deployment.limits }, None)?;
        came(peer.hear()?)
    };
    let seen = seen();
    goodbye(peer, seen, 0, "")
}

fn is_snapshot(said: Said) -> Seen {
    let (handlers, file) = saw!(said, Said::Built(Ok(built)) => built);
    saw!(handlers.as_slice(), [one] if one.name == "onRequest");
    // The master, too, takes only a sealed one.
    let seals = rustix::fs::fcntl_get_seals(file.as_fd()).map_err(crate::peer::text)?;
    saw!(seals.contains(rustix::fs::SealFlags::WRITE), true);
    Ok(())
}

/// All that a builder does, without a rule.
pub(crate) fn builder(rule: &str) -> Seen {
    defects("builder", rule)?;
    end("builder", rule, "trap", 0, "the script crashed its engine")?;
    let limits = Limits { wall: Duration::from_secs(60), ..deploy_limits() };
    let of = |name, text: &str| Deployment {
        name,
        text: text.into(),
        library: None,
        idle: false,
        limits: limits.clone(),
    };
    let typed = "import { one } from './one.ts';
                 export const onRequest = (r: Request): number => one + 1;";
    let library = Some(("one.ts", "export const one: number = 1;"));
    build(rule, "", Deployment { library, idle: true, ..of("main.ts", typed) }, is_snapshot)?;
    build(rule, "", of("main.mjs", SCATTERED), is_snapshot)?;
    build(rule, "discard", of("main.mjs", SCATTERED), is_snapshot)?;
    let long = format!("/*{}*/ export const onRequest = () => 1;", "x".repeat(12 << 20));
    build(rule, "", of("main.mjs", &long), is_snapshot)?;
    let syntax = of("main.ts", "const x: = 1;");
    build(rule, "", syntax, |said| fails(said, |f| matches!(f, BuildFailure::Syntax(_))))?;
    let spin = Deployment {
        limits: Limits { cpu: Duration::from_millis(50), ..limits.clone() },
        ..of("main.js", "for (;;);")
    };
    build(rule, "", spin, |said| fails(said, |f| *f == BuildFailure::Limit(Limit::Cpu)))?;
    let bomb = of("main.js", "const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));");
    build(rule, "", bomb, |said| fails(said, |f| *f == BuildFailure::Limit(Limit::Memory)))?;
    let deep = of("main.js", "const deep = () => deep() + 1; deep();");
    build(rule, "", deep, |said| fails(said, |f| matches!(f, BuildFailure::Script(_))))
}

fn fails(said: Said, how: fn(&BuildFailure) -> bool) -> Seen {
    saw!(said, Said::Built(Err(ref failure)) if how(failure));
    Ok(())
}
