//! Places: `[longitude, latitude]` as Kinvey's `_geoloc` holds them, or a GeoJSON Point.

use serde_json::Value;

use crate::query::error::{QueryError, refuse};

/// The earth's radius in metres: the one MongoDB computes with.
pub(crate) const EARTH: f64 = 6_378_100.0;

/// A mile in metres.
const MILE: f64 = 1609.344;

/// Points of a polygon, at most.
const MAX_POINTS: usize = 1000;

/// Longitude and latitude in degrees, or any plane's x and y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// `$near` and `$nearSphere`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) from: Point,
    /// In radians on the sphere, in the coordinates' own unit on the plane.
    pub(crate) least: f64,
    /// As `least`.
    pub(crate) most: Option<f64>,
    pub(crate) sphere: bool,
}

/// What `$geoWithin` (and `$within`) look inside of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Box(Point, Point),
    /// A circle on the plane.
    Center(Point, f64),
    /// A circle on the sphere; the radius in radians.
    CenterSphere(Point, f64),
    /// Its edges are straight in the coordinates, as MongoDB's `$polygon`'s are.
    Polygon(Vec<Point>),
}

impl Point {
    /// A stored place: `[lng, lat]`, `{lng, lat}` in this order of fields, or a GeoJSON Point.
    pub(crate) fn stored(value: &Value) -> Option<Self> {
        match value {
            Value::Array(_) => Self::pair(value),
            Value::Object(object)
                if object.get("type").and_then(Value::as_str) == Some("Point") =>
            {
                Self::pair(object.get("coordinates")?)
            }
            _ => None,
        }
    }

    fn pair(value: &Value) -> Option<Self> {
        match value.as_array()?.as_slice() {
            [x, y, ..] => Some(Self { x: x.as_f64()?, y: y.as_f64()? }),
            _ => None,
        }
    }
}

impl Near {
    pub(crate) fn reaches(&self, value: &Value) -> bool {
        Point::stored(value).is_some_and(|point| {
            let far = distance(self.from, point, self.sphere);
            far >= self.least && self.most.is_none_or(|most| far <= most)
        })
    }
}

/// In radians on the sphere, in the coordinates' unit on the plane.
pub(crate) fn distance(a: Point, b: Point, sphere: bool) -> f64 {
    if !sphere {
        return (a.x - b.x).hypot(a.y - b.y);
    }
    let half_lat = ((b.y - a.y).to_radians() / 2.0).sin();
    let half_lng = ((b.x - a.x).to_radians() / 2.0).sin();
    let h =
        half_lat * half_lat + a.y.to_radians().cos() * b.y.to_radians().cos() * half_lng * half_lng;
    2.0 * h.clamp(0.0, 1.0).sqrt().asin()
}

impl Shape {
    pub(crate) fn holds(&self, value: &Value) -> bool {
        let Some(p) = Point::stored(value) else { return false };
        match self {
            Self::Box(low, high) => {
                (low.x..=high.x).contains(&p.x) && (low.y..=high.y).contains(&p.y)
            }
            Self::Center(center, radius) => distance(*center, p, false) <= *radius,
            Self::CenterSphere(center, radius) => distance(*center, p, true) <= *radius,
            Self::Polygon(points) => inside(points, p),
        }
    }

    /// Reads what stands after `$geoWithin`.
    pub(super) fn parse(operator: &str, value: &Value) -> Result<Self, QueryError> {
        let Some((name, shape)) = value.as_object().and_then(only) else {
            return refuse!(
                "{operator} takes one of $box, $center, $centerSphere, $polygon, $geometry"
            );
        };
        match name {
            "$box" => match points(name, shape)?.as_slice() {
                [a, b] => Ok(Self::Box(
                    Point { x: a.x.min(b.x), y: a.y.min(b.y) },
                    Point { x: a.x.max(b.x), y: a.y.max(b.y) },
                )),
                _ => refuse!("$box takes two corners: [[x, y], [x, y]]"),
            },
            "$center" => circle(name, shape).map(|(center, radius)| Self::Center(center, radius)),
            "$centerSphere" => {
                circle(name, shape).map(|(center, radius)| Self::CenterSphere(center, radius))
            }
            "$polygon" => Self::polygon(name, points(name, shape)?),
            "$geometry" => {
                let rings = shape.get("coordinates").and_then(Value::as_array);
                match (shape.get("type").and_then(Value::as_str), rings.map(Vec::as_slice)) {
                    (Some("Polygon"), Some([ring])) => Self::polygon(name, points(name, ring)?),
                    _ => refuse!("$geometry is a Polygon with one ring"),
                }
            }
            _ => refuse!("{operator} does not support {}", crate::query::error::shown(name)),
        }
    }

