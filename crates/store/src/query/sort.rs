//! Sort keys.

use serde_json::{Number, Value};

use super::error::{QueryError, refuse, shown};
use super::path::{Path, Root};
use super::value::{Rank, compare, rank};

/// Keys of one sort: MongoDB's own bound on a compound index.
const MAX_KEYS: usize = 32;

/// One key of a sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// By the value of this field.
    pub path: Path,
    /// Largest first.
    pub descending: bool,
}

impl SortKey {
    /// Reads `{"a": 1, "b": -1}`, `[["a", "asc"], ["b", -1]]`, `["a", "b"]`, or `"a"`; nothing from `null`.
    ///
    /// # Errors
    /// Anything else, or more than 32 keys.
    pub fn parse(value: &Value) -> Result<Vec<Self>, QueryError> {
        let keys = match value {
            Value::Null => Vec::new(),
            Value::String(name) if name.is_empty() => Vec::new(),
            Value::String(name) => vec![Self::ascending(name)?],
            Value::Object(object) => object
                .iter()
                .map(|(name, how)| Self::one(name, how))
                .collect::<Result<Vec<_>, _>>()?,
            Value::Array(items) => items.iter().map(Self::item).collect::<Result<Vec<_>, _>>()?,
            _ => return refuse!("a sort is an object such as {{\"name\": 1}}"),
        };
        if keys.len() > MAX_KEYS {
            return refuse!("a sort has at most {MAX_KEYS} keys");
        }
        Ok(keys)
    }

    fn ascending(name: &str) -> Result<Self, QueryError> {
        Ok(Self { path: Path::parse(name)?, descending: false })
    }

    fn item(item: &Value) -> Result<Self, QueryError> {
        match item {
            Value::String(name) => Self::ascending(name),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(name)] => Self::ascending(name),
                [Value::String(name), how] => Self::one(name, how),
                _ => refuse!("a sort's item is [\"field\", 1] or [\"field\", -1]"),
            },
            _ => refuse!("a sort's item is a field or [\"field\", 1]"),
        }
    }

    fn one(name: &str, how: &Value) -> Result<Self, QueryError> {
        let descending = match how {
            Value::Number(n) if n.as_f64() == Some(1.0) => false,
            Value::Number(n) if n.as_f64() == Some(-1.0) => true,
            Value::String(word) => match word.as_str() {
                "1" | "asc" | "ascending" => false,
                "-1" | "desc" | "descending" => true,
                _ => return refuse!("the sort of {} is neither 1 nor -1", shown(name)),
            },
            _ => return refuse!("the sort of {} is neither 1 nor -1", shown(name)),
        };
        Ok(Self { path: Path::parse(name)?, descending })
    }
}

/// Bytes that sort as MongoDB sorts documents by this field: of an array (or several values) its least element
/// for an ascending sort, its greatest for a descending one.
pub(crate) fn key(document: &Value, path: &Path, descending: bool) -> Vec<u8> {
    let chosen = chosen(document, path, descending);
    let mut bytes = vec![chosen.as_ref().map_or(Rank::Nothing, rank) as u8];
    match &chosen {
        Some(Value::Number(number)) => bytes.extend(number_key(number)),
        Some(Value::String(text)) => bytes.extend(text.as_bytes()),
        Some(Value::Bool(yes)) => bytes.push(u8::from(*yes)),
        _ => {}
    }
    bytes
}

/// The value that a document is sorted by; `None` for an empty array.
pub(crate) fn chosen(document: &Value, path: &Path, descending: bool) -> Option<Value> {
    let mut chosen: Option<Value> = None;
    let mut empty = false;
    let mut take = |value: &Value| {
        let better = chosen.as_ref().is_none_or(|so_far| {
            let order = compare(value, so_far);
            if descending { order.is_gt() } else { order.is_lt() }
        });
        if better {
            chosen = Some(value.clone());
        }
    };
    path.any(Root::Value(document), false, &mut |found| {
        match found {
            None => take(&Value::Null),
            Some(Value::Array(items)) if items.is_empty() => empty = true,
            Some(Value::Array(items)) => items.iter().for_each(&mut take),
            Some(value) => take(value),
        }
        false
    });
    match chosen {
        // An empty array is less than anything.
        Some(_) if empty && !descending => None,
        None if !empty => Some(Value::Null),
        chosen => chosen,
    }
}

fn number_key(number: &Number) -> [u8; 10] {
    let double = number.as_f64().unwrap_or_default();
    let bits = if double == 0.0 { 0 } else { double.to_bits() };
    let sign = 1 << 63;
    let sorted: u64 = if bits & sign == 0 { bits | sign } else { !bits };
    // What an integer of 64 bits lost by becoming a double: at most 2,048.
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let lost = whole.map_or(0, |whole| whole - double as i128);
    let lost = u16::try_from(lost + 0x8000).unwrap_or(0x8000);
    let mut key = [0; 10];
    key[..8].copy_from_slice(&sorted.to_be_bytes());
    key[8..].copy_from_slice(&lost.to_be_bytes());
    key
}
