//! Kinvey's query language, which is MongoDB's: read from JSON into types, evaluated here in Rust
//! (`Filter::matches`, the reference), or by the database ([`sql`]).
//!
//! Where MongoDB's manual leaves a rule open, the rule is that of its matcher's source; where JSON or JSONB
//! cannot hold what BSON can, the difference is named at the item that makes it.

mod error;
mod filter;
mod group;
mod modify;
mod path;
mod projection;
mod sort;
pub mod sql;
mod update;
mod value;
pub(crate) mod watch;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use error::QueryError;
pub use filter::Filter;
pub use group::{Group, Reduce, Reducer};
pub use modify::{FindAndModify, Modify};
pub use path::Path;
pub use projection::Projection;
pub use sort::SortKey;
pub use update::{Update, check};

/// A stored entity: `_id` (a string), `_acl`, `_kmd` and what its app puts in.
pub type Document = Map<String, Value>;

/// A stored entity as the JSON text that it is, unread: read in, it takes many times as much memory.
pub type DocumentText = Box<RawValue>;

/// Which documents, in which order, and what of them.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Which documents.
    pub filter: Filter,
    /// In which order; `_id` decides what these leave equal.
    pub sort: Vec<SortKey>,
    /// At most so many documents.
    pub limit: Option<u64>,
    /// Without the first so many.
    pub skip: u64,
    /// What of each document; everything if `None`.
    pub fields: Option<Projection>,
}
