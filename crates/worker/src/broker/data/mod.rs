//! An app's documents, for its scripts: Kinvey's `collectionAccess`. It asks neither access control nor hooks,
//! as Kinvey's does not: a script has all the rights of its app, and none beyond.
//!
//! What a script may not do, and why:
//!  - collections of another app: the app is the task's, never an argument's.
//!  - users: their names and passwords are credentials, which are no documents. A script changes a user's
//!    document, but neither makes users nor renames them, as there would be no credential behind the name; who
//!    removes a user removes the credential and the sessions too.
//!  - files: `_blob` is what the file store knows of its files, for scripts to read.

use std::future::Future;
use std::time::Instant;

use lode_child::protocol::HostError;
use lode_store::{Group, Place, Projection, Query, SortKey, Store, StoreError, Turns};
use serde::Serialize;
use serde_json::Value;

use super::{AppContext, MAX_ANSWER, log};

mod args;
mod geo;
mod metadata;
mod quota;
mod write;

use args::read;
use quota::Quota;

/// Documents of one answer: Kinvey's own bound.
pub const MAX_DOCUMENTS: u64 = 10_000;

/// Calls of one app under way: each may hold what an answer may have, many times over. Others wait. The store has
/// turns, too, but of searches alone and for as long as they take: writes, and answers that are put into words for
/// the script, are bounded here.
const PER_APP: usize = 16;

/// Answers `data.*`.
pub(super) struct Data {
    store: Store,
    turns: Turns,
    quota: Quota,
}

/// Why a call failed.
#[derive(Debug)]
enum Failure {
    /// In words for the script.
    Said(HostError),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<lode_store::QueryError> for Failure {
    fn from(error: lode_store::QueryError) -> Self {
        Self::Store(error.into())
    }
}

impl From<super::egress::Failure> for Failure {
    fn from(failure: super::egress::Failure) -> Self {
        Self::Said(failure.into())
    }
}

/// A mistake of the script's that the store would not find.
fn refused(message: impl Into<String>) -> Failure {
    Failure::Said(mongo_error(message))
}

fn mongo_error(message: impl Into<String>) -> HostError {
    HostError { name: "MongoError".into(), message: message.into() }
}

impl From<Failure> for HostError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Said(error) => error,
            Failure::Store(StoreError::Duplicate { id }) => {
                // As MongoDB's: scripts look for the number.
                mongo_error(format!(
                    "E11000 duplicate key error: _id {:?} exists already",
                    log::cut(&id, 200)
                ))
            }
            Failure::Store(error)
                if error.is_platform() || matches!(error, StoreError::NoApp(_)) =>
            {
                tracing::error!(%error, "a script's call to the store failed");
                HostError { name: "Error".into(), message: "the data cannot be reached now".into() }
            }
            Failure::Store(error) => mongo_error(log::cut(&error.to_string(), 1000)),
        }
    }
}

impl Data {
    pub(super) fn new(store: Store) -> Self {
        Self { store, turns: Turns::new(PER_APP), quota: Quota::default() }
    }

    /// Answers the call `data.` + `what`, in JSON; `None` if there is no such call. One that still waits for its
    /// turn when its run is `over` is forgotten.
    pub(super) async fn answer(
        &self,
        context: &AppContext,
        what: &str,
        args: &str,
        deadline: Instant,
        over: impl Future<Output = ()> + Send,
    ) -> Option<Result<String, HostError>> {
        let _held = match self.quota.hold(&context.app, args.len()) {
            Ok(held) => held,
            Err(busy) => return Some(Err(busy.into())),
        };
        let late = || HostError {
            name: "TimeoutError".into(),
            message: format!("the data call {what} took longer than the run may"),
        };
        let answered = async {
            let _turn = tokio::select! {
                turn = self.turns.take(&context.app) => turn,
                // Nobody hears this.
                () = over => return Some(Err(refused("the run is over"))),
            };
            self.called(&context.app, what, args).await
        };
        match tokio::time::timeout_at(deadline.into(), answered).await {
            Ok(answer) => answer.map(|answer| answer.map_err(HostError::from)),
            Err(_) => Some(Err(late())),
        }
    }

