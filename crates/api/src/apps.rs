//! The apps this server knows: their records in the store, their active deployment in the Work Master.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

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
use crate::seal::SecretKeys;
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
    loaded: Instant,
}

impl App {
    /// An app of which nothing is deployed yet.
    fn of(key: &Arc<str>, record: AppRecord, keys: &SecretKeys) -> Result<Self, ApiError> {
        let settings = settings(key, &record, keys)?;
        Ok(Self {
            key: key.clone(),
            limits: settings.limits.limits(),
            settings,
            hooks: Hooks::default(),
            deployment: None,
            broken: None,
            revision: String::new(),
            loaded: Instant::now(),
            record,
        })
    }
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
    keys: SecretKeys,
    known: RwLock<Known>,
    /// Loads and changes are rare and take their time: one at a time per app is enough.
    turns: std::sync::Mutex<HashMap<Arc<str>, Arc<Mutex<()>>>>,
    /// Through which other API hosts hear of changes.
    host: Option<Host>,
    /// Workers that share an app's quota; 0 where this is the only one.
    workers: AtomicUsize,
}

/// The apps that are loaded, and the loads under way.
#[derive(Default)]
struct Known {
    apps: HashMap<Arc<str>, Arc<App>>,
    /// Whose each is, and whether it may have read what is no more.
    loads: HashMap<u64, (Arc<str>, bool)>,
    next: u64,
}

impl Known {
    /// An app's, or every app's, record may have changed, or be gone.
    fn outdate(&mut self, key: Option<&str>) {
        match key {
            Some(key) => drop(self.apps.remove(key)),
            None => self.apps.clear(),
        }
        for (name, outdated) in self.loads.values_mut() {
            *outdated |= key.is_none_or(|key| key == &**name);
        }
    }

    /// A load begins, which reads the record after this.
    fn begin(&mut self, key: &Arc<str>) -> u64 {
        self.next += 1;
        self.loads.insert(self.next, (key.clone(), false));
        self.next
    }
}

/// A load under way, until it is dropped.
struct Load<'a> {
    known: &'a RwLock<Known>,
    number: u64,
}

impl<'a> Load<'a> {
    fn begin(known: &'a RwLock<Known>, key: &Arc<str>) -> Self {
        let number = known.write().unwrap_or_else(PoisonError::into_inner).begin(key);
        Self { known, number }
    }

    /// Makes what was loaded known, unless it may be no more by now. Returns whether it is.
    fn done(self, app: &Arc<App>) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is_current = known.loads.get(&self.number).is_some_and(|(_, outdated)| !outdated);
        if is_current {
            known.apps.insert(app.key.clone(), app.clone());
        }
        is_current
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).loads.remove(&self.number);
    }
}

/// A worker builds what it could not build again after so long, not for each task: a build takes a process, and up to
/// seconds of a processor.
const REBUILD: Duration = Duration::from_secs(5);

/// How often an app is loaded again that changes while it is loaded: whoever changes it so fast gets what there
/// was at the last time, and whoever asks next, a load of their own.
const LOADS: usize = 4;

impl Apps {
    pub(crate) fn new(
        store: Store,
        master: Master,
        logs: Arc<Logs>,
        keys: SecretKeys,
        host: Option<Host>,
    ) -> Self {
        Self {
            store,
            master,
            logs,
            keys,
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

    /// An app, loaded again if what is known is not of this revision and not what the store has now: a task that
    /// waited while its app was deployed anew must not have it built for nothing. One that could not be built is tried
    /// again from time to time. `None`, if the time is over before it could be looked at.
    pub(crate) async fn at_revision(
        &self,
        key: &Arc<str>,
        revision: &str,
        deadline: Instant,
    ) -> Result<Option<Arc<App>>, ApiError> {
        let at = |app: &Arc<App>| app.revision == revision && app.broken.is_none();
        if let Some(app) = self.known(key).filter(at) {
            return Ok(Some(app));
        }
        let turn = self.turn(key);
        let turn = tokio::time::timeout_at(deadline.into(), turn.lock()).await;
        // Whoever had the turn before may have taken all the time there was.
        let Some(_turn) = turn.ok().filter(|_| Instant::now() < deadline) else { return Ok(None) };
        let Some(app) = self.known(key) else { return self.load(key, None).await.map(Some) };
        if at(&app) {
            return Ok(Some(app));
        }
        let is_tried = app.broken.is_none() || app.loaded.elapsed() < REBUILD;
        if is_tried && self.store.app(key).await?.as_ref() == Some(&app.record) {
            return Ok(Some(app));
        }
        self.load(key, None).await.map(Some)
    }

    /// An app's, or every app's, record may have changed: it is loaded when it is next asked for.
    pub(crate) fn outdate(&self, key: Option<&str>) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).outdate(key);
    }

