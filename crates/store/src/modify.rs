//! Updating and removing by filter.

use std::time::{Duration, Instant};

use crate::change::replace;
use crate::collections::{known, make, number_for_write};
use crate::connection::{Connection, Known, Param, Row};
use crate::document::{encode, new_id};
use crate::entities::{bury, insert_one, rendered, scope};
use crate::query::watch;
use crate::records::At;
use crate::{Document, Filter, FindAndModify, Modify, Place, Query, Store, StoreError, Update};

/// Documents that one transaction of an update or a removal takes: as in MongoDB each document changes as a
/// whole, and others' writes come in between.
const PAGE: usize = 500;
/// And bytes of them: documents are read in, and may be large.
const PAGE_BYTES: usize = 8 << 20;

/// For how long a search on SQLite may hold the thread that writes, and with it all apps' writes. What takes
/// longer is searched for before, on a thread that reads.
const SLOWEST_WHILE_WRITING: Duration = Duration::from_secs(2);

/// How often what was found before writing may match no more when it is written. Then it is searched for on
/// the thread that writes, where nobody comes in between.
const LOOKS: u32 = 4;

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
    found: Found,
}

/// The ids of what matched before the writing began; `None`: it is searched for while writing.
type Found = Option<Vec<String>>;

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
        let most = if how.multi { PAGE } else { 1 };
        loop {
            let inserts = how.upsert && all.matched == 0;
            let search = || self.page_ahead(at, filter, after.as_deref(), most);
            let write = |found| {
                let (filter, update) = (filter.clone(), update.clone());
                let after = after.clone();
                let asked = Asked { at: At::from(at), filter, update, how, after, found };
                self.search_and_write(at.app, asked, |asked, c| Box::pin(update_page(c, asked)))
            };
            let page = self.write_found(filter.is_quick(), inserts, search, write).await?;
            let Some((page, last)) = page else { return Ok(all) };
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
        let quick = request.sort.is_empty() && request.filter.is_quick();
        let write = |found| {
            let asked = (At::from(at), request.clone(), found);
            self.search_and_write(at.app, asked, |(at, request, found), c| {
                Box::pin(find_and_modify(c, at, request, found))
            })
        };
        let search = || self.first_ahead(at, request);
        let found = self.write_found(quick, request.upsert, search, write).await?.flatten();
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
        let mut after = None::<String>;
        let most = if how.only_one { 1 } else { PAGE };
        loop {
            let search = || self.page_ahead(at, filter, after.as_deref(), most);
            let write = |found| {
                let asked = (At::from(at), filter.clone(), after.clone(), found, most);
                self.search_and_write(at.app, asked, |(at, filter, after, ahead, most), c| {
                    Box::pin(async move {
                        let Some(known) = for_write(c, at).await? else { return Ok((0, None)) };
                        let (after, most) = (after.as_deref(), *most);
                        let page = Page { filter, after, most, ahead, writes: true };
                        let found = page.matching(c, &known, |row| row.text(0)).await?;
                        let removed = bury(c, at, known.number, &found).await?;
                        Ok((removed, page.last(found.into_iter().next_back())))
                    })
                })
            };
            let page = self.write_found(filter.is_quick(), false, search, write).await?;
            let Some((removed, last)) = page else { return Ok(all) };
            all += removed;
            if last.is_none() || how.only_one {
                return Ok(all);
            }
            after = last;
        }
    }

    /// Writes; on SQLite, unless finding what to write is `quick`, what a search found before: all writes wait for
    /// the thread that writes. Where that matches no more it is searched for again. `None`: there was nothing, and
    /// the write `inserts` nothing then.
    async fn write_found<S, W, T>(
        &self,
        quick: bool,
        inserts: bool,
        search: impl Fn() -> S,
        write: impl Fn(Found) -> W,
    ) -> Result<Option<T>, StoreError>
    where
        S: Future<Output = Result<Vec<String>, StoreError>>,
        W: Future<Output = Result<T, StoreError>>,
    {
        let mut looks = 0;
        loop {
            let ahead = self.is_sqlite() && !quick && looks < LOOKS;
            let found = if ahead { Some(search().await?) } else { None };
            if found.as_ref().is_some_and(Vec::is_empty) && !inserts {
                return Ok(None);
            }
            match write(found).await {
                Err(StoreError::Contended) if ahead => looks += 1,
                outcome => return outcome.map(Some),
            }
        }
    }

    /// The ids of a page of documents that match.
    async fn page_ahead(
        &self,
        at: Place<'_>,
        filter: &Filter,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let asked = (At::from(at), filter.clone(), after.map(str::to_owned), most);
        self.search(at.app, asked, |(at, filter, after, most), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                let (after, most) = (after.as_deref(), *most);
                let page = Page { filter, after, most, ahead: &None, writes: false };
                page.matching(c, &known, |row| row.text(0)).await
            })
        })
        .await
    }

    /// The id of the first document that a [`FindAndModify`] asks for, if there is one.
    async fn first_ahead(
        &self,
        at: Place<'_>,
        request: &FindAndModify,
    ) -> Result<Vec<String>, StoreError> {
        self.search(at.app, (At::from(at), request.clone()), |(at, request), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                let (sql, params) = rendered(scope(c, &known).select(&first(request))?);
                c.rows(&sql, &params, |row| row.text(0)).await
            })
        })
        .await
    }
}

