//! The databases' layout, in numbered steps. A step that was released is never changed: a new one follows.

use crate::StoreError;
use crate::time::now_ms;

struct Migration {
    name: &'static str,
    /// Run one after another.
    sql: &'static [&'static str],
}

/// Step 1 is the first.
const SQLITE: &[Migration] = &[
    Migration { name: "first", sql: &[include_str!("../migrations/sqlite/0001_first.sql")] },
    Migration {
        name: "always indexed",
        sql: &[include_str!("../migrations/sqlite/0002_always_indexed.sql")],
    },
    Migration { name: "tasks", sql: &[include_str!("../migrations/sqlite/0003_tasks.sql")] },
    Migration {
        name: "scheduled",
        sql: &[include_str!("../migrations/sqlite/0004_scheduled.sql")],
    },
    Migration { name: "claims", sql: &[include_str!("../migrations/sqlite/0005_claims.sql")] },
    Migration {
        name: "who could read",
        sql: &[include_str!("../migrations/sqlite/0006_who_could_read.sql")],
    },
    Migration { name: "members", sql: &[include_str!("../migrations/sqlite/0007_members.sql")] },
];

const POSTGRES: &[Migration] = &[
    Migration { name: "first", sql: &[include_str!("../migrations/postgres/0001_first.sql")] },
    Migration {
        name: "always indexed",
        sql: &[
            crate::query::sql::POSTGRES_FUNCTIONS,
            include_str!("../migrations/postgres/0002_always_indexed.sql"),
        ],
    },
    Migration { name: "tasks", sql: &[include_str!("../migrations/postgres/0003_tasks.sql")] },
    Migration {
        name: "scheduled",
        sql: &[include_str!("../migrations/postgres/0004_scheduled.sql")],
    },
    Migration { name: "claims", sql: &[include_str!("../migrations/postgres/0005_claims.sql")] },
    Migration {
        name: "who could read",
        sql: &[include_str!("../migrations/postgres/0006_who_could_read.sql")],
    },
    Migration { name: "members", sql: &[include_str!("../migrations/postgres/0007_members.sql")] },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations
    (number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_ms BIGINT NOT NULL)";
const APPLIED: &str = "SELECT coalesce(max(number), 0) FROM migrations";

/// Which of `all` are still to be done, with their numbers, when `applied` was the last one done.
fn pending(
    all: &'static [Migration],
    applied: i64,
) -> Result<impl Iterator<Item = (i64, &'static Migration)>, StoreError> {
    let known = i64::try_from(all.len()).unwrap_or(i64::MAX);
    if applied > known {
        return Err(StoreError::Newer { found: applied, known });
    }
    Ok((1..).zip(all).filter(move |(number, _)| *number > applied))
}

/// Brings a SQLite database up to date, all in one transaction.
pub(crate) fn sqlite(database: &mut rusqlite::Connection) -> Result<(), StoreError> {
    let failed = |e| StoreError::unavailable("bringing the database's layout up to date", e);
    let transaction = database
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    transaction.execute_batch(TABLE).map_err(failed)?;
    let applied = transaction.query_row(APPLIED, [], |row| row.get(0)).map_err(failed)?;
    for (number, migration) in pending(SQLITE, applied)? {
        for sql in migration.sql {
            transaction.execute_batch(sql).map_err(failed)?;
        }
        let row = (number, migration.name, now_ms());
        transaction.execute("INSERT INTO migrations VALUES (?1, ?2, ?3)", row).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Brings a PostgreSQL database up to date, all in one transaction. Hosts that start together wait for
/// each other.
pub(crate) async fn postgres(client: &mut deadpool_postgres::Client) -> Result<(), StoreError> {
    let failed = |e: tokio_postgres::Error| {
        crate::postgres::failed_while("bringing the database's layout up to date", &e)
    };
    let transaction = client.transaction().await.map_err(failed)?;
    // A step may take as long as it needs, and waiting for another host's too.
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await.map_err(failed)?;
    transaction
        .batch_execute("SELECT pg_advisory_xact_lock(hashtextextended('lode migrations', 0))")
        .await
        .map_err(failed)?;
    transaction.batch_execute(TABLE).await.map_err(failed)?;
    let applied = transaction.query_one(APPLIED, &[]).await.map_err(failed)?.get(0);
    for (number, migration) in pending(POSTGRES, applied)? {
        for sql in migration.sql {
            transaction.batch_execute(sql).await.map_err(failed)?;
        }
        transaction
            .execute(
                "INSERT INTO migrations VALUES ($1, $2, $3)",
                &[&number, &migration.name, &now_ms()],
            )
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
