//! What an operation runs on: one connection to either database, so that each operation is written once.
//!
//! Operations are `async`. On PostgreSQL they wait for the network; on SQLite every statement is done when
//! it returns, so an operation's future is ready when it is first polled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::query::sql::{Dialect, Param as Rendered};
use crate::{Document, DocumentText, LARGEST_ANSWER, StoreError, document, postgres, sqlite};

/// A value of a statement. Statements name their parameters `$1`, `$2`… or `?1`, `?2`….
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Param {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// PostgreSQL only: an array of texts.
    Texts(Vec<String>),
    /// What a rendered query binds.
    Rendered(Rendered),
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Param {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Param {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<&[u8; 32]> for Param {
    fn from(bytes: &[u8; 32]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Rendered> for Param {
    fn from(param: Rendered) -> Self {
        Self::Rendered(param)
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Where statements go.
pub(crate) enum Connection<'a> {
    Sqlite(&'a sqlite::Handle),
    /// Each statement is its own transaction.
    Postgres(&'a deadpool_postgres::Client, &'a Numbers),
    PostgresTransaction(&'a deadpool_postgres::Transaction<'a>),
}

/// One row of an answer; columns are numbered from 0.
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

/// What was read of an answer.
pub(crate) struct Rows<T> {
    pub(crate) read: Vec<T>,
    /// Whether nothing was left unread.
    pub(crate) are_all: bool,
    bytes_left: usize,
}

impl<T> Rows<T> {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { read: Vec::new(), are_all: true, bytes_left: most_bytes }
    }

    /// Takes what was read of a row and has so many bytes. False if there was no room for it. There is for the
    /// first: whoever goes on behind the last one read would else never get on.
    pub(crate) fn add(&mut self, (value, bytes): (T, usize)) -> bool {
        self.are_all = bytes <= self.bytes_left || self.read.is_empty();
        if self.are_all {
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.read.push(value);
        }
        self.are_all
    }
}

impl Connection<'_> {
    pub(crate) fn dialect(&self) -> Dialect {
        if self.is_sqlite() { Dialect::Sqlite } else { Dialect::Postgres }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Runs a statement and reads its rows, as far as what is kept of them has `most_bytes` in all; `map` says
    /// how many that are.
    pub(crate) async fn rows_within<T: Send>(
        &self,
        most_bytes: usize,
        sql: &str,
        params: &[Param],
        map: impl FnMut(&Row<'_>) -> Result<(T, usize), StoreError> + Send,
    ) -> Result<Rows<T>, StoreError> {
        match self {
            Self::Sqlite(handle) => handle.rows(sql, params, most_bytes, map),
            Self::Postgres(client, _) => {
                postgres::rows(*client, sql, params, most_bytes, map).await
            }
            Self::PostgresTransaction(client) => {
                postgres::rows(*client, sql, params, most_bytes, map).await
            }
        }
    }

    /// Runs a statement that answers with rows, of which lode itself bounds number and size.
    pub(crate) async fn rows<T: Send>(
        &self,
        sql: &str,
        params: &[Param],
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let map = |row: &Row<'_>| Ok((map(row)?, 0));
        Ok(self.rows_within(usize::MAX, sql, params, map).await?.read)
    }

    /// Runs a statement that answers with as many rows, and as large ones, as an app happens to have.
    pub(crate) async fn found<T: Send>(
        &self,
        sql: &str,
        params: &[Param],
        map: impl FnMut(&Row<'_>) -> Result<(T, usize), StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows_within(LARGEST_ANSWER, sql, params, map).await?;
        if rows.are_all { Ok(rows.read) } else { Err(StoreError::TooLarge) }
    }

    /// The first row, if there is one.
    pub(crate) async fn first<T: Send>(
        &self,
        sql: &str,
        params: &[Param],
        map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.rows(sql, params, map).await?.into_iter().next())
    }

    /// Runs a statement and says how many rows it wrote.
    pub(crate) async fn execute(&self, sql: &str, params: &[Param]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(handle) => handle.execute(sql, params),
            Self::Postgres(client, _) => postgres::execute(*client, sql, params).await,
            Self::PostgresTransaction(client) => postgres::execute(*client, sql, params).await,
        }
    }

    /// Waits until no other transaction holds this name, and holds it until this one ends. SQLite's
    /// writes come one after another anyway.
    pub(crate) async fn lock(&self, name: &str) -> Result<(), StoreError> {
        if !self.is_sqlite() {
            let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
            self.rows(sql, &[name.into()], |_| Ok(())).await?;
        }
        Ok(())
    }

    /// What is remembered of collections' numbers, where that may be relied on.
    pub(crate) fn numbers(&self) -> Option<&Numbers> {
        match self {
            Self::Postgres(_, numbers) => Some(numbers),
            _ => None,
        }
    }
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::unavailable("reading a column", error)
}

impl Row<'_> {
    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite(row) => row.get(column).map_err(unreadable),
            Self::Postgres(row) => row.try_get(column).map_err(unreadable),
        }
    }

    pub(crate) fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => row.get(column).map_err(unreadable),
            Self::Postgres(row) => row.try_get(column).map_err(unreadable),
        }
    }

    pub(crate) fn optional_real(&self, column: usize) -> Result<Option<f64>, StoreError> {
        match self {
            Self::Sqlite(row) => row.get(column).map_err(unreadable),
            Self::Postgres(row) => row.try_get(column).map_err(unreadable),
        }
    }

    /// Bytes of all its values.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Sqlite(row) => (0..row.as_ref().column_count())
                .map(|column| row.get_ref(column).and_then(|value| Ok(value.as_bytes()?.len())))
                .map(|bytes| bytes.unwrap_or(size_of::<i64>()))
                .sum(),
            Self::Postgres(row) => row.raw_size_bytes(),
        }
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        match self {
            Self::Sqlite(row) => row.get(column).map_err(unreadable),
            Self::Postgres(row) => row.try_get(column).map_err(unreadable),
        }
    }

    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(row) => row.get(column).map_err(unreadable),
            Self::Postgres(row) => row.try_get(column).map_err(unreadable),
        }
    }

    pub(crate) fn hash(&self, column: usize) -> Result<[u8; 32], StoreError> {
        let bytes: Vec<u8> = match self {
            Self::Sqlite(row) => row.get(column).map_err(unreadable)?,
            Self::Postgres(row) => row.try_get(column).map_err(unreadable)?,
        };
        bytes.try_into().map_err(|_| unreadable("a hash does not have 32 bytes"))
    }

    /// A column of JSON, whatever its type in the database; NULL is `None`.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<Option<T>, StoreError> {
        let text = match self {
            Self::Sqlite(row) => match row.get_ref(column).map_err(unreadable)? {
                rusqlite::types::ValueRef::Null => None,
                value => Some(value.as_bytes().map_err(unreadable)?),
            },
            Self::Postgres(row) => row
                .try_get::<_, Option<postgres::JsonText<'_>>>(column)
                .map_err(unreadable)?
                .map(|text| text.0),
        };
        text.map(|text| serde_json::from_slice(text).map_err(unreadable)).transpose()
    }

    pub(crate) fn document(&self, column: usize) -> Result<Document, StoreError> {
        document::decode(self.document_bytes(column)?)
    }

    pub(crate) fn document_text(&self, column: usize) -> Result<DocumentText, StoreError> {
        document::decode(self.document_bytes(column)?)
    }

    fn document_bytes(&self, column: usize) -> Result<&[u8], StoreError> {
        match self {
            Self::Sqlite(row) => {
                row.get_ref(column).and_then(|v| Ok(v.as_bytes()?)).map_err(unreadable)
            }
            Self::Postgres(row) => {
                Ok(row.try_get::<_, postgres::JsonText<'_>>(column).map_err(unreadable)?.0)
            }
        }
    }
}

/// How long this is believed before it is looked up again: another host may have dropped the collection and
/// made one of the same name. Writes never rely on it.
const BELIEVED: Duration = Duration::from_secs(5);

/// Collections remembered; beyond it all are forgotten, so that names cannot fill the memory.
const MOST_NUMBERS: usize = 10_000;

/// What reading a collection needs to know of it.
pub(crate) struct Known {
    pub(crate) number: i64,
    /// Fields that an index answers.
    pub(crate) indexed: Vec<String>,
}

/// Collections' numbers, so that most reads need one statement and not two.
#[derive(Default)]
pub(crate) struct Numbers(Mutex<HashMap<AppAndName, (Arc<Known>, Instant)>>);

type AppAndName = (String, String);

impl Numbers {
    pub(crate) fn get(&self, app: &str, collection: &str) -> Option<Arc<Known>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, since) = known.get(&(app.to_owned(), collection.to_owned()))?;
        (since.elapsed() < BELIEVED).then(|| Arc::clone(known))
    }

    pub(crate) fn put(&self, app: &str, collection: &str, is: Arc<Known>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_NUMBERS {
            known.clear();
        }
        known.insert((app.to_owned(), collection.to_owned()), (is, Instant::now()));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
