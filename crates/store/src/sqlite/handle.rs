//! One SQLite connection, and how statements run on it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection as Database, ErrorCode, ToSql};

use crate::connection::{Param, Row, Rows};
use crate::query::watch;
use crate::{SLOWEST_QUERY, StoreError};

/// Instructions of SQLite's machine between two looks at the clock: less than a millisecond.
const INSTRUCTIONS: i32 = 20_000;

/// A connection that one thread has at a time.
pub(crate) struct Handle {
    // The mutex is never waited for. It makes the handle `Sync`, so that the operations' futures, which
    // are the same for both databases, are `Send`.
    database: Mutex<Database>,
}

impl Handle {
    pub(crate) fn new(mut database: Database) -> Result<Self, StoreError> {
        database
            .progress_handler(INSTRUCTIONS, Some(|| watch::is_over(watch::BETWEEN_LOOKS)))
            .map_err(|e| StoreError::unavailable("setting up a connection", e))?;
        Ok(Self { database: Mutex::new(database) })
    }

    pub(super) fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: &[Param],
        most_bytes: usize,
        mut map: impl FnMut(&Row<'_>) -> Result<(T, usize), StoreError>,
    ) -> Result<Rows<T>, StoreError> {
        let database = self.database();
        let mut statement = prepare(&database, sql, params)?;
        // Only what looks for rows is interrupted: SQLite undoes the whole transaction, with others'
        // writes in it, when it interrupts a statement that writes.
        let _limit = watch::Limit::until(Instant::now() + SLOWEST_QUERY);
        let mut rows = Rows::new(most_bytes);
        let mut found = statement.raw_query();
        while let Some(row) = found.next().map_err(|e| unfound(&e))? {
            if !rows.add(map(&Row::Sqlite(row))?) {
                break;
            }
        }
        Ok(rows)
    }

    pub(crate) fn execute(&self, sql: &str, params: &[Param]) -> Result<u64, StoreError> {
        let database = self.database();
        let mut statement = prepare(&database, sql, params)?;
        let written = statement.raw_execute().map_err(|e| failed(&e))?;
        Ok(written as u64)
    }
}

fn prepare<'d>(
    database: &'d Database,
    sql: &str,
    params: &[Param],
) -> Result<CachedStatement<'d>, StoreError> {
    let mut statement = database.prepare_cached(sql).map_err(|e| failed(&e))?;
    for index in 1..=statement.parameter_count() {
        // "$2" and "?2" are the second parameter, wherever in the text they come first.
        let number = statement
            .parameter_name(index)
            .and_then(|name| name.get(1..)?.parse::<usize>().ok())
            .unwrap_or(index);
        let value = number.checked_sub(1).and_then(|n| params.get(n)).ok_or_else(|| {
            StoreError::Unavailable(format!("a statement lacks its parameter {number}"))
        })?;
        statement.raw_bind_parameter(index, value).map_err(|e| failed(&e))?;
    }
    Ok(statement)
}

fn failed(error: &rusqlite::Error) -> StoreError {
    if let Some(SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) =
        error.sqlite_error().map(|e| e.extended_code)
    {
        // Whoever ran the statement knows the id.
        return StoreError::Duplicate { id: String::new() };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => StoreError::TooSlow,
        Some(ErrorCode::TooBig) => StoreError::Invalid("the document is too large".into()),
        _ => StoreError::unavailable("sqlite", error),
    }
}

/// Of a statement that looks for rows, what is too big is what it finds.
fn unfound(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::TooBig) => StoreError::TooLarge,
        _ => failed(error),
    }
}

impl ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Rendered(param) => return param.to_sql(),
            Self::Texts(_) => {
                return Err(rusqlite::Error::ToSqlConversionFailure("SQLite has no arrays".into()));
            }
        }))
    }
}