/// The first document that is asked for.
fn first(request: &FindAndModify) -> Query {
    Query {
        filter: request.filter.clone(),
        sort: request.sort.clone(),
        limit: Some(1),
        ..Query::default()
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

/// Which documents a transaction takes: the first `most` that match, by id.
struct Page<'a> {
    filter: &'a Filter,
    after: Option<&'a str>,
    most: usize,
    ahead: &'a Found,
    /// Whether the transaction writes.
    writes: bool,
}

impl Page<'_> {
    /// The documents, each locked for this transaction.
    async fn matching<T: Send>(
        &self,
        c: &Connection<'_>,
        known: &Known,
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        if let Some(ids) = self.ahead {
            let found = still_matching(c, known, self.filter, ids, map).await?;
            // Of a page the others are taken. The only one has to be another.
            let none = found.is_empty() && self.most == 1 && !ids.is_empty();
            return if none { Err(StoreError::Contended) } else { Ok(found) };
        }
        let (clause, mut params) = rendered(scope(c, known).where_clause(self.filter)?);
        let mut sql = format!("SELECT id, doc FROM entities WHERE {clause}");
        if let Some(after) = self.after {
            params.push(Param::from(after));
            sql.push_str(&format!(" AND id > ${}", params.len()));
        }
        sql.push_str(&format!(" ORDER BY id LIMIT {}", self.most));
        if !c.is_sqlite() {
            sql.push_str(" FOR UPDATE");
        }
        let map = |row: &Row<'_>| Ok((map(row)?, row.bytes()));
        let _limit = (self.writes && c.is_sqlite()).then(while_writing);
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

    /// Where the next page begins, if the last id of this one is known.
    fn last(&self, written: Option<String>) -> Option<String> {
        self.ahead.as_ref().map_or(written, |ids| ids.last().cloned())
    }
}

/// On SQLite: those of these documents that still match.
async fn still_matching<T: Send>(
    c: &Connection<'_>,
    known: &Known,
    filter: &Filter,
    ids: &[String],
    mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError> + Send,
) -> Result<Vec<T>, StoreError> {
    let _limit = while_writing();
    let sql = "SELECT id, doc FROM entities WHERE collection = $1 AND id = $2";
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let read = |row: &Row<'_>| {
            let late = watch::is_over(row.bytes());
            let matches = !late && filter.matches(&row.document(1)?);
            if late || watch::is_over(0) {
                return Err(StoreError::TooSlow);
            }
            matches.then(|| map(row)).transpose()
        };
        let params = [known.number.into(), id.as_str().into()];
        found.extend(c.first(sql, &params, read).await?.flatten());
    }
    Ok(found)
}

fn while_writing() -> watch::Limit {
    watch::Limit::until(Instant::now() + SLOWEST_WHILE_WRITING)
}

async fn update_page(
    c: &Connection<'_>,
    asked: &Asked,
) -> Result<(Updated, Option<String>), StoreError> {
    let Asked { at, filter, update, how, after, found } = asked;
    let most = if how.multi { PAGE } else { 1 };
    // Found none before: one that is there now is not inserted again.
    let ahead = if found.as_ref().is_some_and(Vec::is_empty) { &None } else { found };
    let page = Page { filter, after: after.as_deref(), most, ahead, writes: true };
    let mut updated = Updated::default();
    let mut last = None;
    if let Some(known) = for_write(c, at).await? {
        let found = page.matching(c, &known, |row| Ok((row.text(0)?, row.document(1)?))).await?;
        for (id, mut document) in found {
            updated.matched += 1;
            if update.apply(&mut document, filter)? {
                replace(c, at, known.number, &id, &document).await?;
                updated.modified += 1;
            }
            last = Some(id);
        }
    }
    if how.upsert && updated.matched == 0 && after.is_none() {
        if ahead.is_some() {
            return Err(StoreError::Contended); // Others than those that were found may match now.
        }
        let document = upsert(c, at, filter, update).await?;
        updated.upserted = document.get("_id").and_then(|id| id.as_str()).map(str::to_owned);
    }
    Ok((updated, page.last(last)))
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
        if let Some(known) = known(c, at).await? {
            let page = Page { filter, after: None, most: 1, ahead: &None, writes: true };
            if !page.matching(c, &known, |_| Ok(())).await?.is_empty() {
                return Err(StoreError::Contended);
            }
        }
    }
    insert_one(c, at, number, &id, &text).await?;
    Ok(document)
}

async fn find_and_modify(
    c: &Connection<'_>,
    at: &At,
    request: &FindAndModify,
    ahead: &Found,
) -> Result<Option<Document>, StoreError> {
    let mut found = None;
    let known = for_write(c, at).await?;
    if let Some(known) = &known {
        let read = |row: &Row<'_>| Ok((row.text(0)?, row.document(1)?));
        found = match ahead {
            Some(ids) if !ids.is_empty() => {
                let still = still_matching(c, known, &request.filter, ids, read).await?;
                Some(still.into_iter().next().ok_or(StoreError::Contended)?)
            }
            _ => {
                let _limit = c.is_sqlite().then(while_writing);
                let (sql, params) = rendered(scope(c, known).select(&first(request))?);
                let lock = if c.is_sqlite() { "" } else { " FOR UPDATE" };
                let found = c.first(&format!("{sql}{lock}"), &params, read).await?;
                // As in `matching`.
                if found.is_none()
                    && !c.is_sqlite()
                    && c.first(&sql, &params, |_| Ok(())).await?.is_some()
                {
                    return Err(StoreError::Contended);
                }
                found
            }
        };
    }
    match (&request.action, known, found) {
        (Modify::Remove, Some(known), Some((id, document))) => {
            bury(c, at, known.number, &[id]).await?;
            Ok(Some(document))
        }
        (Modify::Update(update), Some(known), Some((id, before))) => {
            let mut document = before.clone();
            if update.apply(&mut document, &request.filter)? {
                replace(c, at, known.number, &id, &document).await?;
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
