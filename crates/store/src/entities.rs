//! Documents: reading, inserting, and what is remembered of those that are gone.

use std::borrow::Borrow;
use std::time::Duration;

use serde_json::value::to_raw_value;

use crate::collections::{known, make};
use crate::connection::{Connection, Known, Param, Row};
use crate::document::{check_id, encode};
use crate::job::Answer;
use crate::members::{GROUPS, renew};
use crate::query::sql::{Scope, Sql};
use crate::records::At;
use crate::time::now_ms;
use crate::{Document, DocumentText, Filter, Group, Place, Query, Store, StoreError};

/// For how long a removed document's id is remembered: Kinvey answers delta sets over 30 days.
pub const TOMBSTONES_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Store {
    /// The document with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn get(&self, at: Place<'_>, id: &str) -> Result<Option<Document>, StoreError> {
        if check_id(id).is_err() {
            return Ok(None); // Nothing can have been stored under it.
        }
        self.look_up((At::from(at), id.to_owned()), |(at, id), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(None) };
                let sql = "SELECT doc FROM entities WHERE collection = $1 AND id = $2";
                let params = [known.number.into(), id.as_str().into()];
                c.first(sql, &params, |row| row.document(0)).await
            })
        })
        .await
    }

    /// The documents that a query asks for, in its order, with the fields that it asks for.
    ///
    /// # Errors
    /// [`StoreError::Query`] if it cannot be done; [`StoreError::TooSlow`]; [`StoreError::TooLarge`].
    pub async fn find(
        &self,
        at: Place<'_>,
        query: &Query,
    ) -> Result<Vec<DocumentText>, StoreError> {
        self.search(at.app, (At::from(at), query.clone()), |(at, query), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                let (sql, params) = rendered(scope(c, &known).select(query)?);
                c.found(&sql, &params, |row| {
                    let text = match &query.fields {
                        None => row.document_text(1)?,
                        Some(fields) => {
                            let mut document = row.document(1)?;
                            fields.apply(&mut document);
                            text_of(&document)?
                        }
                    };
                    let bytes = text.get().len();
                    Ok((text, bytes))
                })
                .await
            })
        })
        .await
    }

    /// The ids of the documents that a query asks for, in its order.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub async fn ids(&self, at: Place<'_>, query: &Query) -> Result<Vec<String>, StoreError> {
        self.search(at.app, (At::from(at), query.clone()), |(at, query), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                let (sql, params) = rendered(scope(c, &known).select(query)?);
                c.found(&sql, &params, id).await
            })
        })
        .await
    }

    /// How many documents match.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub async fn count(&self, at: Place<'_>, filter: &Filter) -> Result<u64, StoreError> {
        self.search(at.app, (At::from(at), filter.clone()), |(at, filter), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(0) };
                let (sql, params) = rendered(scope(c, &known).count(filter)?);
                let count = c.first(&sql, &params, |row| row.int(0)).await?;
                Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
            })
        })
        .await
    }

    /// The values of a field in the documents that match, each once, as JSON: an array gives its elements.
    ///
    /// # Errors
    /// As [`Store::find`]; [`StoreError::Query`] also if the name cannot be a field's.
    pub async fn distinct(
        &self,
        at: Place<'_>,
        field: &str,
        filter: &Filter,
    ) -> Result<Vec<DocumentText>, StoreError> {
        let asked = (At::from(at), field.to_owned(), filter.clone());
        self.search(at.app, asked, |(at, field, filter), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                let (sql, params) = rendered(scope(c, &known).distinct(field, filter)?);
                c.found(&sql, &params, |row| Ok(kept(row.document_text(0)?))).await
            })
        })
        .await
    }

    /// The groups of the documents that the group's condition lets through, with what was computed of each,
    /// in the order of each group's first `_id`.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub async fn group(
        &self,
        at: Place<'_>,
        group: &Group,
    ) -> Result<Vec<DocumentText>, StoreError> {
        self.search(at.app, (At::from(at), group.clone()), |(at, group), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                let (sql, params) = rendered(scope(c, &known).group(group)?);
                let keys = group.keys.len();
                c.found(&sql, &params, |row| {
                    let names = (0..keys).map(|n| row.text(n)).collect::<Result<Vec<_>, _>>()?;
                    let result = group
                        .result(&names, row.int(keys)?, row.optional_real(keys + 1)?)
                        .map_err(|e| StoreError::unavailable("reading a group", e))?;
                    Ok(kept(text_of(&result)?))
                })
                .await
            })
        })
        .await
    }

    /// Inserts documents: all of them or none.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] names an id that is there already, or twice among these;
    /// [`StoreError::Invalid`]; [`StoreError::NoApp`].
    pub async fn insert(
        &self,
        at: Place<'_>,
        documents: impl IntoIterator<Item: Borrow<Document>>,
    ) -> Result<(), StoreError> {
        let rows = documents.into_iter().map(|document| encode(document.borrow()));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        let asked = (At::from(at), rows);
        // A group and who is in it are several statements.
        match at.collection {
            GROUPS => self.write(asked, insert_all).await,
            _ => self.write_one(asked, insert_all).await,
        }
    }

    /// The ids of documents that were removed at or after a time (milliseconds since 1970) and are not
    /// there again, the earliest first, and at most so many. `readable` is a filter of `_acl`: those are told whose
    /// last `_acl` it lets through. Removals older than [`TOMBSTONES_KEPT`] may be missing.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub async fn deleted_since(
        &self,
        at: Place<'_>,
        since_ms: i64,
        readable: &Filter,
        most: u64,
    ) -> Result<Vec<String>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let asked = (At::from(at), since_ms, readable.clone(), most);
        self.search(at.app, asked, |(at, since_ms, readable, most), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                // The indexes are those of entities.
                let tombstones = Scope { indexed: &[], ..scope(c, &known) };
                let (clause, mut params) = rendered(tombstones.where_clause(readable)?);
                params.extend([(*since_ms).into(), (*most).into()]);
                let last = params.len();
                let sql = format!(
                    "SELECT id FROM tombstones t WHERE {clause} AND deleted_ms >= ${} AND NOT EXISTS
                        (SELECT 1 FROM entities e WHERE e.collection = t.collection AND e.id = t.id)
                    ORDER BY deleted_ms, id LIMIT ${last}",
                    last - 1
                );
                c.found(&sql, &params, id).await
            })
        })
        .await
    }
}

