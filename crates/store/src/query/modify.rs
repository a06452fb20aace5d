//! Finding one document and changing it, in one step.

use super::{Filter, Projection, SortKey, Update};

/// MongoDB's `findAndModify`.
#[derive(Clone, Debug, PartialEq)]
pub struct FindAndModify {
    /// Which documents are meant.
    pub filter: Filter,
    /// The first in this order is taken.
    pub sort: Vec<SortKey>,
    /// What becomes of it.
    pub action: Modify,
    /// Answers the document as it is afterwards, not as it was.
    pub return_new: bool,
    /// Makes a document where none was found.
    pub upsert: bool,
    /// What of the document is answered.
    pub fields: Option<Projection>,
}

/// What becomes of the document that was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Modify {
    /// It is updated.
    Update(Update),
    /// It is removed.
    Remove,
}
