//! The last failed runs of each app, kept so that they can be run again (`lode replay`).

use std::time::Instant;

use serde_json::{Value, json};

use crate::call::Call;
use crate::error::ApiError;
use crate::time;

/// The kind that recordings are kept as, and how many of an app: the last ones, as the first of a flood of
/// failures is no better than the others.
pub(crate) const RUNS: &str = "run";
const MOST: u32 = 20;

/// Keeps a failed run, unless the app had one kept within the last second.
pub(crate) fn keep(call: &Call, label: &str, error: &ApiError, recording: &str) {
    if !call.api.0.logs.may_keep(&call.app.key, Instant::now()) {
        return;
    }
    // A child's words: what is no JSON is nobody's recording.
    let Ok(mut recording) = serde_json::from_str::<Value>(recording) else { return };
    redact(&mut recording);
    let limits = &call.app.limits;
    let kept = json!({
        "handler": label,
        "time": time::iso(time::now_ms()),
        "deployment": call.app.record.active,
        "error": error.kind.name(),
        "debug": error.debug,
        "limits": {
            "cpuMs": u64::try_from(limits.cpu.as_millis()).unwrap_or(u64::MAX),
            "wallMs": u64::try_from(limits.wall.as_millis()).unwrap_or(u64::MAX),
            "memory": limits.memory,
            "calls": limits.calls,
        },
        "recording": recording,
    });
    let (api, app, id) = (call.api.clone(), call.app.key.clone(), call.trace.id.clone());
    // Its client need not wait for that.
    tokio::spawn(async move {
        if let Err(error) = api.0.store.keep(&app, RUNS, &id, &kept, MOST).await {
            tracing::warn!(%error, "a recording could not be kept");
        }
    });
}

/// Takes passwords and sessions' tokens out of the recorded request, wherever in it they are. (The app's secrets are
/// in no recording: they never enter a sandbox; a run's own tokens are worth nothing once it has ended.)
fn redact(recording: &mut Value) {
    let Some(request) = recording.get("request").and_then(Value::as_str) else { return };
    let Ok(mut request) = serde_json::from_str::<Value>(request) else { return };
    hide(&mut request);
    recording["request"] = request.to_string().into();
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.to_lowercase();
                let is_secret = ["password", "authtoken"].iter().any(|part| name.contains(part));
                match value {
                    Value::String(text) if is_secret => {
                        // As long as it was, so that a script takes the same way.
                        *text = "*".repeat(text.chars().count());
                    }
                    value => hide(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn passwords_and_tokens_are_not_kept() {
        let request = json!({
            "body": { "username": "ada", "list": [{ "newPassword": "süss" }] },
            "params": { "password": "abc", "query": { "password": "abc" } },
            "response": { "body": { "_kmd": { "authtoken": "secret" } } },
        });
        let mut recording = json!({ "request": request.to_string() });
        super::redact(&mut recording);
        let request: Value =
            serde_json::from_str(recording["request"].as_str().expect("text")).expect("JSON");
        assert_eq!(request["body"]["list"][0]["newPassword"], "****");
        assert_eq!(request["body"]["username"], "ada");
        assert_eq!(request["params"], json!({ "password": "***", "query": { "password": "***" } }));
        assert_eq!(request["response"]["body"]["_kmd"]["authtoken"], "******");
    }
}
