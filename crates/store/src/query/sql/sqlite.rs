//! SQLite: what indexes answer is plain SQL; the rest is the reference evaluator itself, called by SQLite for
//! each row that is left. So both give the same documents, and no row leaves the database that is not asked for.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, Error, ffi};
use serde_json::Value;

use super::index::MAX_TOGETHER;
use super::{Param, QueryError, Writer, grouped, reduced};
use crate::LARGEST_ANSWER;
use crate::query::filter::{Filter, Node, Point, Test, distance};
use crate::query::path::{Path, Root};
use crate::query::value::canonical;
use crate::query::{Group, Query, sort, watch};

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
        in_time(filter.matches_value(&document(context)?))
    })?;
    connection.create_scalar_function("lode_sort", 3, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        in_time(sort::key(&document(context)?, &path, context.get(2)?))
    })?;
    connection.create_scalar_function("lode_values", 2, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        let mut values = Values { list: "[".into(), fit: true };
        path.any(Root::Value(&document(context)?), false, &mut |found| {
            match found {
                Some(Value::Array(items)) => items.iter().for_each(|item| values.add(item)),
                Some(value) => values.add(value),
                None => {}
            }
            !values.fit
        });
        in_time(values.finish()?)
    })?;
    connection.create_scalar_function("lode_value", 2, flags, |context| {
        let path = context.get_or_create_aux(1, |path| field(path.as_str()?))?;
        let document = document(context)?;
        in_time(canonical(path.plain(&document).unwrap_or(&Value::Null)).to_string())
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
        in_time(nearest)
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
    if watch::is_over(text.len()) {
        return Err(failure(ffi::SQLITE_INTERRUPT));
    }
    serde_json::from_str(text).map_err(|error| Error::UserFunctionError(error.into()))
}

/// What was evaluated, if the time for it was not up meanwhile.
fn in_time<T>(value: T) -> rusqlite::Result<T> {
    if watch::is_over(0) { Err(failure(ffi::SQLITE_INTERRUPT)) } else { Ok(value) }
}

fn failure(code: std::ffi::c_int) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), None)
}

/// A JSON list of values as JSON texts, which is not larger than what all documents of an answer may give.
struct Values {
    list: String,
    fit: bool,
}

impl Values {
    fn add(&mut self, value: &Value) {
        if self.fit {
            if self.list.len() > 1 {
                self.list.push(',');
            }
            self.list.push_str(&Value::from(canonical(value).to_string()).to_string());
            self.fit = self.list.len() <= LARGEST_ANSWER;
        }
    }

    fn finish(mut self) -> rusqlite::Result<String> {
        if !self.fit {
            return Err(failure(ffi::SQLITE_TOOBIG));
        }
        self.list.push(']');
        Ok(self.list)
    }
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
pub(in crate::query) fn by_id_alone(node: &Node) -> bool {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, Instant};

    use rusqlite::ErrorCode;

    use super::*;

    fn code(sql: &str, document: &str) -> Option<ErrorCode> {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let answer =
            connection.query_row(sql, [document], |row| row.get::<_, rusqlite::types::Value>(0));
        answer.err().and_then(|error| error.sqlite_error_code())
    }

    #[test]
    fn one_row_does_not_outlast_the_deadline() {
        let functions = [
            r#"SELECT lode_matches(?1, '{"a":5}')"#,
            "SELECT lode_sort(?1, 'a', 0)",
            "SELECT lode_values(?1, 'a')",
            "SELECT lode_value(?1, 'a')",
            "SELECT lode_number(?1, 'a')",
            "SELECT lode_distance(?1, 'a', 1, 1, 0)",
        ];
        let large = serde_json::json!({ "a": vec![1; 100_000] }).to_string();
        for sql in functions {
            {
                let _limit = watch::Limit::until(Instant::now());
                assert_eq!(code(sql, &large), Some(ErrorCode::OperationInterrupted), "{sql}");
            }
            let _limit = watch::Limit::until(Instant::now() + Duration::from_secs(60));
            assert_eq!(code(sql, &large), None, "{sql}");
        }
    }

    #[test]
    fn evaluating_ends_with_its_time_and_not_with_its_document() {
        // Each of the elements is compared with each of the values.
        let values: Vec<u32> = (1_000_000..1_000_900).collect();
        let source = serde_json::json!({ "a": { "$in": values } });
        let document = serde_json::json!({ "a": (0..500_000).collect::<Vec<u32>>() });
        let filter = Filter::parse(&source).unwrap();
        let start = Instant::now();
        let _limit = watch::Limit::until(start + Duration::from_millis(20));
        filter.matches_value(&document);
        assert!(in_time(()).is_err());
        // It would take seconds.
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }

    #[test]
    fn values_of_one_document_are_bounded() {
        let half = "x".repeat(LARGEST_ANSWER / 2);
        let document = serde_json::json!({ "a": [half, half] }).to_string();
        assert_eq!(code("SELECT lode_values(?1, 'a')", &document), Some(ErrorCode::TooBig));
        assert_eq!(code("SELECT lode_values(?1, 'b')", &document), None);
    }
}