    /// So many workers share each app's quota from now on.
    pub(crate) fn share(&self, workers: usize) {
        self.workers.store(workers, Ordering::Relaxed);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for app in known.apps.values() {
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
        self.known.write().unwrap_or_else(PoisonError::into_inner).outdate(Some(key));
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.master.remove(&key.into());
        self.logs.forget(key);
    }

    fn known(&self, key: &str) -> Option<Arc<App>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).apps.get(key).cloned()
    }

    fn turn(&self, key: &Arc<str>) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(key.clone()).or_default().clone()
    }

    /// Loads an app and makes it known: again, if it was changed or removed meanwhile.
    async fn load(&self, key: &Arc<str>, mut fresh: Option<Fresh>) -> Result<Arc<App>, ApiError> {
        let mut left = LOADS;
        loop {
            left -= 1;
            let load = Load::begin(&self.known, key);
            let app = self.read(key, fresh.take()).await?;
            if load.done(&app) || left == 0 {
                return Ok(app);
            }
        }
    }

    /// An app as the store has it now, deployed.
    async fn read(&self, key: &Arc<str>, fresh: Option<Fresh>) -> Result<Arc<App>, ApiError> {
        let Some(record) = self.store.app(key).await? else {
            // Names that are no app's must not be remembered: clients choose them.
            self.drop_app(key);
            return Err(ApiError::new(Kind::AppNotFound, ""));
        };
        let mut app = App::of(key, record, &self.keys)?;
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
        Ok(Arc::new(app))
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
pub(crate) fn settings(
    key: &str,
    record: &AppRecord,
    keys: &SecretKeys,
) -> Result<Settings, ApiError> {
    let mut settings = record.settings.clone();
    keys.open(key, &mut settings)?;
    Settings::deserialize(settings).map_err(ApiError::internal)
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
    use super::*;

    fn app(key: &Arc<str>) -> Arc<App> {
        let record = AppRecord {
            key: key.to_string(),
            name: "an app".into(),
            app_secret_hash: [1; 32],
            master_secret_hash: [2; 32],
            settings: serde_json::json!({}),
            scheduled: false,
            active: None,
            created_ms: 1,
        };
        Arc::new(App::of(key, record, &SecretKeys::default()).expect("an app"))
    }

    #[test]
    fn what_was_outdated_or_removed_while_it_was_loaded_does_not_come_back() {
        let known = RwLock::<Known>::default();
        let (a, b): (Arc<str>, Arc<str>) = ("kid_a".into(), "kid_b".into());
        let outdate = |key| known.write().expect("no panic").outdate(key);
        let is_known = |key| known.read().expect("no panic").apps.contains_key(key);
        let loads = [Load::begin(&known, &a), Load::begin(&known, &b)];
        outdate(Some("kid_a"));
        let [load_a, load_b] = loads;
        assert!(!load_a.done(&app(&a)) && load_b.done(&app(&b)));
        assert!(!is_known("kid_a") && is_known("kid_b"));
        let load = Load::begin(&known, &a);
        outdate(None);
        assert!(!load.done(&app(&a)));
        // One that begins after it has read what there is now.
        assert!(Load::begin(&known, &a).done(&app(&a)));
        assert!(is_known("kid_a") && !is_known("kid_b"));
        assert!(known.read().expect("no panic").loads.is_empty());
    }

    #[test]
    fn a_code_frame_marks_the_place() {
        let text = "one\ntwo\nthree (\nfour\nfive";
        let expected = "  a.js:3:7\n    2 | two\n    3 | three (\n      |       ^\n    4 | four\n";
        assert_eq!(frame("a.js", text, 3, 7), expected);
        assert!(frame("a.js", "", 9, 9).starts_with("  a.js:9:9"));
    }
}
