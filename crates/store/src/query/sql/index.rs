//! The one expression per field that an index holds, and conditions that such an index answers.
//!
//! SQLite: the scalar itself, `'['` if an array stands at the field or on the way to it, `'{'` for an object.
//! PostgreSQL: bytes that sort as MongoDB's order does, from `lode_key` (`functions.sql`), which cuts strings
//! short (an index's row is bounded there). So a range is never strict here, and what is found is checked again.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Dialect, Param, Writer};
use crate::query::error::{QueryError, refuse, shown};
use crate::query::filter::{Node, Range, Test};
use crate::query::path::Path;

/// Bytes of a string that PostgreSQL's key holds: far below a B-tree row's bound of about 2,700.
pub(super) const KEY_BYTES: usize = 256;

/// Conditions side by side that are given to indexes: beyond a few they narrow nothing, and SQLite bounds how deep
/// an expression is (1,000).
pub(super) const MAX_TOGETHER: usize = 16;

/// Alternatives that are given to indexes: SQLite puts 500 queries together, and two per alternative are needed.
/// Nested alternatives count for themselves.
const MAX_ALTERNATIVES: usize = 100;

/// `lode_key` of a document with an array at the field or on the way to it.
const KEY_ARRAY: u8 = 0x50;

/// `CREATE INDEX IF NOT EXISTS …` for a field of a collection: partial on the collection.
///
/// # Errors
/// A name that is no field's, or one that cannot stand in an index: with a quotation mark, a backslash or a
/// control character.
pub fn index_sql(dialect: Dialect, collection: i64, field: &str) -> Result<String, QueryError> {
    let Some(expression) = expression(dialect, &Path::parse(field)?) else {
        return refuse!(
            "{} cannot be indexed: its name holds a quotation mark, a backslash or a control character",
            shown(field)
        );
    };
    let name = index_name(collection, field);
    Ok(format!(
        "CREATE INDEX IF NOT EXISTS {name} ON entities ({expression}) WHERE collection = {collection}"
    ))
}

/// `DROP INDEX IF EXISTS …` for what [`index_sql`] made.
#[must_use]
pub fn drop_index_sql(collection: i64, field: &str) -> String {
    format!("DROP INDEX IF EXISTS {}", index_name(collection, field))
}

