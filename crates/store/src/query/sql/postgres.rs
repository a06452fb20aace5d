//! PostgreSQL: the filter as a condition, part by part. Every part is true or false, never NULL, so that a `NOT`
//! around it is right.

use serde_json::Value;

use super::sqlite::by_id_alone;
use super::{Param, QueryError, Writer, grouped, pattern, reduced};
use crate::query::filter::{Filter, Kind, Near, Node, Range, Shape, Test};
use crate::query::path::Path;
use crate::query::{Group, Query, SortKey};

/// What a path starts from.
#[derive(Clone, Copy)]
enum Base<'a> {
    /// The column `doc`: an object.
    Document,
    /// An element of an array: any value.
    Element(&'a str),
}

impl Base<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Document => "doc",
            Self::Element(name) => name,
        }
    }
}

/// Writes ` AND …` with the exact condition.
pub(super) fn exact(writer: &mut Writer<'_>, filter: &Filter) -> Result<(), QueryError> {
    if by_id_alone(filter.node()) {
        return Ok(());
    }
    writer.push(" AND ");
    node(writer, Base::Document, filter.node())
}

fn node(writer: &mut Writer<'_>, base: Base<'_>, part: &Node) -> Result<(), QueryError> {
    let (parts, between, none) = match part {
        Node::And(parts) => (parts, " AND ", "TRUE"),
        Node::Or(parts) => (parts, " OR ", "FALSE"),
        Node::Not(part) => {
            writer.push("NOT (");
            node(writer, base, part)?;
            writer.push(")");
            return Ok(());
        }
        Node::Field(path, test) => return field(writer, base, path, test),
    };
    if parts.is_empty() {
        writer.push(none);
        return Ok(());
    }
    writer.push("(");
    for (index, part) in parts.iter().enumerate() {
        writer.push(if index == 0 { "" } else { between });
        node(writer, base, part)?;
    }
    writer.push(")");
    Ok(())
}

fn field(
    writer: &mut Writer<'_>,
    base: Base<'_>,
    path: &Path,
    test: &Test,
) -> Result<(), QueryError> {
    let segments = path.segments();
    if segments.is_empty() {
        return passes(writer, base.name(), test);
    }
    let bound = writer.placeholder(Param::Texts(segments.to_vec()));
    let document = matches!(base, Base::Document);
    if document {
        // Without an array on the way there is one value, and no function to call.
        writer.push("CASE WHEN ");
        for length in 1..segments.len() {
            writer.push(&format!("jsonb_typeof(doc #> ({bound})[:{length}]) = 'array' OR "));
        }
        writer.push(&format!("jsonb_typeof(doc #> {bound}) = 'array' THEN "));
    }
    let name = writer.name();
    let fan_out = test.fans_out();
    let from = base.name();
    writer.push(&format!(
        "EXISTS (SELECT FROM lode_values({from}, {bound}, {fan_out}) AS {name} WHERE "
    ));
    passes(writer, &name, test)?;
    writer.push(")");
    if document {
        writer.push(" ELSE ");
        passes(writer, &format!("(doc #> {bound})"), test)?;
        writer.push(" END");
    }
    Ok(())
}

