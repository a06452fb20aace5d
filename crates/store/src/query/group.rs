//! Kinvey's `_group`: documents counted or summed by the values of fields.

use serde_json::Value;

use super::error::{QueryError, refuse};
use super::{Document, Filter, Path};

/// A group: what is reduced, by what.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// One result per combination of these fields' values; one result if there are none.
    pub keys: Vec<Path>,
    /// Which documents.
    pub condition: Filter,
    /// What is computed.
    pub reduce: Reduce,
    /// What each result holds at first.
    pub initial: Document,
}

/// The reducers that Kinvey's SDKs send as JavaScript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// How many documents.
    Count,
    /// The sum of a field.
    Sum(Path),
    /// A field's least number.
    Min(Path),
    /// A field's greatest number.
    Max(Path),
    /// A field's mean, and how many documents.
    Average(Path),
}

impl Group {
    /// Reads `{key, initial, reduce, condition}`.
    ///
    /// # Errors
    /// A reducer that no SDK sends.
    pub fn parse(_value: &Value) -> Result<Self, QueryError> {
        refuse!("a group is not supported yet")
    }
}
