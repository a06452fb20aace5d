//! Collections: names of an app, numbers of ours.

use std::sync::Arc;

use crate::connection::{Connection, Known};
use crate::document::check_name;
use crate::records::At;
use crate::{Database, Place, Store, StoreError, indexes};

/// Rows that one step of removing a collection takes: others' writes come in between.
const STEP: i64 = 1_000;

/// What a step of removing has come to.
enum Step {
    Done,
    More(Cursor),
    /// PostgreSQL drops an index outside of any transaction.
    Index {
        name: String,
    },
}

/// How far removing has come. It goes by id and does not look for the first rows again each time, as
/// PostgreSQL would have to pass all those that are already dead.
#[derive(Clone, Default)]
struct Cursor {
    collection: i64,
    /// Of [`TABLES`].
    table: usize,
    after: String,
}

/// Where a collection has rows.
const TABLES: [&str; 3] = ["entities", "tombstones", "members"];

impl Store {
    /// The app's collections by name, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn collections(&self, app: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM collections WHERE app = $1 ORDER BY name";
        self.read(app.to_owned(), move |app, c| {
            Box::pin(async move { c.rows(sql, &[app.as_str().into()], |row| row.text(0)).await })
        })
        .await
    }

    /// Whether the app has a collection of this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn collection_exists(&self, at: Place<'_>) -> Result<bool, StoreError> {
        if check_name("a collection's name", at.collection).is_err() {
            return Ok(false);
        }
        self.look_up(At::from(at), |at, c| {
            Box::pin(async move { Ok(known(c, at).await?.is_some()) })
        })
        .await
    }

    /// Removes a collection with its documents, tombstones and indexes. For everybody it is gone at once;
    /// this returns when nothing is left of it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drop_collection(&self, at: Place<'_>) -> Result<(), StoreError> {
        self.write(At::from(at), |at, c| {
            Box::pin(async move {
                if let Some(number) = number_for_write(c, at).await? {
                    c.execute("INSERT INTO dropped (collection) VALUES ($1)", &[number.into()])
                        .await?;
                    c.execute("DELETE FROM collections WHERE id = $1", &[number.into()]).await?;
                }
                Ok(())
            })
        })
        .await?;
        self.forget_numbers();
        self.purge().await
    }

    pub(crate) fn forget_numbers(&self) {
        if let Database::Postgres(postgres) = &self.0.database {
            postgres.numbers().clear();
        }
    }

    /// Removes what is left of dropped collections.
    pub(crate) async fn purge(&self) -> Result<(), StoreError> {
        let mut cursor = Cursor::default();
        loop {
            let step = self.write(cursor.clone(), |cursor, c| Box::pin(purge_step(c, cursor)));
            match step.await? {
                Step::Done => return Ok(()),
                Step::More(next) => cursor = next,
                Step::Index { name } => self.drop_index_named(name).await?,
            }
        }
    }
}

async fn purge_step(c: &Connection<'_>, cursor: &Cursor) -> Result<Step, StoreError> {
    let sql = "SELECT collection FROM dropped ORDER BY collection LIMIT 1";
    let Some(number) = c.first(sql, &[], |row| row.int(0)).await? else { return Ok(Step::Done) };
    let mut cursor = cursor.clone();
    if cursor.collection != number {
        cursor = Cursor { collection: number, ..Cursor::default() };
    }
    let sql = "SELECT name FROM indexes WHERE collection = $1 LIMIT 1";
    if let Some(name) = c.first(sql, &[number.into()], |row| row.text(0)).await? {
        if !c.is_sqlite() {
            return Ok(Step::Index { name });
        }
        indexes::drop_on_sqlite(c, &name).await?;
        return Ok(Step::More(cursor));
    }
    let Some(table) = TABLES.get(cursor.table) else {
        c.execute("DELETE FROM dropped WHERE collection = $1", &[number.into()]).await?;
        return Ok(Step::More(cursor));
    };
    let sql = format!(
        "SELECT max(id) FROM (SELECT id FROM {table} WHERE collection = $1 AND id > $2
         ORDER BY id LIMIT {STEP}) AS page"
    );
    let from = [number.into(), cursor.after.as_str().into()];
    match c.first(&sql, &from, |row| row.optional_text(0)).await?.flatten() {
        Some(last) => {
            let sql = format!("DELETE FROM {table} WHERE collection = $1 AND id > $2 AND id <= $3");
            let [number, after] = from;
            c.execute(&sql, &[number, after, last.as_str().into()]).await?;
            cursor.after = last;
        }
        None => cursor = Cursor { table: cursor.table + 1, after: String::new(), ..cursor },
    }
    Ok(Step::More(cursor))
}

/// A collection's number and its indexed fields, for reading; `None` if there is no such collection.
pub(crate) async fn known(c: &Connection<'_>, at: &At) -> Result<Option<Arc<Known>>, StoreError> {
    if let Some(known) = c.numbers().and_then(|numbers| numbers.get(&at.app, &at.collection)) {
        return Ok(Some(known));
    }
    let sql = "SELECT c.id, i.field FROM collections c LEFT JOIN indexes i ON i.collection = c.id
               WHERE c.app = $1 AND c.name = $2";
    let rows = c
        .rows(sql, &[at.app.as_str().into(), at.collection.as_str().into()], |row| {
            Ok((row.int(0)?, row.optional_text(1)?))
        })
        .await?;
    let Some((number, _)) = rows.first() else { return Ok(None) };
    let mut known = Known { number: *number, indexed: indexes::always() };
    known.indexed.extend(rows.into_iter().filter_map(|(_, field)| field));
    let known = Arc::new(known);
    if let Some(numbers) = c.numbers() {
        numbers.put(&at.app, &at.collection, Arc::clone(&known));
    }
    Ok(Some(known))
}

/// A collection's number. It stays the collection's until this transaction ends: dropping waits for it.
pub(crate) async fn number_for_write(
    c: &Connection<'_>,
    at: &At,
) -> Result<Option<i64>, StoreError> {
    let sql = match c.is_sqlite() {
        true => "SELECT id FROM collections WHERE app = $1 AND name = $2",
        false => "SELECT id FROM collections WHERE app = $1 AND name = $2 FOR KEY SHARE",
    };
    c.first(sql, &[at.app.as_str().into(), at.collection.as_str().into()], |row| row.int(0)).await
}

/// A collection's number; the collection is made if it is not there.
pub(crate) async fn make(c: &Connection<'_>, at: &At) -> Result<i64, StoreError> {
    if let Some(number) = number_for_write(c, at).await? {
        return Ok(number);
    }
    check_name("a collection's name", &at.collection)?;
    need_app(c, &at.app).await?;
    c.execute(
        "INSERT INTO collections (app, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &[at.app.as_str().into(), at.collection.as_str().into()],
    )
    .await?;
    number_for_write(c, at).await?.ok_or(StoreError::Contended)
}

/// Makes sure that there is such an app, and that it is not deleted before this transaction ends.
pub(crate) async fn need_app(c: &Connection<'_>, app: &str) -> Result<(), StoreError> {
    let sql = match c.is_sqlite() {
        true => "SELECT 1 FROM apps WHERE key = $1",
        false => "SELECT 1 FROM apps WHERE key = $1 FOR KEY SHARE",
    };
    let found = c.first(sql, &[app.into()], |_| Ok(())).await?;
    found.ok_or_else(|| StoreError::NoApp(app.to_owned()))
}