/// Whether the value `v` passes: an expression that is true or false, for a `v` that may be NULL (missing).
fn passes(writer: &mut Writer<'_>, v: &str, test: &Test) -> Result<(), QueryError> {
    writer.push("(");
    match test {
        Test::Equal(Value::Null) => writer.push(&format!("{v} IS NULL OR {v} = 'null'")),
        Test::Equal(wanted) => {
            writer.push(&format!("{v} = "));
            writer.bind(Param::Json(wanted.clone()));
        }
        Test::In(list) => {
            if list.iter().any(Value::is_null) {
                writer.push(&format!("{v} IS NULL OR "));
            }
            writer.push(&format!("{v} = ANY ("));
            writer.bind(Param::JsonList(list.clone()));
            writer.push(")");
        }
        Test::Range(range, bound) => in_range(writer, v, *range, bound),
        Test::Exists => writer.push(&format!("{v} IS NOT NULL")),
        Test::Type(kinds) => {
            for (index, kind) in kinds.iter().enumerate() {
                writer.push(if index == 0 { "" } else { " OR " });
                writer.push(&of_kind(v, *kind));
            }
        }
        Test::Regex(regex) => {
            writer.push(&format!("jsonb_typeof({v}) = 'string' AND ({v} #>> '{{}}') ~ "));
            writer.bind(Param::Text(pattern::postgres(regex)?));
        }
        Test::Modulo { divisor, remainder } => {
            writer.push(&format!(
                "CASE WHEN jsonb_typeof({v}) = 'number' THEN trunc({v}::numeric) \
                 BETWEEN -9223372036854775808 AND 9223372036854775807 AND mod(trunc({v}::numeric), "
            ));
            writer.bind(Param::Int(*divisor));
            writer.push(") = ");
            writer.bind(Param::Int(*remainder));
            writer.push(" END");
        }
        Test::Size(size) => {
            writer.push(&format!(
                "CASE WHEN jsonb_typeof({v}) = 'array' THEN jsonb_array_length({v}) = "
            ));
            writer.bind(Param::Int(i64::try_from(*size).unwrap_or(i64::MAX)));
            writer.push(" END");
        }
        Test::Element(inner) => element(writer, v, "", inner)?,
        Test::Object(inner) => {
            element(writer, v, "jsonb_typeof(@) IN ('object', 'array') AND ", inner)?;
        }
        Test::Near(near) => {
            distance(writer, v, near);
            writer.push(" BETWEEN ");
            writer.bind(Param::Real(near.least));
            writer.push(" AND ");
            writer.bind(Param::Real(near.most.unwrap_or(f64::INFINITY)));
        }
        Test::Within(shape) => within(writer, v, shape),
    }
    writer.push(") IS TRUE");
    Ok(())
}

fn in_range(writer: &mut Writer<'_>, v: &str, range: Range, bound: &Value) {
    let operator = match range {
        Range::Greater => ">",
        Range::GreaterOrEqual => ">=",
        Range::Less => "<",
        Range::LessOrEqual => "<=",
    };
    match bound {
        Value::String(text) => {
            writer.push(&format!(
                "jsonb_typeof({v}) = 'string' AND ({v} #>> '{{}}') COLLATE \"C\" {operator} "
            ));
            writer.bind(Param::Text(text.clone()));
        }
        Value::Number(_) | Value::Bool(_) => {
            let name = if bound.is_number() { "number" } else { "boolean" };
            writer.push(&format!("jsonb_typeof({v}) = '{name}' AND {v} {operator} "));
            writer.bind(Param::Json(bound.clone()));
        }
        // Nothing is above or below null, which is equal to itself and to what is missing.
        _ => match range {
            Range::Greater | Range::Less => writer.push("FALSE"),
            Range::GreaterOrEqual | Range::LessOrEqual => {
                writer.push(&format!("{v} IS NULL OR {v} = 'null'"));
            }
        },
    }
}

fn of_kind(v: &str, kind: Kind) -> String {
    let name = match kind {
        Kind::String => "string",
        Kind::Object => "object",
        Kind::Array => "array",
        Kind::Boolean => "boolean",
        Kind::Null => "null",
        Kind::Number => "number",
        Kind::Int | Kind::Long | Kind::Double => {
            let n = format!("{v}::numeric");
            let whole = format!(
                "{n} = trunc({n}) AND {n} BETWEEN -9223372036854775808 AND 9223372036854775807"
            );
            let short = format!("{n} BETWEEN -2147483648 AND 2147483647");
            let condition = match kind {
                Kind::Int => format!("{whole} AND {short}"),
                Kind::Long => format!("{whole} AND NOT ({short})"),
                _ => format!("NOT ({whole})"),
            };
            return format!(
                "(CASE WHEN jsonb_typeof({v}) = 'number' THEN {condition} END) IS TRUE"
            );
        }
    };
    format!("(jsonb_typeof({v}) = '{name}') IS TRUE")
}

fn element(
    writer: &mut Writer<'_>,
    v: &str,
    condition: &str,
    inner: &Node,
) -> Result<(), QueryError> {
    let name = writer.name();
    writer.push(&format!(
        "CASE WHEN jsonb_typeof({v}) = 'array' THEN EXISTS (SELECT FROM jsonb_array_elements({v}) \
         AS {name} WHERE {}",
        condition.replace('@', &name)
    ));
    node(writer, Base::Element(&name), inner)?;
    writer.push(") END");
    Ok(())
}

fn distance(writer: &mut Writer<'_>, v: &str, near: &Near) {
    writer.push(&format!("lode_distance({v}, "));
    writer.bind(Param::Real(near.from.x));
    writer.push(", ");
    writer.bind(Param::Real(near.from.y));
    writer.push(&format!(", {})", near.sphere));
}

