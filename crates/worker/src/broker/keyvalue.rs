//! A key-value store in memory, for tests and trials: it is gone when the worker is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::egress::Failure;
use super::{bad_args, log};

/// Keys that a list shows at most.
const MAX_LISTED: usize = 1000;

/// Whole numbers beyond it are not exact in JavaScript.
const MAX_NUMBER: i64 = (1 << 53) - 1;

/// How much an app may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Keys. 1,000.
    pub keys: usize,
    /// Bytes of keys and values (as JSON) together. 1 MiB.
    pub bytes: usize,
    /// Bytes of one key. 512.
    pub key_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { keys: 1000, bytes: 1 << 20, key_bytes: 512 }
    }
}

/// What all apps keep, each for itself.
pub(super) struct KeyValue {
    bounds: Bounds,
    apps: Mutex<Apps>,
}

type Apps = HashMap<String, Kept>;

#[derive(Default)]
struct Kept {
    values: BTreeMap<String, Box<str>>,
    bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    key: String,
    value: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Increment {
    key: String,
    #[serde(default = "one")]
    by: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct List {
    prefix: String,
    limit: Option<usize>,
}

fn one() -> i64 {
    1
}

fn read<'a, T: Deserialize<'a>>(args: &'a str) -> Result<T, Failure> {
    serde_json::from_str(args).map_err(|e| bad_args(&e))
}

impl KeyValue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, apps: Mutex::default() }
    }

    /// Answers the call `kv.` + `what`, in JSON; `None` if there is no such call.
    pub(super) fn answer(
        &self,
        app: &str,
        what: &str,
        args: &str,
    ) -> Option<Result<String, Failure>> {
        Some(match what {
            "get" => read(args).map(|Key { key }| get(&self.apps(), app, &key)),
            "set" => read(args).and_then(|Set { key, value }| {
                self.set(&mut self.apps(), app, key, value.get().into()).map(|()| "null".into())
            }),
            "delete" => read(args).map(|Key { key }| self.delete(app, &key).to_string()),
            "list" => {
                let list = if args.trim() == "null" { Ok(List::default()) } else { read(args) };
                list.and_then(|list| self.list(app, &list))
            }
            "increment" => {
                read(args).and_then(|Increment { key, by }| self.increment(app, key, by))
            }
            _ => return None,
        })
    }

    fn set(&self, apps: &mut Apps, app: &str, key: String, value: Box<str>) -> Result<(), Failure> {
        if key.len() > self.bounds.key_bytes {
            return Err(Failure::too_large(format!(
                "the key is longer than {} bytes",
                self.bounds.key_bytes
            )));
        }
        let empty = Kept::default();
        let kept = apps.get(app).unwrap_or(&empty);
        let old = kept.values.get(&key).map(|value| key.len() + value.len());
        let bytes = kept.bytes - old.unwrap_or(0) + key.len() + value.len();
        if old.is_none() && kept.values.len() >= self.bounds.keys {
            return Err(Failure::too_large(format!(
                "this app keeps {} keys, which is the most it may",
                self.bounds.keys
            )));
        }
        if bytes > self.bounds.bytes {
            return Err(Failure::too_large(format!(
                "this app would keep more than {} bytes",
                self.bounds.bytes
            )));
        }
        let kept = apps.entry(app.to_owned()).or_default();
        kept.bytes = bytes;
        kept.values.insert(key, value);
        Ok(())
    }

    fn delete(&self, app: &str, key: &str) -> bool {
        let mut apps = self.apps();
        let Some(kept) = apps.get_mut(app) else { return false };
        let Some(value) = kept.values.remove(key) else { return false };
        kept.bytes -= key.len() + value.len();
        if kept.values.is_empty() {
            apps.remove(app);
        }
        true
    }

    fn list(&self, app: &str, list: &List) -> Result<String, Failure> {
        let apps = self.apps();
        let limit = list.limit.unwrap_or(MAX_LISTED).min(MAX_LISTED);
        let keys: Vec<&String> = apps
            .get(app)
            .into_iter()
            .flat_map(|kept| kept.values.range(list.prefix.clone()..))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&list.prefix))
            .take(limit)
            .collect();
        serde_json::to_string(&keys).map_err(|_| Failure::argument("the keys cannot be listed"))
    }

    fn increment(&self, app: &str, key: String, by: i64) -> Result<String, Failure> {
        let mut apps = self.apps();
        let old = get(&apps, app, &key);
        let old: i64 = if old == "null" { Ok(0) } else { old.parse() }.map_err(|_| {
            Failure::argument(format!("{:?} is not a whole number", log::cut(&key, 80)))
        })?;
        let sum = old.checked_add(by).filter(|sum| (-MAX_NUMBER..=MAX_NUMBER).contains(sum));
        let sum = sum.ok_or_else(|| Failure::argument("the number becomes too large"))?.to_string();
        self.set(&mut apps, app, key, sum.as_str().into())?;
        Ok(sum)
    }

    fn apps(&self) -> MutexGuard<'_, Apps> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn get(apps: &Apps, app: &str, key: &str) -> String {
    let found = apps.get(app).and_then(|kept| kept.values.get(key));
    found.map_or_else(|| "null".into(), |value| value.to_string())
}
