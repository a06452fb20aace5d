//! Checking the JSON a guest hands out, byte by byte: it is hostile.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::outcome::{Json, Outcome, ScriptError};

/// How deep JSON from a guest may nest: what serde_json, and most other readers, go to by default.
const MAX_DEPTH: usize = 120;

/// `kind` of lode.h's `finish`.
const COMPLETED: i32 = 0;
const CONTINUED: i32 = 1;

/// How a guest said that its run ends.
#[derive(Debug)]
pub(crate) struct Finish {
    pub(crate) kind: i32,
    pub(crate) status: i32,
    pub(crate) payload: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Completed {
    body: Option<Json>,
    headers: Option<BTreeMap<String, serde_json::Value>>,
    custom_request_properties: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Continued {
    body: Option<Json>,
    params: Option<Json>,
    temp_object_store: Option<Json>,
    custom_request_properties: Option<Json>,
}

impl Finish {
    /// The outcome meant. Whatever is malformed is the script's error.
    pub(crate) fn into_outcome(self) -> Outcome {
        let text = match check(self.payload) {
            Ok(text) => text,
            Err(message) => return Outcome::Error(range_error(message)),
        };
        match self.kind {
            COMPLETED => completed(self.status, &text),
            CONTINUED => match serde_json::from_str(&text) {
                Ok(Continued { body, params, temp_object_store, custom_request_properties }) => {
                    Outcome::Continued {
                        body,
                        params,
                        temp_object_store,
                        custom_request_properties,
                    }
                }
                Err(error) => malformed(&error),
            },
            _ => match serde_json::from_str(&text) {
                Ok(error) => Outcome::Error(error),
                Err(error) => malformed(&error),
            },
        }
    }
}

fn completed(status: i32, text: &str) -> Outcome {
    let Completed { body, headers, custom_request_properties } = match serde_json::from_str(text) {
        Ok(completed) => completed,
        Err(error) => return malformed(&error),
    };
    let Some(status) = u16::try_from(status).ok().filter(|status| (100..600).contains(status))
    else {
        return Outcome::Error(range_error("the status is not an HTTP status"));
    };
    let mut texts = BTreeMap::new();
    for (name, value) in headers.unwrap_or_default() {
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(bool) => bool.to_string(),
            serde_json::Value::Null => continue,
            _ => {
                return Outcome::Error(ScriptError {
                    name: "TypeError".into(),
                    message: format!("the header {name} is not a string"),
                    stack: String::new(),
                });
            }
        };
        texts.insert(name, text);
    }
    Outcome::Completed { status, headers: texts, body, custom_request_properties }
}

fn range_error(message: &str) -> ScriptError {
    ScriptError { name: "RangeError".into(), message: message.into(), stack: String::new() }
}

fn malformed(error: &serde_json::Error) -> Outcome {
    Outcome::Error(ScriptError {
        name: "InternalError".into(),
        message: format!("the script's answer is not well-formed: {error}"),
        stack: String::new(),
    })
}

/// Well-formed JSON, or why not.
pub(crate) fn to_json(bytes: Vec<u8>) -> Result<Json, String> {
    let text = check(bytes)?;
    RawValue::from_string(text).map_err(|error| error.to_string())
}

/// UTF-8, not nested too deeply, no number beyond an f64's range (`JSON.rawJSON` makes them), every escaped surrogate in a pair (a lone one becomes U+FFFD: many
/// readers refuse it). Whether it is JSON is for the parser to say.
fn check(mut bytes: Vec<u8>) -> Result<String, &'static str> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => match surrogate(&bytes, at) {
                Some(0xD800..=0xDBFF)
                    if matches!(surrogate(&bytes, at + 6), Some(0xDC00..=0xDFFF)) =>
                {
                    at += 11;
                }
                Some(_) => bytes[at + 2..at + 6].copy_from_slice(b"fffd"),
                None => at += 1,
            },
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err("the result is nested deeper than 120 levels");
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            b'0'..=b'9' if !in_string => {
                let end = bytes[at..].iter().position(|byte| !is_number_part(*byte));
                let end = end.map_or(bytes.len(), |end| at + end);
                let number = std::str::from_utf8(&bytes[at..end]).unwrap_or_default();
                if number.parse::<f64>().is_ok_and(f64::is_infinite) {
                    return Err("a number in the result is too large for JSON readers");
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    String::from_utf8(bytes).map_err(|_| "the result is not UTF-8")
}

fn is_number_part(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

/// The surrogate that an escape at `at` means, if it does.
fn surrogate(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let unit = u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()?;
    (0xD800..=0xDFFF).contains(&unit).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> String {
        check(text.as_bytes().to_vec()).expect("well-formed")
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        assert_eq!(checked(r#""\ud800""#), r#""\ufffd""#);
        assert_eq!(checked(r#""\udc00\ud800x""#), r#""\ufffd\ufffdx""#);
        assert_eq!(checked(r#""\ud83d\ude00""#), r#""\ud83d\ude00""#);
        assert_eq!(checked(r#""\\ud800""#), r#""\\ud800""#);
        assert_eq!(checked(r#""\"\ud800""#), r#""\"\ufffd""#);
        assert_eq!(checked(r#""\ud8"#), r#""\ud8"#);
    }

    #[test]
    fn numbers_beyond_f64_are_refused() {
        assert!(check(b"[1e308,-1E-999,0.5,123456789012345678901234567890]".to_vec()).is_ok());
        assert!(check(b"[1e999]".to_vec()).is_err());
        assert!(check(format!("1{}", "0".repeat(400)).into_bytes()).is_err());
        assert!(check(b"\"1e999\"".to_vec()).is_ok());
    }

    #[test]
    fn nesting_is_bounded_outside_strings_only() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check(deep(MAX_DEPTH).into_bytes()).is_ok());
        assert!(check(deep(MAX_DEPTH + 1).into_bytes()).is_err());
        assert!(check(format!("\"{}\"", "[".repeat(1000)).into_bytes()).is_ok());
    }

    #[test]
    fn what_is_not_utf8_or_not_json_is_the_scripts_error() {
        for payload in [&b"\xff"[..], b"{", b"null", b"{\"body\":"] {
            for kind in 0..4 {
                let finish = Finish { kind, status: 200, payload: payload.to_vec() };
                assert!(matches!(finish.into_outcome(), Outcome::Error(_)));
            }
        }
    }
}
