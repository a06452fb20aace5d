//! The outside of a test, and of the handlers it calls.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use lode_sandbox::{
    Host, HostCall, HostError, HostReply, Invocation, Limits, Snapshot, random_seed,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The app whose handlers tests call.
pub(super) struct Handlers {
    app: Snapshot,
}

impl Handlers {
    pub(super) fn new(app: Snapshot) -> Self {
        Self { app }
    }
}

/// A test's own host calls: `test.run` is its only one.
pub(super) struct Tests<'h>(pub(super) &'h Handlers);

#[derive(Deserialize)]
struct Run {
    handler: String,
    request: Map<String, Value>,
    #[serde(default)]
    mocks: HashMap<String, Value>,
}

impl Host for Tests<'_> {
    async fn call(&self, call: HostCall) -> HostReply {
        if call.name != "test.run" {
            let message = format!("a test itself can call handlers only, not {}", call.name);
            return Err(error("NotAvailableError", message));
        }
        let run: Run = serde_json::from_str(call.args.get())
            .map_err(|e| error("TypeError", format!("t.run(handler, request, mocks): {e}")))?;
        let handlers = self.0.app.handlers();
        let handler = lode_sandbox::Handler::find(handlers, &run.handler)
            .map_err(|_| error("TypeError", format!("the app has no handler {}", run.handler)))?;
        let request = Value::from(run.request).to_string();
        let invocation = Invocation { handler, request: &request };
        let seed = random_seed().map_err(|e| error("Error", e.to_string()))?;
        let mocks = Mocks { answers: RefCell::new(run.mocks), calls: RefCell::default() };
        let limits = Limits::default();
        // Boxed: a run within a run.
        let report =
            Box::pin(lode_sandbox::run(&self.0.app, &invocation, &limits, seed, &mocks)).await;
        let logs: Vec<&str> = report.logs.iter().map(|line| line.text.as_str()).collect();
        let calls = mocks.calls.take();
        let seen = json!({ "outcome": report.outcome, "logs": logs, "calls": calls });
        serde_json::value::to_raw_value(&seen).map_err(|e| error("Error", e.to_string()))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Answers a handler's host calls with what its test said. `{sequence: […]}` is answered in turn,
/// `{error: {name, message}}` fails.
struct Mocks {
    answers: RefCell<HashMap<String, Value>>,
    calls: RefCell<Vec<Value>>,
}

impl Host for Mocks {
    async fn call(&self, call: HostCall) -> HostReply {
        let args: Value = serde_json::from_str(call.args.get()).unwrap_or_default();
        self.calls.borrow_mut().push(json!({ "name": call.name, "args": args }));
        let mut answers = self.answers.borrow_mut();
        let Some(answer) = answers.get_mut(&call.name) else {
            let message = format!("the test has no mock for {}", call.name);
            return Err(error("NotAvailableError", message));
        };
        let answer = match answer.get_mut("sequence") {
            Some(Value::Array(turns)) if turns.is_empty() => {
                let message = format!("the test's mock for {} has no answer left", call.name);
                return Err(error("NotAvailableError", message));
            }
            Some(Value::Array(turns)) => turns.remove(0),
            _ => answer.clone(),
        };
        if let Some(failure) = answer.get("error").filter(|failure| failure.is_object()) {
            let text = |name: &str| failure[name].as_str().unwrap_or("Error").to_owned();
            return Err(error(&text("name"), text("message")));
        }
        serde_json::value::to_raw_value(&answer).map_err(|e| error("Error", e.to_string()))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn error(name: &str, message: String) -> HostError {
    HostError { name: name.into(), message }
}
