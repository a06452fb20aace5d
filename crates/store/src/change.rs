//! One document, read and decided upon in one transaction.

use std::sync::Arc;

use crate::collections::{make, number_for_write};
use crate::connection::Connection;
use crate::document::{check_id, encode};
use crate::entities::{bury, insert_one};
use crate::members::renew;
use crate::records::At;
use crate::{Document, Place, Store, StoreError};

/// What is to become of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It stays as it is.
    Nothing,
    /// This is the document from now on. Its `_id` is the one that was asked for.
    Put(Document),
    /// It is removed, if it is there.
    Remove,
}

impl Store {
    /// Reads one document and, in the same transaction, does what `decide` says; returns the other thing
    /// that `decide` says. Nobody else changes the document in between. `decide` runs once on SQLite; on
    /// PostgreSQL again when somebody inserted the document at the same time. It must be quick: on
    /// SQLite all writers wait for it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the document cannot be stored; [`StoreError::NoApp`].
    pub async fn change<T: Send + 'static>(
        &self,
        at: Place<'_>,
        id: &str,
        decide: impl Fn(Option<Document>) -> (Change, T) + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        check_id(id)?;
        let asked = (At::from(at), id.to_owned(), Arc::new(decide));
        self.write(asked, |(at, id, decide), c| {
            Box::pin(async move {
                let number = number_for_write(c, at).await?;
                let current = match number {
                    Some(number) => read_for_write(c, number, id).await?,
                    None => None,
                };
                let is_there = current.is_some();
                let (change, answer) = decide(current);
                match (change, number) {
                    (Change::Put(document), Some(number)) if is_there => {
                        replace(c, at, number, id, &document).await?;
                    }
                    (Change::Put(document), _) => {
                        let (_, text) = encoded_as(id, &document)?;
                        let number = make(c, at).await?;
                        insert_one(c, at, number, id, &text).await.map_err(|e| match e {
                            // Somebody was quicker: look again.
                            StoreError::Duplicate { .. } => StoreError::Contended,
                            other => other,
                        })?;
                    }
                    (Change::Remove, Some(number)) if is_there => {
                        bury(c, at, number, std::slice::from_ref(id)).await?;
                    }
                    _ => {}
                }
                Ok(answer)
            })
        })
        .await
    }
}

pub(crate) async fn read_for_write(
    c: &Connection<'_>,
    collection: i64,
    id: &str,
) -> Result<Option<Document>, StoreError> {
    let sql = match c.is_sqlite() {
        true => "SELECT doc FROM entities WHERE collection = $1 AND id = $2",
        false => "SELECT doc FROM entities WHERE collection = $1 AND id = $2 FOR UPDATE",
    };
    c.first(sql, &[collection.into(), id.into()], |row| row.document(0)).await
}

/// Puts a document in the place of the one that is there.
pub(crate) async fn replace(
    c: &Connection<'_>,
    at: &At,
    collection: i64,
    id: &str,
    document: &Document,
) -> Result<(), StoreError> {
    let (_, text) = encoded_as(id, document)?;
    let sql = match c.is_sqlite() {
        true => "UPDATE entities SET doc = $3 WHERE collection = $1 AND id = $2",
        false => "UPDATE entities SET doc = ($3::text)::jsonb WHERE collection = $1 AND id = $2",
    };
    c.execute(sql, &[collection.into(), id.into(), text.into()]).await?;
    renew(c, at, collection, &[id]).await
}

fn encoded_as(id: &str, document: &Document) -> Result<(String, String), StoreError> {
    let encoded = encode(document)?;
    if encoded.0 != id {
        return Err(StoreError::Invalid("a document's _id cannot be changed".into()));
    }
    Ok(encoded)
}
