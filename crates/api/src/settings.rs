//! What an app's owner may set, as the admin API takes and shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use lode_worker::Limits;
use lode_worker::broker::egress::AppEgress;
use lode_worker::master::Quota;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, Kind};
use crate::schedule;

/// An app's settings. All are optional.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Limits of one run.
    pub(crate) limits: RunLimits,
    /// How much the app may ask for at once.
    pub(crate) quota: AppQuota,
    /// What one API request may use, its hooks and nested calls together.
    pub(crate) budget: Budget,
    /// Apps of different trust groups never share a process.
    pub(crate) trust_group: Option<String>,
    /// Hosts that scripts may send requests to, such as `api.example.com`. None: egress is off.
    pub(crate) allow: Vec<String>,
    /// Secrets that scripts can name and never read, by name. Shown without their values.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Permissions of collections, by name. Others are `shared`.
    pub(crate) collections: BTreeMap<String, CollectionSettings>,
    /// Endpoints that run by themselves: at most 100.
    pub(crate) schedules: Vec<schedule::Schedule>,
}

/// A secret of an app.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Secret {
    /// 16 to 8,192 bytes. Absent where secrets are shown; where settings are written without it, the
    /// value stays what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// Hosts that it may be sent to.
    pub(crate) hosts: Vec<String>,
}

/// Limits of one run. What is absent is the default; what is more than the operator's is cut to that.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RunLimits {
    /// Processor time in ms: 1 to 10,000. 100 by default.
    #[schema(minimum = 1, maximum = 10000)]
    pub(crate) cpu_ms: Option<u32>,
    /// Time in all in ms: 1 to 120,000. 10,000 by default.
    #[schema(minimum = 1, maximum = 120_000)]
    pub(crate) wall_ms: Option<u32>,
    /// Linear memory in MiB: 4 to 512. 64 by default.
    #[schema(minimum = 4, maximum = 512)]
    pub(crate) memory_mib: Option<u32>,
    /// Host calls: 0 to 10,000. 100 by default.
    #[schema(minimum = 0, maximum = 10000)]
    pub(crate) calls: Option<u32>,
}

impl RunLimits {
    /// The limits they make.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        let ms = |ms: u32| Duration::from_millis(ms.into());
        if let Some(cpu) = self.cpu_ms {
            limits.cpu = ms(cpu);
        }
        if let Some(wall) = self.wall_ms {
            limits.wall = ms(wall);
        }
        if let Some(memory) = self.memory_mib {
            limits.memory = usize::try_from(memory).unwrap_or(64) << 20;
        }
        if let Some(calls) = self.calls {
            limits.calls = calls;
        }
        limits
    }
}

/// How much an app may ask for at once. What is absent is the default.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct AppQuota {
    /// Runs under way: 1 to 1,000. 16 by default.
    #[schema(minimum = 1, maximum = 1000)]
    pub(crate) concurrency: Option<u32>,
    /// Runs that may wait: 0 to 100,000. 1,000 by default.
    #[schema(minimum = 0, maximum = 100_000)]
    pub(crate) queue: Option<u32>,
    /// Runs per second: 1 to 1,000,000. No limit by default.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub(crate) rate: Option<u32>,
}

impl AppQuota {
    /// The quota it makes.
    pub(crate) fn quota(&self) -> Quota {
        let default = Quota::default();
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Quota {
            concurrency: self.concurrency.map_or(default.concurrency, count),
            queue: self.queue.map_or(default.queue, count),
            rate: self.rate.map(f64::from),
        }
    }
}

/// What one API request may use: its hooks, and all that their scripts call in turn.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Budget {
    /// Time in ms: 1 to 300,000. 60,000 by default, as Kinvey's requests had.
    #[schema(minimum = 1, maximum = 300_000)]
    pub(crate) time_ms: Option<u32>,
    /// Processor time in ms: 1 to 60,000. 1,000 by default: ten runs' worth.
    #[schema(minimum = 1, maximum = 60000)]
    pub(crate) cpu_ms: Option<u32>,
    /// Host calls: 0 to 10,000. 200 by default: two runs' worth.
    #[schema(minimum = 0, maximum = 10000)]
    pub(crate) calls: Option<u32>,
    /// Runs: 1 to 1,000. 20 by default.
    #[schema(minimum = 1, maximum = 1000)]
    pub(crate) runs: Option<u32>,
}

