//! What API hosts and workers tell each other: JSON, so that what scripts made is carried as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use lode_worker::master::{Overload, Report};
use lode_worker::{Json, Limit, Limits, LogLine, Outcome, ScriptError, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::budget::Spent;

/// A run that is asked for. The queue carries the app's key and the deadline.
#[derive(Serialize, Deserialize)]
pub(super) struct Asked<'a> {
    /// `App::revision` of the app that `handler` was looked up in.
    pub(super) revision: Cow<'a, str>,
    pub(super) handler: u32,
    pub(super) limits: Limits,
    pub(super) user: Option<Cow<'a, str>>,
    /// Where clients reach the API, which scripts call.
    pub(super) url: Cow<'a, str>,
    pub(super) master_token: Cow<'a, str>,
    pub(super) app_token: Cow<'a, str>,
    pub(super) depth: u32,
    pub(super) endpoints: Vec<String>,
    /// What is left of the request's budget for the run's nested calls.
    pub(super) left: Spent,
    #[serde(borrow)]
    pub(super) request: &'a RawValue,
}

/// [`Outcome`], as it can be read again: serde cannot take raw JSON out of a tagged enum.
#[derive(Serialize, Deserialize)]
enum Ended {
    Completed {
        status: u16,
        headers: BTreeMap<String, String>,
        body: Option<Json>,
        custom: Option<Json>,
    },
    Continued {
        body: Option<Json>,
        params: Option<Json>,
        temp: Option<Json>,
        custom: Option<Json>,
    },
    Error(ScriptError),
    Limit(Limit),
    NeverCompleted,
    Expired,
    Rejected,
    Platform(String),
}

/// How a run went.
#[derive(Serialize, Deserialize)]
pub(super) struct Done {
    ended: Ended,
    logs: Vec<LogLine>,
    usage: Usage,
    took_us: u64,
    recording: Option<Box<str>>,
    overload: Option<(Overload, u64)>,
    spent: Spent,
}

impl Done {
    /// A report and what the run's nested calls used.
    pub(super) fn new(report: Report, spent: Spent) -> Self {
        let ended = match report.outcome {
            Outcome::Completed { status, headers, body, custom_request_properties: custom } => {
                Ended::Completed { status, headers, body, custom }
            }
            Outcome::Continued {
                body,
                params,
                temp_object_store: temp,
                custom_request_properties: custom,
            } => Ended::Continued { body, params, temp, custom },
            Outcome::Error(error) => Ended::Error(error),
            Outcome::Limit { limit } => Ended::Limit(limit),
            Outcome::NeverCompleted => Ended::NeverCompleted,
            Outcome::Expired => Ended::Expired,
            Outcome::Rejected => Ended::Rejected,
            Outcome::Platform { detail } => Ended::Platform(detail),
        };
        Self {
            ended,
            logs: report.logs,
            usage: report.usage,
            took_us: u64::try_from(report.took.as_micros()).unwrap_or(u64::MAX),
            recording: report.recording,
            overload: report.overload.map(|(overload, wait)| {
                (overload, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
            }),
            spent,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<(Report, Spent)> {
        let done: Self = serde_json::from_slice(bytes)?;
        let outcome = match done.ended {
            Ended::Completed { status, headers, body, custom: custom_request_properties } => {
                Outcome::Completed { status, headers, body, custom_request_properties }
            }
            Ended::Continued {
                body,
                params,
                temp: temp_object_store,
                custom: custom_request_properties,
            } => Outcome::Continued { body, params, temp_object_store, custom_request_properties },
            Ended::Error(error) => Outcome::Error(error),
            Ended::Limit(limit) => Outcome::Limit { limit },
            Ended::NeverCompleted => Outcome::NeverCompleted,
            Ended::Expired => Outcome::Expired,
            Ended::Rejected => Outcome::Rejected,
            Ended::Platform(detail) => Outcome::Platform { detail },
        };
        let report = Report {
            outcome,
            logs: done.logs,
            usage: done.usage,
            waited: Duration::ZERO,
            took: Duration::from_micros(done.took_us),
            recording: done.recording,
            overload: done.overload.map(|(overload, ms)| (overload, Duration::from_millis(ms))),
        };
        Ok((report, done.spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_as_it_was() {
        let raw = |text: &str| Some(RawValue::from_string(text.into()).expect("JSON"));
        let report = |outcome| Report {
            outcome,
            logs: Vec::new(),
            usage: Usage { cpu_ns: 5, calls: 2, ..Usage::default() },
            waited: Duration::ZERO,
            took: Duration::from_micros(7),
            recording: Some("r".into()),
            overload: Some((Overload::Paused, Duration::from_millis(3))),
        };
        let error = ScriptError { name: "E".into(), message: "m".into(), stack: "s".into() };
        for outcome in [
            Outcome::Completed {
                status: 201,
                headers: [("a".to_owned(), "b".to_owned())].into(),
                body: raw(r#"{"n":1.0,"big":12345678901234567890}"#),
                custom_request_properties: raw("{}"),
            },
            Outcome::Continued {
                body: raw("[1, 2]"),
                params: None,
                temp_object_store: raw(r#"{"t":"\u0000"}"#),
                custom_request_properties: None,
            },
            Outcome::Error(error),
            Outcome::Limit { limit: Limit::Calls },
            Outcome::NeverCompleted,
            Outcome::Expired,
            Outcome::Rejected,
            Outcome::Platform { detail: "d".into() },
        ] {
            let before = format!("{:?}", report(outcome.clone()));
            let spent = Spent { cpu_ns: 9, calls: 8, runs: 7 };
            let bytes = Done::new(report(outcome), spent.clone()).to_bytes();
            let (after, left) = Done::parse(&bytes).expect("it was written by itself");
            assert_eq!(format!("{after:?}"), before);
            assert_eq!(left, spent);
        }
    }
}
