//! By which element of an array a filter has matched a document: the `$` of an update.
//!
//! MongoDB's manual defines it for one condition on the array. For more the rules are those of its matcher: the last
//! condition decides, and a negation or an `$or` gives no position. Other than there, only conditions on the array
//! that is updated count; what a condition on another array has found would change an element by chance.

use serde_json::Value;

use super::{Node, Test};
use crate::query::Document;
use crate::query::path::{enters, member, onward, position};

impl Node {
    pub(super) fn position(&self, document: &Document, array: &[String]) -> Option<usize> {
        match self {
            Self::And(parts) => parts.iter().rev().find_map(|part| part.position(document, array)),
            Self::Or(parts) => match parts.as_slice() {
                [only] => only.position(document, array),
                _ => None,
            },
            Self::Not(_) => None,
            Self::Field(path, test) => {
                let (first, rest) = path.segments().split_first()?;
                let (name, array) = array.split_first()?;
                let found = document.get(first).filter(|_| first == name)?;
                reach(found, rest, array, test)
            }
        }
    }
}

/// From what the condition's path and the array's have both come to; `rest` and `array` are what is left of them.
/// The condition's path enters arrays by itself, the array's names each position.
fn reach(found: &Value, rest: &[String], array: &[String], test: &Test) -> Option<usize> {
    let Value::Array(items) = found else { return inside(found, rest, array, test) };
    let Some((at, deeper)) = array.split_first() else {
        if rest.is_empty() {
            return test.element_of(items, test.fans_out());
        }
        let mut elements = items.iter().enumerate();
        return elements.position(|(index, element)| {
            enters(element, index, rest, test.fans_out(), &mut |found| test.passes(found))
        });
    };
    let (first, after) = rest.split_first()?;
    let element = items.get(position(at)?)?;
    let by_itself = if element.is_object() { inside(element, rest, deeper, test) } else { None };
    by_itself.or_else(|| if first == at { inside(element, after, deeper, test) } else { None })
}

/// As [`reach`], from a document, or from an array that is looked at as one (its positions are its fields).
fn inside(value: &Value, rest: &[String], array: &[String], test: &Test) -> Option<usize> {
    match (rest.split_first(), array.split_first()) {
        (None, None) => test.element_of(value.as_array()?, false),
        (None, Some(_)) => None,
        (Some((first, after)), None) => {
            let at = position(first)?;
            let element = value.as_array()?.get(at)?;
            onward(Some(element), after, test.fans_out(), &mut |found| test.passes(found))
                .then_some(at)
        }
        (Some((first, after)), Some((name, deeper))) => {
            let found = member(value, first).filter(|_| first == name)?;
            reach(found, after, deeper, test)
        }
    }
}

impl Test {
    /// The first element of the array at the end of the path that passes.
    fn element_of(&self, items: &[Value], fan_out: bool) -> Option<usize> {
        match self {
            Self::Element(_) | Self::Object(_) => {
                items.iter().position(|element| self.takes(element))
            }
            _ if fan_out => items.iter().position(|element| self.passes(Some(element))),
            _ => None,
        }
    }
}