/// The index's name: no quoting needed, whatever the field's name is.
#[must_use]
pub fn index_name(collection: i64, field: &str) -> String {
    let mut name = format!("entities_{collection}_");
    for byte in Sha256::digest(field.as_bytes()).iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The indexed expression of a field; `None` if its name cannot stand in a literal.
pub(super) fn expression(dialect: Dialect, path: &Path) -> Option<String> {
    let segments = path.segments();
    let plain = |name: &String| !name.contains(['"', '\\']) && !name.contains(char::is_control);
    if segments.is_empty() || !segments.iter().all(plain) {
        return None;
    }
    let quoted: Vec<String> = segments.iter().map(|name| name.replace('\'', "''")).collect();
    match dialect {
        Dialect::Postgres => Some(format!("lode_key(doc, ARRAY['{}'])", quoted.join("','"))),
        Dialect::Sqlite => {
            let mut text = "CASE 'array' ".to_owned();
            let mut at = "$".to_owned();
            for name in &quoted {
                let _ = write!(at, ".\"{name}\"");
                let _ = write!(text, "WHEN json_type(doc,'{at}') THEN '[' ");
            }
            let _ = write!(
                text,
                "ELSE CASE json_type(doc,'{at}') WHEN 'object' THEN '{{' ELSE json_extract(doc,'{at}') END END"
            );
            Some(text)
        }
    }
}

/// Writes ` AND …` with what indexes answer of this filter, if they answer any of it.
pub(super) fn superset(writer: &mut Writer<'_>, node: &Node) {
    if let Some(plan) = plan(writer, node) {
        writer.push(" AND ");
        write(writer, &plan);
    }
}

enum Plan<'a> {
    And(Vec<Plan<'a>>),
    Or(Vec<Plan<'a>>),
    Field(&'a Path, Condition<'a>),
    /// `_id` is a column, and never an array.
    Id(Vec<&'a str>),
}

enum Condition<'a> {
    Equal(Vec<&'a Value>),
    Range(Range, &'a Value),
    Array,
}

fn plan<'a>(writer: &Writer<'_>, node: &'a Node) -> Option<Plan<'a>> {
    match node {
        Node::And(parts) => {
            let plans = parts.iter().filter_map(|part| plan(writer, part));
            let plans: Vec<_> = plans.take(MAX_TOGETHER).collect();
            (!plans.is_empty()).then_some(Plan::And(plans))
        }
        Node::Or(parts) if parts.len() > MAX_ALTERNATIVES => None,
        Node::Or(parts) => {
            let plans: Option<Vec<_>> = parts.iter().map(|part| plan(writer, part)).collect();
            plans.filter(|plans| !plans.is_empty()).map(Plan::Or)
        }
        Node::Not(_) => None,
        Node::Field(path, test) if path.is_id() => match test {
            Test::Equal(Value::String(id)) => Some(Plan::Id(vec![id])),
            Test::In(ids) if !ids.is_empty() => {
                Some(Plan::Id(ids.iter().filter_map(Value::as_str).collect()))
            }
            _ => None,
        },
        Node::Field(path, test) => {
            let dotted = path.dotted();
            if !writer.scope.indexed.contains(&dotted) {
                return None;
            }
            expression(writer.scope.dialect, path)?;
            Some(Plan::Field(path, condition(test)?))
        }
    }
}

fn condition(test: &Test) -> Option<Condition<'_>> {
    let scalar = |value: &&Value| !value.is_object() && !value.is_array() && !value.is_null();
    match test {
        Test::Equal(value) => Some(value).filter(scalar).map(|value| Condition::Equal(vec![value])),
        Test::In(values) => {
            let scalars: Vec<_> = values.iter().filter(scalar).collect();
            (scalars.len() == values.len()).then_some(Condition::Equal(scalars))
        }
        Test::Range(range, bound) => {
            Some(bound).filter(scalar).map(|b| Condition::Range(*range, b))
        }
        Test::Size(_) | Test::Element(_) | Test::Object(_) => Some(Condition::Array),
        _ => None,
    }
}

fn write(writer: &mut Writer<'_>, plan: &Plan<'_>) {
    match plan {
        Plan::And(parts) => {
            for (index, part) in parts.iter().enumerate() {
                writer.push(if index == 0 { "" } else { " AND " });
                write(writer, part);
            }
        }
        Plan::Or(parts) => any_of(writer, parts, write),
        Plan::Id(ids) => {
            writer.push("id IN (");
            for (index, id) in ids.iter().enumerate() {
                writer.push(if index == 0 { "" } else { ", " });
                writer.bind(Param::Text((*id).to_owned()));
            }
            writer.push(")");
        }
        Plan::Field(path, condition) => field(writer, path, condition),
    }
}

/// Writes that one of the conditions holds. SQLite uses no partial index inside an `OR`: there each condition
/// finds its ids by itself, and all that it needs is in the index.
fn any_of<T>(writer: &mut Writer<'_>, parts: &[T], write: impl Fn(&mut Writer<'_>, &T)) {
    let sqlite = writer.scope.dialect == Dialect::Sqlite;
    writer.push(if sqlite { "id IN (" } else { "(" });
    for (index, part) in parts.iter().enumerate() {
        if sqlite {
            writer.push(if index == 0 { "" } else { " UNION ALL " });
            writer.push("SELECT id FROM entities WHERE ");
            writer.collection();
            writer.push(" AND ");
        } else {
            writer.push(if index == 0 { "(" } else { " OR (" });
        }
        write(writer, part);
        writer.push(if sqlite { "" } else { ")" });
    }
    writer.push(")");
}

fn field(writer: &mut Writer<'_>, path: &Path, condition: &Condition<'_>) {
    let dialect = writer.scope.dialect;
    // `plan` has made sure that there is one.
    let Some(expression) = expression(dialect, path) else { return writer.push("TRUE") };
    let array = match dialect {
        Dialect::Sqlite => "'['".to_owned(),
        Dialect::Postgres => format!("'\\x{KEY_ARRAY:02x}'::bytea"),
    };
    match condition {
        Condition::Array => writer.push(&format!("{expression} = {array}")),
        Condition::Equal(values) => {
            writer.push(&format!("{expression} IN ({array}"));
            for value in values {
                writer.push(", ");
                key(writer, value);
            }
            writer.push(")");
        }
        Condition::Range(range, bound) => {
            let up = matches!(range, Range::Greater | Range::GreaterOrEqual);
            any_of(writer, &[true, false], |writer, arrays| {
                if *arrays {
                    return writer.push(&format!("{expression} = {array}"));
                }
                let operator = if up { ">=" } else { "<=" };
                // Left to guess, SQLite takes a range for a quarter of the table and may read all of it instead,
                // parsing each document.
                let (hint, end_of_hint) = match dialect {
                    Dialect::Sqlite => ("likelihood(", ", 0.01)"),
                    Dialect::Postgres => ("", ""),
                };
                writer.push(&format!("{hint}{expression} {operator} "));
                key(writer, bound);
                writer.push(end_of_hint);
                // The other end of the type's bracket: without it a range would reach all that sorts beyond.
                if let Some(end) = bracket(dialect, bound, up) {
                    let operator = if up { "<" } else { ">=" };
                    writer.push(&format!(" AND {expression} {operator} {end}"));
                }
            });
        }
    }
}

/// Where the type of a value ends, upwards or downwards, in the order of the index.
fn bracket(dialect: Dialect, value: &Value, up: bool) -> Option<String> {
    match (dialect, value) {
        (Dialect::Sqlite, Value::String(_)) => (!up).then(|| "''".to_owned()),
        // Booleans are numbers there.
        (Dialect::Sqlite, _) => up.then(|| "''".to_owned()),
        (Dialect::Postgres, value) => {
            let rank = rank(value);
            let edge = if up { rank + 1 } else { rank };
            Some(format!("'\\x{edge:02x}'::bytea"))
        }
    }
}

/// A scalar as the index holds it.
fn key(writer: &mut Writer<'_>, value: &Value) {
    match writer.scope.dialect {
        // Read by the same routine as the document's numbers, whatever its rounding is.
        Dialect::Sqlite => {
            writer.push("json_extract(");
            writer.bind(Param::Json(value.clone()));
            writer.push(",'$')");
        }
        Dialect::Postgres => writer.bind(Param::Bytes(key_bytes(value))),
    }
}

/// The first byte of `lode_key`, by type.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0x10,
        Value::Number(_) => 0x20,
        Value::String(_) => 0x30,
        Value::Object(_) => 0x40,
        Value::Array(_) => KEY_ARRAY,
        Value::Bool(_) => 0x60,
    }
}

/// What `lode_key` gives for a field with this value.
pub(super) fn key_bytes(value: &Value) -> Vec<u8> {
    let mut key = vec![rank(value)];
    match value {
        Value::Number(number) => {
            let double = number.as_f64().unwrap_or_default();
            // -0 and 0 are equal.
            let bits = if double == 0.0 { 0 } else { double.to_bits() };
            let sign = 1 << 63;
            let sorted = if bits & sign == 0 { bits | sign } else { !bits };
            key.extend(sorted.to_be_bytes());
        }
        Value::String(text) => key.extend(text.bytes().take(KEY_BYTES)),
        Value::Bool(yes) => key.push(u8::from(*yes)),
        Value::Null | Value::Object(_) | Value::Array(_) => {}
    }
    key
}