    async fn called(&self, app: &str, what: &str, args: &str) -> Option<Result<String, Failure>> {
        Some(match what {
            "find" => self.find(app, args).await,
            "findOne" => self.find_one(app, args).await,
            "count" => self.count(app, args).await,
            "distinct" => self.distinct(app, args).await,
            "group" => self.group(app, args).await,
            "geoNear" => self.geo_near(app, args).await,
            "collectionExists" => self.collection_exists(app, args).await,
            "insert" => self.insert(app, args).await,
            "save" => self.save(app, args).await,
            "update" => self.update(app, args).await,
            "findAndModify" => self.find_and_modify(app, args).await,
            "remove" => self.remove(app, args).await,
            _ => return None,
        })
    }

    async fn find(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Find = read(args)?;
        let at = readable(app, &args.collection)?;
        let query = query(&args.query, &args.options, MAX_DOCUMENTS)?;
        fitting(&self.store.find(at, &query).await?)
    }

    async fn find_one(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Find = read(args)?;
        let at = readable(app, &args.collection)?;
        let query = query(&args.query, &args.options, 1)?;
        fitting(&self.store.find(at, &query).await?.into_iter().next())
    }

    async fn count(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Count = read(args)?;
        let at = readable(app, &args.collection)?;
        Ok(self.store.count(at, &geo::parse(&args.query)?).await?.to_string())
    }

    async fn distinct(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Distinct = read(args)?;
        let at = readable(app, &args.collection)?;
        fitting(&self.store.distinct(at, &args.field, &geo::parse(&args.query)?).await?)
    }

    async fn group(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Group = read(args)?;
        let at = readable(app, &args.collection)?;
        fitting(&self.store.group(at, &Group::parse(&args.group)?).await?)
    }

    async fn geo_near(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::GeoNear = read(args)?;
        let at = readable(app, &args.collection)?;
        let query = geo::query(&args)?;
        let found = self.store.find(at, &query).await?;
        let results = found.into_iter().map(|place| geo::Near::new(&args, place)).collect();
        fitting(&geo::Answer { results, ok: 1 })
    }

    async fn collection_exists(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Collection = read(args)?;
        let name = args.collection;
        let reserved = ["user", "group", "role", "_blob"].contains(&name.as_str());
        let exists =
            reserved || self.store.collection_exists(Place { app, collection: &name }).await?;
        Ok(exists.to_string())
    }
}

/// A collection that a script may read: not those whose names say that they are the platform's.
fn readable<'a>(app: &'a str, collection: &'a str) -> Result<Place<'a>, Failure> {
    if collection.starts_with('_') && collection != "_blob" {
        return Err(refused(format!("there is no collection {:?}", log::cut(collection, 80))));
    }
    Ok(Place { app, collection })
}

/// A collection that a script may change.
fn writable<'a>(app: &'a str, collection: &'a str) -> Result<Place<'a>, Failure> {
    if collection == "_blob" {
        return Err(refused("scripts cannot change what is kept of files: use the file API"));
    }
    readable(app, collection)
}

fn query(filter: &Value, options: &args::FindOptions, most: u64) -> Result<Query, Failure> {
    let fields = match &options.fields {
        Value::Null => None,
        fields => Some(Projection::parse(fields)?),
    };
    Ok(Query {
        filter: geo::parse(filter)?,
        sort: SortKey::parse(&options.sort)?,
        limit: Some(options.limit.unwrap_or(most).min(most)),
        skip: options.skip.unwrap_or(0),
        fields,
    })
}

/// The answer as JSON, if it is not larger than an answer may be.
fn fitting(answer: &impl Serialize) -> Result<String, Failure> {
    struct Bounded(Vec<u8>);

    impl std::io::Write for Bounded {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0.len() + bytes.len() > MAX_ANSWER {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut text = Bounded(Vec::new());
    if serde_json::to_writer(&mut text, answer).is_err() {
        return Err(refused(format!(
            "the documents have more than {} MiB: ask for fewer with limit and skip, or for less of each with fields",
            MAX_ANSWER >> 20
        )));
    }
    String::from_utf8(text.0).map_err(|_| refused("the documents are not text"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_call_that_waits_for_its_turn_goes_with_its_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().display());
        let data = Data::new(Store::open(&url).await.expect("a store"));
        let mut all = Vec::new();
        for _ in 0..PER_APP {
            all.push(data.turns.take("a").await);
        }
        let (context, deadline) = (AppContext::new("a"), Instant::now() + Duration::from_secs(60));
        let args = r#"{"collection":"c"}"#;
        let answer = data.answer(&context, "count", args, deadline, async {});
        let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
        assert!(matches!(answer.expect("it is not kept"), Some(Err(_))));
    }
}
