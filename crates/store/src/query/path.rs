//! Dotted paths, and the values they reach in a document: through objects, arrays of objects, and positions.

use serde_json::{Map, Value};

use super::error::{QueryError, refuse, shown};
use super::watch;

/// Bytes of a path. Far above any real field name, and below what a database takes as a name in an index.
const MAX_BYTES: usize = 500;

/// Segments of a path: MongoDB nests documents to 100 levels, real ones to 5.
const MAX_SEGMENTS: usize = 20;

/// Segments of a path that may be positions. At each of them a path goes two ways through an array of objects, by
/// the position and by a field of that name: with six it comes to one place in at most 21 ways, with twenty in
/// 10,946. Dates as `2024.1.31.23.59` have five.
pub(crate) const MAX_POSITIONS: usize = 6;

/// A field of a document, as `address.street` or `lines.0.price`. The empty path is the value itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    segments: Vec<String>,
}

/// Where a path starts.
#[derive(Clone, Copy)]
pub(crate) enum Root<'a> {
    /// At a document.
    Document(&'a Map<String, Value>),
    /// At an element of an array, or at a document that is a value.
    Value(&'a Value),
    /// At a document whose one field this is.
    Named(&'a str, &'a Value),
}

impl Path {
    /// The value itself: what the operators inside `$elemMatch` speak about.
    pub(crate) const ITSELF: Self = Self { segments: Vec::new() };

    /// Reads a dotted path.
    ///
    /// # Errors
    /// An empty segment, one that begins with `$`, a NUL, or too long a path.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Self::parse_with(text, |_| false)
    }

    /// As [`Path::parse`], but for parts with a `$` that are a `placeholder` and not the first: there is no array
    /// for that one.
    pub(crate) fn parse_with(
        text: &str,
        placeholder: fn(&str) -> bool,
    ) -> Result<Self, QueryError> {
        if text.len() > MAX_BYTES {
            return refuse!("the field name {} is longer than {MAX_BYTES} bytes", shown(text));
        }
        let segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        if segments.len() > MAX_SEGMENTS {
            return refuse!("the field {} has more than {MAX_SEGMENTS} parts", shown(text));
        }
        for (index, segment) in segments.iter().enumerate() {
            if segment.is_empty() {
                return refuse!("the field name {} is empty or has an empty part", shown(text));
            }
            if segment.starts_with('$') && (index == 0 || !placeholder(segment)) {
                return refuse!("the field name {} has a part that begins with $", shown(text));
            }
            if segment.contains('\0') {
                return refuse!("the field name {} holds a NUL", shown(text));
            }
        }
        let path = Self { segments };
        if path.positions() > MAX_POSITIONS {
            return refuse!("the field {} has more than {MAX_POSITIONS} numbers", shown(text));
        }
        Ok(path)
    }

    /// How many of its parts may be positions.
    pub(crate) fn positions(&self) -> usize {
        self.segments.iter().filter(|segment| position(segment).is_some()).count()
    }

    /// Its parts, outermost first.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// As it was written.
    pub fn dotted(&self) -> String {
        self.segments.join(".")
    }

    /// Whether `test` holds for one of the values that this path reaches, as MongoDB reaches them; `None` is a
    /// missing one. With `fan_out` an array at the end gives its elements, then itself.
    pub(crate) fn any(
        &self,
        root: Root<'_>,
        fan_out: bool,
        test: &mut dyn FnMut(Option<&Value>) -> bool,
    ) -> bool {
        match (root, self.segments.split_first()) {
            (Root::Value(value), None) => test(Some(value)),
            (Root::Document(_) | Root::Named(..), None) => test(None),
            (Root::Value(value), Some((first, rest))) => {
                onward(member(value, first), rest, fan_out, test)
            }
            (Root::Document(document), Some((first, rest))) => {
                onward(document.get(first), rest, fan_out, test)
            }
            (Root::Named(name, value), Some((first, rest))) => {
                onward((first == name).then_some(value), rest, fan_out, test)
            }
        }
    }

    /// The one value at the path: an array is entered by position only.
    pub(crate) fn plain<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.segments.iter().try_fold(document, |value, segment| member(value, segment))
    }
}

