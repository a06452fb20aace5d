//! Queries as SQL, evaluated in the database.
//!
//! Values are always bound. A collection's number is ours and stands in the text, so that an index that is
//! partial on it can be used. A field's name is bound too, except where an index's expression needs a literal:
//! [`index_sql`] says which names can stand there.
//!
//! A condition on an indexed field is rendered twice: as a *superset* that the index answers (any document with
//! an array on the way to the field is in it), and exactly.

mod index;
mod param;
mod pattern;
mod postgres;
mod sqlite;

use super::error::QueryError;
use super::{Filter, Query};

pub use index::{drop_index_sql, index_name, index_sql};
pub use param::Param;
pub use sqlite::register;

/// Which database the text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, on a connection that [`register`] has seen.
    Sqlite,
    /// PostgreSQL, in a database that has run [`POSTGRES_FUNCTIONS`].
    Postgres,
}

/// What PostgreSQL needs before any of these queries: functions, created or replaced; one text of many
/// statements, for a migration.
pub const POSTGRES_FUNCTIONS: &str = include_str!("functions.sql");

/// A statement and what it binds, in the order of its placeholders (`?1…`, `$1…`).
#[derive(Clone, Debug, PartialEq)]
pub struct Sql {
    /// The statement.
    pub text: String,
    /// Its parameters.
    pub params: Vec<Param>,
}

/// Where a statement looks: the table is
/// `entities(collection, id, doc)`, `doc` JSON text in SQLite and JSONB in PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Which database.
    pub dialect: Dialect,
    /// The collection's number.
    pub collection: i64,
    /// Fields that have the index of [`index_sql`]. One too many or too few costs speed, not correctness.
    pub indexed: &'a [String],
}

impl Scope<'_> {
    /// `SELECT id, doc …`: the documents of the query, in its order. Its projection is the caller's to apply.
    ///
    /// # Errors
    /// What this dialect cannot do.
    pub fn select(&self, query: &Query) -> Result<Sql, QueryError> {
        let mut writer = Writer::new(self);
        match self.dialect {
            Dialect::Sqlite => sqlite::select(&mut writer, query)?,
            Dialect::Postgres => postgres::select(&mut writer, query)?,
        }
        Ok(writer.finish())
    }

    /// `SELECT count(*) …`: one row with one integer.
    ///
    /// # Errors
    /// What this dialect cannot do.
    pub fn count(&self, filter: &Filter) -> Result<Sql, QueryError> {
        let mut writer = Writer::new(self);
        writer.push("SELECT count(*) FROM entities WHERE ");
        writer.condition(filter)?;
        Ok(writer.finish())
    }

    /// `collection = 17 AND …`: what stands after `WHERE`, over columns named `collection`, `id` and `doc`.
    ///
    /// # Errors
    /// What this dialect cannot do.
    pub fn where_clause(&self, filter: &Filter) -> Result<Sql, QueryError> {
        let mut writer = Writer::new(self);
        writer.condition(filter)?;
        Ok(writer.finish())
    }
}

/// A statement in the making.
struct Writer<'a> {
    scope: &'a Scope<'a>,
    text: String,
    params: Vec<Param>,
    /// Names given to rows of subqueries so far.
    names: usize,
}

impl<'a> Writer<'a> {
    fn new(scope: &'a Scope<'a>) -> Self {
        Self { scope, text: String::new(), params: Vec::new(), names: 0 }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Binds a value and writes its placeholder, with its type where PostgreSQL would have to guess.
    fn bind(&mut self, param: Param) {
        let placeholder = self.placeholder(param);
        self.push(&placeholder);
    }

    fn placeholder(&mut self, param: Param) -> String {
        self.params.push(param);
        let number = self.params.len();
        match (self.scope.dialect, &self.params[number - 1]) {
            (Dialect::Sqlite, _) => format!("?{number}"),
            (Dialect::Postgres, param) => format!("${number}::{}", param.postgres_type()),
        }
    }

    /// A name for a row that no other row of the statement has.
    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    fn finish(self) -> Sql {
        Sql { text: self.text, params: self.params }
    }

    /// Writes `collection = 17`.
    fn collection(&mut self) {
        let collection = self.scope.collection;
        match self.scope.dialect {
            // Without statistics SQLite takes a collection for ten rows, and would rather read all of it than
            // use any index.
            Dialect::Sqlite => self.push(&format!("likelihood(collection = {collection}, 0.9)")),
            Dialect::Postgres => self.push(&format!("collection = {collection}")),
        }
    }

    fn condition(&mut self, filter: &Filter) -> Result<(), QueryError> {
        self.collection();
        index::superset(self, filter.node());
        match self.scope.dialect {
            Dialect::Sqlite => sqlite::exact(self, filter),
            Dialect::Postgres => postgres::exact(self, filter),
        }
    }

    /// The page of an ordered result.
    fn page(&mut self, query: &Query) {
        let largest = |n: u64| Param::Int(i64::try_from(n).unwrap_or(i64::MAX));
        match (query.limit, self.scope.dialect) {
            (Some(limit), _) => {
                self.push(" LIMIT ");
                self.bind(largest(limit));
            }
            // SQLite has no OFFSET without a LIMIT.
            (None, Dialect::Sqlite) if query.skip > 0 => self.push(" LIMIT -1"),
            (None, _) => {}
        }
        if query.skip > 0 {
            self.push(" OFFSET ");
            self.bind(largest(query.skip));
        }
    }
}
