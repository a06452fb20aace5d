//! Scheduled endpoints: at least once, never two of the same at once.
//!
//! What is due is decided by what the store keeps of each schedule: a run is written down before it begins
//! and crossed out when it has ended, so that one which a crash cut off is due again. A run whose script
//! failed has run; one that could not run (load, ours) is tried again.

use std::collections::HashSet;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use croner::Cron;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::api::Api;
use crate::apps::App;
use crate::auth::Identity;
use crate::budget::Budget;
use crate::call::Call;
use crate::error::{ApiError, Kind};
use crate::run::What;
use crate::time;

/// The kind that schedules' states are kept as, and how many of an app.
const KEPT: &str = "schedule";
const MOST: u32 = 100;
/// How often it is looked whether something is due: schedules are of minutes, seconds at best.
const LOOK: Duration = Duration::from_secs(1);
/// When a run could not be begun, it is tried again after this.
const AGAIN_MS: i64 = 10_000;

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

/// What is kept of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = ScheduleProgress)]
pub(crate) struct State {
    /// When it runs next, ISO 8601.
    next: Option<String>,
    /// When the run that goes on began, ISO 8601.
    began: Option<String>,
    /// When the last one ended, ISO 8601.
    ended: Option<String>,
    /// How it ended: `ok`, or the error's name and what it says.
    outcome: Option<String>,
    /// Runs that have ended.
    runs: u64,
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
        let state = state(api, app, schedule).await?;
        all.push(Shown { schedule: schedule.clone(), state });
    }
    Ok(all)
}

async fn state(api: &Api, app: &App, schedule: &Schedule) -> Result<State, ApiError> {
    let kept = api.0.store.kept(&app.key, KEPT, &schedule.id()).await?;
    Ok(kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default())
}

async fn keep(api: &Api, app: &App, schedule: &Schedule, state: &State) -> Result<(), ApiError> {
    let state = serde_json::to_value(state).map_err(ApiError::internal)?;
    Ok(api.0.store.keep(&app.key, KEPT, &schedule.id(), &state, MOST).await?)
}

/// Runs what is due, for ever.
pub(crate) async fn run(api: Api) {
    let busy = Arc::new(Mutex::new(HashSet::new()));
    // Runs that a crash cut off: nobody is at them any more.
    let mut begun_before = HashSet::new();
    loop {
        let keys = match api.0.store.apps().await {
            Ok(apps) => apps.into_iter().filter(|app| app.settings.get("schedules").is_some()),
            Err(error) => {
                tracing::warn!(%error, "schedules cannot be read");
                tokio::time::sleep(LOOK * 10).await;
                continue;
            }
        };
        for key in keys.map(|app| app.key) {
            let Ok(app) = api.0.apps.get(&key).await else { continue };
            for schedule in &app.settings.schedules {
                let name = (key.clone(), schedule.id());
                let is_first = begun_before.insert(name.clone());
                let (api, app, schedule) = (api.clone(), app.clone(), schedule.clone());
                let busy = busy.clone();
                if !busy.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
                    continue;
                }
                tokio::spawn(async move {
                    if let Err(error) = one(&api, &app, &schedule, is_first).await {
                        tracing::warn!(app = &*app.key, ?error, "a schedule failed");
                    }
                    busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
                });
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn one(
    api: &Api,
    app: &Arc<App>,
    schedule: &Schedule,
    is_first: bool,
) -> Result<(), ApiError> {
    let mut state = state(api, app, schedule).await?;
    let now = time::now_ms();
    let cut_off = is_first && state.began.is_some();
    let Some(next) = state.next.as_deref().and_then(time::parse) else {
        state.next = schedule.next(now).map(time::iso);
        return keep(api, app, schedule, &state).await;
    };
    if next > now && !cut_off {
        return Ok(());
    }
    state.began = Some(time::iso(now));
    keep(api, app, schedule, &state).await?;
    let ran = call(api, app, schedule).await;
    let again = match &ran {
        Ok(()) => false,
        Err(error) => matches!(
            error.kind,
            Kind::TooManyRequests
                | Kind::KinveyInternalErrorRetry
                | Kind::KinveyInternalErrorStop
                | Kind::BLInternalError
        ),
    };
    let ended = time::now_ms();
    state.began = None;
    state.ended = Some(time::iso(ended));
    state.outcome = Some(match ran {
        Ok(()) => "ok".into(),
        Err(error) => format!("{}: {}", error.kind.name(), error.debug),
    });
    state.runs += u64::from(!again);
    let next = if again { Some(ended + AGAIN_MS) } else { schedule.next(ended) };
    state.next = next.map(time::iso);
    keep(api, app, schedule, &state).await
}

async fn call(api: &Api, app: &Arc<App>, schedule: &Schedule) -> Result<(), ApiError> {
    let call = Call {
        api: api.clone(),
        app: app.clone(),
        identity: Identity::Master,
        trace: Arc::default(),
        method: Method::POST,
        headers: HeaderMap::new(),
        params: Default::default(),
        budget: Arc::new(Budget::new(&app.settings.budget)),
        run: None,
        custom: Mutex::default(),
    };
    let mut request = call.request_object();
    request.insert("body".into(), json!({}));
    request.insert("params".into(), json!({}));
    request.insert("targetFunction".into(), schedule.endpoint.clone().into());
    let ran = call.run_handler(What::Endpoint(&schedule.endpoint), request).await?;
    let none = || ApiError::new(Kind::NotFound, "there is no such endpoint");
    ran.map(drop).ok_or_else(none)
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
