//! What a run leaves behind: nothing. After any run the next sandbox of its snapshot reads, byte for
//! byte, what a never-used one reads, by either way of resetting memory; and no app ever sees another's.

mod support;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use lode_sandbox::{
    Engine, EngineOptions, Invocation, Limits, LoadError, ResetMethod, Sandbox, Snapshot, Source,
    deploy_limits,
};
use proptest::prelude::*;
use support::{NOW, SEED, block_on, patient};

/// Does what its request says.
const HOSTILE: &str = "
const kept = new Uint8Array(300000).fill(7); // pages of the snapshot's own to write on
let state = { runs: 0 };
export async function onRequest({ body }, context) {
  state.runs++;
  globalThis.leak = body;
  const random = (() => { let s = body.seed | 1;
    return (n) => { s ^= s << 13; s ^= s >>> 17; s ^= s << 5; return (s >>> 0) % n; }; })();
  const scribble = (bytes, times) => { for (let i = 0; i < times; i++) bytes[random(bytes.length)] = random(255) + 1; };
  scribble(kept, body.seed % 50);
  switch (body.act) {
    case 'nothing': return 1;
    case 'fill': { const all = []; for (let i = 0; i < body.size; i++) all.push(new Uint8Array(1 << 16).fill(0xEE)); return all.length; }
    case 'objects': { const all = []; for (let i = 0; i < body.size * 300; i++) all.push({ i, s: 'secret' + i }); return all.length; }
    case 'scribble': { scribble(kept, 5000); scribble(new Uint8Array(body.size << 16), 5000); return 1; }
    case 'bomb': for (const all = [];;) all.push(new Uint8Array(1 << 16).fill(0xDD));
    case 'throw': kept.fill(9); throw new Error('x');
    case 'overflow': { const f = (...a) => f(...a, 1); return f(); }
    case 'loop': for (;;) scribble(kept, 1000);
    case 'wait': { const big = new Uint8Array(body.size << 16).fill(0xCC); await context.hostCall('never', 1); return big; }
    case 'poison': delete globalThis.Promise; Object.prototype.x = 1; Array.prototype.toJSON = () => 5; return 1;
  }
}";

const ACTS: [&str; 10] = [
    "nothing", "fill", "objects", "scribble", "bomb", "throw", "overflow", "loop", "wait", "poison",
];

