//! Scheduled endpoints: at least once, never two of the same at once.
//!
//! What is due is decided by what the store keeps of each schedule. When its time has come, a run is owed
//! (`tasks.rs`) under a key that names the schedule and the time, so that of several servers' attempts one
//! makes a task. If the run before it goes on, the time is passed by.

use std::str::FromStr as _;
use std::time::Duration;

use chrono::DateTime;
use croner::Cron;
use lode_store::TaskState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::api::Api;
use crate::apps::App;
use crate::error::{ApiError, Kind};
use crate::tasks::{self, Content};
use crate::time;

/// The kinds that are kept of schedules: what comes next, how the last run went. Two, as different servers
/// may write them. And how many of an app.
const NEXT: &str = "schedule";
const LAST: &str = "schedule run";
pub(crate) const MOST: u32 = 100;
/// How often it is looked whether something is due: schedules are of minutes, seconds at best.
const LOOK: Duration = Duration::from_secs(1);

/// When an endpoint runs by itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Schedule {
    /// The custom endpoint.
    pub(crate) endpoint: String,
    /// Five fields as in crontab(5), in UTC: `*/15 * * * *`. This or `everyMs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cron: Option<String>,
    /// Every so many ms, from `start` on: 1,000 (a second) to 31,622,400,000 (a leap year).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000, maximum = 31_622_400_000_u64)]
    pub(crate) every_ms: Option<u64>,
    /// Not before this time, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<String>,
}

/// A schedule, and how it goes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ScheduleState)]
pub(crate) struct Shown {
    schedule: Schedule,
    #[serde(flatten)]
    state: State,
}

/// How a schedule goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = ScheduleProgress)]
pub(crate) struct State {
    /// When it runs next, ISO 8601.
    next: Option<String>,
    /// The last run that was owed.
    task: Option<String>,
    #[serde(flatten)]
    last: Last,
}

/// How a schedule's last run that has ended went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = ScheduleRun)]
pub(crate) struct Last {
    /// When it began, ISO 8601.
    began: Option<String>,
    /// When it ended, ISO 8601.
    ended: Option<String>,
    /// How it ended: `ok`, or the error's name and what it says.
    outcome: Option<String>,
    /// Runs that have ended.
    runs: u64,
}

/// What comes next of a schedule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Next {
    next: Option<String>,
    task: Option<String>,
}

