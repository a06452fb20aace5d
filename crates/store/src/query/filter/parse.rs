//! A filter from JSON.

use serde_json::{Map, Value};

use super::{Element, Kind, Near, Node, Pattern, Range, Shape, Test};
use crate::query::error::{QueryError, refuse, shown};
use crate::query::path::{MAX_POSITIONS, Path};

/// How deep a client's filter nests.
const MAX_DEPTH: usize = 20;

/// Conditions of a client's filter, items of `$in` included.
const MAX_CONDITIONS: usize = 1000;

/// Conditions that a `$regex` counts as: each compiles to up to 256 KiB, twice at a time, and looks at each text
/// for itself. Ten fit, which is more than a search over fields has.
const REGEX: usize = 90;

/// How deep a value in a filter nests. With what stands around it, it stays below the 128 levels that the JSON
/// reader takes.
const MAX_VALUE_DEPTH: usize = 60;

/// What a filter that was checked before is read with: `and` has nested it deeper.
const TRUSTED: usize = 1 << 16;

/// A client's filter.
pub(super) fn filter(value: &Value) -> Result<Node, QueryError> {
    Parser::of_a_client().document(value, Place::Top)
}

/// What stands behind `$pull` and a field.
pub(super) fn pulled(value: &Value) -> Result<Element, QueryError> {
    let mut parser = Parser::of_a_client();
    if !value.is_object() {
        return Ok(Element::Equal(checked(value)?));
    }
    match parser.element(value)? {
        Test::Element(node) => Ok(Element::Passing(*node)),
        Test::Object(node) => Ok(Element::Matching(*node)),
        _ => Ok(Element::Equal(checked(value)?)),
    }
}

/// The filters of an update's elements: together they are as large as one query may be.
pub(super) fn array_filters(values: &[Value]) -> Result<Vec<Node>, QueryError> {
    let mut parser = Parser::of_a_client();
    values.iter().map(|value| parser.document(value, Place::Inside)).collect()
}

/// A filter that was parsed before.
pub(super) fn trusted(value: &Value) -> Result<Node, QueryError> {
    Parser { depth: 100, conditions: TRUSTED, positions: MAX_POSITIONS }.document(value, Place::Top)
}

/// Where a condition stands: `$near` sorts, so it may stand only where it holds for the whole result.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Top,
    Inside,
}

struct Parser {
    /// Levels left.
    depth: usize,
    /// Conditions left.
    conditions: usize,
    /// Positions left to the paths here, of those around them in `$elemMatch`es: their ways multiply.
    positions: usize,
}

impl Parser {
    fn of_a_client() -> Self {
        Self { depth: MAX_DEPTH, conditions: MAX_CONDITIONS, positions: MAX_POSITIONS }
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let Some(left) = self.depth.checked_sub(1) else {
            return refuse!("the query nests deeper than {MAX_DEPTH} levels");
        };
        self.depth = left;
        let result = read(self);
        self.depth += 1;
        result
    }

    fn count(&mut self, conditions: usize) -> Result<(), QueryError> {
        match self.conditions.checked_sub(conditions) {
            Some(left) => {
                self.conditions = left;
                Ok(())
            }
            None => refuse!(
                "the query has more than {MAX_CONDITIONS} conditions (a $regex counts as {REGEX})"
            ),
        }
    }

    /// `{field: condition, $and: […], …}`.
    fn document(&mut self, value: &Value, place: Place) -> Result<Node, QueryError> {
        let Some(object) = value.as_object() else {
            return refuse!("a query is an object, not {}", kind_of(value));
        };
        self.deeper(|parser| {
            let mut parts = Vec::with_capacity(object.len());
            for (name, value) in object {
                parser.count(1)?;
                match name.strip_prefix('$') {
                    Some(_) => parser.logical(name, value, place, &mut parts)?,
                    None => parser.field(&Path::parse(name)?, value, place, &mut parts)?,
                }
            }
            Ok(all(parts))
        })
    }

