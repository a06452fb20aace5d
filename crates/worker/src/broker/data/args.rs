//! The arguments of `data.*`: what crates/guest/js/data.js sends, and whatever else a script may.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::broker::bad_args;
use crate::broker::egress::Failure;

/// Reads a call's arguments.
pub(super) fn read<'a, T: Deserialize<'a>>(args: &'a str) -> Result<T, Failure> {
    serde_json::from_str(args).map_err(|e| bad_args(&e))
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