    fn polygon(name: &str, points: Vec<Point>) -> Result<Self, QueryError> {
        if points.len() < 3 {
            return refuse!("{name} takes at least three points");
        }
        Ok(Self::Polygon(points))
    }
}

impl Near {
    /// Reads `$near` with the `$maxDistance` and `$minDistance` beside it.
    pub(super) fn parse(
        operator: &str,
        value: &Value,
        most: Option<&Value>,
        least: Option<&Value>,
    ) -> Result<Self, QueryError> {
        let geometry = value.get("$geometry");
        let from = geometry.map_or_else(|| Point::stored(value), Point::stored);
        let Some(from) = from.filter(|p| geometry.is_none() || on_earth(*p)) else {
            return refuse!(
                "{operator} takes [longitude, latitude] or a $geometry that is a Point"
            );
        };
        // Distances are metres from a GeoJSON point, miles from a pair (so say Kinvey's guides; MongoDB would take
        // radians), and on the plane the coordinates' own.
        let (sphere, unit) = match (geometry, operator) {
            (Some(_), _) => (true, EARTH),
            (None, "$nearSphere") => (true, EARTH / MILE),
            (None, _) => (false, 1.0),
        };
        let most = far("$maxDistance", value.get("$maxDistance").or(most))?.map(|far| far / unit);
        let least = far("$minDistance", value.get("$minDistance").or(least))?.map(|far| far / unit);
        Ok(Self { from, least: least.unwrap_or(0.0), most, sphere })
    }
}

fn on_earth(point: Point) -> bool {
    point.x.abs() <= 180.0 && point.y.abs() <= 90.0
}

/// Clients send the distance as a string, too.
fn far(operator: &str, value: Option<&Value>) -> Result<Option<f64>, QueryError> {
    let Some(value) = value else { return Ok(None) };
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    match number {
        Some(number) if number >= 0.0 && number.is_finite() => Ok(Some(number)),
        _ => refuse!("{operator} takes a number that is not negative"),
    }
}

fn only(object: &serde_json::Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = object.iter().filter(|(name, _)| *name != "$uniqueDocs");
    let (name, value) = entries.next()?;
    entries.next().is_none().then_some((name.as_str(), value))
}

fn points(name: &str, value: &Value) -> Result<Vec<Point>, QueryError> {
    let points: Option<Vec<Point>> = match value {
        Value::Array(items) => items.iter().map(Point::pair).collect(),
        // `{"a": {"x": 1, "y": 2}, …}` was MongoDB 1.x.
        _ => None,
    };
    match points {
        Some(points) if points.len() <= MAX_POINTS => Ok(points),
        Some(_) => refuse!("{name} has more than {MAX_POINTS} points"),
        None => refuse!("{name} takes a list of points [x, y]"),
    }
}

fn circle(name: &str, value: &Value) -> Result<(Point, f64), QueryError> {
    let parts = value.as_array().map(Vec::as_slice);
    if let Some([center, radius]) = parts
        && let (Some(center), Some(radius)) = (Point::pair(center), radius.as_f64())
        && radius >= 0.0
    {
        return Ok((center, radius));
    }
    refuse!("{name} takes [[x, y], radius]")
}

/// Whether a point is inside a polygon, by how often a ray from it crosses an edge. The same arithmetic as the
/// one in the databases' functions.
fn inside(points: &[Point], p: Point) -> bool {
    let mut inside = false;
    let mut previous = points.len() - 1;
    for (index, a) in points.iter().enumerate() {
        let b = points[previous];
        if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
            inside = !inside;
        }
        previous = index;
    }
    inside
}
