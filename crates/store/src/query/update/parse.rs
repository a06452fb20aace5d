//! An update from JSON.

use serde_json::{Map, Number, Value};

use super::{Bits, Operation, Order, Push, What, elements};
use crate::query::error::{QueryError, refuse, shown};
use crate::query::filter::{ArrayFilter, Filter};
use crate::query::path::Path;
use crate::query::sort::SortKey;

/// Changes of one update.
const MAX_CHANGES: usize = 1000;

pub(super) fn update(value: &Value, filters: Vec<ArrayFilter>) -> Result<What, QueryError> {
    let Some(object) = value.as_object() else {
        return refuse!("an update is an object of operators, or a whole document");
    };
    let operators = object.keys().filter(|name| name.starts_with('$')).count();
    if operators == 0 {
        if !filters.is_empty() {
            return refuse!("array filters need operators such as $set, not a whole document");
        }
        return Ok(What::Replace(object.clone()));
    }
    if operators < object.len() {
        return refuse!("an update is either operators or a whole document, not both");
    }
    let mut changes = Vec::new();
    for (operator, fields) in object {
        let Some(fields) = fields.as_object() else {
            return refuse!("{} takes an object of fields", known(operator)?);
        };
        for (name, operand) in fields {
            let path = elements::path(operator, name)?;
            let operation = operation(operator, &path, operand)?;
            changes.push((path, operation));
        }
        known(operator)?;
    }
    if changes.len() > MAX_CHANGES {
        return refuse!("the update has more than {MAX_CHANGES} changes");
    }
    conflicts(changes.iter().map(|(path, operation)| (path, operation)))?;
    elements::check(&changes, &filters)?;
    Ok(What::Change(changes, filters))
}

fn known(operator: &str) -> Result<&str, QueryError> {
    const KNOWN: [&str; 15] = [
        "$set",
        "$setOnInsert",
        "$unset",
        "$inc",
        "$mul",
        "$min",
        "$max",
        "$rename",
        "$push",
        "$pushAll",
        "$addToSet",
        "$pull",
        "$pullAll",
        "$pop",
        "$currentDate",
    ];
    if KNOWN.contains(&operator) || operator == "$bit" {
        return Ok(operator);
    }
    refuse!("the update operator {} is not supported", shown(operator))
}

fn operation(operator: &str, path: &Path, operand: &Value) -> Result<Operation, QueryError> {
    Ok(match operator {
        "$set" => Operation::Set(operand.clone()),
        "$setOnInsert" => Operation::SetOnInsert(operand.clone()),
        "$unset" => Operation::Unset,
        "$inc" => Operation::Add(number(operator, operand)?),
        "$mul" => Operation::Multiply(number(operator, operand)?),
        "$min" => Operation::Least(operand.clone()),
        "$max" => Operation::Greatest(operand.clone()),
        "$rename" => match operand.as_str().map(Path::parse) {
            Some(target) => Operation::Rename(target?),
            None => return refuse!("$rename takes the new name of {}", shown(&path.dotted())),
        },
        "$push" => Operation::Push(push(operand)?),
        "$pushAll" => Operation::Push(Push {
            each: list(operator, operand)?,
            position: None,
            slice: None,
            sort: None,
        }),
        "$addToSet" => Operation::AddToSet(added(operand)?),
        "$pull" => Operation::Pull(Filter::element(operand)?),
        "$pullAll" => Operation::PullAll(list(operator, operand)?),
        "$pop" => match operand.as_f64() {
            Some(1.0) => Operation::Pop { first: false },
            Some(-1.0) => Operation::Pop { first: true },
            _ => return refuse!("$pop takes 1 for the last element, or -1 for the first"),
        },
        "$currentDate" => match operand {
            Value::Bool(true) => Operation::CurrentDate,
            Value::Object(kind) if is_date(kind) => Operation::CurrentDate,
            _ => return refuse!("$currentDate takes true, or a $type of date or timestamp"),
        },
        "$bit" => Operation::Bits(bits(operand)?),
        _ => return known(operator).and(refuse!("{operator} is not supported")),
    })
}

