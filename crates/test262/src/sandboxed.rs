//! A variant inside the sandbox: a deployment, and one run of it.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use futures_executor::block_on;
use lode_sandbox::{
    BuildError, Engine, Host, HostCall, HostError, HostReply, Invocation, Limits, Outcome,
    Snapshot, Source, SourceKind, run,
};
use serde_json::json;

use crate::native::RUNNER;
use crate::suite::{Variant, resolve};
use crate::verdict::Ending;

/// Scripts are deployed as functions; evaluating a test's text indirectly gives it the global scope.
const RUN_SCRIPT: &str = "\nfunction onRequest(request, response) {
  const complete = response.complete;
  runner.run(request.source, request.waits, (answer) => complete(200, answer));
}";

/// Modules are evaluated when they are deployed; the run only asks what came of that.
const REPORT_MODULE: &str = "\nlet answer;
runner.prepare((said) => { answer ??= said; });
(0, eval)(harness);
function onRequest(request, response) {
  if (answer !== undefined || !request.waits) response.complete(200, answer ?? 'ok');
}";

/// Runs scripts and modules in sandboxes of one engine.
pub(crate) struct Sandboxes {
    engine: Engine,
    /// The deployment of every script that imports nothing: they share it, never a sandbox.
    scripts: Snapshot,
    limits: Limits,
}

impl Sandboxes {
    pub(crate) fn new(engine: Engine, cpu: Duration) -> Result<Self, BuildError> {
        let limits = Limits { cpu, wall: cpu * 4, memory: 256 << 20, ..Limits::default() };
        let source = script("run.cjs", RUN_SCRIPT);
        let scripts = Snapshot::build(&engine, &[source], &limits).0?;
        Ok(Self { engine, scripts, limits })
    }

    pub(crate) fn run(&self, variant: &Variant) -> Ending {
        if variant.mode != "module" && variant.imports.is_empty() {
            return self.ask(&self.scripts, variant);
        }
        match Snapshot::build(&self.engine, &sources(variant), &self.limits).0 {
            Ok(snapshot) => self.ask(&snapshot, variant),
            Err(BuildError::Syntax(e) | BuildError::Script(e)) => Ending::Threw(e.to_string()),
            Err(BuildError::NeverSettles) => Ending::Never,
            Err(BuildError::Limit(limit)) => Ending::Limit(limit.to_string()),
            Err(BuildError::TopLevel(e)) => Ending::Threw(format!("TopLevel: {}", e.message)),
            Err(error) => Ending::Platform(error.to_string()),
        }
    }

    fn ask(&self, snapshot: &Snapshot, variant: &Variant) -> Ending {
        let request = json!({ "source": variant.text, "waits": variant.waits }).to_string();
        let invocation = Invocation { handler: 0, request: &request };
        match block_on(run(snapshot, &invocation, &self.limits, [1; 32], &NoHost)).outcome {
            Outcome::Completed { body: Some(body), .. } => {
                match serde_json::from_str::<String>(body.get()) {
                    Ok(answer) => Ending::answered(&answer),
                    Err(error) => Ending::Platform(format!("{error}: {body}")),
                }
            }
            Outcome::Error(error) => Ending::Threw(error.to_string()),
            Outcome::Limit { limit } => Ending::Limit(limit.to_string()),
            Outcome::NeverCompleted => Ending::Never,
            other => Ending::Platform(format!("{other:?}")),
        }
    }
}

fn script(name: &str, tail: &str) -> Source {
    let text = format!("const runner = {RUNNER};{tail}");
    Source { name: name.into(), text, kind: SourceKind::Script, entry: true }
}

fn sources(variant: &Variant) -> Vec<Source> {
    let mut imports: BTreeMap<&String, &String> = variant.imports.iter().collect();
    if variant.mode == "module" {
        imports.remove(&variant.path);
    }
    let mut sources: Vec<Source> =
        imports.iter().map(|(name, text)| module(name, text, false)).collect();
    if variant.mode == "module" {
        let place = resolve(&variant.path, "./run.cjs").unwrap_or_default();
        let harness = json!(global_names(&variant.harness));
        sources.push(script(&place, &format!("\nconst harness = {harness};{REPORT_MODULE}")));
        sources.push(module(&variant.path, &variant.text, true));
    } else {
        sources.push(script("run.cjs", RUN_SCRIPT));
    }
    sources
}

fn module(name: &str, text: &str, entry: bool) -> Source {
    let kind = if name.ends_with(".json") { SourceKind::Json } else { SourceKind::Module };
    Source { name: name.into(), text: text.into(), kind, entry }
}

/// An evaluated text keeps its classes and constants to itself; modules need the harness's.
pub(crate) fn global_names(harness: &str) -> String {
    let mut text = harness.to_owned();
    for line in harness.lines() {
        let name = ["const ", "let ", "class "].iter().find_map(|word| line.strip_prefix(word));
        let name: String = name
            .unwrap_or_default()
            .chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
            .collect();
        if !name.is_empty() {
            // Some are within a function, and only look as if they were not.
            text += &format!("\ntry {{ globalThis.{name} = {name}; }} catch {{}}");
        }
    }
    text
}

/// Tests know no host calls.
struct NoHost;

impl Host for NoHost {
    async fn call(&self, _: HostCall) -> HostReply {
        Err(HostError { name: "Error".into(), message: "there is no host".into() })
    }

    async fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}