/// An engine of its own, or none where this machine lacks the method.
fn engine(method: ResetMethod) -> Option<Engine> {
    match Engine::new(EngineOptions { reset: Some(method), ..EngineOptions::default() }) {
        Ok(engine) => {
            assert_eq!(engine.reset_method(), method);
            Some(engine)
        }
        Err(error) if method == ResetMethod::CopyBack => {
            eprintln!("skipped copy-back: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn build(engine: &Engine, text: &str) -> Snapshot {
    let limits = Limits { cpu: Duration::from_secs(60), ..deploy_limits() };
    Snapshot::build(engine, &[Source::entry("app.mjs", text)], &limits).0.expect("the app builds")
}

fn build_script(engine: &Engine, text: &str) -> Snapshot {
    let source = Source::entry("app.js", text);
    Snapshot::build(engine, &[source], &deploy_limits()).0.expect("the app builds")
}

fn memory_of(snapshot: &Snapshot) -> Vec<u8> {
    Sandbox::new(snapshot, patient()).expect("a sandbox").memory().to_vec()
}

/// The memory that no run has ever touched: of another engine in which nothing ran.
fn never_used(text: &str) -> Vec<u8> {
    memory_of(&build(&engine(ResetMethod::Discard).expect("an engine"), text))
}

/// Fails with the first difference: two MiB of numbers help nobody.
#[track_caller]
fn assert_same(memory: &[u8], expected: &[u8], after: &str) {
    assert_eq!(memory.len(), expected.len(), "the size after {after}");
    if memory != expected {
        let at = memory.iter().zip(expected).position(|(a, b)| a != b).expect("a difference");
        panic!("after {after}: byte {at:#x} is {:#x}, not {:#x}", memory[at], expected[at]);
    }
}

#[derive(Clone, Debug)]
struct Action {
    act: &'static str,
    size: u32,
    seed: u32,
    /// Turns after which the run is dropped.
    polls: u32,
}

fn action() -> impl Strategy<Value = Action> {
    (proptest::sample::select(&ACTS[..]), 1..400_u32, 1..u32::MAX / 2, 0..40_u32)
        .prop_map(|(act, size, seed, polls)| Action { act, size, seed, polls })
}

/// A started run: polled at most `polls` times, then dropped, wherever it is.
fn perform(snapshot: &Snapshot, action: &Action) {
    let request = format!(
        r#"{{"body":{{"act":"{}","size":{},"seed":{}}}}}"#,
        action.act, action.size, action.seed
    );
    let mut sandbox = Sandbox::new(snapshot, patient()).expect("a sandbox");
    let invocation = Invocation { handler: 0, request: &request };
    {
        let mut start = pin!(sandbox.start(&invocation, SEED, NOW));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..action.polls {
            if start.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
    }
    drop(sandbox);
}

fn every_sequence_leaves_nothing(method: ResetMethod) {
    let Some(engine) = engine(method) else { return };
    let expected = never_used(HOSTILE);
    let snapshot = build(&engine, HOSTILE);
    assert_same(&memory_of(&snapshot), &expected, "building it in another engine");
    let config =
        ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(actions in proptest::collection::vec(action(), 1..5))| {
        for action in &actions {
            perform(&snapshot, action);
            assert_same(&memory_of(&snapshot), &expected, &format!("{action:?} of {actions:?}"));
        }
    });
}

#[test]
fn hostile_runs_leave_nothing_with_copy_back() {
    every_sequence_leaves_nothing(ResetMethod::CopyBack);
}

#[test]
fn hostile_runs_leave_nothing_with_discard() {
    every_sequence_leaves_nothing(ResetMethod::Discard);
}

#[test]
fn each_act_to_its_end_leaves_nothing() {
    for method in [ResetMethod::CopyBack, ResetMethod::Discard] {
        let Some(engine) = engine(method) else { continue };
        let snapshot = build(&engine, HOSTILE);
        let expected = memory_of(&snapshot);
        for act in ACTS {
            for size in [1, 20, 500] {
                // A loop has no end but being dropped.
                let polls = if act == "loop" { 30 } else { 100_000 };
                perform(&snapshot, &Action { act, size, seed: 12345, polls });
                assert_same(&memory_of(&snapshot), &expected, &format!("{act} {size} {method:?}"));
            }
        }
    }
}

const SECRET: &str = "T0p-S3cr3t-M4rker-";

/// An app that keeps its request's secret in many places of its memory: whole pages of it too.
fn keeper(salt: &str) -> String {
    format!(
        "export function onRequest({{ body }}) {{
           globalThis.kept = [];
           for (let i = 0; i < 200; i++) kept.push((body.secret + i).repeat(50), {{ [body.secret + i]: i }});
           kept.push(new TextEncoder().encode(body.secret.repeat(20000)));
           return '{salt}'.length; }}"
    )
}

fn finds_secret(memory: &[u8]) -> bool {
    // UTF-8 and QuickJS's 8-bit strings are the same for ASCII.
    memory.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

fn keep_secret(snapshot: &Snapshot) -> Sandbox {
    let request = format!(r#"{{"body":{{"secret":"{SECRET}"}}}}"#);
    let mut sandbox = Sandbox::new(snapshot, patient()).expect("a sandbox");
    let step = block_on(sandbox.start(&Invocation { handler: 0, request: &request }, SEED, NOW));
    assert!(matches!(&step, lode_sandbox::Step::Ended(o) if o.is_success()), "{step:?}");
    assert!(finds_secret(sandbox.memory()), "the search finds what is there");
    sandbox
}

#[test]
fn two_apps_never_see_each_others_bytes() {
    for method in [ResetMethod::CopyBack, ResetMethod::Discard] {
        let Some(engine) = engine(method) else { continue };
        let (a, b) = (build(&engine, &keeper("a")), build(&engine, &keeper("bb")));
        let (memory_a, memory_b) = (memory_of(&a), memory_of(&b));
        // Alternating, and in either order; while the other lives, and after it has gone.
        for (first, second, expected) in
            [(&a, &b, &memory_b), (&b, &a, &memory_a), (&a, &a, &memory_a)]
        {
            let alive = keep_secret(first);
            assert_same(&memory_of(second), expected, "a run of another app that still lives");
            drop(alive);
            let memory = memory_of(second);
            assert!(!finds_secret(&memory), "{method:?}");
            assert_same(&memory, expected, "a run of another app");
        }
    }
}

#[test]
fn forgotten_snapshots_and_released_slots_leave_nothing() {
    for method in [ResetMethod::CopyBack, ResetMethod::Discard] {
        let Some(engine) = engine(method) else { continue };
        for round in 0..5 {
            // Each deployment is new: its image may lie where the last one's did.
            let snapshot = build(&engine, &keeper(&"x".repeat(round + 1)));
            let expected = memory_of(&snapshot);
            drop(keep_secret(&snapshot));
            assert_same(&memory_of(&snapshot), &expected, "a run");
            if round % 2 == 0 {
                engine.release_idle(Duration::ZERO);
                assert_same(&memory_of(&snapshot), &expected, "releasing slots");
            }
        }
    }
}

/// An instance serves many runs: what ends one deep in the engine's stacks must not shorten the next's.
#[test]
fn runs_that_end_deep_in_the_stack_leave_all_of_it() {
    const DEEP: &str = "function onRequest(request, response) {
      let most = 0;
      const measure = (n) => { most = n; measure(n + 1); };
      try { measure(0); } catch { }
      const dive = (n) => n > 0 ? [n].map(() => dive(n - 1)) : response.complete(200, { most });
      dive(200);
    }";
    for method in [ResetMethod::CopyBack, ResetMethod::Discard] {
        let Some(engine) = engine(method) else { continue };
        let snapshot = build_script(&engine, DEEP);
        let run = || {
            let mut sandbox = Sandbox::new(&snapshot, patient()).expect("a sandbox");
            let invocation = Invocation { handler: 0, request: "{}" };
            let step = block_on(sandbox.start(&invocation, SEED, NOW));
            let lode_sandbox::Step::Ended(outcome) = step else { panic!("{step:?}") };
            format!("{outcome:?}")
        };
        let first = run();
        assert!(first.contains("most"), "{first}");
        for _ in 0..50 {
            assert_eq!(run(), first);
        }
    }
}

#[test]
fn many_slots_at_once_are_each_their_own() {
    for method in [ResetMethod::CopyBack, ResetMethod::Discard] {
        let Some(engine) = engine(method) else { continue };
        let snapshot = build(&engine, &keeper("many"));
        let expected = memory_of(&snapshot);
        for _ in 0..2 {
            let mut sandboxes: Vec<Sandbox> = (0..40)
                .map(|index| {
                    if index % 2 == 0 {
                        keep_secret(&snapshot)
                    } else {
                        Sandbox::new(&snapshot, patient()).expect("a sandbox")
                    }
                })
                .collect();
            for sandbox in sandboxes.iter_mut().skip(1).step_by(2) {
                assert_same(sandbox.memory(), &expected, "many at once");
            }
            while let Some(sandbox) = sandboxes.pop() {
                drop(sandbox);
                assert_same(&memory_of(&snapshot), &expected, "dropping one of many");
            }
        }
    }
}

#[test]
fn a_snapshot_survives_bytes_and_files() {
    let engine = support::engine();
    let snapshot = build(engine, HOSTILE);
    let expected = memory_of(&snapshot);
    let from_bytes = Snapshot::from_bytes(engine, snapshot.as_bytes()).expect("its own bytes");
    let file: OwnedFd = snapshot.file().try_clone_to_owned().expect("a descriptor");
    let from_file = Snapshot::from_file(engine, file).expect("its own file");
    for loaded in [from_bytes, from_file] {
        assert_eq!(loaded.key(), snapshot.key());
        assert_eq!(loaded.handlers(), snapshot.handlers());
        assert_eq!(loaded.as_bytes(), snapshot.as_bytes());
        assert_same(&memory_of(&loaded), &expected, "loading");
        perform(&loaded, &Action { act: "scribble", size: 50, seed: 3, polls: 100_000 });
        assert_same(&memory_of(&loaded), &expected, "a run of a loaded snapshot");
    }
    let again = build(engine, HOSTILE);
    assert_eq!(again.as_bytes(), snapshot.as_bytes(), "the same sources give the same snapshot");
    let other = support::app("function onRequest() { return 2; }");
    assert_ne!(other.key(), snapshot.key());
}

/// Loading says no, or gives a snapshot whose sandbox can be made: it never crashes.
fn load(bytes: &[u8]) -> Result<(), LoadError> {
    let snapshot = Snapshot::from_bytes(support::engine(), bytes)?;
    drop(Sandbox::new(&snapshot, patient()));
    Ok(())
}

#[test]
fn truncated_snapshots_are_refused() {
    let snapshot = build(support::engine(), HOSTILE);
    let bytes = snapshot.as_bytes();
    for length in (0..bytes.len()).step_by(997) {
        let error = load(&bytes[..length]).expect_err("cut off");
        assert!(!matches!(error, LoadError::OtherEngine), "{length}: {error}");
    }
    let longer = [bytes, &[0]].concat();
    load(&longer).expect_err("one byte too many");
}

#[test]
fn snapshots_with_flipped_bits_are_refused_or_harmless() {
    let snapshot = build(support::engine(), HOSTILE);
    let mut bytes = snapshot.as_bytes().to_vec();
    let header = 12 + u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes")) as usize;
    // Every bit of the prefix and some of each header byte; one in 997 bytes of the pages.
    let pages = header.next_multiple_of(4096);
    for at in (0..header).chain((pages..bytes.len()).step_by(997)) {
        for bit in if at < 12 { 0..8 } else { at % 8..at % 8 + 1 } {
            bytes[at] ^= 1 << bit;
            let loaded = load(&bytes);
            assert!(
                at >= 12 && at < header || loaded.is_err(),
                "byte {at} bit {bit} is not checked"
            );
            bytes[at] ^= 1 << bit;
        }
    }
    load(&bytes).expect("as it was");
}

/// The snapshot's header, changed.
fn with_header(snapshot: &Snapshot, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let bytes = snapshot.as_bytes();
    let len = u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes")) as usize;
    let mut header = serde_json::from_slice(&bytes[12..12 + len]).expect("a header");
    change(&mut header);
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut changed = bytes[..8].to_vec();
    changed.extend(u32::try_from(header.len()).expect("short").to_le_bytes());
    changed.extend(header);
    changed.resize(changed.len().next_multiple_of(4096), 0);
    changed.extend(&bytes[(12 + len).next_multiple_of(4096)..]);
    changed
}

/// A page in every 17, so that none is stored with the last: 480 pieces, and twice as many mappings per slot.
#[test]
fn memory_that_is_spread_out_is_a_snapshot_of_few_pieces() {
    const SPREAD: &str = "const bytes = new Uint8Array(32 << 20);
      for (let at = 0; at < bytes.length; at += 17 * 4096) bytes[at] = 1 + at % 251;
      function onRequest(request, response) {
        let wrong = 0;
        for (let at = 0; at < bytes.length; at += 4096)
          if (bytes[at] !== (at % (17 * 4096) ? 0 : 1 + at % 251)) wrong += 1;
        response.complete(200, { wrong });
      }";
    let snapshot = build_script(support::engine(), SPREAD);
    let mut pieces = 0;
    let whole = with_header(&snapshot, |header| {
        pieces = header["changed"].as_array().expect("a list").len();
    });
    assert!((2..=64).contains(&pieces), "{pieces}");
    let loaded = Snapshot::from_bytes(support::engine(), &whole).expect("the truth");
    let mut sandbox = Sandbox::new(&loaded, patient()).expect("a sandbox");
    let invocation = Invocation { handler: 0, request: "{}" };
    let step = block_on(sandbox.start(&invocation, SEED, NOW));
    let lode_sandbox::Step::Ended(outcome) = step else { panic!("{step:?}") };
    let lode_sandbox::Outcome::Completed { body, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(body.as_deref().map(|json| json.get()), Some(r#"{"wrong":0}"#));
    let spread = with_header(&snapshot, |header| {
        let pieces = (0..65).map(|n| serde_json::json!([n * 8192, 4096, false]));
        header["changed"] = pieces.collect();
    });
    load(&spread).expect_err("too many pieces");
}

#[test]
fn headers_that_lie_are_refused() {
    use serde_json::json;
    let snapshot = build(support::engine(), HOSTILE);
    load(&with_header(&snapshot, |_| ())).expect("the truth");
    let size = |size: u64| with_header(&snapshot, |header| header["size"] = json!(size));
    for lie in [0, 1, 4096, (1 << 32) + 65536, 1 << 33, u64::MAX, u64::MAX - 4095] {
        load(&size(lie)).expect_err("a lie about the size");
    }
    for extent in [
        json!([0, u64::MAX, true]),
        json!([u64::MAX, 4096, true]),
        json!([1, 4096, true]),
        json!([4096, 1, true]),
        json!([1_u64 << 40, 4096, true]),
        json!([1_u64 << 40, 4096, false]),
        json!([u64::MAX - 4095, 4096, false]),
        json!([4096, u64::MAX - 4095, true]),
        json!([4096, 1_u64 << 40, true]),
        json!([0, 1_u64 << 32, true]),
        json!([u64::MAX - 4095, 8192, true]),
    ] {
        load(&with_header(&snapshot, |header| header["changed"] = json!([extent])))
            .expect_err("a lie");
        let behind = with_header(&snapshot, |header| {
            header["changed"].as_array_mut().expect("a list").push(extent.clone());
        });
        load(&behind).expect_err("a lie at the end");
    }
    let twice = with_header(&snapshot, |header| {
        let first = header["changed"][0].clone();
        header["changed"].as_array_mut().expect("a list").push(first);
    });
    load(&twice).expect_err("overlapping extents");
    let other = with_header(&snapshot, |header| {
        let first = header["engine"][0].as_u64().expect("a byte");
        header["engine"][0] = json!(first ^ 1);
    });
    assert!(matches!(load(&other), Err(LoadError::OtherEngine)));
    let mut wrong = snapshot.as_bytes().to_vec();
    wrong[7] = b'2';
    assert!(matches!(load(&wrong), Err(LoadError::Malformed(_))));
}

#[test]
fn files_that_could_still_change_are_refused() {
    let snapshot = build(support::engine(), HOSTILE);
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let unsealed = rustix::fs::memfd_create("unsealed", flags).expect("a memory file");
    let mut file = std::fs::File::from(unsealed);
    file.write_all(snapshot.as_bytes()).expect("written");
    Snapshot::from_file(support::engine(), file.into()).expect_err("not sealed");

    let path = std::env::temp_dir().join(format!("lode-residue-{}", std::process::id()));
    std::fs::write(&path, snapshot.as_bytes()).expect("written");
    let file = std::fs::File::open(&path).expect("opened");
    let refused = Snapshot::from_file(support::engine(), file.into());
    std::fs::remove_file(&path).expect("removed");
    refused.expect_err("an ordinary file");

    let null = std::fs::File::open("/dev/null").expect("opened");
    Snapshot::from_file(support::engine(), null.into()).expect_err("a device");
}

// ---- memory of idle slots ----

/// Private memory of this process that is resident now, in MiB.
fn resident_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") >> 10
}

/// Many runs at once write on all of an app's memory, and end.
fn idle_slots_hold_no_memory(method: ResetMethod, mib_each: usize, release: bool) {
    const RUNS: usize = 16;
    // What is measured is the process's. nextest gives each test one; under `cargo test` at least these
    // two must not meet.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(engine) = engine(method) else { return };
    let text = format!(
        "const kept = new Uint8Array({} << 20).fill(7);
         export async function onRequest(request, context) {{
           kept.fill(9); await context.hostCall('never', 1);
         }}",
        mib_each
    );
    let snapshot = build(&engine, &text);
    let before = resident_mib();
    let sandboxes: Vec<Sandbox> = (0..RUNS)
        .map(|_| {
            let mut sandbox = Sandbox::new(&snapshot, patient()).expect("a sandbox");
            let invocation = Invocation { handler: 0, request: "{}" };
            let step = block_on(sandbox.start(&invocation, SEED, NOW));
            assert!(matches!(step, lode_sandbox::Step::Waiting { .. }), "{step:?}");
            sandbox
        })
        .collect();
    let busy = resident_mib();
    // Three quarters: other tests of this process give memory back meanwhile.
    let margin = RUNS * mib_each / 4;
    assert!(busy >= before + 3 * margin, "{before} MiB, {busy} MiB with all runs alive");
    drop(sandboxes);
    if release {
        assert_eq!(engine.release_idle(Duration::ZERO), 0);
    }
    let idle = resident_mib();
    assert!(idle <= before + margin, "{before} MiB, {busy} MiB busy, {idle} MiB idle");
    // And the app still runs, from its image.
    let memory = memory_of(&snapshot);
    let written = memory.windows(4096).step_by(4096).any(|page| page.iter().all(|byte| *byte == 9));
    assert!(!written, "a page of the runs before");
}

#[test]
fn idle_slots_give_their_memory_back_when_released() {
    // Below the bound of what a slot may keep, so that copy-back does keep it until then.
    idle_slots_hold_no_memory(ResetMethod::CopyBack, 3, true);
    idle_slots_hold_no_memory(ResetMethod::Discard, 3, true);
}

#[test]
fn a_slot_keeps_only_so_much_memory_between_runs() {
    idle_slots_hold_no_memory(ResetMethod::CopyBack, 8, false);
    idle_slots_hold_no_memory(ResetMethod::Discard, 8, false);
}
