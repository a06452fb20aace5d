//! Updating and removing by filter.

use crate::change::replace;
use crate::collections::{known, make, number_for_write};
use crate::connection::{Connection, Known, Param, Row};
use crate::document::{encode, new_id};
use crate::entities::{bury, insert_one, rendered, scope};
use crate::records::At;
use crate::{Document, Filter, FindAndModify, Modify, Place, Query, Store, StoreError, Update};

/// Documents that one transaction of an update or a removal takes: as in MongoDB each document changes as a
/// whole, and others' writes come in between.
const PAGE: usize = 500;
/// And bytes of them: documents are read in, and may be large.
const PAGE_BYTES: usize = 8 << 20;

/// How an update goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateHow {
    /// All that match, and not only one.
    pub multi: bool,
    /// Insert a document when none matches.
    pub upsert: bool,
}

/// What an update has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// Documents that matched.
    pub matched: u64,
    /// Of these, documents that are different now.
    pub modified: u64,
    /// The id of the document that was inserted.
    pub upserted: Option<String>,
}

/// How a removal goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveHow {
    /// One that matches, and not all.
    pub only_one: bool,
}

/// What is asked of each page of an update.
struct Asked {
    at: At,
    filter: Filter,
    update: Update,
    how: UpdateHow,
    /// The last id of the page before.
    after: Option<String>,
}

impl Store {
    /// Changes the documents that match. Each is changed as a whole; with `multi`, a failure can leave some
    /// changed and others not.
    ///
    /// # Errors
    /// [`StoreError::Query`] if the update cannot be applied; [`StoreError::Invalid`] if what comes of it
    /// cannot be stored, or has another `_id`; [`StoreError::NoApp`].
    pub async fn update(
        &self,
        at: Place<'_>,
        filter: &Filter,
        update: &Update,
        how: UpdateHow,
    ) -> Result<Updated, StoreError> {
        let mut all = Updated::default();
        let mut after = None;
        loop {
            let (at, filter, update) = (At::from(at), filter.clone(), update.clone());
            let asked = Asked { at, filter, update, how, after };
            let (page, last) =
                self.write(asked, |asked, c| Box::pin(update_page(c, asked))).await?;
            all.matched += page.matched;
            all.modified += page.modified;
            all.upserted = page.upserted;
            if last.is_none() || !how.multi {
                return Ok(all);
            }
            after = last;
        }
    }

    /// Changes or removes the first document that matches, as one step: of many that ask at once, each gets
    /// a document as the one before has left it. Returns the document as it was, or, with `return_new`, as
    /// it is now; `None` if there was none.
    ///
    /// # Errors
    /// As [`Store::update`].
    pub async fn find_and_modify(
        &self,
        at: Place<'_>,
        request: &FindAndModify,
    ) -> Result<Option<Document>, StoreError> {
        let found = self
            .write((At::from(at), request.clone()), |(at, request), c| {
                Box::pin(find_and_modify(c, at, request))
            })
            .await?;
        Ok(found.map(|mut document| {
            if let Some(fields) = &request.fields {
                fields.apply(&mut document);
            }
            document
        }))
    }

    /// Removes the documents that match, and remembers their ids for [`Store::deleted_since`]. Returns how
    /// many there were. A failure can leave some removed and others not.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub async fn remove(
        &self,
        at: Place<'_>,
        filter: &Filter,
        how: RemoveHow,
    ) -> Result<u64, StoreError> {
        let mut all = 0;
        let mut after: Option<String> = None;
        loop {
            let asked = (At::from(at), filter.clone(), how, after);
            let (removed, last) = self
                .write(asked, |(at, filter, how, after), c| {
                    Box::pin(async move {
                        let Some(known) = for_write(c, at).await? else { return Ok((0, None)) };
                        let most = if how.only_one { 1 } else { PAGE };
                        let found =
                            matching(c, &known, filter, after.as_deref(), most, |row| row.text(0))
                                .await?;
                        let removed = bury(c, known.number, &found).await?;
                        Ok((removed, found.into_iter().next_back()))
                    })
                })
                .await?;
            all += removed;
            if last.is_none() || how.only_one {
                return Ok(all);
            }
            after = last;
        }
    }
}

/// A collection and its indexed fields; on PostgreSQL it is not dropped before this transaction ends.
async fn for_write(
    c: &Connection<'_>,
    at: &At,
) -> Result<Option<std::sync::Arc<Known>>, StoreError> {
    if !c.is_sqlite() && number_for_write(c, at).await?.is_none() {
        return Ok(None);
    }
    known(c, at).await
}

