//! `lode test`: runs an app's `*.test.js`, each test in a sandbox of its own, and each handler that it calls
//! in another.
//!
//! A test file has the globals `test(name, async (t) => …)` and `assert`, and calls the app's handlers by
//! `await t.run('orders/onPreSave', {body: …}, {'data.findOne': …})`: the request, and what its host calls
//! are answered with. What it gets is the run's outcome, its logs, and the calls it made (types/lode-test.d.ts).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use lode_sandbox::{
    Engine, EngineOptions, Invocation, Limits, Outcome, Report, Snapshot, Source, SourceKind,
    deploy_limits, random_seed,
};
use serde_json::{Value, json};

use crate::{Failure, app, exit, report};

mod host;

use host::{Handlers, Tests};

/// The globals of a test file, and what runs one of its tests.
const PRELUDE: &str = include_str!("prelude.mjs");
const PRELUDE_NAME: &str = "lode-test.mjs";

/// What a test may use: it waits for handlers, which have limits of their own.
fn limits() -> Limits {
    Limits {
        cpu: Duration::from_secs(5),
        wall: Duration::from_secs(60),
        calls: 10_000,
        ..Limits::default()
    }
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder in Kinvey's layout or of modules, with `*.test.js` files in it.
    path: PathBuf,
    /// Only tests whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let sources = app::load(&arguments.path)?;
    let files = app::tests(&arguments.path)?;
    if files.is_empty() {
        let path = arguments.path.display();
        return Err(Failure::usage(format!("{path}: no *.test.js, *.test.mjs or *.test.ts in it")));
    }
    let engine = Engine::new(EngineOptions::default()).map_err(Failure::platform)?;
    let app = build(&engine, &sources)?;
    let handlers = Handlers::new(app);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(Failure::platform)?;
    let began = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let name = file.name.clone();
        let suite = build(&engine, &suite(&sources, file))?;
        let handler = app::select(suite.handlers(), Some("main.mjs#onRequest"))?;
        let ask = |body: Value| {
            let request = json!({ "body": body }).to_string();
            let invocation = Invocation { handler, request: &request };
            let seed = random_seed().map_err(Failure::platform)?;
            let tests = Tests(&handlers);
            Ok::<_, Failure>(runtime.block_on(lode_sandbox::run(
                &suite,
                &invocation,
                &limits(),
                seed,
                &tests,
            )))
        };
        for (index, test) in names(&ask(json!({ "list": true }))?, &name)?.iter().enumerate() {
            if !test.contains(&arguments.only) {
                continue;
            }
            let report = ask(json!({ "index": index }))?;
            if report.outcome.is_success() {
                passed += 1;
                println!("ok      {name}: {test}");
            } else {
                failed += 1;
                println!("FAILED  {name}: {test}");
                println!("{}", why(&report));
            }
        }
    }
    println!("{passed} passed, {failed} failed, {} ms", began.elapsed().as_millis());
    Ok(if failed == 0 { 0 } else { exit::SCRIPT })
}

fn build(engine: &Engine, sources: &[Source]) -> Result<Snapshot, Failure> {
    let (snapshot, _) = Snapshot::build(engine, sources, &deploy_limits());
    snapshot.map_err(|error| crate::run::build_failure(&error, sources))
}

/// A deployment whose only handler runs one test of a file.
fn suite(sources: &[Source], file: Source) -> Vec<Source> {
    let import = format!(
        "import {:?};\nimport {:?};\n",
        format!("./{PRELUDE_NAME}"),
        format!("./{}", file.name)
    );
    let main = format!("{import}export {{ onRequest }} from {:?};\n", format!("./{PRELUDE_NAME}"));
    let libraries = sources.iter().cloned().map(|source| Source { entry: false, ..source });
    let mut all: Vec<Source> = libraries.collect();
    all.push(Source::library(PRELUDE_NAME, PRELUDE));
    // A test file without imports would be taken for a classic script, which nothing can import.
    let kind = if file.kind == SourceKind::JavaScript { SourceKind::Module } else { file.kind };
    all.push(Source { kind, ..file });
    all.push(Source::entry("main.mjs", main));
    all
}

fn names(report: &Report, file: &str) -> Result<Vec<String>, Failure> {
    let Outcome::Completed { body: Some(body), .. } = &report.outcome else {
        return Err(Failure { message: format!("{file}:\n{}", why(report)), code: exit::SCRIPT });
    };
    serde_json::from_str(body.get()).map_err(Failure::platform)
}

fn why(report: &Report) -> String {
    let mut text = String::new();
    for line in &report.logs {
        text.push_str(&format!("    | {}\n", report::printable(&line.text)));
    }
    text.push_str(&match &report.outcome {
        Outcome::Error(error) => format!("    {error}\n{}", error.stack),
        other => format!("    {}", report::words(other)),
    });
    text
}
