//! A PostgreSQL in a directory of its own, gone with its value.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lode_store::query::sql::{Dialect, POSTGRES_FUNCTIONS, Scope, Sql, index_sql};
use lode_store::query::{Document, Filter, Group, Query};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

use super::COLLECTION;

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

pub(crate) struct Postgres {
    runtime: Runtime,
    client: Client,
    pub(crate) indexed: Vec<String>,
    server: Child,
    _directory: tempfile::TempDir,
}

fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    found.sort();
    if let Some(path) = found.pop() {
        return path;
    }
    let output =
        Command::new("pg_config").arg("--bindir").output().expect("PostgreSQL is installed");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn command(program: &Path, root: bool) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if root {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

impl Postgres {
    pub(crate) fn new(documents: &[Document]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = std::fs::metadata(directory.path()).unwrap().uid() == 0;
        if root {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = directory.path().join("data");
        // A collation that is not by bytes, to see that the statements do not rely on it.
        let made = command(&programs().join("initdb"), root)
            .args(["--auth=trust", "--username=lode", "--encoding=UTF8", "--no-sync"])
            .args(["--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .status();
        assert!(made.unwrap().success(), "initdb");
        let server = command(&programs().join("postgres"), root)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-D"])
            .arg(&data)
            .arg("-k")
            .arg(directory.path())
            .spawn()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let at = format!("host={} user=lode dbname=postgres", directory.path().display());
        let (client, connection) = runtime.block_on(async {
            loop {
                if let Ok(connected) = tokio_postgres::connect(&at, NoTls).await {
                    return connected;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        runtime.spawn(connection);
        let this = Self { runtime, client, indexed: Vec::new(), server, _directory: directory };
        this.batch(POSTGRES_FUNCTIONS);
        this.batch(
            "CREATE TABLE entities (collection bigint NOT NULL, id text NOT NULL, doc jsonb NOT NULL, \
             PRIMARY KEY (collection, id))",
        );
        this.insert(documents);
        this
    }

    pub(crate) fn batch(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).unwrap();
    }

    pub(crate) fn insert(&self, documents: &[Document]) {
        let all = Value::Array(documents.iter().cloned().map(Value::Object).collect());
        let insert =
            "INSERT INTO entities SELECT $1, e ->> '_id', e FROM jsonb_array_elements($2) AS e";
        let params: [&(dyn ToSql + Sync); 2] = [&COLLECTION, &all];
        self.runtime.block_on(self.client.execute(insert, &params)).unwrap();
    }

    pub(crate) fn index(&mut self, field: &str) {
        self.batch(&index_sql(Dialect::Postgres, COLLECTION, field).unwrap());
        self.indexed.push(field.to_owned());
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { dialect: Dialect::Postgres, collection: COLLECTION, indexed: &self.indexed }
    }

    pub(crate) fn rows(&self, sql: &Sql) -> Vec<String> {
        let params: Vec<&(dyn ToSql + Sync)> =
            sql.params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
        let rows = self.runtime.block_on(self.client.query(&sql.text, &params));
        rows.unwrap_or_else(|e| panic!("{e:?}: {sql:?}")).iter().map(|row| row.get(0)).collect()
    }

    pub(crate) fn groups(&self, sql: &Sql, group: &Group) -> Vec<Document> {
        let keys = group.keys.len();
        let params: Vec<&(dyn ToSql + Sync)> =
            sql.params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
        let rows = self.runtime.block_on(self.client.query(&sql.text, &params));
        rows.unwrap_or_else(|e| panic!("{e:?}: {sql:?}"))
            .iter()
            .map(|row| {
                let names: Vec<String> = (0..keys).map(|index| row.get(index)).collect();
                group.result(&names, row.get(keys), row.get(keys + 1)).unwrap()
            })
            .collect()
    }

    /// The ids of the query, in its order.
    pub(crate) fn ids(&self, query: &Query) -> Vec<String> {
        self.rows(&self.scope().select(query).unwrap())
    }

    pub(crate) fn plan(&self, filter: &Filter) -> String {
        let query = Query { filter: filter.clone(), ..Query::default() };
        let mut sql = self.scope().select(&query).unwrap();
        sql.text.insert_str(0, "EXPLAIN ");
        self.rows(&sql).join("\n")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nothing of it is kept: it need not end in an orderly way.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
