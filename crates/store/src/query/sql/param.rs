//! Bound values.

use bytes::{BufMut, BytesMut};
use postgres_types::{IsNull, ToSql as ToPostgres, Type, to_sql_checked};
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use serde_json::Value;

/// A bound value, for both drivers.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// Text.
    Text(String),
    /// An integer of 64 bits.
    Int(i64),
    /// A double.
    Real(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of texts: PostgreSQL's `text[]`.
    Texts(Vec<String>),
    /// JSON: PostgreSQL's `jsonb`, text in SQLite.
    Json(Value),
    /// A list of JSON: PostgreSQL's `jsonb[]`.
    JsonList(Vec<Value>),
    /// PostgreSQL's `jsonpath`.
    JsonPath(String),
    /// A list of doubles: PostgreSQL's `double precision[]`.
    Reals(Vec<f64>),
}

impl Param {
    pub(super) fn postgres_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Int(_) => "bigint",
            Self::Real(_) => "double precision",
            Self::Bytes(_) => "bytea",
            Self::Texts(_) => "text[]",
            Self::Json(_) => "jsonb",
            Self::JsonList(_) => "jsonb[]",
            Self::JsonPath(_) => "jsonpath",
            Self::Reals(_) => "double precision[]",
        }
    }
}

impl ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Text(text) | Self::JsonPath(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Self::Int(n) => ToSqlOutput::Borrowed(ValueRef::Integer(*n)),
            Self::Real(n) => ToSqlOutput::Borrowed(ValueRef::Real(*n)),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Texts(texts) => {
                let json = Value::from(texts.as_slice()).to_string();
                ToSqlOutput::Owned(SqliteValue::Text(json))
            }
            Self::Json(json) => ToSqlOutput::Owned(SqliteValue::Text(json.to_string())),
            Self::JsonList(list) => {
                ToSqlOutput::Owned(SqliteValue::Text(Value::from(list.as_slice()).to_string()))
            }
            Self::Reals(list) => {
                ToSqlOutput::Owned(SqliteValue::Text(Value::from(list.as_slice()).to_string()))
            }
        })
    }
}

impl ToPostgres for Param {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Text(text) => ToPostgres::to_sql(text, ty, out),
            Self::Int(n) => ToPostgres::to_sql(n, ty, out),
            Self::Real(n) => ToPostgres::to_sql(n, ty, out),
            Self::Bytes(bytes) => ToPostgres::to_sql(bytes, ty, out),
            Self::Texts(texts) => ToPostgres::to_sql(texts, ty, out),
            Self::Json(json) => ToPostgres::to_sql(json, ty, out),
            Self::JsonList(list) => ToPostgres::to_sql(list, ty, out),
            Self::JsonPath(text) => {
                // Its binary form: a version, then the text.
                out.put_u8(1);
                out.put_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            Self::Reals(list) => ToPostgres::to_sql(list, ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::TEXT
                | Type::INT8
                | Type::FLOAT8
                | Type::BYTEA
                | Type::TEXT_ARRAY
                | Type::JSONB
                | Type::JSONB_ARRAY
                | Type::FLOAT8_ARRAY
                | Type::JSONPATH
        )
    }

    to_sql_checked!();
}
