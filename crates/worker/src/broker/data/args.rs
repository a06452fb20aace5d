//! The arguments of `data.*`: what crates/guest/js/data.js sends, and whatever else a script may.

use lode_store::{JsonError, read_json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::broker::bad_args;
use crate::broker::egress::Failure;

/// Arrays and objects within each other: a document's [`lode_store::DEEPEST`], within a list of them, within the
/// arguments, and one more to see that it is too deep.
const LEVELS: usize = lode_store::DEEPEST + 3;

/// Reads a call's arguments.
pub(super) fn read<T: DeserializeOwned>(args: &str) -> Result<T, Failure> {
    let (args, _) = read_json(args.as_bytes(), LEVELS).map_err(|error| match error {
        JsonError::TooLarge(why) => {
            Failure::too_large(format!("the call's arguments are too large: {why}"))
        }
        error => bad_args(&error),
    })?;
    T::deserialize(args).map_err(|error| bad_args(&error))
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
    use lode_store::MOST_VALUES;

    use super::*;

    #[test]
    fn arguments_of_too_many_values_are_refused_before_they_are_made() {
        let args = |count| format!(r#"{{"collection":"c","query":[{}0]}}"#, "0,".repeat(count));
        // The object (six), the name and the array are values, too.
        assert!(read::<Count>(&args(MOST_VALUES - 9)).is_ok());
        let why = read::<Count>(&args(MOST_VALUES - 8)).err().expect("one too many");
        assert!(why.message.contains("200000 values"), "{why}");
    }

    #[test]
    fn arguments_hide_no_values_in_a_text() {
        let hidden = format!("[{}0]", "0,".repeat(MOST_VALUES));
        let query = serde_json::json!({"$serde_json::private::RawValue": hidden});
        let args = format!(r#"{{"collection":"c","query":{query}}}"#);
        let why = read::<Count>(&args).err().expect("refused");
        assert!(why.message.contains("reserved"), "{why}");
    }
}
