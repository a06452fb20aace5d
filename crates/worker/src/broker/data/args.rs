//! The arguments of `data.*`: what crates/guest/js/data.js sends, and whatever else a script may.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::broker::bad_args;
use crate::broker::egress::Failure;

/// Values in a call's arguments, keys not counted: each takes some 80 bytes in memory, whatever few it has as
/// text. As many as a request's body may have.
const MAX_VALUES: usize = 200_000;

/// Reads a call's arguments.
pub(super) fn read<'a, T: Deserialize<'a>>(args: &'a str) -> Result<T, Failure> {
    // With what parts them each takes two bytes at least: few calls are long enough to be looked through.
    if args.len() / 2 >= MAX_VALUES && values(args) > MAX_VALUES {
        let why = format!("the call's arguments have more than {MAX_VALUES} values");
        return Err(Failure::too_large(why));
    }
    serde_json::from_str(args).map_err(|e| bad_args(&e))
}

/// How many values a JSON text has, none of them made: one, one for each comma, and one for each array or object
/// that is not empty.
fn values(json: &str) -> usize {
    let mut count = 1;
    let (mut in_string, mut escaped, mut opened) = (false, false, false);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        }
        count += usize::from(std::mem::take(&mut opened) && !matches!(byte, b']' | b'}'));
        match byte {
            b'"' => in_string = true,
            b',' => count += 1,
            b'[' | b'{' => opened = true,
            _ => {}
        }
    }
    count
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Collection {
    pub(super) collection: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Find {
    pub(super) collection: String,
    #[serde(default)]
    pub(super) query: Value,
    #[serde(default)]
    pub(super) options: FindOptions,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FindOptions {
    pub(super) sort: Value,
    #[serde(deserialize_with = "whole")]
    pub(super) limit: Option<u64>,
    #[serde(deserialize_with = "whole")]
    pub(super) skip: Option<u64>,
    pub(super) fields: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Count {
    pub(super) collection: String,
    #[serde(default)]
    pub(super) query: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Distinct {
    pub(super) collection: String,
    pub(super) field: String,
    #[serde(default)]
    pub(super) query: Value,
}

#[derive(Deserialize)]
pub(super) struct Group {
    pub(super) collection: String,
    /// What [`lode_store::Group::parse`] reads.
    #[serde(flatten)]
    pub(super) group: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeoNear {
    pub(super) collection: String,
    /// Longitude and latitude.
    pub(super) near: (f64, f64),
    #[serde(default)]
    pub(super) query: Value,
    #[serde(default, deserialize_with = "whole")]
    pub(super) limit: Option<u64>,
    #[serde(default, rename = "maxDistance")]
    pub(super) max_distance: Option<f64>,
    #[serde(default)]
    pub(super) spherical: bool,
    #[serde(default, rename = "distanceMultiplier")]
    pub(super) distance_multiplier: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Insert {
    pub(super) collection: String,
    pub(super) documents: Vec<lode_store::Document>,
    pub(super) creator: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Save {
    pub(super) collection: String,
    pub(super) document: lode_store::Document,
    pub(super) creator: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    pub(super) collection: String,
    #[serde(default)]
    pub(super) query: Value,
    pub(super) update: Value,
    #[serde(default)]
    pub(super) options: UpdateOptions,
    pub(super) creator: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UpdateOptions {
    pub(super) multi: bool,
    pub(super) upsert: bool,
    #[serde(rename = "arrayFilters")]
    pub(super) array_filters: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FindAndModify {
    pub(super) collection: String,
    #[serde(default)]
    pub(super) query: Value,
    #[serde(default)]
    pub(super) sort: Value,
    #[serde(default)]
    pub(super) update: Value,
    #[serde(default)]
    pub(super) options: ModifyOptions,
    pub(super) creator: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ModifyOptions {
    pub(super) new: bool,
    pub(super) remove: bool,
    pub(super) upsert: bool,
    pub(super) fields: Value,
    #[serde(rename = "arrayFilters")]
    pub(super) array_filters: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remove {
    pub(super) collection: String,
    #[serde(default)]
    pub(super) query: Value,
    #[serde(default)]
    pub(super) options: RemoveOptions,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RemoveOptions {
    pub(super) single: bool,
}

/// A number of documents; `null` is none. Scripts have them from requests, as text.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Whole(u64),
        Text(String),
    }

    match Option::<Given>::deserialize(deserializer) {
        Ok(None) => Ok(None),
        Ok(Some(Given::Whole(number))) => Ok(Some(number)),
        Ok(Some(Given::Text(text))) => text.parse().map(Some).map_err(|_| not_whole()),
        Err(_) => Err(not_whole()),
    }
}

fn not_whole<E: serde::de::Error>() -> E {
    E::custom("limit and skip are whole numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(counted).sum::<usize>(),
            Value::Object(members) => 1 + members.values().map(counted).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn values_are_counted_in_the_text_as_they_would_be_made() {
        for text in [
            "1",
            "[]",
            " [ ] ",
            "{}",
            "[[],[],[]]",
            "[1, 2, [3, {\"a\": {}, \"b\": [ \n] }]]",
            r#"{"a,[{": "b\",[", "c\\": [",", "]", "\\\""]}"#,
        ] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(values(text), counted(&value), "{text}");
        }
    }

    #[test]
    fn arguments_of_too_many_values_are_refused_before_they_are_made() {
        let args = |count| format!(r#"{{"collection":"c","query":[{}0]}}"#, "0,".repeat(count));
        // The object, the name and the array are values, too.
        assert!(read::<Count>(&args(MAX_VALUES - 4)).is_ok());
        let why = read::<Count>(&args(MAX_VALUES - 3)).err().expect("one too many");
        assert!(why.message.contains("200000 values"), "{why}");
    }
}
