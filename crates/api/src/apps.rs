//! The apps this server knows: their records in the store, their active deployment in the Work Master.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lode_queue::Host;
use lode_store::{AppRecord, Store};
use lode_worker::broker::AppContext;
use lode_worker::master::{AppSettings, BuildError, Built, DeploymentId, Master, Quota};
use lode_worker::{BuildFailure, Limits, Source, deploy_limits};
use serde::Deserialize as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::error::{ApiError, Kind};
use crate::hooks::Hooks;
use crate::logs::Logs;
use crate::secret;
use crate::settings::Settings;

/// An app, ready to be asked for. Replaced as a whole when anything of it changes.
#[derive(Debug)]
pub(crate) struct App {
    /// Its key, `kid_…`.
    pub(crate) key: Arc<str>,
    pub(crate) record: AppRecord,
    pub(crate) settings: Settings,
    pub(crate) hooks: Hooks,
    pub(crate) limits: Limits,
    /// Its deployment, as the master knows it; `None` without one.
    pub(crate) deployment: Option<DeploymentId>,
    /// Why its scripts cannot be run, if they cannot.
    pub(crate) broken: Option<ApiError>,
    /// Its settings and its active deployment in one digest: hosts that have the same run the same.
    pub(crate) revision: String,
}

/// A deployment that was built before it was made the active one.
pub(crate) struct Fresh {
    pub(crate) number: u32,
    /// What the store keeps of it.
    pub(crate) content: Value,
    pub(crate) built: Built,
    pub(crate) hooks: Hooks,
}

pub(crate) struct Apps {
    store: Store,
    master: Master,
    logs: Arc<Logs>,
    known: RwLock<HashMap<Arc<str>, Arc<App>>>,
    /// Loads and changes are rare and take their time: one at a time per app is enough.
    turns: std::sync::Mutex<HashMap<Arc<str>, Arc<Mutex<()>>>>,
    /// Through which other API hosts hear of changes.
    host: Option<Host>,
    /// Workers that share an app's quota; 0 where this is the only one.
    workers: AtomicUsize,
}

impl Apps {
    pub(crate) fn new(store: Store, master: Master, logs: Arc<Logs>, host: Option<Host>) -> Self {
        Self {
            store,
            master,
            logs,
            known: RwLock::default(),
            turns: std::sync::Mutex::default(),
            host,
            workers: AtomicUsize::new(0),
        }
    }

    /// An app, loaded if it was not yet.
    ///
    /// # Errors
    /// `AppNotFound`, or ours.
    pub(crate) async fn get(&self, key: &str) -> Result<Arc<App>, ApiError> {
        if let Some(app) = self.known(key) {
            return Ok(app);
        }
        let name: Arc<str> = key.into();
        let turn = self.turn(&name);
        let _turn = turn.lock().await;
        if let Some(app) = self.known(key) {
            return Ok(app);
        }
        self.load(&name, None).await
    }

    /// Takes over what the store has now. Its active deployment need not be read and built if it is `fresh`.
    pub(crate) async fn reload(
        &self,
        key: &str,
        fresh: Option<Fresh>,
    ) -> Result<Arc<App>, ApiError> {
        let name: Arc<str> = key.into();
        let turn = self.turn(&name);
        let loaded = {
            let _turn = turn.lock().await;
            self.load(&name, fresh).await
        };
        self.announce(key).await;
        loaded
    }

    /// An app, loaded again if what is known is not of this revision. The store may have another by now.
    pub(crate) async fn at_revision(
        &self,
        key: &Arc<str>,
        revision: &str,
    ) -> Result<Arc<App>, ApiError> {
        let at = |app: &Arc<App>| app.revision == revision;
        if let Some(app) = self.known(key).filter(at) {
            return Ok(app);
        }
        let turn = self.turn(key);
        let _turn = turn.lock().await;
        match self.known(key).filter(at) {
            Some(app) => Ok(app),
            None => self.load(key, None).await,
        }
    }

