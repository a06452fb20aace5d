//! MongoDB's `geoNear` over `_geoloc`, the field that Kinvey has places in: longitude, then latitude.

use lode_store::{Document, Filter, Query};
use serde_json::{Value, json};

use super::Failure;
use super::args::GeoNear;

/// MongoDB's own number of results, unless another is asked for.
const DEFAULT_LIMIT: u64 = 100;

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
        filter: Filter::parse(&filter)?,
        limit: Some(args.limit.unwrap_or(DEFAULT_LIMIT).min(super::MAX_DOCUMENTS)),
        ..Query::default()
    })
}

/// How far a document is: in radians on the sphere, in degrees on the plane, times what the script says.
pub(super) fn distance(args: &GeoNear, document: &Document) -> Option<f64> {
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
