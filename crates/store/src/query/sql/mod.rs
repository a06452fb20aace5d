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
use super::{Filter, Group, Path, Query, Reducer};

pub use index::{drop_index_sql, index_name, index_sql};
pub use param::Param;
pub(super) use sqlite::by_id_alone;
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

    /// `SELECT DISTINCT …`: one row per value of the field, with the value as JSON text. An array gives its
    /// elements; a missing field nothing.
    ///
    /// # Errors
    /// A name that is no field's, and what this dialect cannot do.
    pub fn distinct(&self, field: &str, filter: &Filter) -> Result<Sql, QueryError> {
        let path = Path::parse(field)?;
        let mut writer = Writer::new(self);
        match self.dialect {
            Dialect::Sqlite => sqlite::distinct(&mut writer, &path, filter)?,
            Dialect::Postgres => postgres::distinct(&mut writer, &path, filter)?,
        }
        Ok(writer.finish())
    }

    /// `SELECT … GROUP BY …`: per row each key as JSON text, a count (integer), and what was computed (a double,
    /// or NULL); [`Group::result`] makes a document of them. In the order of each group's first `_id`.
    ///
    /// # Errors
    /// What this dialect cannot do.
    pub fn group(&self, group: &Group) -> Result<Sql, QueryError> {
        let mut writer = Writer::new(self);
        match self.dialect {
            Dialect::Sqlite => sqlite::group(&mut writer, group)?,
            Dialect::Postgres => postgres::group(&mut writer, group)?,
        }
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

/// The aggregates of a reducer, over a column named `value`: a count, and a double.
fn aggregates(reducer: &Reducer) -> &'static str {
    match reducer {
        Reducer::Count => "count(*), CAST(NULL AS double precision)",
        Reducer::Sum(_) => "count(*), sum(value)",
        Reducer::Min(_) => "count(*), min(value)",
        Reducer::Max(_) => "count(*), max(value)",
        // The mean is put together with the one the result starts from.
        Reducer::Average { .. } => "count(value), sum(value)",
    }
}

/// The field that a reducer looks at.
fn reduced(reducer: &Reducer) -> Option<&Path> {
    match reducer {
        Reducer::Count => None,
        Reducer::Sum(field) | Reducer::Min(field) | Reducer::Max(field) => Some(field),
        Reducer::Average { field, .. } => Some(field),
    }
}

/// `SELECT` the groups of the rows `(id, k0, k1, …, value)` that `rows` writes.
fn grouped(
    writer: &mut Writer<'_>,
    group: &Group,
    key: fn(usize) -> String,
    rows: impl FnOnce(&mut Writer<'_>) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    writer.push("SELECT ");
    for index in 0..group.keys.len() {
        writer.push(&key(index));
        writer.push(", ");
    }
    writer.push(aggregates(&group.reduce.reducer));
    writer.push(" FROM (");
    rows(writer)?;
    writer.push(") AS found");
    for index in 0..group.keys.len() {
        writer.push(if index == 0 { " GROUP BY " } else { ", " });
        writer.push(&format!("k{index}"));
    }
    // Without keys there would be a row even for no documents.
    writer.push(" HAVING count(*) > 0 ORDER BY min(id)");
    Ok(())
}
