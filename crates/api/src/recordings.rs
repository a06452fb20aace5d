//! The last failed runs of each app, kept so that they can be run again (`lode replay`).

use std::time::Instant;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::ApiError;
use crate::time;

/// The kind that recordings are kept as, and how many of an app: the last ones, as the first of a flood of
/// failures is no better than the others.
pub(crate) const RUNS: &str = "run";
const MOST: u32 = 20;

/// Bytes that are looked through for secrets, once for each spelling of each: some 50 ms of a processor. An app's
/// failures cost no more than that in a second, whatever secrets it has.
const MOST_SOUGHT: usize = 64 << 20;

/// Keeps a failed run, unless the app had one kept within the last second, or it is too large for so many secrets.
pub(crate) fn keep(call: &Call, label: &str, error: &ApiError, recording: &str) {
    if !call.api.0.logs.may_keep(&call.app.key, Instant::now()) {
        return;
    }
    let limits = &call.app.limits;
    let mut kept = json!({
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
    });
    let (api, app, id) = (call.api.clone(), call.app.clone(), call.trace.id.clone());
    let recording = recording.to_owned();
    // Its client need not wait for that.
    tokio::spawn(async move {
        let key = app.key.clone();
        let kept = tokio::task::spawn_blocking(move || {
            // A child's words: what is no JSON is nobody's recording.
            kept["recording"] = serde_json::from_str(&recording).ok()?;
            hide_in_request(&mut kept["recording"]);
            let secrets = app.settings.secrets.iter();
            let spellings = spellings(
                secrets
                    .filter_map(|(name, secret)| Some((name.as_str(), secret.value.as_deref()?))),
            );
            if spellings.len().saturating_mul(recording.len()) > MOST_SOUGHT {
                return None;
            }
            hide_secrets(&mut kept, &spellings);
            Some(kept)
        });
        let Ok(Some(kept)) = kept.await else { return };
        if let Err(error) = api.0.store.keep(&key, RUNS, &id, &kept, MOST).await {
            tracing::warn!(%error, "a recording could not be kept");
        }
    });
}

/// Takes passwords and tokens, sessions' and the run's own, out of the recorded request, wherever in it they are.
fn hide_in_request(recording: &mut Value) {
    let Some(request) = recording.get("request").and_then(Value::as_str) else { return };
    let Ok(mut request) = serde_json::from_str::<Value>(request) else { return };
    hide(&mut request);
    recording["request"] = request.to_string().into();
}

/// What members are called whose texts are not kept. The last two are a run's own tokens
/// ([`crate::nested::Run`]): worth nothing by now, and no need to try.
const HIDDEN: [&str; 4] = ["password", "authtoken", "mastertoken", "appsecrettoken"];

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.to_lowercase();
                let is_secret = HIDDEN.iter().any(|part| name.contains(part));
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

/// The ways in which secrets (name and value) may come back from a server that has been sent them, the longest
/// first, each with what is put in its place.
fn spellings<'a>(secrets: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in secrets {
        let escaped = escaped(value);
        let mut of_it = vec![value.to_owned(), escaped.clone(), ascii(&escaped)];
        for text in [value, &*escaped] {
            of_it.extend(within_base64(text.as_bytes()));
        }
        // An answer to a host call is JSON that holds a server's answer, which may be JSON.
        for _ in 0..2 {
            of_it = of_it.into_iter().flat_map(|text| [self::escaped(&text), text]).collect();
            of_it.sort();
            of_it.dedup();
        }
        all.extend(of_it.into_iter().map(|text| (text, format!("[secret:{name}]"))));
    }
    all.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    all.dedup_by(|(a, _), (b, _)| a == b);
    all
}

/// A text within a JSON text.
fn escaped(text: &str) -> String {
    let json = Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

/// The same as those write it who escape all that is not ASCII.
fn ascii(escaped: &str) -> String {
    let mut text = String::new();
    for unit in escaped.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
    text
}

/// What is the same of every base64 text in which these bytes begin at the first, second or third of three bytes
/// (`Basic` credentials have a name before them), in both alphabets.
fn within_base64(bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(bytes);
        // Six bits are a character: those that are the bytes' alone.
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
            all.extend(engine.encode(&padded).get(from..to).map(str::to_owned));
        }
    }
    all
}

fn hide_secrets(value: &mut Value, spellings: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (spelling, shown) in spellings {
                if text.contains(spelling) {
                    *text = text.replace(spelling, shown);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide_secrets(item, spellings)),
        Value::Object(members) => {
            members.values_mut().for_each(|value| hide_secrets(value, spellings));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

    use super::*;

    #[test]
    fn passwords_and_tokens_are_not_kept() {
        let request = json!({
            "body": { "username": "ada", "list": [{ "newPassword": "süss" }] },
            "params": { "password": "abc", "query": { "password": "abc" } },
            "response": { "body": { "_kmd": { "authtoken": "secret" } } },
            "backend": { "masterToken": "run-master-x", "appSecretToken": "run-app-x", "appKey": "k" },
        });
        let mut recording = json!({ "request": request.to_string() });
        hide_in_request(&mut recording);
        let request: Value =
            serde_json::from_str(recording["request"].as_str().expect("text")).expect("JSON");
        assert_eq!(request["body"]["list"][0]["newPassword"], "****");
        assert_eq!(request["body"]["username"], "ada");
        assert_eq!(request["params"], json!({ "password": "***", "query": { "password": "***" } }));
        assert_eq!(request["response"]["body"]["_kmd"]["authtoken"], "******");
        let hidden =
            json!({ "masterToken": "************", "appSecretToken": "*********", "appKey": "k" });
        assert_eq!(request["backend"], hidden);
    }

    #[test]
    fn secrets_that_servers_sent_back_are_not_kept() {
        let secrets = [("PLAIN", "sk_live_0123456789"), ("ODD", "pä\\ss \"word\" 0123")];
        let spellings = spellings(secrets.into_iter());
        for (name, value) in secrets {
            let mut said = vec![value.to_owned(), json!(value).to_string(), ascii(&escaped(value))];
            for before in ["", "a", "ab:"] {
                let around = format!("{before}{value}, and more");
                said.push(BASE64_STANDARD.encode(&around));
                said.push(BASE64_URL_SAFE.encode(&around));
                said.push(BASE64_STANDARD.encode(json!({ "echo": around }).to_string()));
            }
            for said in said {
                // As a body, in JSON in a body, and in what a script was told of it.
                for body in [said.clone(), json!({ "echo": said }).to_string()] {
                    let reply = json!({ "status": 200, "body": body }).to_string();
                    let mut kept =
                        json!({ "debug": body, "recording": { "events": [[1, reply]] } });
                    hide_secrets(&mut kept, &spellings);
                    let shown = format!("[secret:{name}]");
                    for text in [&kept["debug"], &kept["recording"]["events"][0][1]] {
                        let text = text.as_str().expect("text");
                        assert!(text.contains(&shown), "{said}: {text}");
                    }
                    let reply = kept["recording"]["events"][0][1].as_str().expect("text");
                    assert!(serde_json::from_str::<Value>(reply).is_ok(), "{reply}");
                }
            }
        }
        let innocent = json!({ "debug": "sk_live_ is how they begin", "n": [1, null, "cMOkc3M"] });
        let mut kept = innocent.clone();
        hide_secrets(&mut kept, &spellings);
        assert_eq!(kept, innocent);
    }
}
