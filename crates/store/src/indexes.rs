//! Indexes of fields. Three fields have one in every collection; others get one when it is asked for, which
//! is partial on its collection, so that other apps do not pay for it.

use std::time::Duration;

use crate::collections::{make, number_for_write};
use crate::connection::Connection;
use crate::postgres::Postgres;
use crate::query::sql::{drop_index_sql, index_name, index_sql};
use crate::records::At;
use crate::{Database, Place, Store, StoreError};

/// Indexes that may be asked for in one collection: each one is paid for by every write.
pub const MOST_INDEXES: usize = 16;

/// The fields that are indexed in every collection (by migration 2): what Kinvey's permissions and delta
/// sets ask for.
const ALWAYS: [&str; 3] = ["_acl.creator", "_kmd.lmt", "_kmd.ect"];

pub(crate) fn always() -> Vec<String> {
    ALWAYS.iter().map(|&field| field.to_owned()).collect()
}

impl Store {
    /// Makes an index of a field, if there is none. On PostgreSQL others go on reading and writing; on
    /// SQLite writers wait.
    ///
    /// # Errors
    /// [`StoreError::Query`] if the name cannot be a field's; [`StoreError::Invalid`] if there are
    /// [`MOST_INDEXES`] already, or a value is too long; [`StoreError::NoApp`].
    pub async fn create_index(&self, at: Place<'_>, field: &str) -> Result<(), StoreError> {
        if field == "_id" || ALWAYS.contains(&field) {
            return Ok(());
        }
        let number = self
            .write((At::from(at), field.to_owned()), |(at, field), c| {
                Box::pin(async move {
                    let number = make(c, at).await?;
                    let fields = fields(c, number).await?;
                    if fields.contains(field) {
                        return Ok(None);
                    }
                    if fields.len() >= MOST_INDEXES {
                        return Err(StoreError::Invalid(format!(
                            "a collection has at most {MOST_INDEXES} indexes"
                        )));
                    }
                    let sql = index_sql(c.dialect(), number, field)?;
                    if c.is_sqlite() {
                        c.execute(&sql, &[]).await?;
                        assume(c, &index_name(number, field)).await?;
                        register(c, number, field).await?;
                    }
                    Ok(Some(number))
                })
            })
            .await?;
        let (Some(number), Database::Postgres(postgres)) = (number, &self.0.database) else {
            return Ok(());
        };
        build(postgres, number, field).await?;
        let registered = self
            .write((At::from(at), field.to_owned(), number), |(at, field, number), c| {
                Box::pin(async move {
                    let is_there = number_for_write(c, at).await? == Some(*number);
                    if is_there {
                        register(c, *number, field).await?;
                    }
                    Ok(is_there)
                })
            })
            .await?;
        self.forget_numbers();
        if !registered {
            // The collection was dropped meanwhile.
            self.drop_index_named(index_name(number, field)).await?;
        }
        Ok(())
    }

    /// Removes an index that was asked for. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drop_index(&self, at: Place<'_>, field: &str) -> Result<bool, StoreError> {
        let name = self
            .write((At::from(at), field.to_owned()), |(at, field), c| {
                Box::pin(async move {
                    let Some(number) = number_for_write(c, at).await? else { return Ok(None) };
                    if !fields(c, number).await?.contains(field) {
                        return Ok(None);
                    }
                    let name = index_name(number, field);
                    if c.is_sqlite() {
                        drop_on_sqlite(c, &name).await?;
                    }
                    Ok(Some(name))
                })
            })
            .await?;
        let Some(name) = name else { return Ok(false) };
        if let Database::Postgres(_) = &self.0.database {
            self.drop_index_named(name).await?;
        }
        Ok(true)
    }

    /// The fields whose index was asked for, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn indexes(&self, at: Place<'_>) -> Result<Vec<String>, StoreError> {
        self.read(At::from(at), |at, c| {
            Box::pin(async move {
                let sql = "SELECT i.field FROM indexes i JOIN collections c ON c.id = i.collection
                    WHERE c.app = $1 AND c.name = $2 ORDER BY i.field";
                let params = [at.app.as_str().into(), at.collection.as_str().into()];
                c.rows(sql, &params, |row| row.text(0)).await
            })
        })
        .await
    }

    /// On PostgreSQL: drops an index by its name, while others go on.
    pub(crate) async fn drop_index_named(&self, name: String) -> Result<(), StoreError> {
        let Database::Postgres(postgres) = &self.0.database else { return Ok(()) };
        // First out of the registry: a reader that believes in an index that is gone is slow, not wrong.
        self.write(name.clone(), |name, c| Box::pin(forget(c, name))).await?;
        self.forget_numbers();
        let client = postgres.patient_client().await?;
        let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        client.batch_execute(&sql).await.map_err(|e| crate::postgres::failed(&e))
    }
}

/// Tells SQLite's planner of a new index what migration 2 says of the others: the rows of a collection, of
/// one value, of one collection's value, of one document.
async fn assume(c: &Connection<'_>, name: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO sqlite_stat1 (tbl, idx, stat)
        VALUES ('entities', $1, '50000 50 50 1')";
    c.execute(sql, &[name.into()]).await?;
    // Reads the statistics again; other connections do so as the schema has changed.
    c.execute("ANALYZE sqlite_schema", &[]).await.map(|_| ())
}

async fn fields(c: &Connection<'_>, collection: i64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT field FROM indexes WHERE collection = $1";
    c.rows(sql, &[collection.into()], |row| row.text(0)).await
}

async fn register(c: &Connection<'_>, collection: i64, field: &str) -> Result<(), StoreError> {
    let name = index_name(collection, field);
    c.execute(
        "INSERT INTO indexes (name, collection, field) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &[name.into(), collection.into(), field.into()],
    )
    .await
    .map(|_| ())
}

async fn forget(c: &Connection<'_>, name: &str) -> Result<(), StoreError> {
    c.execute("DELETE FROM indexes WHERE name = $1", &[name.into()]).await.map(|_| ())
}

/// Drops an index within the transaction.
pub(crate) async fn drop_on_sqlite(c: &Connection<'_>, name: &str) -> Result<(), StoreError> {
    c.execute(&format!("DROP INDEX IF EXISTS {name}"), &[]).await?;
    forget(c, name).await
}

/// Builds an index on PostgreSQL while others write. Of several that build the same one, each does so after
/// the other.
async fn build(postgres: &Postgres, collection: i64, field: &str) -> Result<(), StoreError> {
    let failed = |e| crate::postgres::failed(&e);
    let sql = index_sql(crate::query::sql::Dialect::Postgres, collection, field)?;
    let sql = sql.replacen("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1);
    let drop =
        drop_index_sql(collection, field).replacen("DROP INDEX ", "DROP INDEX CONCURRENTLY ", 1);
    let name = index_name(collection, field);
    let client = postgres.patient_client().await?;
    // Not waited for in the database: whoever waits there holds a snapshot, and the builder waits until
    // old snapshots are gone. The lock is the connection's and goes with it.
    let lock = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
    while !client.query_one(lock, &[&name]).await.map_err(failed)?.get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let broken = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid";
    if !client.query(broken, &[&name]).await.map_err(failed)?.is_empty() {
        // What a builder left that ended in the middle of it.
        client.batch_execute(&drop).await.map_err(failed)?;
    }
    if let Err(error) = client.batch_execute(&sql).await {
        if let Err(error) = client.batch_execute(&drop).await {
            tracing::warn!(%error, index = name, "an index that could not be built was left over");
        }
        return Err(failed(error));
    }
    Ok(())
}
