//! MongoDB's `geoNear` over `_geoloc`, the field that Kinvey has places in: longitude, then latitude.

use lode_store::{Document, DocumentText, Filter, Query, QueryError};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Failure;
use super::args::GeoNear;

/// MongoDB's own number of results, unless another is asked for.
const DEFAULT_LIMIT: u64 = 100;

/// Miles in a radian of the earth, by the radius that MongoDB computes with.
const MILES: f64 = 6_378_100.0 / 1_609.344;

/// A script's filter. Its distances from a pair of coordinates on the sphere are radians, as MongoDB's driver had
/// them; the store takes what Kinvey's clients send, which are miles.
pub(super) fn parse(filter: &Value) -> Result<Filter, QueryError> {
    let mut filter = filter.clone();
    // A $nearSphere stands at the query's own top level only.
    for place in filter.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if !place.get("$nearSphere").is_some_and(Value::is_array) {
            continue;
        }
        for name in ["$maxDistance", "$minDistance"] {
            if let Some(radians) = place.get(name).and_then(Value::as_f64) {
                place[name] = (radians * MILES).into();
            }
        }
    }
    Filter::parse(&filter)
}

pub(super) fn query(args: &GeoNear) -> Result<Query, Failure> {
    let near = if args.spherical { "$nearSphere" } else { "$near" };
    let mut place = json!({ near: [args.near.0, args.near.1] });
    if let Some(most) = args.max_distance {
        place["$maxDistance"] = most.into();
    }
    // Into the query's own top level: only there may a $near stand.
    let mut filter = match &args.query {
        Value::Null => json!({}),
        query => query.clone(),
    };
    if let Some(filter) = filter.as_object_mut() {
        filter.insert("_geoloc".into(), place);
    }
    Ok(Query {
        filter: parse(&filter)?,
        limit: Some(args.limit.unwrap_or(DEFAULT_LIMIT).min(super::MAX_DOCUMENTS)),
        ..Query::default()
    })
}

/// What `geoNear` answers.
#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) results: Vec<Near>,
    pub(super) ok: u8,
}

/// A document, and how far it is.
#[derive(Serialize)]
pub(super) struct Near {
    dis: Option<f64>,
    obj: DocumentText,
}

impl Near {
    pub(super) fn new(args: &GeoNear, document: DocumentText) -> Self {
        let read = serde_json::from_str(document.get()).ok();
        let dis = read.and_then(|document| distance(args, &document));
        Self { dis, obj: document }
    }
}

/// How far a document is: in radians on the sphere, in degrees on the plane, times what the script says.
fn distance(args: &GeoNear, document: &Document) -> Option<f64> {
    let place = document.get("_geoloc")?;
    let pair = place.get("coordinates").unwrap_or(place).as_array()?;
    let [x, y] = [pair.first()?.as_f64()?, pair.get(1)?.as_f64()?];
    let far = if args.spherical {
        let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
        let (from, to) = (args.near.1.to_radians(), y.to_radians());
        let h = half(args.near.1, y) + from.cos() * to.cos() * half(args.near.0, x);
        2.0 * h.clamp(0.0, 1.0).sqrt().asin()
    } else {
        (args.near.0 - x).hypot(args.near.1 - y)
    };
    Some(far * args.distance_multiplier.unwrap_or(1.0))
}