    fn logical(
        &mut self,
        name: &str,
        value: &Value,
        place: Place,
        parts: &mut Vec<Node>,
    ) -> Result<(), QueryError> {
        match name {
            "$and" => parts.push(all(self.list(name, value, place)?)),
            "$or" => parts.push(Node::Or(self.list(name, value, Place::Inside)?)),
            "$nor" => {
                let list = self.list(name, value, Place::Inside)?;
                parts.push(Node::Not(Box::new(Node::Or(list))));
            }
            // MongoDB ignores it.
            "$comment" => {}
            "$query" | "$orderby" | "$maxTimeMS" | "$hint" | "$explain" => {
                return refuse!(
                    "{name} is not supported: give the sort and the limit beside the query"
                );
            }
            "$not" => return refuse!("$not stands behind a field; for a whole query use $nor"),
            _ => return refuse!("the operator {} is not supported", shown(name)),
        }
        Ok(())
    }

    fn list(&mut self, name: &str, value: &Value, place: Place) -> Result<Vec<Node>, QueryError> {
        match value.as_array() {
            Some(items) if !items.is_empty() => {
                items.iter().map(|item| self.document(item, place)).collect()
            }
            _ => refuse!("{name} takes a list of queries that is not empty"),
        }
    }

    fn field(
        &mut self,
        path: &Path,
        value: &Value,
        place: Place,
        parts: &mut Vec<Node>,
    ) -> Result<(), QueryError> {
        if path.positions() > self.positions {
            return refuse!(
                "the fields around {} and itself have more than {MAX_POSITIONS} numbers",
                shown(&path.dotted())
            );
        }
        match operators(path, value)? {
            Some(object) => self.operators(path, object, place, parts),
            None => {
                check_value(value)?;
                parts.push(Node::Field(path.clone(), Test::Equal(value.clone())));
                Ok(())
            }
        }
    }

    /// `{$gt: 5, $lt: 9}` behind a field.
    fn operators(
        &mut self,
        path: &Path,
        object: &Map<String, Value>,
        place: Place,
        parts: &mut Vec<Node>,
    ) -> Result<(), QueryError> {
        self.deeper(|parser| {
            for (name, value) in object {
                parser.count(1)?;
                parser.operator(path, name, value, object, place, parts)?;
            }
            Ok(())
        })
    }

    fn operator(
        &mut self,
        path: &Path,
        name: &str,
        value: &Value,
        beside: &Map<String, Value>,
        place: Place,
        parts: &mut Vec<Node>,
    ) -> Result<(), QueryError> {
        let field = |test| Node::Field(path.clone(), test);
        let node = match name {
            "$eq" => field(Test::Equal(checked(value)?)),
            "$ne" => not(field(Test::Equal(checked(value)?))),
            "$gt" => field(range(name, Range::Greater, value)?),
            "$gte" => field(range(name, Range::GreaterOrEqual, value)?),
            "$lt" => field(range(name, Range::Less, value)?),
            "$lte" => field(range(name, Range::LessOrEqual, value)?),
            "$in" => field(Test::In(self.values(name, value)?)),
            "$nin" => not(field(Test::In(self.values(name, value)?))),
            "$all" => self.all_of(path, value)?,
            "$exists" => {
                if truthy(value) {
                    field(Test::Exists)
                } else {
                    not(field(Test::Exists))
                }
            }
            "$type" => field(Test::Type(kinds(value)?)),
            "$not" => self.negated(path, value)?,
            "$regex" => {
                // One was counted already.
                self.count(REGEX - 1)?;
                let options = beside.get("$options").unwrap_or(&Value::Null);
                field(Test::Regex(pattern(value, options)?))
            }
            "$options" if beside.contains_key("$regex") => return Ok(()),
            "$options" => return refuse!("$options needs a $regex beside it"),
            "$size" => field(Test::Size(size(value)?)),
            "$mod" => field(modulo(value)?),
            "$elemMatch" => field(self.beneath(path, value)?),
            "$near" | "$nearSphere" if place == Place::Top => {
                let (most, least) = (beside.get("$maxDistance"), beside.get("$minDistance"));
                field(Test::Near(Near::parse(name, value, most, least)?))
            }
            "$near" | "$nearSphere" => {
                return refuse!(
                    "{name} sorts the result: it cannot stand in $or, $nor, $not or $elemMatch"
                );
            }
            "$maxDistance" | "$minDistance"
                if beside.contains_key("$near") || beside.contains_key("$nearSphere") =>
            {
                return Ok(());
            }
            "$maxDistance" | "$minDistance" => {
                return refuse!("{name} needs a $near or $nearSphere beside it");
            }
            "$within" | "$geoWithin" => field(Test::Within(Shape::parse(name, value)?)),
            _ => return refuse!("the operator {} is not supported", shown(name)),
        };
        parts.push(node);
        Ok(())
    }

