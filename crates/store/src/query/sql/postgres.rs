//! PostgreSQL.

use super::{QueryError, Writer};
use crate::query::Query;
use crate::query::filter::Filter;

pub(super) fn exact(_writer: &mut Writer<'_>, _filter: &Filter) -> Result<(), QueryError> {
    Err(QueryError::new("not yet on PostgreSQL"))
}

pub(super) fn select(writer: &mut Writer<'_>, query: &Query) -> Result<(), QueryError> {
    writer.push("SELECT id, doc FROM entities WHERE ");
    writer.condition(&query.filter)?;
    writer.push(" ORDER BY id COLLATE \"C\"");
    writer.page(query);
    Ok(())
}