fn number(operator: &str, operand: &Value) -> Result<Number, QueryError> {
    match operand {
        Value::Number(number) => Ok(number.clone()),
        _ => refuse!("{operator} takes a number"),
    }
}

fn list(operator: &str, operand: &Value) -> Result<Vec<Value>, QueryError> {
    match operand {
        Value::Array(items) => Ok(items.clone()),
        _ => refuse!("{operator} takes a list"),
    }
}

fn is_date(kind: &Map<String, Value>) -> bool {
    kind.len() == 1
        && matches!(kind.get("$type").and_then(Value::as_str), Some("date" | "timestamp"))
}

fn push(operand: &Value) -> Result<Push, QueryError> {
    let plain =
        |value: &Value| Push { each: vec![value.clone()], position: None, slice: None, sort: None };
    let Some(modifiers) = operand.as_object().filter(|object| object.contains_key("$each")) else {
        return Ok(plain(operand));
    };
    let mut push = Push { each: Vec::new(), position: None, slice: None, sort: None };
    for (name, value) in modifiers {
        match name.as_str() {
            "$each" => push.each = list("$each", value)?,
            "$position" => push.position = Some(whole(name, value)?),
            "$slice" => push.slice = Some(whole(name, value)?),
            "$sort" => push.sort = Some(order(value)?),
            _ => return refuse!("$push does not support {}", shown(name)),
        }
    }
    Ok(push)
}

fn order(value: &Value) -> Result<Order, QueryError> {
    match (value, value.as_f64()) {
        (_, Some(1.0)) => Ok(Order::Whole { descending: false }),
        (_, Some(-1.0)) => Ok(Order::Whole { descending: true }),
        (Value::Object(fields), _) if !fields.is_empty() => {
            Ok(Order::Fields(SortKey::parse(value)?))
        }
        _ => refuse!("$sort of a $push takes 1, -1, or an object of fields"),
    }
}

fn whole(name: &str, value: &Value) -> Result<i64, QueryError> {
    match value.as_i64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64)) {
        Some(whole) => Ok(whole),
        None => refuse!("{name} takes a whole number"),
    }
}

fn added(operand: &Value) -> Result<Vec<Value>, QueryError> {
    match operand.as_object() {
        Some(object) if object.contains_key("$each") => match object.len() {
            1 => list("$each", &object["$each"]),
            _ => refuse!("$addToSet takes nothing beside $each"),
        },
        _ => Ok(vec![operand.clone()]),
    }
}

fn bits(operand: &Value) -> Result<Vec<(Bits, i64)>, QueryError> {
    let Some(object) = operand.as_object().filter(|object| !object.is_empty()) else {
        return refuse!("$bit takes an object such as {{\"or\": 4}}");
    };
    let one = |(name, value): (&String, &Value)| {
        let operation = match name.as_str() {
            "and" => Bits::And,
            "or" => Bits::Or,
            "xor" => Bits::Xor,
            _ => return refuse!("$bit takes and, or, xor; not {}", shown(name)),
        };
        match value.as_i64() {
            Some(mask) => Ok((operation, mask)),
            None => refuse!("$bit takes whole numbers"),
        }
    };
    object.iter().map(one).collect()
}

/// Two changes at one path, or at one inside the other, have no order between them.
pub(super) fn conflicts<'a>(
    changes: impl Iterator<Item = (&'a Path, &'a Operation)>,
) -> Result<(), QueryError> {
    let mut paths: Vec<&[String]> = Vec::new();
    for (path, operation) in changes {
        paths.push(path.segments());
        if let Operation::Rename(target) = operation {
            paths.push(target.segments());
        }
    }
    // Sorted, a path stands right before those that begin with it.
    paths.sort_unstable();
    for pair in paths.windows(2) {
        if let [a, b] = pair
            && b.starts_with(a)
        {
            return refuse!(
                "updating {} would conflict with updating {}",
                shown(&b.join(".")),
                shown(&a.join("."))
            );
        }
    }
    Ok(())
}