    fn values(&mut self, name: &str, value: &Value) -> Result<Vec<Value>, QueryError> {
        let Some(items) = value.as_array() else { return refuse!("{name} takes a list") };
        self.count(items.len())?;
        for item in items {
            if item.as_object().is_some_and(|o| o.keys().any(|key| key.starts_with('$'))) {
                return refuse!("{name} takes values, not operators");
            }
            check_value(item)?;
        }
        Ok(items.clone())
    }

    fn all_of(&mut self, path: &Path, value: &Value) -> Result<Node, QueryError> {
        let Some(items) = value.as_array() else { return refuse!("$all takes a list") };
        self.count(items.len())?;
        if items.is_empty() {
            return Ok(Node::Or(Vec::new()));
        }
        let mut parts = Vec::with_capacity(items.len());
        for item in items {
            let first = item.as_object().and_then(|object| object.keys().next());
            match first.map(String::as_str) {
                Some("$elemMatch") => self.field(path, item, Place::Inside, &mut parts)?,
                Some(name) if name.starts_with('$') => {
                    return refuse!("$all takes values or $elemMatch, not {}", shown(name));
                }
                _ => parts.push(Node::Field(path.clone(), Test::Equal(checked(item)?))),
            }
        }
        Ok(all(parts))
    }

    fn negated(&mut self, path: &Path, value: &Value) -> Result<Node, QueryError> {
        let Some(object) = value.as_object().filter(|object| !object.is_empty()) else {
            return refuse!("$not takes an object of operators");
        };
        let mut parts = Vec::with_capacity(object.len());
        self.operators(path, object, Place::Inside, &mut parts)?;
        Ok(not(all(parts)))
    }

    /// What stands in the `$elemMatch` of a path.
    fn beneath(&mut self, path: &Path, value: &Value) -> Result<Test, QueryError> {
        let around = self.positions;
        // A path that has too many is refused where it stands.
        self.positions = around.saturating_sub(path.positions());
        let test = self.element(value);
        self.positions = around;
        test
    }

    fn element(&mut self, value: &Value) -> Result<Test, QueryError> {
        let Some(object) = value.as_object() else { return refuse!("$elemMatch takes an object") };
        let is_value = object.keys().next().is_some_and(|name| {
            name.starts_with('$') && !matches!(&**name, "$and" | "$or" | "$nor")
        });
        if is_value {
            let mut parts = Vec::with_capacity(object.len());
            self.operators(&Path::ITSELF, object, Place::Inside, &mut parts)?;
            Ok(Test::Element(Box::new(all(parts))))
        } else {
            Ok(Test::Object(Box::new(self.document(value, Place::Inside)?)))
        }
    }
}

/// The object of operators behind a field, or `None` for a value to be equal to.
fn operators<'a>(
    path: &Path,
    value: &'a Value,
) -> Result<Option<&'a Map<String, Value>>, QueryError> {
    let Some(object) = value.as_object().filter(|object| !object.is_empty()) else {
        return Ok(None);
    };
    let count = object.keys().filter(|name| name.starts_with('$')).count();
    if count == 0 {
        return Ok(None);
    }
    if count < object.len() {
        return refuse!("the condition of {} mixes operators and fields", shown(&path.dotted()));
    }
    Ok(Some(object))
}

fn all(mut parts: Vec<Node>) -> Node {
    if parts.len() == 1 { parts.remove(0) } else { Node::And(parts) }
}

fn not(node: Node) -> Node {
    Node::Not(Box::new(node))
}

