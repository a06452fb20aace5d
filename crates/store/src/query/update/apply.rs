//! One operation at one path.

use serde_json::{Number, Value};

use super::place::{find, kind, set, slot, take, through_array};
use super::{Bits, Document, Operation, array, number};
use crate::query::error::{QueryError, refuse, shown};
use crate::query::path::Path;
use crate::query::value::compare_deep;
use crate::time;

impl Operation {
    /// Changes the document; `insert` if an upsert makes it.
    pub(super) fn apply(
        &self,
        document: &mut Document,
        path: &Path,
        insert: bool,
    ) -> Result<(), QueryError> {
        match self {
            Self::Set(value) => set(document, path, value.clone()),
            Self::SetOnInsert(value) if insert => set(document, path, value.clone()),
            Self::SetOnInsert(_) => Ok(()),
            Self::Unset => {
                take(document, path);
                Ok(())
            }
            Self::Add(by) => arithmetic(document, path, "$inc", by, number::add, by.clone()),
            Self::Multiply(by) => {
                arithmetic(document, path, "$mul", by, number::multiply, Number::from(0))
            }
            Self::Least(value) => bound(document, path, value, |order| order.is_lt()),
            Self::Greatest(value) => bound(document, path, value, |order| order.is_gt()),
            Self::Rename(target) => rename(document, path, target),
            Self::Push(push) => {
                array::push(made(document, path, "$push")?, push);
                Ok(())
            }
            Self::AddToSet(values) => {
                array::add_to_set(made(document, path, "$addToSet")?, values);
                Ok(())
            }
            Self::Pull(element) => {
                if let Some(items) = there(document, path, "$pull")? {
                    items.retain(|item| !element.fits(item));
                }
                Ok(())
            }
            Self::PullAll(values) => {
                if let Some(items) = there(document, path, "$pullAll")? {
                    array::pull_all(items, values);
                }
                Ok(())
            }
            Self::Pop { first } => {
                if let Some(items) = there(document, path, "$pop")? {
                    array::pop(items, *first);
                }
                Ok(())
            }
            Self::CurrentDate => set(document, path, time::iso(time::now_ms()).into()),
            Self::Bits(bits) => bitwise(document, path, bits),
        }
    }
}

fn arithmetic(
    document: &mut Document,
    path: &Path,
    operator: &str,
    by: &Number,
    compute: fn(&Number, &Number) -> Result<Value, QueryError>,
    without: Number,
) -> Result<(), QueryError> {
    match find(document, path) {
        None => set(document, path, Value::Number(without)),
        Some(Value::Number(number)) => {
            let result = compute(number, by)?;
            set(document, path, result)
        }
        Some(other) => unfit(operator, path, "a number", other),
    }
}

fn bound(
    document: &mut Document,
    path: &Path,
    value: &Value,
    better: fn(std::cmp::Ordering) -> bool,
) -> Result<(), QueryError> {
    match find(document, path) {
        Some(so_far) if !better(compare_deep(value, so_far)) => Ok(()),
        _ => set(document, path, value.clone()),
    }
}

fn rename(document: &mut Document, from: &Path, to: &Path) -> Result<(), QueryError> {
    for path in [from, to] {
        if through_array(document, path) {
            return refuse!("$rename cannot reach {} through an array", shown(&path.dotted()));
        }
    }
    match take(document, from) {
        Some(value) => set(document, to, value),
        None => Ok(()),
    }
}

fn bitwise(document: &mut Document, path: &Path, bits: &[(Bits, i64)]) -> Result<(), QueryError> {
    let mut number = match find(document, path) {
        None => 0,
        Some(value) => match value.as_i64() {
            Some(number) => number,
            None => return unfit("$bit", path, "a whole number", value),
        },
    };
    for (operation, mask) in bits {
        number = match operation {
            Bits::And => number & mask,
            Bits::Or => number | mask,
            Bits::Xor => number ^ mask,
        };
    }
    set(document, path, number.into())
}

/// The array at the path, if there is anything.
fn there<'a>(
    document: &'a mut Document,
    path: &Path,
    operator: &str,
) -> Result<Option<&'a mut Vec<Value>>, QueryError> {
    match find(document, path) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => unfit(operator, path, "an array", other),
    }
}

/// The array at the path; an empty one is made if there is nothing.
fn made<'a>(
    document: &'a mut Document,
    path: &Path,
    operator: &str,
) -> Result<&'a mut Vec<Value>, QueryError> {
    if find(document, path).is_none() {
        set(document, path, Value::Array(Vec::new()))?;
    }
    match slot(document, path)? {
        Value::Array(items) => Ok(items),
        other => unfit(operator, path, "an array", other),
    }
}

fn unfit<T>(operator: &str, path: &Path, wanted: &str, found: &Value) -> Result<T, QueryError> {
    refuse!("{operator} needs {wanted} at {}, where {} is", shown(&path.dotted()), kind(found))
}
