//! Operators on arrays.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Order, Push};
use crate::query::sort;
use crate::query::value::{compare, equal};

pub(super) fn push(items: &mut Vec<Value>, push: &Push) {
    let at = match push.position {
        None => items.len(),
        Some(at) => index(at, items.len()),
    };
    items.splice(at..at, push.each.iter().cloned());
    if let Some(order) = &push.sort {
        items.sort_by(|a, b| in_order(a, b, order));
    }
    match push.slice {
        None => {}
        Some(keep) if keep >= 0 => items.truncate(usize::try_from(keep).unwrap_or(usize::MAX)),
        Some(keep) => {
            items.drain(..index(keep, items.len()));
        }
    }
}

/// A position from the start, or (negative) from the end, within the array.
fn index(at: i64, length: usize) -> usize {
    let distance = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
    if at < 0 { length.saturating_sub(distance) } else { distance.min(length) }
}

fn in_order(a: &Value, b: &Value, order: &Order) -> Ordering {
    let turned = |order: Ordering, descending| if descending { order.reverse() } else { order };
    match order {
        Order::Whole { descending } => turned(compare(a, b), *descending),
        Order::Fields(keys) => keys
            .iter()
            .map(|key| {
                let of = |value| sort::key(value, &key.path, key.descending);
                turned(of(a).cmp(&of(b)), key.descending)
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal),
    }
}

pub(super) fn add_to_set(items: &mut Vec<Value>, values: &[Value]) {
    for value in values {
        if !items.iter().any(|item| equal(item, value)) {
            items.push(value.clone());
        }
    }
}

pub(super) fn pull_all(items: &mut Vec<Value>, values: &[Value]) {
    items.retain(|item| !values.iter().any(|value| equal(item, value)));
}

pub(super) fn pop(items: &mut Vec<Value>, first: bool) {
    if first && !items.is_empty() {
        items.remove(0);
    } else {
        items.pop();
    }
}
