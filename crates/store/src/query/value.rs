//! MongoDB's order and equality, for the values that JSON has.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// MongoDB's order of types, as sorting sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// An empty array sorts before everything, as MongoDB's `undefined` does.
    Nothing,
    /// `null`, and a field that is missing.
    Null,
    /// Any number.
    Number,
    /// By bytes.
    String,
    /// An object.
    Object,
    /// An array inside an array.
    Array,
    /// `false`, `true`.
    Boolean,
}

/// The rank of a value (an array is an array here; sorting picks its element first).
pub(crate) fn rank(value: &Value) -> Rank {
    match value {
        Value::Null => Rank::Null,
        Value::Number(_) => Rank::Number,
        Value::String(_) => Rank::String,
        Value::Object(_) => Rank::Object,
        Value::Array(_) => Rank::Array,
        Value::Bool(_) => Rank::Boolean,
    }
}

/// Compares two numbers exactly: an integer beyond 2⁵³ is not rounded to a double.
pub(crate) fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => compare_mixed(a, double(b)),
        (None, Some(b)) => compare_mixed(b, double(a)).reverse(),
        (None, None) => double(a).partial_cmp(&double(b)).unwrap_or(Ordering::Equal),
    }
}

fn compare_mixed(whole: i128, double: f64) -> Ordering {
    // JSON's integers have 64 bits: beyond these a double is larger or smaller than any of them.
    const LIMIT: f64 = 1e30;
    if double >= LIMIT {
        return Ordering::Less;
    }
    if double <= -LIMIT {
        return Ordering::Greater;
    }
    let floor = double.floor();
    // In range by the two checks above, and whole: nothing is lost.
    whole.cmp(&(floor as i128)).then(if double > floor { Ordering::Less } else { Ordering::Equal })
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

/// Whether two values are equal: numbers by value, objects whatever the order of their fields (JSONB does not
/// keep it; MongoDB's own equality does look at it).
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, value)| b.get(name).is_some_and(|other| equal(value, other)))
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        _ => false,
    }
}

/// The order of two values of one type that has one; `None` between types, and for objects and arrays.
pub(crate) fn compare_within_type(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Number(a), Value::Number(b)) => Some(compare_numbers(a, b)),
        (Value::String(a), Value::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Sorting's order: by type, then within it; objects are all equal, and so are arrays in arrays.
pub(crate) fn compare(a: &Value, b: &Value) -> Ordering {
    rank(a).cmp(&rank(b)).then_with(|| compare_within_type(a, b).unwrap_or(Ordering::Equal))
}

/// A value as text that is the same for equal values: names in order, whole numbers without a fraction.
pub(crate) fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            // The whole numbers that a double holds exactly.
            Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < 9e15 => {
                Value::from(double as i64)
            }
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by(|a, b| a.0.cmp(b.0));
            Value::Object(members.into_iter().map(|(k, v)| (k.clone(), canonical(v))).collect())
        }
        other => other.clone(),
    }
}
