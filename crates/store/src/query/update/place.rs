//! The place in a document that a path names: made on the way if it is to be set.

use serde_json::{Map, Value};

use crate::query::Document;
use crate::query::error::{QueryError, refuse, shown};
use crate::query::path::{Path, position};

/// Elements by which a position beyond an array's end may lengthen it: MongoDB's own bound is 1,500,000, which a
/// request of 60 bytes could use to make a document of 7 MB.
const MAX_PADDING: usize = 10_000;

/// Puts a value at the path.
pub(super) fn set(document: &mut Document, path: &Path, value: Value) -> Result<(), QueryError> {
    *slot(document, path)? = value;
    Ok(())
}

/// The value at the path; `null`, and everything on the way, is made where there is none.
pub(super) fn slot<'a>(
    document: &'a mut Document,
    path: &Path,
) -> Result<&'a mut Value, QueryError> {
    let Some((first, rest)) = path.segments().split_first() else {
        return refuse!("a change needs a field");
    };
    let next = |rest: &[String]| if rest.is_empty() { Value::Null } else { Map::new().into() };
    let mut value = document.entry(first.clone()).or_insert_with(|| next(rest));
    let mut rest = rest;
    while let Some((name, after)) = rest.split_first() {
        rest = after;
        value = match value {
            Value::Object(object) => object.entry(name.clone()).or_insert_with(|| next(after)),
            Value::Array(items) => {
                let Some(at) = position(name) else {
                    return refuse!(
                        "cannot create the field {} in the array on the way to {}",
                        shown(name),
                        shown(&path.dotted())
                    );
                };
                if at >= items.len() + MAX_PADDING {
                    return refuse!("the position {at} is too far beyond the end of its array");
                }
                if at >= items.len() {
                    items.resize(at, Value::Null);
                    items.push(next(after));
                }
                &mut items[at]
            }
            other => {
                return refuse!(
                    "cannot create the field {} in {}: on the way to {} is {}",
                    shown(name),
                    "a value that is no object",
                    shown(&path.dotted()),
                    kind(other)
                );
            }
        };
    }
    Ok(value)
}

/// The value at the path, if there is one.
pub(super) fn find<'a>(document: &'a mut Document, path: &Path) -> Option<&'a mut Value> {
    let (first, rest) = path.segments().split_first()?;
    rest.iter().try_fold(document.get_mut(first)?, |value, name| match value {
        Value::Object(object) => object.get_mut(name),
        Value::Array(items) => position(name).and_then(|at| items.get_mut(at)),
        _ => None,
    })
}

/// Takes the value at the path out; in an array it leaves `null`.
pub(super) fn take(document: &mut Document, path: &Path) -> Option<Value> {
    let (last, parents) = path.segments().split_last()?;
    let Some((first, rest)) = parents.split_first() else { return document.shift_remove(last) };
    let parent = rest.iter().try_fold(document.get_mut(first)?, |value, name| match value {
        Value::Object(object) => object.get_mut(name),
        Value::Array(items) => position(name).and_then(|at| items.get_mut(at)),
        _ => None,
    })?;
    match parent {
        Value::Object(object) => object.shift_remove(last),
        Value::Array(items) => position(last).and_then(|at| items.get_mut(at)).map(std::mem::take),
        _ => None,
    }
}

/// Whether an array stands on the way to the path.
pub(super) fn through_array(document: &Document, path: &Path) -> bool {
    let Some((first, rest)) = path.segments().split_first() else { return false };
    let mut value = document.get(first);
    for name in rest {
        match value {
            Some(Value::Array(_)) => return true,
            Some(Value::Object(object)) => value = object.get(name),
            _ => return false,
        }
    }
    false
}

/// A value's type, for a message.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