    /// An app's, or every app's, record may have changed: it is loaded when it is next asked for.
    pub(crate) fn outdate(&self, key: Option<&str>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match key {
            Some(key) => drop(known.remove(key)),
            None => known.clear(),
        }
    }

    /// So many workers share each app's quota from now on.
    pub(crate) fn share(&self, workers: usize) {
        self.workers.store(workers, Ordering::Relaxed);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for app in known.values() {
            self.master.set_quota(&app.key, self.quota(&app.settings));
        }
    }

    /// What this host's master is to admit. With a queue, what waits and its rate were bounded there, for all
    /// hosts together; what runs is bounded by shares.
    fn quota(&self, settings: &Settings) -> Quota {
        let quota = settings.quota.quota();
        match self.workers.load(Ordering::Relaxed) {
            0 => quota,
            workers => Quota {
                concurrency: quota.concurrency.div_ceil(workers),
                queue: usize::MAX,
                rate: None,
            },
        }
    }

    async fn announce(&self, key: &str) {
        if let Some(host) = &self.host
            && let Err(error) = host.announce(key).await
        {
            tracing::warn!(app = key, error, "other hosts were not told of a change");
        }
    }

    /// What has come in the place of `old`, which the master no longer knows. Whoever replaced it holds the
    /// app's turn until the new one is known: it is built once, however many requests have the old one.
    pub(crate) async fn successor(&self, old: &App) -> Result<Arc<App>, ApiError> {
        let turn = self.turn(&old.key);
        let _turn = turn.lock().await;
        match self.known(&old.key) {
            Some(app) if app.deployment != old.deployment => Ok(app),
            _ => self.load(&old.key, None).await,
        }
    }

    /// Forgets an app that is no more.
    pub(crate) async fn forget(&self, key: &str) {
        self.drop_app(key);
        self.announce(key).await;
    }

    fn drop_app(&self, key: &str) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.master.remove(&key.into());
        self.logs.forget(key);
    }

    fn known(&self, key: &str) -> Option<Arc<App>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn turn(&self, key: &Arc<str>) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(key.clone()).or_default().clone()
    }

    async fn load(&self, key: &Arc<str>, fresh: Option<Fresh>) -> Result<Arc<App>, ApiError> {
        let Some(record) = self.store.app(key).await? else {
            // Names that are no app's must not be remembered: clients choose them.
            self.drop_app(key);
            return Err(ApiError::new(Kind::AppNotFound, ""));
        };
        let settings = settings(&record)?;
        let mut app = App {
            key: key.clone(),
            limits: settings.limits.limits(),
            settings,
            hooks: Hooks::default(),
            deployment: None,
            broken: None,
            revision: String::new(),
            record,
        };
        let mut digest = Sha256::new();
        digest.update(app.record.settings.to_string());
        if let Some(number) = app.record.active {
            let fresh = fresh.filter(|fresh| fresh.number == number);
            digest.update(number.to_le_bytes());
            match self.deploy(&app, number, fresh, &mut digest).await {
                Ok((hooks, deployment)) => {
                    app.hooks = hooks;
                    app.deployment = Some(deployment);
                }
                Err(error) => {
                    tracing::warn!(app = &**key, number, ?error, "a deployment cannot be run");
                    app.broken = Some(error);
                }
            }
        }
        app.revision = secret::hex(&digest.finalize());
        let app = Arc::new(app);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(key.clone(), app.clone());
        Ok(app)
    }

    async fn deploy(
        &self,
        app: &App,
        number: u32,
        fresh: Option<Fresh>,
        digest: &mut Sha256,
    ) -> Result<(Hooks, DeploymentId), ApiError> {
        let (built, hooks) = match fresh {
            Some(fresh) => {
                digest.update(fresh.content.to_string());
                (fresh.built, fresh.hooks)
            }
            None => {
                let deployment = self.store.deployment(&app.key, number).await?;
                let gone = || ApiError::internal(format_args!("deployment {number} is gone"));
                let content = deployment.ok_or_else(gone)?.content;
                digest.update(content.to_string());
                self.build(sources(content)?).await?
            }
        };
        let settings = AppSettings {
            name: app.key.clone(),
            limits: app.limits.clone(),
            quota: self.quota(&app.settings),
            trust_group: app.settings.trust_group.as_deref().map(Arc::from),
            context: AppContext {
                egress: Arc::new(app.settings.egress()?),
                ..AppContext::new(&*app.key)
            },
        };
        let id = self.master.deploy(settings, &built).map_err(ApiError::internal)?;
        Ok((hooks, id))
    }

    /// Builds a deployment's snapshot, which runs its top-level code.
    ///
    /// # Errors
    /// `BLSyntaxError` and the like, with a code frame in `debug`.
    pub(crate) async fn build(&self, sources: Vec<Source>) -> Result<(Built, Hooks), ApiError> {
        let texts: HashMap<String, String> =
            sources.iter().map(|source| (source.name.clone(), source.text.clone())).collect();
        let built = self.master.build(sources, deploy_limits()).await;
        let built = built.map_err(|error| match error {
            BuildError::Sources { failure, .. } => failed(&failure, &texts),
            error => ApiError::internal(error),
        })?;
        let hooks =
            Hooks::of(&built.handlers).map_err(|two| ApiError::new(Kind::BadRequest, two))?;
        Ok((built, hooks))
    }
}

