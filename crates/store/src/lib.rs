//! What lode keeps: apps, their documents, deployments, users' credentials and sessions, in SQLite or in
//! PostgreSQL.
//!
//! Every operation is written once, over one `Connection` type; the two databases differ in how they
//! are reached. SQLite: one thread writes with group commit, several read, and single documents are read
//! where they are asked for. PostgreSQL: a pool.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

mod apps;
mod change;
mod collections;
mod connection;
mod document;
mod entities;
mod error;
mod indexes;
mod job;
mod json;
mod kept;
mod members;
mod migrations;
mod modify;
mod postgres;
pub mod query;
mod records;
mod sqlite;
mod tasks;
pub mod time;
mod turns;
mod users;

pub use change::Change;
pub use document::{DEEPEST, LONGEST_ID, new_id};
pub use entities::TOMBSTONES_KEPT;
pub use error::StoreError;
pub use indexes::MOST_INDEXES;
pub use json::{JsonError, MOST_VALUES, read_json};
pub use modify::{RemoveHow, UpdateHow, Updated};
pub use query::{
    Document, DocumentText, Filter, FindAndModify, Group, Modify, Projection, Query, QueryError,
    SortKey, Update,
};
pub use records::{AppRecord, Credential, DeploymentRecord, DeploymentSummary, Place, Session};
pub use tasks::{KEY_KEPT_MS, TaskEnd, TaskRecord, TaskState};
pub use turns::{Turn, Turns};

use job::Operation;

/// For how long a query may look at data before it is ended: longer than any request waits for its answer.
pub const SLOWEST_QUERY: Duration = Duration::from_secs(10);

/// Bytes of what one query may find: all of it is in memory, and once more as the answer, for each request
/// under way. 10,000 documents, Kinvey's limit, of 1.6 KB fit.
pub const LARGEST_ANSWER: usize = 16 << 20;

/// A database that is open. Clones share it. It closes when the last is dropped, which waits for what is
/// being written.
#[derive(Clone)]
pub struct Store(Arc<Open>);

struct Open {
    database: Database,
    /// To search in: an app's slow searches must not hold all that reads.
    turns: Turns,
}

enum Database {
    Sqlite(sqlite::Sqlite),
    Postgres(Arc<postgres::Postgres>),
}

impl Store {
    /// Opens `sqlite:DIRECTORY` (made if it is not there) or `postgres://…`, and brings its layout up to
    /// date. With `sslmode=require` PostgreSQL's certificate is verified, by the public authorities or
    /// those of the file `sslrootcert`; other modes than that are not encrypted.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if a newer program made the database; [`StoreError::Unavailable`] if it cannot
    /// be reached, or if another process has the directory open.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let database = if let Some(directory) = url.strip_prefix("sqlite:") {
            let directory = Path::new(directory).to_owned();
            let opened =
                tokio::task::spawn_blocking(move || sqlite::Sqlite::open(&directory)).await;
            Database::Sqlite(opened.map_err(|e| StoreError::unavailable("opening", e))??)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Database::Postgres(Arc::new(postgres::Postgres::open(url).await?))
        } else {
            return Err(StoreError::Unavailable(
                "a store's URL is sqlite:DIRECTORY or postgres://…".into(),
            ));
        };
        let readers = match &database {
            Database::Sqlite(_) => sqlite::readers(),
            Database::Postgres(_) => postgres::CONNECTIONS,
        };
        // One app searches with half of them, and with one at least.
        let turns = Turns::new((readers / 2).max(1));
        let store = Self(Arc::new(Open { database, turns }));
        // What a process left over that ended in the middle of it. Nobody sees it: it can wait.
        if let Err(error) = store.purge().await {
            tracing::warn!(%error, "removing what is left of dropped collections failed");
        }
        Ok(store)
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.0.database, Database::Sqlite(_))
    }

    /// Runs an operation that only reads.
    async fn read<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        match &self.0.database {
            Database::Sqlite(sqlite) => sqlite.read(arguments, operation).await,
            Database::Postgres(postgres) => postgres.direct(arguments, operation).await,
        }
    }

    /// Runs an operation that only reads, and may take as long as a query may: in one of its app's turns.
    async fn search<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        app: &str,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        let turn = self.0.turns.take(app).await;
        match &self.0.database {
            // The turn ends with the job, whoever still waits for it.
            Database::Sqlite(sqlite) => {
                let asked = (arguments, turn);
                sqlite.read(asked, move |(arguments, _), c| operation(arguments, c)).await
            }
            Database::Postgres(postgres) => {
                let postgres = Arc::clone(postgres);
                let search = async move { postgres.direct(arguments, operation).await };
                to_its_end(turn, search).await
            }
        }
    }

    /// Runs an operation that writes what it searches: on PostgreSQL in one of its app's turns. On SQLite one
    /// writes at a time anyway.
    async fn search_and_write<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        app: &str,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        match &self.0.database {
            Database::Sqlite(sqlite) => sqlite.write(arguments, operation).await,
            Database::Postgres(postgres) => {
                let turn = self.0.turns.take(app).await;
                let postgres = Arc::clone(postgres);
                let write = async move { postgres.write(arguments, operation).await };
                to_its_end(turn, write).await
            }
        }
    }

    /// Runs an operation that reads a few rows by their keys and does nothing that takes long: the caller's
    /// own thread may be what does it.
    async fn look_up<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        match &self.0.database {
            Database::Sqlite(sqlite) => sqlite.look_up(arguments, operation).await,
            Database::Postgres(postgres) => postgres.direct(arguments, operation).await,
        }
    }

    /// Runs an operation in a transaction; on PostgreSQL again if it lost a race.
    async fn write<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        match &self.0.database {
            Database::Sqlite(sqlite) => sqlite.write(arguments, operation).await,
            Database::Postgres(postgres) => postgres.write(arguments, operation).await,
        }
    }

    /// Runs an operation of which one statement is all that must not come to half: on PostgreSQL that
    /// saves beginning and ending a transaction.
    async fn write_one<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        match &self.0.database {
            Database::Sqlite(sqlite) => sqlite.write(arguments, operation).await,
            Database::Postgres(postgres) => postgres.direct(arguments, operation).await,
        }
    }
}

/// Keeps a turn until PostgreSQL is done, even if nobody waits any more: dropping a statement's future gives its
/// connection back while the server is still at it.
async fn to_its_end<T: Send + 'static>(
    turn: Turn,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let outcome = tokio::spawn(async move {
        let outcome = work.await;
        drop(turn);
        outcome
    });
    outcome.await.map_err(|e| StoreError::unavailable("searching", e))?
}
