//! The query of a request: its parameters `query`, `sort`, `limit`, `skip` and `fields` (Kinvey's REST guide,
//! "Querying").

use std::collections::BTreeMap;

use lode_store::query::{Filter, Projection, Query, SortKey};
use lode_store::read_json;
use serde_json::{Map, Value};

use crate::body::MAX_DEPTH;
use crate::error::{ApiError, Kind};

/// Documents that a query may bring: Kinvey's own limit.
pub(crate) const MOST: u64 = 10_000;

/// A query string's parameters as a hook sees them: `query` parsed, all others as text.
pub(crate) fn as_object(params: &BTreeMap<String, String>) -> Result<Value, ApiError> {
    let mut object = Map::new();
    for (name, text) in params {
        let value = if name == "query" { json(name, text)? } else { text.clone().into() };
        object.insert(name.clone(), value);
    }
    Ok(object.into())
}

/// The query that parameters make, as they came or as a hook left them.
///
/// # Errors
/// `InvalidQuerySyntax` or `ParameterValueOutOfRange`.
pub(crate) fn read(params: &Value) -> Result<Query, ApiError> {
    let empty = Map::new();
    let params = params.as_object().unwrap_or(&empty);
    let mut query = Query { filter: filter(params.get("query"))?, ..Query::default() };
    if let Some(sort) = given(params, "sort") {
        query.sort = SortKey::parse(&lenient(sort))?;
    }
    if let Some(fields) = given(params, "fields") {
        query.fields = Some(Projection::parse(&lenient(fields))?);
    }
    // Zero is MongoDB's "no limit".
    query.limit = whole(params, "limit")?.filter(|limit| *limit > 0);
    query.skip = whole(params, "skip")?.unwrap_or(0);
    Ok(query)
}

/// Makes sure that parameters have a query: an object, or the text of one. Neither nothing nor `null` is it.
///
/// # Errors
/// `MissingQuery`; `InvalidQuerySyntax`.
pub(crate) fn needed(params: &Value) -> Result<(), ApiError> {
    let is_object = match params.get("query") {
        Some(Value::String(text)) if !text.trim().is_empty() => json("query", text)?.is_object(),
        query => query.is_some_and(Value::is_object),
    };
    if is_object {
        return Ok(());
    }
    Err(ApiError::new(Kind::MissingQuery, "to delete all, give the query {}"))
}

/// A filter, given as an object or as JSON text.
pub(crate) fn filter(given: Option<&Value>) -> Result<Filter, ApiError> {
    Ok(match given {
        None | Some(Value::Null) => Filter::all(),
        Some(Value::String(text)) if text.trim().is_empty() => Filter::all(),
        Some(Value::String(text)) => Filter::parse(&json("query", text)?)?,
        Some(value) => Filter::parse(value)?,
    })
}

fn given<'p>(params: &'p Map<String, Value>, name: &str) -> Option<&'p Value> {
    params.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""))
}

/// JSON where a text is JSON, else the text.
fn lenient(value: &Value) -> Value {
    let text = value.as_str().filter(|text| text.starts_with(['{', '[', '"']));
    let read = text.and_then(|text| read_json(text.as_bytes(), MAX_DEPTH).ok());
    read.map_or_else(|| value.clone(), |(read, _)| read)
}

fn whole(params: &Map<String, Value>, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(value) = given(params, name) else { return Ok(None) };
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    // What a database can count to.
    let number = number.filter(|number: &u64| i64::try_from(*number).is_ok());
    let wrong = || {
        let debug = format!("{name} is not a whole number from 0 up");
        ApiError::new(Kind::ParameterValueOutOfRange, debug)
    };
    number.map(Some).ok_or_else(wrong)
}

fn json(name: &str, text: &str) -> Result<Value, ApiError> {
    read_json(text.as_bytes(), MAX_DEPTH)
        .map(|(value, _)| value)
        .map_err(|error| ApiError::new(Kind::InvalidQuerySyntax, format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_text_or_what_a_hook_made_of_them() {
        for params in [
            json!({"query": "{\"a\": 1}", "sort": "{\"a\": -1}", "limit": "5", "skip": "2"}),
            json!({"query": {"a": 1}, "sort": {"a": -1}, "limit": 5, "skip": 2}),
        ] {
            let query = read(&params).expect("a query");
            assert_eq!((query.limit, query.skip, query.sort.len()), (Some(5), 2, 1));
        }
        let query = read(&json!({"limit": "0", "sort": "", "fields": "a,b"})).expect("a query");
        assert_eq!(query.limit, None);
        assert!(query.fields.is_some());
    }

    #[test]
    fn nothing_and_null_are_no_query_to_delete_by() {
        for params in [json!({"query": {}}), json!({"query": "{}"}), json!({"query": {"a": 1}})] {
            needed(&params).expect("a query");
        }
        let missing = [
            json!({}),
            json!(null),
            json!({"query": null}),
            json!({"query": ""}),
            json!({"query": "null"}),
            json!({"query": []}),
            json!({"query": 1}),
        ];
        for params in missing {
            assert_eq!(needed(&params).expect_err("none").kind, Kind::MissingQuery, "{params}");
        }
        assert_eq!(
            needed(&json!({"query": "{"})).expect_err("no JSON").kind,
            Kind::InvalidQuerySyntax
        );
    }

    #[test]
    fn what_makes_no_query_says_why() {
        let kind = |params| read(&params).expect_err("no query").kind;
        assert_eq!(kind(json!({"query": "{"})), Kind::InvalidQuerySyntax);
        assert_eq!(kind(json!({"query": {"a": {"$where": "1"}}})), Kind::InvalidQuerySyntax);
        assert_eq!(kind(json!({"limit": "-1"})), Kind::ParameterValueOutOfRange);
        assert_eq!(kind(json!({"skip": "18446744073709551615"})), Kind::ParameterValueOutOfRange);
    }
}