/// An app's settings, out of its record.
pub(crate) fn settings(record: &AppRecord) -> Result<Settings, ApiError> {
    Settings::deserialize(&record.settings).map_err(ApiError::internal)
}

/// A deployment's content: its sources.
pub(crate) fn content(sources: &[Source]) -> Result<Value, ApiError> {
    serde_json::to_value(sources).map_err(ApiError::internal)
}

/// The sources that are a deployment's content.
pub(crate) fn sources(content: Value) -> Result<Vec<Source>, ApiError> {
    serde_json::from_value(content).map_err(ApiError::internal)
}

fn failed(failure: &BuildFailure, texts: &HashMap<String, String>) -> ApiError {
    let kind = match failure {
        BuildFailure::Syntax(_) => Kind::BLSyntaxError,
        BuildFailure::Limit(lode_worker::Limit::Cpu | lode_worker::Limit::Wall) => {
            Kind::BLTimeoutError
        }
        BuildFailure::Limit(_) => Kind::BLViolationError,
        _ => Kind::BLRuntimeError,
    };
    let mut debug = failure.to_string();
    if let BuildFailure::Syntax(error) | BuildFailure::Script(error) | BuildFailure::TopLevel(error) =
        failure
        && let Some((file, line, column)) = error.position()
        && let Some(text) = texts.get(file)
    {
        debug.push_str("\n\n");
        debug.push_str(&frame(file, text, line, column));
    }
    ApiError::new(kind, debug)
}

/// The lines around a position, and a mark under its column.
fn frame(file: &str, text: &str, line: u32, column: u32) -> String {
    /// Characters of a line that are shown: minified sources have lines without end.
    const WIDTH: usize = 200;
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let first = line.saturating_sub(1).max(1);
    let mut shown = format!("  {file}:{line}:{column}\n");
    for (index, text) in text.lines().enumerate().skip(first - 1).take(line + 2 - first) {
        let number = index + 1;
        let cut: String = text.chars().take(WIDTH).collect();
        shown.push_str(&format!("{number:>5} | {cut}\n"));
        if number == line && column <= WIDTH {
            shown.push_str(&format!("      | {:>column$}\n", "^"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn a_code_frame_marks_the_place() {
        let text = "one\ntwo\nthree (\nfour\nfive";
        let expected = "  a.js:3:7\n    2 | two\n    3 | three (\n      |       ^\n    4 | four\n";
        assert_eq!(frame("a.js", text, 3, 7), expected);
        assert!(frame("a.js", "", 9, 9).starts_with("  a.js:9:9"));
    }
}
