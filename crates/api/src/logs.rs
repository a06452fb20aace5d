//! What apps' scripts logged, and how their runs ended: the last of it, and what comes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lode_worker::broker::log::sanitize;
use lode_worker::{LogLevel, LogLine};
use serde::Serialize;
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::time;

/// Lines kept per app, and bytes of one: enough to see what happened just now. Who needs more follows them.
const LINES: usize = 500;
const LINE_BYTES: usize = 4 << 10;
/// Lines that a slow follower may be behind before it misses some.
const BEHIND: usize = 1_000;
/// A flood of failures is not to become a flood of writes.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// One line of an app's log.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// When, ISO 8601.
    pub(crate) time: String,
    /// `debug`, `info`, `warn` or `error` as the script said; `outcome` for how a run ended.
    pub(crate) level: &'static str,
    /// The API request it belongs to.
    pub(crate) request: String,
    /// The hook or endpoint: `orders/onPreSave`.
    pub(crate) handler: String,
    /// The text, control characters escaped.
    pub(crate) text: String,
}

#[derive(Default)]
struct AppLog {
    last: VecDeque<Arc<Line>>,
    follow: Option<broadcast::Sender<Arc<Line>>>,
    /// When a failed run of it was kept.
    kept: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Logs(Mutex<HashMap<String, AppLog>>);

/// The lines that are there, and those to come.
pub(crate) type Followed = (Vec<Arc<Line>>, broadcast::Receiver<Arc<Line>>);

impl Logs {
    /// Adds what a run logged.
    pub(crate) fn add(&self, app: &str, request: &str, handler: &str, lines: &[LogLine]) {
        if lines.is_empty() {
            return;
        }
        let line = |line: &LogLine| (level(line.level), sanitize(&line.text, LINE_BYTES));
        self.push(app, request, handler, lines.iter().map(line));
    }

    /// Adds how a run ended.
    pub(crate) fn outcome(&self, app: &str, request: &str, handler: &str, text: &str) {
        // The message and the stack are the script's words.
        let text = sanitize(text, LINE_BYTES);
        self.push(app, request, handler, std::iter::once(("outcome", text)));
    }

    fn push(
        &self,
        app: &str,
        request: &str,
        handler: &str,
        lines: impl Iterator<Item = (&'static str, String)>,
    ) {
        let now = time::iso(time::now_ms());
        let mut logs = self.lock();
        if !logs.contains_key(app) {
            logs.insert(app.to_owned(), AppLog::default());
        }
        let Some(log) = logs.get_mut(app) else { return };
        for (level, text) in lines {
            let line = Arc::new(Line {
                time: now.clone(),
                level,
                request: request.to_owned(),
                handler: handler.to_owned(),
                text,
            });
            if log.last.len() == LINES {
                log.last.pop_front();
            }
            if let Some(follow) = &log.follow
                && follow.send(line.clone()).is_err()
            {
                log.follow = None;
            }
            log.last.push_back(line);
        }
    }

    /// The last lines of an app.
    pub(crate) fn last(&self, app: &str) -> Vec<Arc<Line>> {
        self.lock().get(app).map(|log| log.last.iter().cloned().collect()).unwrap_or_default()
    }

    /// The last lines of an app, and all that come.
    pub(crate) fn follow(&self, app: &str) -> Followed {
        let mut logs = self.lock();
        let log = logs.entry(app.to_owned()).or_default();
        let follow = log.follow.get_or_insert_with(|| broadcast::channel(BEHIND).0);
        (log.last.iter().cloned().collect(), follow.subscribe())
    }

    /// Whether a failed run of an app is to be kept now: at most one per second is.
    pub(crate) fn may_keep(&self, app: &str, now: Instant) -> bool {
        let mut logs = self.lock();
        let kept = &mut logs.entry(app.to_owned()).or_default().kept;
        let may = kept.is_none_or(|last| now.saturating_duration_since(last) >= KEEP_EVERY);
        if may {
            *kept = Some(now);
        }
        may
    }

    pub(crate) fn forget(&self, app: &str) {
        self.lock().remove(app);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, AppLog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_script_says_does_nothing_to_a_terminal() {
        let logs = Logs::default();
        let text = "BLRuntimeError: \u{1b}]0;owned\u{7}\r\u{202e}gone\n  at e.js:1";
        logs.outcome("kid_a", "request", "e", text);
        let shown = &logs.last("kid_a")[0].text;
        assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(shown.contains("\\n  at e.js:1"), "{shown:?}");
        logs.outcome("kid_a", "request", "e", &"x".repeat(1 << 20));
        assert!(logs.last("kid_a")[1].text.len() < 2 * LINE_BYTES);
    }
}