fn checked(value: &Value) -> Result<Value, QueryError> {
    check_value(value)?;
    Ok(value.clone())
}

/// PostgreSQL's text holds no NUL, so no document does; and a value that nests deeper than documents do would find
/// nothing.
fn check_value(value: &Value) -> Result<(), QueryError> {
    value_within(value, MAX_VALUE_DEPTH)
}

fn value_within(value: &Value, levels: usize) -> Result<(), QueryError> {
    let Some(levels) = levels.checked_sub(1) else {
        return refuse!("a value in the query nests deeper than {MAX_VALUE_DEPTH} levels");
    };
    match value {
        Value::String(text) if text.contains('\0') => refuse!("a string in the query holds a NUL"),
        Value::Array(items) => items.iter().try_for_each(|item| value_within(item, levels)),
        Value::Object(object) => object.iter().try_for_each(|(name, value)| {
            if name.contains('\0') {
                return refuse!("a field name in the query holds a NUL");
            }
            value_within(value, levels)
        }),
        _ => Ok(()),
    }
}

fn range(name: &str, range: Range, value: &Value) -> Result<Test, QueryError> {
    if value.is_object() || value.is_array() {
        return refuse!(
            "{name} compares numbers, strings, booleans and null, not {}",
            kind_of(value)
        );
    }
    Ok(Test::Range(range, checked(value)?))
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(n) => n.as_f64() != Some(0.0),
        _ => true,
    }
}

fn pattern(value: &Value, options: &Value) -> Result<Pattern, QueryError> {
    let Some(pattern) = value.as_str() else { return refuse!("$regex takes a string") };
    match options {
        Value::Null => Pattern::parse(pattern, ""),
        Value::String(options) => Pattern::parse(pattern, options),
        _ => refuse!("$options takes a string"),
    }
}

fn size(value: &Value) -> Result<u64, QueryError> {
    let whole = value.as_number().and_then(super::eval::truncated);
    match whole.filter(|size| value.as_f64() == Some(*size as f64)).map(u64::try_from) {
        Some(Ok(size)) => Ok(size),
        _ => refuse!("$size takes a whole number that is not negative"),
    }
}

fn modulo(value: &Value) -> Result<Test, QueryError> {
    let pair: Option<Vec<i64>> = value.as_array().and_then(|items| {
        items.iter().map(|item| item.as_number().and_then(super::eval::truncated)).collect()
    });
    match pair.as_deref() {
        Some([0, _]) => refuse!("$mod cannot divide by 0"),
        Some([divisor, remainder]) => Ok(Test::Modulo { divisor: *divisor, remainder: *remainder }),
        _ => refuse!("$mod takes [divisor, remainder]"),
    }
}

fn kinds(value: &Value) -> Result<Vec<Kind>, QueryError> {
    let one = |item: &Value| {
        let kind = match item {
            Value::String(name) => match name.as_str() {
                "double" => Kind::Double,
                "string" => Kind::String,
                "object" => Kind::Object,
                "array" => Kind::Array,
                "bool" => Kind::Boolean,
                "null" => Kind::Null,
                "int" => Kind::Int,
                "long" => Kind::Long,
                "number" => Kind::Number,
                _ => return refuse!("$type {} is not a type that JSON has", shown(name)),
            },
            // BSON's numbers of the types.
            Value::Number(number) => match number.as_f64().unwrap_or_default() {
                1.0 => Kind::Double,
                2.0 => Kind::String,
                3.0 => Kind::Object,
                4.0 => Kind::Array,
                8.0 => Kind::Boolean,
                10.0 => Kind::Null,
                16.0 => Kind::Int,
                18.0 => Kind::Long,
                _ => return refuse!("$type {number} is not a type that JSON has"),
            },
            _ => return refuse!("$type takes a type's name or number, or a list of them"),
        };
        Ok(kind)
    };
    match value {
        Value::Array(items) if items.is_empty() => refuse!("$type takes at least one type"),
        Value::Array(items) if items.len() > 20 => refuse!("$type takes at most 20 types"),
        Value::Array(items) => items.iter().map(one).collect(),
        one_type => Ok(vec![one(one_type)?]),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