/// The first `most` documents that match, by id, each locked for this transaction.
async fn matching<T: Send>(
    c: &Connection<'_>,
    known: &Known,
    filter: &Filter,
    after: Option<&str>,
    most: usize,
    mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send,
) -> Result<Vec<T>, StoreError> {
    let (clause, mut params) = rendered(scope(c, known).where_clause(filter)?);
    let mut sql = format!("SELECT id, doc FROM entities WHERE {clause}");
    if let Some(after) = after {
        params.push(Param::from(after));
        sql.push_str(&format!(" AND id > ${}", params.len()));
    }
    sql.push_str(&format!(" ORDER BY id LIMIT {most}"));
    if !c.is_sqlite() {
        sql.push_str(" FOR UPDATE");
    }
    let map = |row: &Row<'_>| Ok((map(row)?, row.bytes()));
    let found = c.rows_within(PAGE_BYTES, &sql, &params, map).await?.read;
    if found.is_empty() && !c.is_sqlite() {
        // PostgreSQL drops a row that was changed while it waited for the row's lock and matches no more,
        // and does not look for another in its place.
        let sql = sql.trim_end_matches(" FOR UPDATE");
        if c.first(sql, &params, |_| Ok(())).await?.is_some() {
            return Err(StoreError::Contended);
        }
    }
    Ok(found)
}

async fn update_page(
    c: &Connection<'_>,
    asked: &Asked,
) -> Result<(Updated, Option<String>), StoreError> {
    let Asked { at, filter, update, how, after } = asked;
    let mut updated = Updated::default();
    let mut last = None;
    if let Some(known) = for_write(c, at).await? {
        let most = if how.multi { PAGE } else { 1 };
        let found = matching(c, &known, filter, after.as_deref(), most, |row| {
            Ok((row.text(0)?, row.document(1)?))
        })
        .await?;
        for (id, mut document) in found {
            updated.matched += 1;
            if update.apply(&mut document, filter)? {
                replace(c, known.number, &id, &document).await?;
                updated.modified += 1;
            }
            last = Some(id);
        }
    }
    if how.upsert && updated.matched == 0 && after.is_none() {
        let document = upsert(c, at, filter, update).await?;
        updated.upserted = document.get("_id").and_then(|id| id.as_str()).map(str::to_owned);
    }
    Ok((updated, last))
}

/// Inserts what an update makes of nothing.
async fn upsert(
    c: &Connection<'_>,
    at: &At,
    filter: &Filter,
    update: &Update,
) -> Result<Document, StoreError> {
    let mut document = update.on_insert(filter)?;
    if !document.contains_key("_id") {
        document.insert("_id".into(), new_id()?.into());
    }
    let (id, text) = encode(&document)?;
    let number = make(c, at).await?;
    if !c.is_sqlite() {
        // Two upserts with one filter must not both insert: they come one after another, and look again.
        c.lock(&format!("upsert {number}")).await?;
        if let Some(known) = known(c, at).await?
            && !matching(c, &known, filter, None, 1, |_| Ok(())).await?.is_empty()
        {
            return Err(StoreError::Contended);
        }
    }
    insert_one(c, number, &id, &text).await?;
    Ok(document)
}

async fn find_and_modify(
    c: &Connection<'_>,
    at: &At,
    request: &FindAndModify,
) -> Result<Option<Document>, StoreError> {
    let mut found = None;
    let known = for_write(c, at).await?;
    if let Some(known) = &known {
        let query = Query {
            filter: request.filter.clone(),
            sort: request.sort.clone(),
            limit: Some(1),
            ..Query::default()
        };
        let (sql, params) = rendered(scope(c, known).select(&query)?);
        let lock = if c.is_sqlite() { "" } else { " FOR UPDATE" };
        let read = |row: &Row<'_>| Ok((row.text(0)?, row.document(1)?));
        found = c.first(&format!("{sql}{lock}"), &params, read).await?;
        // As in `matching`.
        if found.is_none() && !c.is_sqlite() && c.first(&sql, &params, |_| Ok(())).await?.is_some()
        {
            return Err(StoreError::Contended);
        }
    }
    match (&request.action, known, found) {
        (Modify::Remove, Some(known), Some((id, document))) => {
            bury(c, known.number, &[id]).await?;
            Ok(Some(document))
        }
        (Modify::Update(update), Some(known), Some((id, before))) => {
            let mut document = before.clone();
            if update.apply(&mut document, &request.filter)? {
                replace(c, known.number, &id, &document).await?;
            }
            Ok(Some(if request.return_new { document } else { before }))
        }
        (Modify::Update(update), _, None) if request.upsert => {
            let document = upsert(c, at, &request.filter, update).await?;
            Ok(request.return_new.then_some(document))
        }
        _ => Ok(None),
    }
}
