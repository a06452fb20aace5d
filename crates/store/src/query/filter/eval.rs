//! The reference evaluator.

use serde_json::{Number, Value};

use super::{Kind, Node, Range, Test};
use crate::query::path::Root;
use crate::query::value::{compare_within_type, equal};
use crate::query::watch;

impl Node {
    /// Whether this document, or element of an array, matches.
    pub(crate) fn matches(&self, value: Root<'_>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(value)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(value)),
            Self::Not(part) => !part.matches(value),
            Self::Field(path, test) => path.any(value, test.fans_out(), &mut |found| {
                watch::is_over(test.work()) || test.passes(found)
            }),
        }
    }
}

impl Test {
    /// What looking at one value is worth to [`watch`]: as much as comparisons are made at most.
    fn work(&self) -> usize {
        match self {
            Self::In(list) => list.len(),
            _ => 1,
        }
    }

    /// Whether one value passes; `None` is a missing one.
    pub(crate) fn passes(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Equal(wanted) => equals(found, wanted),
            Self::In(list) => list.iter().any(|wanted| equals(found, wanted)),
            Self::Range(range, bound) => in_range(found, *range, bound),
            Self::Exists => found.is_some(),
            Self::Type(kinds) => found.is_some_and(|value| kinds.iter().any(|kind| kind.is(value))),
            Self::Regex(pattern) => {
                found.and_then(Value::as_str).is_some_and(|s| pattern.is_match(s))
            }
            Self::Modulo { divisor, remainder } => found
                .and_then(Value::as_number)
                .and_then(truncated)
                .is_some_and(|n| n.checked_rem(*divisor).unwrap_or(0) == *remainder),
            Self::Size(size) => {
                found.and_then(Value::as_array).is_some_and(|array| array.len() as u64 == *size)
            }
            Self::Element(_) | Self::Object(_) => found
                .and_then(Value::as_array)
                .is_some_and(|array| array.iter().any(|element| self.takes(element))),
            Self::Near(near) => found.is_some_and(|value| near.reaches(value)),
            Self::Within(shape) => found.is_some_and(|value| shape.holds(value)),
        }
    }
}

impl Test {
    /// Whether an `$elemMatch` matches this element.
    pub(super) fn takes(&self, element: &Value) -> bool {
        match self {
            Self::Element(node) => node.matches(Root::Value(element)),
            Self::Object(node) => {
                (element.is_object() || element.is_array()) && node.matches(Root::Value(element))
            }
            _ => false,
        }
    }
}

fn equals(found: Option<&Value>, wanted: &Value) -> bool {
    match found {
        Some(value) => equal(value, wanted),
        // `null` is equal to what is missing.
        None => wanted.is_null(),
    }
}

fn in_range(found: Option<&Value>, range: Range, bound: &Value) -> bool {
    compare_within_type(found.unwrap_or(&Value::Null), bound).is_some_and(|order| match range {
        Range::Greater => order.is_gt(),
        Range::GreaterOrEqual => order.is_ge(),
        Range::Less => order.is_lt(),
        Range::LessOrEqual => order.is_le(),
    })
}

/// A number towards zero, if 64 bits hold it.
pub(crate) fn truncated(number: &Number) -> Option<i64> {
    // 2⁶³ as a double: the first that is too large.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    number.as_i64().or_else(|| {
        let double = number.as_f64()?.trunc();
        // Within the range by this check.
        (-LIMIT..LIMIT).contains(&double).then_some(double as i64)
    })
}

impl Kind {
    pub(crate) fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Number, Value::Number(_))
            | (Self::String, Value::String(_))
            | (Self::Object, Value::Object(_))
            | (Self::Array, Value::Array(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Null, Value::Null) => true,
            (Self::Int, Value::Number(n)) => whole(n).is_some_and(|n| i32::try_from(n).is_ok()),
            (Self::Long, Value::Number(n)) => whole(n).is_some_and(|n| i32::try_from(n).is_err()),
            (Self::Double, Value::Number(n)) => whole(n).is_none(),
            _ => false,
        }
    }
}

/// A number that is whole and that 64 bits hold.
fn whole(number: &Number) -> Option<i64> {
    let integer = truncated(number)?;
    (crate::query::value::compare_numbers(number, &integer.into()).is_eq()).then_some(integer)
}