/// Bytes of a text that is kept beside its own: its pointer's, and the allocator's. Values may be that short.
const BESIDE_TEXT: usize = 32;

/// A text, and the bytes that it takes.
fn kept(text: DocumentText) -> (DocumentText, usize) {
    let bytes = text.get().len() + BESIDE_TEXT;
    (text, bytes)
}

fn text_of(document: &Document) -> Result<DocumentText, StoreError> {
    to_raw_value(document).map_err(|e| StoreError::unavailable("encoding a document", e))
}

/// A row that begins with an id.
fn id(row: &Row<'_>) -> Result<(String, usize), StoreError> {
    let id = row.text(0)?;
    let bytes = id.len();
    Ok((id, bytes))
}

fn insert_all<'c>(
    (at, rows): &'c (At, Vec<(String, String)>),
    c: &'c Connection<'c>,
) -> Answer<'c, ()> {
    Box::pin(async move {
        if !c.is_sqlite() && at.collection != GROUPS {
            return insert_together(c, at, rows).await;
        }
        let number = make(c, at).await?;
        for (id, text) in rows {
            insert_one(c, at, number, id, text).await?;
        }
        Ok(())
    })
}

/// Inserts one document; a taken id fails and leaves the transaction usable.
pub(crate) async fn insert_one(
    c: &Connection<'_>,
    at: &At,
    collection: i64,
    id: &str,
    text: &str,
) -> Result<(), StoreError> {
    let sql = match c.is_sqlite() {
        true => {
            "INSERT INTO entities (collection, id, doc) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
        }
        false => {
            "INSERT INTO entities (collection, id, doc) VALUES ($1, $2, ($3::text)::jsonb)
             ON CONFLICT DO NOTHING"
        }
    };
    if c.execute(sql, &[collection.into(), id.into(), text.into()]).await? == 0 {
        return Err(StoreError::Duplicate { id: id.to_owned() });
    }
    renew(c, at, collection, &[id]).await
}