fn within(writer: &mut Writer<'_>, v: &str, shape: &Shape) {
    match shape {
        Shape::Box(low, high) => {
            for (index, (low, high)) in [(low.x, high.x), (low.y, high.y)].into_iter().enumerate() {
                writer.push(if index == 0 { "" } else { " AND " });
                writer.push(&format!("(lode_point({v}))[{}] BETWEEN ", index + 1));
                writer.bind(Param::Real(low));
                writer.push(" AND ");
                writer.bind(Param::Real(high));
            }
        }
        Shape::Center(center, radius) | Shape::CenterSphere(center, radius) => {
            let sphere = matches!(shape, Shape::CenterSphere(..));
            distance(writer, v, &Near { from: *center, least: 0.0, most: None, sphere });
            writer.push(" <= ");
            writer.bind(Param::Real(*radius));
        }
        Shape::Polygon(points) => {
            writer.push(&format!("lode_inside({v}, "));
            writer.bind(Param::Reals(points.iter().map(|p| p.x).collect()));
            writer.push(", ");
            writer.bind(Param::Reals(points.iter().map(|p| p.y).collect()));
            writer.push(")");
        }
    }
}

pub(super) fn select(writer: &mut Writer<'_>, query: &Query) -> Result<(), QueryError> {
    writer.push("SELECT id, doc FROM ");
    if query.sort.is_empty() {
        writer.push("entities WHERE ");
        writer.condition(&query.filter)?;
        writer.push(" ORDER BY ");
        if let Some((path, near)) = query.filter.near() {
            let name = writer.name();
            writer.push("(SELECT min(");
            distance(writer, &name, near);
            writer.push(") FROM lode_values(doc, ");
            writer.bind(Param::Texts(path.segments().to_vec()));
            writer.push(&format!(", false) AS {name}), "));
        }
    } else {
        // The value that decides is looked for once.
        writer.push("(SELECT id, doc");
        for (index, key) in query.sort.iter().enumerate() {
            writer.push(", lode_chosen(doc, ");
            writer.bind(Param::Texts(key.path.segments().to_vec()));
            writer.push(&format!(", {}) AS k{index}", key.descending));
        }
        writer.push(" FROM entities WHERE ");
        writer.condition(&query.filter)?;
        writer.push(") AS found ORDER BY ");
        for (index, key) in query.sort.iter().enumerate() {
            order_by(writer, index, key);
        }
    }
    writer.push("id COLLATE \"C\"");
    writer.page(query);
    Ok(())
}

fn order_by(writer: &mut Writer<'_>, index: usize, key: &SortKey) {
    let how = if key.descending { "DESC" } else { "ASC" };
    writer.push(&format!(
        "lode_rank(k{index}) {how}, \
         CASE WHEN jsonb_typeof(k{index}) = 'number' THEN k{index}::numeric END {how}, \
         CASE WHEN jsonb_typeof(k{index}) = 'string' THEN k{index} #>> '{{}}' END COLLATE \"C\" {how}, "
    ));
}

pub(super) fn distinct(
    writer: &mut Writer<'_>,
    path: &Path,
    filter: &Filter,
) -> Result<(), QueryError> {
    writer.push("SELECT e::text FROM (SELECT DISTINCT e FROM entities, LATERAL lode_values(doc, ");
    writer.bind(Param::Texts(path.segments().to_vec()));
    writer.push(
        ", false) AS v, LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(v) = 'array' THEN v \
         WHEN v IS NULL THEN '[]' ELSE jsonb_build_array(v) END) AS e WHERE ",
    );
    writer.condition(filter)?;
    writer.push(") AS found");
    Ok(())
}

pub(super) fn group(writer: &mut Writer<'_>, group: &Group) -> Result<(), QueryError> {
    grouped(
        writer,
        group,
        |index| format!("k{index}::text"),
        |writer| {
            writer.push("SELECT id COLLATE \"C\" AS id");
            for (index, path) in group.keys.iter().enumerate() {
                writer.push(", coalesce(doc #> ");
                writer.bind(Param::Texts(path.segments().to_vec()));
                writer.push(&format!(", 'null') AS k{index}"));
            }
            if let Some(field) = reduced(&group.reduce.reducer) {
                let bound = writer.placeholder(Param::Texts(field.segments().to_vec()));
                writer.push(&format!(
                    ", CASE WHEN jsonb_typeof(doc #> {bound}) = 'number' \
                 THEN (doc #> {bound})::double precision END AS value"
                ));
            }
            writer.push(" FROM entities WHERE ");
            writer.condition(&group.condition)
        },
    )
}
