//! What becomes of a document.

use serde_json::Value;

use super::error::{QueryError, refuse};
use super::{Document, Filter};

/// A whole new document, or operators that change one.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    replacement: Document,
}

impl Update {
    /// Reads an update.
    ///
    /// # Errors
    /// An operator that is not supported.
    pub fn parse(value: &Value) -> Result<Self, QueryError> {
        match value {
            Value::Object(object) if !object.keys().any(|name| name.starts_with('$')) => {
                Ok(Self { replacement: object.clone() })
            }
            _ => refuse!("an update is an object"),
        }
    }

    /// Changes the document; says whether it differs now.
    ///
    /// # Errors
    /// An operator that does not fit a field's type.
    pub fn apply(&self, document: &mut Document) -> Result<bool, QueryError> {
        let mut next = self.replacement.clone();
        if let Some(id) = document.get("_id") {
            next.insert("_id".into(), id.clone());
        }
        let changed = next != *document;
        *document = next;
        Ok(changed)
    }

    /// The document that an upsert makes.
    ///
    /// # Errors
    /// As `apply`.
    pub fn on_insert(&self, _filter: &Filter) -> Result<Document, QueryError> {
        Ok(self.replacement.clone())
    }
}
