//! What the targets share: a valid snapshot to damage, a way to make damage pass for valid, and one run
//! with everything that must hold of any run.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lode_sandbox::{
    Engine, EngineOptions, Host, HostCall, HostError, HostReply, Invocation, Limits, Outcome,
    Snapshot, Source, deploy_limits, run,
};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

const PAGE: usize = 4096;

/// Magic, then the header's length.
const PREFIX: usize = 12;

/// Goes through every function the guest imports: log, host calls, timers, random, URL, finish.
const APP: &str = r#"
function onRequest(request, response, modules) {
  modules.logger.info("begin", request.body);
  const url = new URL("/a?b=c", "https://example.org");
  const random = crypto.randomUUID();
  setTimeout(function () {
    modules.hostCall("find", { url: url.href, n: [1, 2.5, "three", null] }, function (error, found) {
      modules.hostCall("save", found).then(function () {}, function (e) {
        console.log(e.name, random.length);
        response.complete(200, { found: found, failed: e.message });
      });
    });
  }, 5);
}
function onPreSave(request, response, modules) {
  request.body.text = JSON.stringify(request.body).replace(/[a-z]+/g, (w) => w.toUpperCase());
  request.body.sorted = [3, 1, 2].sort((a, b) => a - b);
  response.continue();
}
"#;

const REQUEST: &str =
    r#"{"body":{"name":"order","lines":[1,2,3]},"params":{},"response":{"body":{}}}"#;

/// What is damaged, and what shows afterwards that the damage went no further.
pub(crate) struct Target {
    pub(crate) engine: Engine,
    pub(crate) valid: Snapshot,
    pub(crate) header: Value,
    pub(crate) pages: Vec<u8>,
    answer: String,
}

pub(crate) static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let sources = [Source::entry("app.js", APP)];
    let valid = Snapshot::build(&engine, &sources, &deploy_limits()).0.expect("a snapshot");
    let bytes = valid.as_bytes();
    let len = u32::from_le_bytes(bytes[8..PREFIX].try_into().expect("4 bytes")) as usize;
    let header = serde_json::from_slice(&bytes[PREFIX..PREFIX + len]).expect("a header");
    let pages = bytes[(PREFIX + len).next_multiple_of(PAGE)..].to_vec();
    let answer = answer(&valid);
    assert!(answer.contains("refused"), "the app does not go its whole way: {answer}");
    Target { engine, valid, header, pages, answer }
});

/// A snapshot's bytes, with the digest that makes them believable.
pub(crate) fn assemble(mut header: Value, pages: &[u8]) -> Vec<u8> {
    header["pages"] = Value::from(Sha256::digest(pages).to_vec());
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut bytes = b"LODESNP1".to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header);
    bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    bytes.extend(pages);
    bytes
}

/// Reads the fuzzer's bytes as numbers; zeros when they have run out.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Overwrites parts of `pages`: runs of bytes, or one word written at several places.
pub(crate) fn corrupt(pages: &mut [u8], input: &mut Input<'_>) {
    while !input.0.is_empty() && !pages.is_empty() {
        let at = input.number(4) as usize % pages.len();
        let len = input.number(1) as usize;
        let part = input.take(1 + len % 64);
        let times = if len >= 192 { 64 } else { 1 };
        for time in 0..times {
            let at = (at + time * 64) % pages.len();
            let room = part.len().min(pages.len() - at);
            pages[at..at + room].copy_from_slice(&part[..room]);
        }
    }
}

/// A host whose clock moves by sleeping, and which answers every other call with an error.
struct FixedHost {
    now: Cell<Duration>,
    calls: Cell<usize>,
}

impl Host for FixedHost {
    async fn call(&self, call: HostCall) -> HostReply {
        let number = self.calls.replace(self.calls.get() + 1);
        // Well-formed, whatever the guest's memory holds: others rely on it.
        serde_json::from_str::<Value>(call.args.get()).expect("a host call's arguments are JSON");
        if number % 2 == 0 {
            Ok(RawValue::from_string(r#"{"_id":"x","n":[1,2.5,null]}"#.to_owned()).expect("JSON"))
        } else {
            Err(HostError { name: "TypeError".into(), message: "refused".into() })
        }
    }

    async fn sleep(&self, duration: Duration) {
        // Past the due time, should that have been rounded down on its way here.
        let slept = duration.saturating_add(Duration::from_micros(1));
        self.now.set(self.now.get().saturating_add(slept));
    }

    fn now(&self) -> Duration {
        self.now.get()
    }
}

/// Runs a handler of `snapshot` with tight limits and checks what must hold of every run.
pub(crate) fn check_run(snapshot: &Snapshot, handler: usize) -> Outcome {
    let limits = Limits {
        cpu: Duration::from_millis(20),
        wall: Duration::from_millis(200),
        memory: 16 << 20,
        output: 64 << 10,
        log: 8 << 10,
        calls: 8,
    };
    let host = FixedHost { now: Cell::new(Duration::from_secs(1)), calls: Cell::new(0) };
    let invocation = Invocation { handler, request: REQUEST };
    let report = block_on(run(snapshot, &invocation, &limits, [7; 32], &host));
    if let Outcome::Platform { detail } = &report.outcome {
        let stale = handler >= snapshot.handlers().len() && detail == "no such handler";
        assert!(stale || detail.contains("memory"), "a guest was taken for our failure: {detail}");
    }
    let log: usize = report.logs.iter().map(|line| line.text.len()).sum();
    assert!(log <= limits.log && report.usage.calls <= limits.calls && host.calls.get() <= 8);
    assert!(report.usage.memory_peak <= limits.memory);
    serde_json::to_string(&report).expect("a report is JSON");
    report.outcome
}

fn answer(valid: &Snapshot) -> String {
    serde_json::to_string(&check_run(valid, valid.find("onRequest").expect("it is there")))
        .expect("JSON")
}

/// The next run in this process is as if nothing had happened.
pub(crate) fn check_others() {
    assert_eq!(answer(&TARGET.valid), TARGET.answer, "a run changed what another saw");
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