/// On PostgreSQL: all documents in one statement, which also holds on to the collection.
async fn insert_together(
    c: &Connection<'_>,
    at: &At,
    rows: &[(String, String)],
) -> Result<(), StoreError> {
    let sql = "WITH c AS (SELECT id FROM collections WHERE app = $1 AND name = $2 FOR KEY SHARE)
        INSERT INTO entities (collection, id, doc)
        SELECT c.id, t.id, t.doc::jsonb FROM c, unnest($3::text[], $4::text[]) AS t (id, doc)";
    let (ids, texts): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
    let params = [
        at.app.as_str().into(),
        at.collection.as_str().into(),
        Param::Texts(ids),
        Param::Texts(texts),
    ];
    // Twice when the collection has to be made first, more often only if others keep dropping it.
    for _ in 0..8 {
        match c.execute(sql, &params).await {
            Ok(0) => make(c, at).await?,
            Ok(_) => return Ok(()),
            Err(StoreError::Duplicate { .. }) => return Err(taken(c, at, rows).await?),
            Err(error) => return Err(error),
        };
    }
    Err(StoreError::Contended)
}

/// Which of these ids is taken.
async fn taken(
    c: &Connection<'_>,
    at: &At,
    rows: &[(String, String)],
) -> Result<StoreError, StoreError> {
    let mut seen = std::collections::HashSet::new();
    let twice = rows.iter().map(|(id, _)| id).find(|id| !seen.insert(id.as_str()));
    let mut id = twice.cloned();
    if id.is_none() && rows.len() > 1 {
        let sql = "SELECT e.id FROM entities e JOIN collections c ON c.id = e.collection
            WHERE c.app = $1 AND c.name = $2 AND e.id = ANY($3) LIMIT 1";
        let ids = rows.iter().map(|(id, _)| id.clone()).collect();
        let params = [at.app.as_str().into(), at.collection.as_str().into(), Param::Texts(ids)];
        id = c.first(sql, &params, |row| row.text(0)).await?;
    }
    // It may have been removed meanwhile; then any name will do.
    Ok(StoreError::Duplicate { id: id.unwrap_or_else(|| rows[0].0.clone()) })
}

/// Removes documents by id and remembers that they are gone, and who could read them. Returns how many there were.
pub(crate) async fn bury(
    c: &Connection<'_>,
    at: &At,
    collection: i64,
    ids: &[String],
) -> Result<u64, StoreError> {
    let now = now_ms();
    let mut removed = 0;
    if c.is_sqlite() {
        for id in ids {
            let [collection, id] = [collection.into(), id.as_str().into()];
            let sql = "INSERT INTO tombstones (collection, id, deleted_ms, doc)
                SELECT collection, id, $3, json_object('_acl', doc -> '$._acl') FROM entities
                WHERE collection = $1 AND id = $2
                ON CONFLICT (collection, id)
                DO UPDATE SET deleted_ms = excluded.deleted_ms, doc = excluded.doc";
            let row = [collection, id, now.into()];
            if c.execute(sql, &row).await? == 0 {
                continue;
            }
            removed += 1;
            c.execute("DELETE FROM entities WHERE collection = $1 AND id = $2", &row[..2]).await?;
        }
    } else {
        let sql = "WITH gone AS
                (DELETE FROM entities WHERE collection = $1 AND id = ANY($2) RETURNING id, doc)
            INSERT INTO tombstones (collection, id, deleted_ms, doc)
            SELECT $1, id, $3, jsonb_build_object('_acl', doc -> '_acl') FROM gone
            ON CONFLICT (collection, id)
            DO UPDATE SET deleted_ms = excluded.deleted_ms, doc = excluded.doc";
        let params = [collection.into(), Param::Texts(ids.to_vec()), now.into()];
        removed = c.execute(sql, &params).await?;
    }
    renew(c, at, collection, ids).await?;
    let kept = i64::try_from(TOMBSTONES_KEPT.as_millis()).unwrap_or(i64::MAX);
    c.execute(
        "DELETE FROM tombstones WHERE collection = $1 AND deleted_ms < $2",
        &[collection.into(), (now - kept).into()],
    )
    .await?;
    Ok(removed)
}

pub(crate) fn scope<'k>(c: &Connection<'_>, known: &'k Known) -> Scope<'k> {
    Scope { dialect: c.dialect(), collection: known.number, indexed: &known.indexed }
}

pub(crate) fn rendered(sql: Sql) -> (String, Vec<Param>) {
    (sql.text, sql.params.into_iter().map(Param::from).collect())
}
