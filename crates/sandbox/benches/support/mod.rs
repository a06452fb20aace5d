//! The workloads, and rows in the shape of bench/peers.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lode_sandbox::Json;
use serde_json::{Value, json as object};

pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) request: String,
    pub(crate) answer: Option<Json>,
}

pub(crate) fn json(text: &str) -> Json {
    serde_json::value::RawValue::from_string(text.to_owned()).expect("JSON")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../bench/workloads")
}

/// The workloads of the manifest whose files are there (lodash comes from npm).
pub(crate) fn workloads() -> Vec<Workload> {
    let read = |name: &str| fs::read_to_string(folder().join(name));
    let manifest: Value =
        serde_json::from_str(&read("workloads.json").expect("the manifest")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let mut workloads = Vec::new();
    for entry in manifest["workloads"].as_array().expect("a list") {
        let name = text(&entry["name"]);
        let mut source = read(&format!("{name}.js")).expect("the workload");
        if let Some(library) = entry["library"].as_str() {
            let library = &manifest["libraries"][library];
            let Ok(code) = read(library["file"].as_str().expect("a path")) else {
                eprintln!("skipped {name}: run `npm ci` in bench/peers first");
                continue;
            };
            source = text(&library["before"]) + &code + &text(&library["after"]) + &source;
        }
        let request = &entry["request"];
        let request = if let Some(json) = request["json"].as_str() {
            json.to_owned()
        } else if let Some(file) = request["file"].as_str() {
            read(file).expect("the request").trim().to_owned()
        } else {
            let parts = &request["text"];
            let part = read(parts["file"].as_str().expect("a path")).expect("the request");
            let times = parts["times"].as_u64().expect("a number") as usize;
            let joined = vec![part.trim_end().to_owned(); times].join(&text(&parts["join"]));
            let whole = text(&parts["open"]) + &joined + &text(&parts["close"]);
            object!({ "text": whole }).to_string()
        };
        let answer = entry["answer"].as_str().map(json);
        workloads.push(Workload { name, source, request, answer });
    }
    workloads
}

pub(crate) fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

pub(crate) fn row(mode: &str, workload: &str, samples: &mut [Duration]) -> Value {
    samples.sort();
    let at = |share: f64| {
        let index = ((samples.len() as f64 * share) as usize).min(samples.len() - 1);
        round(samples[index].as_nanos() as f64 / 1000.0)
    };
    let mean = samples.iter().sum::<Duration>().as_secs_f64() / samples.len() as f64;
    object!({
        "peer": "lode", "mode": mode, "workload": workload, "p50_us": at(0.5), "p99_us": at(0.99),
        "min_us": at(0.0), "runs_per_s": (1.0 / mean).round(), "samples": samples.len(),
    })
}

pub(crate) fn write(rows: &[Value], ratios: &serde_json::Map<String, Value>) {
    let report = object!({ "results": rows, "ratios": ratios });
    eprintln!("\n{:16} {:8} {:>10} {:>10}", "workload", "mode", "p50 µs", "p99 µs");
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        let (workload, mode) = (text("workload"), text("mode"));
        eprintln!("{workload:16} {mode:8} {:10.1} {:10.1}", number("p50_us"), number("p99_us"));
    }
    eprintln!("{}", serde_json::to_string_pretty(ratios).unwrap_or_default());
    if let Some(path) = std::env::var_os("LODE_BENCH_OUT") {
        fs::write(path, serde_json::to_string_pretty(&report).unwrap_or_default())
            .expect("the report can be written");
    }
}