impl Schedule {
    /// What its state is kept under: another time makes it another schedule.
    fn id(&self) -> String {
        match (&self.cron, self.every_ms) {
            (Some(cron), _) => format!("{} {cron}", self.endpoint),
            (None, every) => format!("{} every {}", self.endpoint, every.unwrap_or(0)),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let bad = |what: String| Err(ApiError::new(Kind::ParameterValueOutOfRange, what));
        if let Some(start) = &self.start
            && time::parse(start).is_none()
        {
            return bad(format!("start {start:?} is not an ISO 8601 time"));
        }
        match (&self.cron, self.every_ms) {
            (Some(cron), None) => match Cron::from_str(cron) {
                Ok(_) if self.next(time::now_ms()).is_some() => Ok(()),
                Ok(_) => bad(format!("cron {cron:?} never comes")),
                Err(error) => bad(format!("cron {cron:?}: {error}")),
            },
            (None, Some(every)) if (1_000..=31_622_400_000).contains(&every) => Ok(()),
            (None, Some(every)) => bad(format!("everyMs is {every}: 1,000 to 31,622,400,000")),
            _ => bad("a schedule has cron or everyMs, and not both".into()),
        }
    }

    /// The first time after `after`, both in ms since the Unix epoch.
    fn next(&self, after: i64) -> Option<i64> {
        let start = self.start.as_deref().and_then(time::parse);
        if let Some(start) = start.filter(|start| *start > after) {
            let Some(cron) = &self.cron else { return Some(start) };
            return next_cron(cron, start - 1);
        }
        match (&self.cron, self.every_ms) {
            (Some(cron), _) => next_cron(cron, after),
            (None, every) => {
                let every = i64::try_from(every?).ok()?;
                // Counted from its start, so that it keeps its beat whenever the server starts.
                let from = start.unwrap_or(0);
                Some(after + every - (after - from).rem_euclid(every))
            }
        }
    }
}

fn next_cron(cron: &str, after: i64) -> Option<i64> {
    let after = DateTime::from_timestamp_millis(after)?;
    let next = Cron::from_str(cron).ok()?.find_next_occurrence(&after, false).ok()?;
    Some(next.timestamp_millis())
}

/// The schedules of an app.
pub(crate) async fn shown(api: &Api, app: &App) -> Result<Vec<Shown>, ApiError> {
    let mut all = Vec::new();
    for schedule in &app.settings.schedules {
        let id = schedule.id();
        let Next { next, task } = kept(api, &app.key, NEXT, &id).await?;
        let last = kept(api, &app.key, LAST, &id).await?;
        all.push(Shown { schedule: schedule.clone(), state: State { next, task, last } });
    }
    Ok(all)
}

async fn kept<T: Default + DeserializeOwned>(
    api: &Api,
    app: &str,
    kind: &str,
    id: &str,
) -> Result<T, ApiError> {
    let kept = api.0.store.kept(app, kind, id).await?;
    Ok(kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default())
}

async fn keep(
    api: &Api,
    app: &str,
    kind: &str,
    id: &str,
    what: &impl Serialize,
) -> Result<(), ApiError> {
    let what = serde_json::to_value(what).map_err(ApiError::internal)?;
    Ok(api.0.store.keep(app, kind, id, &what, MOST).await?)
}

/// Owes what is due, for ever.
pub(crate) async fn run(api: Api) {
    loop {
        match api.0.store.scheduled().await {
            Ok(keys) => {
                for key in keys {
                    let Ok(app) = api.0.apps.get(&key).await else { continue };
                    for schedule in &app.settings.schedules {
                        if let Err(error) = one(&api, &app, schedule).await {
                            tracing::warn!(app = key, ?error, "a schedule failed");
                        }
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "schedules cannot be read"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn one(api: &Api, app: &App, schedule: &Schedule) -> Result<(), ApiError> {
    let id = schedule.id();
    let mut state: Next = kept(api, &app.key, NEXT, &id).await?;
    let now = time::now_ms();
    if let Some(due) = state.next.as_deref().and_then(time::parse) {
        if due > now {
            return Ok(());
        }
        let before = match &state.task {
            Some(task) => api.0.store.task(&app.key, task).await?,
            None => None,
        };
        let goes_on = before
            .is_some_and(|task| matches!(task.state, TaskState::Waiting | TaskState::Running));
        if !goes_on {
            let content = Content {
                endpoint: schedule.endpoint.clone(),
                body: json!({}),
                params: json!({}),
                schedule: Some(id.clone()),
                ..Content::default()
            };
            let key = format!("schedule {id} {due}");
            state.task = Some(tasks::add(api, &app.key, Some(&key), &content).await?);
        }
    }
    state.next = schedule.next(now).map(time::iso);
    keep(api, &app.key, NEXT, &id, &state).await
}

/// A schedule's run has ended.
pub(crate) async fn ended(api: &Api, app: &str, id: &str, began: i64, ended: i64, outcome: String) {
    let kept = async {
        let before: Last = kept(api, app, LAST, id).await?;
        let last = Last {
            began: Some(time::iso(began)),
            ended: Some(time::iso(ended)),
            outcome: Some(outcome),
            runs: before.runs + 1,
        };
        keep(api, app, LAST, id, &last).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(app, ?error, "how a schedule's run ended cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: Option<&str>, every_ms: Option<u64>, start: Option<&str>) -> Schedule {
        let text = |text: &str| text.to_owned();
        Schedule { endpoint: "e".into(), cron: cron.map(text), every_ms, start: start.map(text) }
    }

    #[test]
    fn the_next_time_is_the_crontabs_or_the_intervals() {
        let at = |text| time::parse(text).expect("a time");
        let now = at("2026-11-24T12:34:56Z");
        let next = |schedule: Schedule| schedule.next(now).map(time::iso);
        let iso = |text: &str| Some(text.to_owned());
        let quarter = schedule(Some("*/15 * * * *"), None, None);
        assert_eq!(next(quarter), iso("2026-11-24T12:45:00.000Z"));
        let hour = schedule(None, Some(3_600_000), Some("2026-11-24T00:10:00Z"));
        assert_eq!(next(hour), iso("2026-11-24T13:10:00.000Z"));
        let later = schedule(None, Some(3_600_000), Some("2026-12-01T00:00:00Z"));
        assert_eq!(next(later), iso("2026-12-01T00:00:00.000Z"));
        let daily = schedule(Some("0 6 * * *"), None, Some("2026-12-01T07:00:00Z"));
        assert_eq!(next(daily), iso("2026-12-02T06:00:00.000Z"));
    }

    #[test]
    fn what_makes_no_schedule_is_refused() {
        schedule(Some("0 0 29 2 *"), None, None).check().expect("leap years come");
        for bad in [
            schedule(None, None, None),
            schedule(Some("* * * * *"), Some(60_000), None),
            schedule(Some("61 * * * *"), None, None),
            schedule(None, Some(999), None),
            schedule(None, Some(60_000), Some("tomorrow")),
        ] {
            assert_eq!(bad.check().expect_err("bad").kind, Kind::ParameterValueOutOfRange);
        }
    }
}
