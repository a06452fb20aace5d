//! Both databases with one table, a generator of documents and filters, and a PostgreSQL of the test's own.

pub(crate) mod generate;
pub(crate) mod postgres;

use lode_store::query::sql::{Dialect, Scope, Sql, index_sql, register};
use lode_store::query::{Document, Filter, Group, Query};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

/// The collection that all of it is in.
pub(crate) const COLLECTION: i64 = 17;

/// A document from JSON.
pub(crate) fn document(value: Value) -> Document {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

pub(crate) struct Sqlite {
    pub(crate) connection: Connection,
    pub(crate) indexed: Vec<String>,
}

impl Sqlite {
    pub(crate) fn new(documents: &[Document]) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE entities (collection INTEGER NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, \
                 PRIMARY KEY (collection, id)) WITHOUT ROWID",
            )
            .unwrap();
        connection.execute_batch("BEGIN").unwrap();
        for document in documents {
            let id = document["_id"].as_str().unwrap();
            let text = Value::Object(document.clone()).to_string();
            let row = (COLLECTION, id, text);
            connection.execute("INSERT INTO entities VALUES (?1, ?2, ?3)", row).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        Self { connection, indexed: Vec::new() }
    }

    pub(crate) fn index(&mut self, field: &str) {
        let sql = index_sql(Dialect::Sqlite, COLLECTION, field).unwrap();
        self.connection.execute_batch(&sql).unwrap();
        self.indexed.push(field.to_owned());
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { dialect: Dialect::Sqlite, collection: COLLECTION, indexed: &self.indexed }
    }

    pub(crate) fn rows(&self, sql: &Sql) -> Vec<String> {
        let mut statement =
            self.connection.prepare(&sql.text).unwrap_or_else(|e| panic!("{e}: {sql:?}"));
        let rows = statement.query_map(params_from_iter(&sql.params), |row| row.get(0)).unwrap();
        rows.map(|row| row.unwrap_or_else(|e| panic!("{e}: {sql:?}"))).collect()
    }

    /// The ids of the query, in its order.
    pub(crate) fn ids(&self, query: &Query) -> Vec<String> {
        self.rows(&self.scope().select(query).unwrap())
    }

    pub(crate) fn plan(&self, filter: &Filter) -> String {
        let query = Query { filter: filter.clone(), ..Query::default() };
        let mut sql = self.scope().select(&query).unwrap();
        sql.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        let mut statement = self.connection.prepare(&sql.text).unwrap();
        let rows =
            statement.query_map(params_from_iter(&sql.params), |row| row.get::<_, String>(3));
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn groups(&self, sql: &Sql, group: &Group) -> Vec<Document> {
        let keys = group.keys.len();
        let mut statement = self.connection.prepare(&sql.text).unwrap();
        let rows = statement.query_map(params_from_iter(&sql.params), |row| {
            let names: Vec<String> = (0..keys).map(|index| row.get(index).unwrap()).collect();
            Ok(group.result(&names, row.get(keys)?, row.get(keys + 1)?).unwrap())
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}
