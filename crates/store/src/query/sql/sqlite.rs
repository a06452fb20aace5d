//! SQLite: what indexes answer is plain SQL; the rest is the reference evaluator itself, called by SQLite for
//! each row that is left. So both give the same documents, and no row leaves the database that is not asked for.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, Error};
use serde_json::Value;

use super::index::MAX_TOGETHER;
use super::{Param, QueryError, Writer, grouped, reduced};
use crate::query::filter::{Filter, Node, Point, Test, distance};
use crate::query::path::{Path, Root};
use crate::query::value::canonical;
use crate::query::{Group, Query, sort};

/// Gives a connection the functions that the statements for SQLite call.
///
/// # Errors
/// SQLite's own.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("lode_matches", 2, flags, |context| {
        let filter = context.get_or_create_aux(1, |source| parsed(source.as_str()?))?;
        Ok(filter.matches_value(&document(context)?))
    })?;
    connection.create_scalar_function("lode_sort", 3, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        Ok(sort::key(&document(context)?, &path, context.get(2)?))
    })?;
    connection.create_scalar_function("lode_values", 2, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        let mut values: Vec<Value> = Vec::new();
        let mut add = |value: &Value| values.push(canonical(value).to_string().into());
        path.any(Root::Value(&document(context)?), false, &mut |found| {
            match found {
                Some(Value::Array(items)) => items.iter().for_each(&mut add),
                Some(value) => add(value),
                None => {}
            }
            false
        });
        Ok(Value::Array(values).to_string())
    })?;
    connection.create_scalar_function("lode_value", 2, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        let document = document(context)?;
        Ok(canonical(path.plain(&document).unwrap_or(&Value::Null)).to_string())
    })?;
    connection.create_scalar_function("lode_number", 2, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        Ok(path.plain(&document(context)?).and_then(Value::as_f64))
    })?;
    connection.create_scalar_function("lode_distance", 5, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        let from = Point { x: context.get(2)?, y: context.get(3)? };
        let sphere: bool = context.get(4)?;
        let mut nearest: Option<f64> = None;
        path.any(Root::Value(&document(context)?), false, &mut |found| {
            if let Some(point) = found.and_then(Point::stored) {
                let far = distance(from, point, sphere);
                nearest = Some(nearest.map_or(far, |nearest| nearest.min(far)));
            }
            false
        });
        Ok(nearest)
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync + 'static>;

fn parsed(source: &str) -> Result<Filter, Failure> {
    Ok(Filter::reparse(&serde_json::from_str(source)?)?)
}

fn field(path: &str) -> Result<Path, Failure> {
    Ok(Path::parse(path)?)
}

fn document(context: &Context<'_>) -> rusqlite::Result<Value> {
    let text = context.get_raw(0).as_str()?;
    serde_json::from_str(text).map_err(|error| Error::UserFunctionError(error.into()))
}

/// Writes ` AND …` with the exact condition, unless what was written for the index is exact already.
pub(super) fn exact(writer: &mut Writer<'_>, filter: &Filter) -> Result<(), QueryError> {
    if by_id_alone(filter.node()) {
        return Ok(());
    }
    writer.push(" AND lode_matches(doc, ");
    writer.bind(Param::Json(filter.source().clone()));
    writer.push(")");
    Ok(())
}

/// Whether the filter is no more than `_id`s, which the column `id` decides, or nothing at all. Of more conditions
/// side by side than are given to indexes some are left for the exact part.
pub(super) fn by_id_alone(node: &Node) -> bool {
    match node {
        Node::And(parts) => parts.len() <= MAX_TOGETHER && parts.iter().all(by_id_alone),
        Node::Field(path, Test::Equal(value)) => path.is_id() && value.is_string(),
        Node::Field(path, Test::In(values)) => {
            path.is_id() && !values.is_empty() && values.iter().all(Value::is_string)
        }
        _ => false,
    }
}

pub(super) fn select(writer: &mut Writer<'_>, query: &Query) -> Result<(), QueryError> {
    writer.push("SELECT id, doc FROM entities WHERE ");
    writer.condition(&query.filter)?;
    writer.push(" ORDER BY ");
    for key in &query.sort {
        writer.push("lode_sort(doc, ");
        writer.bind(Param::Text(key.path.dotted()));
        writer.push(if key.descending { ", 1) DESC, " } else { ", 0), " });
    }
    if query.sort.is_empty()
        && let Some((path, near)) = query.filter.near()
    {
        writer.push("lode_distance(doc, ");
        writer.bind(Param::Text(path.dotted()));
        for param in [near.from.x, near.from.y] {
            writer.push(", ");
            writer.bind(Param::Real(param));
        }
        writer.push(if near.sphere { ", 1), " } else { ", 0), " });
    }
    writer.push("id");
    writer.page(query);
    Ok(())
}

pub(super) fn distinct(
    writer: &mut Writer<'_>,
    path: &Path,
    filter: &Filter,
) -> Result<(), QueryError> {
    // `json_each` has a column `id`, too: hence the inner query.
    writer.push("SELECT DISTINCT value FROM (SELECT lode_values(doc, ");
    writer.bind(Param::Text(path.dotted()));
    writer.push(") AS list FROM entities WHERE ");
    writer.condition(filter)?;
    writer.push(") AS found, json_each(found.list)");
    Ok(())
}

pub(super) fn group(writer: &mut Writer<'_>, group: &Group) -> Result<(), QueryError> {
    grouped(
        writer,
        group,
        |index| format!("k{index}"),
        |writer| {
            writer.push("SELECT id");
            for (index, path) in group.keys.iter().enumerate() {
                writer.push(", lode_value(doc, ");
                writer.bind(Param::Text(path.dotted()));
                writer.push(&format!(") AS k{index}"));
            }
            if let Some(field) = reduced(&group.reduce.reducer) {
                writer.push(", lode_number(doc, ");
                writer.bind(Param::Text(field.dotted()));
                writer.push(") AS value");
            }
            writer.push(" FROM entities WHERE ");
            writer.condition(&group.condition)
        },
    )
}