/// Who may do what with a collection's entities (Kinvey's security guide, "Collection Permissions").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Permission {
    /// Each user has their own entities only, and those that others' ACLs name them in.
    Private,
    /// All users read all and create; each changes and deletes their own.
    #[default]
    Shared,
    /// All users read, create and change all; each deletes their own.
    Public,
    /// All users do all.
    Full,
}

/// How a collection is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CollectionSettings {
    /// Who may do what.
    pub(crate) permission: Permission,
    /// Nobody may write, but with the master secret.
    pub(crate) read_only: bool,
}

impl Settings {
    /// Checks what types do not.
    ///
    /// # Errors
    /// The first setting that cannot be, in words for the app's owner.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let bad = |what: String| ApiError::new(Kind::ParameterValueOutOfRange, what);
        let within = |name: &str, value: Option<u32>, from: u32, to: u32| match value {
            Some(value) if !(from..=to).contains(&value) => {
                Err(bad(format!("{name} is {value}: from {from} to {to} is possible")))
            }
            _ => Ok(()),
        };
        within("limits.cpuMs", self.limits.cpu_ms, 1, 10_000)?;
        within("limits.wallMs", self.limits.wall_ms, 1, 120_000)?;
        within("limits.memoryMib", self.limits.memory_mib, 4, 512)?;
        within("limits.calls", self.limits.calls, 0, 10_000)?;
        within("quota.concurrency", self.quota.concurrency, 1, 1_000)?;
        within("quota.queue", self.quota.queue, 0, 100_000)?;
        within("quota.rate", self.quota.rate, 1, 1_000_000)?;
        within("budget.timeMs", self.budget.time_ms, 1, 300_000)?;
        within("budget.cpuMs", self.budget.cpu_ms, 1, 60_000)?;
        within("budget.calls", self.budget.calls, 0, 10_000)?;
        within("budget.runs", self.budget.runs, 1, 1_000)?;
        if self.schedules.len() > schedule::MOST as usize {
            return Err(bad(format!("an app has at most {} schedules", schedule::MOST)));
        }
        for schedule in &self.schedules {
            schedule.check()?;
        }
        self.egress().map(drop)
    }

    /// What the broker is told of the app's egress.
    ///
    /// # Errors
    /// An entry that is no host, or a secret that cannot be one.
    pub(crate) fn egress(&self) -> Result<AppEgress, ApiError> {
        let secrets: BTreeMap<&str, &Secret> =
            self.secrets.iter().map(|(name, secret)| (name.as_str(), secret)).collect();
        let text = serde_json::json!({ "allow": self.allow, "secrets": secrets });
        serde_json::from_value(text)
            .map_err(|error| ApiError::new(Kind::ParameterValueOutOfRange, error.to_string()))
    }

    /// The same without the secrets' values, for showing.
    pub(crate) fn shown(&self) -> Self {
        let mut shown = self.clone();
        for secret in shown.secrets.values_mut() {
            secret.value = None;
        }
        shown
    }

    /// These settings, with the values of those secrets that are given without one taken from `before`.
    pub(crate) fn with_secrets_of(mut self, before: &Self) -> Result<Self, ApiError> {
        for (name, secret) in &mut self.secrets {
            if secret.value.is_none() {
                let known = before.secrets.get(name).and_then(|secret| secret.value.clone());
                let missing = format!("the secret {name} has no value");
                secret.value = Some(
                    known.ok_or_else(|| ApiError::new(Kind::ParameterValueOutOfRange, missing))?,
                );
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state of more is not kept, so that they would begin anew for ever.
    #[test]
    fn more_schedules_than_are_kept_are_refused() {
        let schedule: schedule::Schedule =
            serde_json::from_str(r#"{"endpoint": "e", "everyMs": 1000}"#).expect("a schedule");
        let of = |n| Settings { schedules: vec![schedule.clone(); n], ..Settings::default() };
        of(100).check().expect("as many as may be");
        let refused = of(101).check().expect_err("one more");
        assert_eq!(refused.kind, Kind::ParameterValueOutOfRange);
    }
}