/// The position that a segment names: digits without a leading zero.
pub(crate) fn position(segment: &str) -> Option<usize> {
    let plain = segment == "0" || !segment.starts_with('0');
    // Nine digits: no document is that long, and every database's integer holds them.
    let digits = segment.len() <= 9 && segment.bytes().all(|b| b.is_ascii_digit());
    if plain && digits { segment.parse().ok() } else { None }
}

/// From a document, or from an array that is looked at as one (its positions are its fields).
fn within(
    value: &Value,
    segments: &[String],
    fan_out: bool,
    test: &mut dyn FnMut(Option<&Value>) -> bool,
) -> bool {
    let Some((first, rest)) = segments.split_first() else { return test(Some(value)) };
    onward(member(value, first), rest, fan_out, test)
}

/// The field of an object, or the element of an array.
pub(crate) fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(object) => object.get(name),
        Value::Array(array) => position(name).and_then(|at| array.get(at)),
        _ => None,
    }
}

/// From what the path has reached so far.
pub(crate) fn onward(
    found: Option<&Value>,
    rest: &[String],
    fan_out: bool,
    test: &mut dyn FnMut(Option<&Value>) -> bool,
) -> bool {
    match found {
        Some(whole @ Value::Array(array)) => across(whole, array, rest, fan_out, test),
        Some(value) if rest.is_empty() => test(Some(value)),
        Some(value @ Value::Object(_)) => within(value, rest, fan_out, test),
        Some(_) | None => test(None),
    }
}

/// Over an array that the path met.
fn across(
    whole: &Value,
    array: &[Value],
    rest: &[String],
    fan_out: bool,
    test: &mut dyn FnMut(Option<&Value>) -> bool,
) -> bool {
    // Counted here, too: of elements that the path does not go through none is tested.
    if watch::is_over(array.len()) {
        return true;
    }
    if rest.is_empty() {
        return fan_out && array.iter().any(|element| test(Some(element))) || test(Some(whole));
    }
    array.iter().enumerate().any(|(index, element)| enters(element, index, rest, fan_out, test))
}

/// Whether `test` holds for a value that the rest of the path (it is not empty) reaches through this element of an
/// array.
pub(crate) fn enters(
    element: &Value,
    index: usize,
    rest: &[String],
    fan_out: bool,
    test: &mut dyn FnMut(Option<&Value>) -> bool,
) -> bool {
    let Some((first, after)) = rest.split_first() else { return false };
    if element.is_object() && within(element, rest, fan_out, test) {
        return true;
    }
    if position(first) != Some(index) {
        return false;
    }
    match element {
        // The position is the end of the path: the element as it is, an array too.
        element if after.is_empty() => test(Some(element)),
        Value::Object(_) | Value::Array(_) => within(element, after, fan_out, test),
        _ => false,
    }
}

impl Path {
    /// Of these parts.
    pub(crate) fn of(segments: Vec<String>) -> Self {
        Self { segments }
    }

    /// `_id`.
    pub(crate) fn of_id() -> Self {
        Self { segments: vec!["_id".into()] }
    }

    /// Whether it is `_id`.
    pub(crate) fn is_id(&self) -> bool {
        self.segments == ["_id"]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn positions_lead_to_one_place_in_few_ways() {
        let mut value = json!([1]);
        for _ in 0..20 {
            value = json!([{ "0": value }]);
        }
        let document = json!({ "a": value });
        let visits = |text: &str| {
            let mut visits = 0;
            Path::parse(text).unwrap().any(Root::Value(&document), true, &mut |_| {
                visits += 1;
                false
            });
            visits
        };
        assert!(visits("a.0.0.0.0.0.0") <= 42, "{}", visits("a.0.0.0.0.0.0"));
        let error = Path::parse("a.0.0.0.0.0.0.0").unwrap_err().to_string();
        assert_eq!(error, "the field \"a.0.0.0.0.0.0.0\" has more than 6 numbers");
        // A leading zero makes a name, and so does what is no number.
        assert!(Path::parse("01.01.01.01.01.01.01.x.x.x").is_ok());
    }
}
