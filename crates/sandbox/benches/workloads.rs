//! Every workload of bench/workloads, fresh (a new sandbox per run) and warm (one sandbox for all runs,
//! its state shared: the floor). Criterion drives; each run is also timed by itself, for the p50 and p99
//! that bench/peers reports too. Rows go to the file that `LODE_BENCH_OUT` names, as JSON.
//!
//! Warm runs are one long run of a handler that asks the host for each request and hands the last result
//! with the question, so both cross the same border as JSON text.

mod support;

use std::time::{Duration, Instant};

use criterion::Criterion;
use futures_executor::block_on;
use lode_sandbox::{
    Engine, EngineOptions, Event, Invocation, Json, Limits, Sandbox, Snapshot, Source, Step,
    deploy_limits,
};
use support::{Workload, json};

/// Benchmarks are trusted, and loaded machines are slow.
fn limits() -> Limits {
    Limits {
        cpu: Duration::from_secs(3000),
        wall: Duration::from_secs(3000),
        calls: u32::MAX,
        ..Limits::default()
    }
}

fn build(engine: &Engine, text: String) -> Snapshot {
    let source = Source::entry("workload.mjs", text);
    Snapshot::build(engine, &[source], &deploy_limits()).0.expect("the workload builds")
}

fn fresh(snapshot: &Snapshot, workload: &Workload) {
    let invocation = Invocation { handler: 0, request: &workload.request };
    let mut sandbox = Sandbox::new(snapshot, limits()).expect("a sandbox");
    let now = Duration::from_secs(1_700_000_000);
    let mut step = block_on(sandbox.start(&invocation, [7; 32], now));
    while let Step::Waiting { calls, .. } = step {
        let reply = Ok(workload.answer.clone().expect("an answer to the workload's host call"));
        step = block_on(sandbox.resume(Event::Reply { call: calls[0].id, reply }, now));
    }
    let Step::Ended(outcome) = step else { unreachable!() };
    assert!(outcome.is_success(), "{outcome:?}");
}

/// A sandbox in the warm loop, waiting for its next request.
struct Warm {
    sandbox: Sandbox,
    next: u32,
}

impl Warm {
    fn new(snapshot: &Snapshot) -> Self {
        let mut sandbox = Sandbox::new(snapshot, limits()).expect("a sandbox");
        let invocation = Invocation { handler: 0, request: "{}" };
        let step = block_on(sandbox.start(&invocation, [7; 32], Duration::ZERO));
        let Step::Waiting { calls, .. } = step else { panic!("{step:?}") };
        Self { sandbox, next: calls[0].id }
    }

    fn run(&mut self, request: &Json, answer: Option<&Json>) {
        let mut reply = request.clone();
        loop {
            let event = Event::Reply { call: self.next, reply: Ok(reply) };
            let step = block_on(self.sandbox.resume(event, Duration::ZERO));
            let Step::Waiting { calls, .. } = step else { panic!("the warm run ended: {step:?}") };
            self.next = calls[0].id;
            if calls[0].name == "next" {
                return;
            }
            reply = answer.expect("an answer to the workload's host call").clone();
        }
    }
}

const WARM_LOOP: &str = "\nexport async function onRequest(request, context) {
  globalThis.hostCall = context.hostCall;
  for (let result = null;;) {
    const given = await context.hostCall('next', result);
    result = handler(given);
    if (result instanceof Promise) result = await result;
  }
}";

const FRESH_TAIL: &str = "\nexport function onRequest(request, context) {
  globalThis.hostCall = context.hostCall;
  return handler(request);
}";

fn time(
    criterion: &mut Criterion,
    rows: &mut Vec<serde_json::Value>,
    mode: &str,
    workload: &Workload,
    mut run: impl FnMut(),
) -> f64 {
    let mut samples = Vec::new();
    criterion.bench_function(&format!("{}/{mode}", workload.name), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let started = Instant::now();
                run();
                let elapsed = started.elapsed();
                samples.push(elapsed);
                total += elapsed;
            }
            total
        });
    });
    if samples.is_empty() {
        return f64::NAN; // filtered out on the command line
    }
    let row = support::row(mode, &workload.name, &mut samples);
    let p50 = row["p50_us"].as_f64().unwrap_or(f64::NAN);
    rows.push(row);
    p50
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .configure_from_args();
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let metered = Engine::new(EngineOptions { metering: true, ..EngineOptions::default() })
        .expect("a metered engine");
    let mut rows = Vec::new();
    let mut ratios = serde_json::Map::new();
    for workload in support::workloads() {
        let source = format!("{}{FRESH_TAIL}", workload.source);
        let snapshot = build(&engine, source.clone());
        let per_fresh =
            time(&mut criterion, &mut rows, "fresh", &workload, || fresh(&snapshot, &workload));
        let request = json(&workload.request);
        let mut warm = Warm::new(&build(&engine, format!("{}{WARM_LOOP}", workload.source)));
        let per_warm = time(&mut criterion, &mut rows, "warm", &workload, || {
            warm.run(&request, workload.answer.as_ref());
        });
        let snapshot = build(&metered, source);
        let per_metered =
            time(&mut criterion, &mut rows, "metered", &workload, || fresh(&snapshot, &workload));
        ratios.insert(
            workload.name.clone(),
            serde_json::json!({
                "fresh_to_warm": support::round(per_fresh / per_warm),
                "metered_to_fresh": support::round(per_metered / per_fresh),
            }),
        );
        let source = workload.source.clone() + FRESH_TAIL;
        time(&mut criterion, &mut rows, "deploy", &workload, || {
            drop(build(&engine, source.clone()))
        });
    }
    support::write(&rows, &ratios);
}
