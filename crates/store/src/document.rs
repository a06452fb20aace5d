//! Documents as the databases hold them.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::time::now_ms;
use crate::{Document, StoreError};

/// Bytes of an `_id`: as much as MongoDB long allowed in an index, and less than the 2,700 which
/// PostgreSQL's can hold.
pub const LONGEST_ID: usize = 1024;

/// Levels of nesting: MongoDB's limit, below the 128 that the JSON parser reads back.
pub const DEEPEST: usize = 100;

/// A document's `_id`.
pub(crate) fn id_of(document: &Document) -> Result<&str, StoreError> {
    match document.get("_id") {
        Some(Value::String(id)) => check_id(id).map(|()| id.as_str()),
        Some(_) => Err(StoreError::Invalid("a document's _id must be a string".into())),
        None => Err(StoreError::Invalid("a document needs an _id".into())),
    }
}

/// Whether an id can be stored.
pub(crate) fn check_id(id: &str) -> Result<(), StoreError> {
    if id.is_empty() || id.len() > LONGEST_ID || id.contains('\0') {
        return Err(StoreError::Invalid(format!(
            "an _id has 1 to {LONGEST_ID} bytes, none of them zero"
        )));
    }
    Ok(())
}

/// Whether a collection's, a user's or another name can be stored.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > LONGEST_ID || name.contains('\0') {
        return Err(StoreError::Invalid(format!(
            "{what} has 1 to {LONGEST_ID} bytes, none of them zero"
        )));
    }
    Ok(())
}

/// The id and the text of a document.
pub(crate) fn encode(document: &Document) -> Result<(String, String), StoreError> {
    let id = id_of(document)?.to_owned();
    for (name, value) in document {
        check_text(name)?;
        check_value(value, 1)?;
    }
    let text = serde_json::to_string(document)
        .map_err(|e| StoreError::unavailable("encoding a document", e))?;
    Ok((id, text))
}

/// A document that a database gave back, as a [`Document`] or a [`DocumentText`](crate::DocumentText).
pub(crate) fn decode<D: DeserializeOwned>(text: &[u8]) -> Result<D, StoreError> {
    serde_json::from_slice(text)
        .map_err(|e| StoreError::unavailable("reading a stored document", e))
}

fn check_value(value: &Value, depth: usize) -> Result<(), StoreError> {
    if depth > DEEPEST {
        return Err(StoreError::Invalid(format!("a document has at most {DEEPEST} levels")));
    }
    match value {
        Value::String(text) => check_text(text),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            check_text(name)?;
            check_value(member, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// PostgreSQL's JSON cannot hold the character zero, so no store takes it: an app that works on one
/// machine works on many.
fn check_text(text: &str) -> Result<(), StoreError> {
    if text.as_bytes().contains(&0) {
        return Err(StoreError::Invalid(
            "a document cannot hold the character U+0000 (zero)".into(),
        ));
    }
    Ok(())
}

/// A new id in the form of MongoDB's ObjectId, as Kinvey's are: seconds, then 8 bytes of chance. 24 hexadecimal
/// digits.
///
/// # Errors
/// [`StoreError::Unavailable`]: the kernel has no chance to give.
pub fn new_id() -> Result<String, StoreError> {
    use std::fmt::Write as _;
    let mut chance = [0_u8; 8];
    rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| StoreError::unavailable("asking the kernel for chance", e))?;
    let mut id = format!("{:08x}", (now_ms() / 1000) & 0xffff_ffff);
    for byte in chance {
        let _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}
