//! `arrayFilters`: which elements the `$[name]` of an update stands for.

use serde_json::Value;

use super::{Node, parse};
use crate::query::error::{QueryError, refuse, shown};
use crate::query::path::Root;

/// Array filters of one update. Each is named in a path of it, and real ones have one or two.
const MAX_FILTERS: usize = 100;

/// Conditions on the elements that one name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ArrayFilter {
    name: String,
    node: Node,
}

impl ArrayFilter {
    /// Reads a list of `{"name.field": condition, …}`; `null` is none.
    ///
    /// # Errors
    /// Something that is not a filter, or is too many of them; one that has no name, several, or one that is not
    /// a lower-case letter with letters and digits behind it; two of one name.
    pub(crate) fn parse_all(value: &Value) -> Result<Vec<Self>, QueryError> {
        let items = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(items) => items,
            _ => return refuse!("arrayFilters takes a list of conditions"),
        };
        if items.len() > MAX_FILTERS {
            return refuse!("the update has more than {MAX_FILTERS} array filters");
        }
        let mut filters: Vec<Self> = Vec::with_capacity(items.len());
        for (item, node) in items.iter().zip(parse::array_filters(items)?) {
            let mut name = None;
            find_name(item, &mut name)?;
            let Some(name) = name else {
                return refuse!("an array filter needs a condition such as {{\"line.sku\": 5}}");
            };
            if !is_name(name) {
                return refuse!(
                    "the array filter {} needs a name of letters and digits that begins with a lower-case letter",
                    shown(name)
                );
            }
            if filters.iter().any(|other| other.name == name) {
                return refuse!("there are two array filters of the name {}", shown(name));
            }
            filters.push(Self { name: name.to_owned(), node });
        }
        Ok(filters)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the name stands for this element.
    pub(crate) fn fits(&self, element: &Value) -> bool {
        self.node.matches(Root::Named(&self.name, element))
    }
}

/// Whether it can be the name of an array filter.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What all fields of a filter begin with. It has been parsed, so its lists are lists.
fn find_name<'a>(filter: &'a Value, name: &mut Option<&'a str>) -> Result<(), QueryError> {
    for (key, value) in filter.as_object().into_iter().flatten() {
        match key.as_str() {
            "$and" | "$or" | "$nor" => {
                value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .try_for_each(|part| find_name(part, name))?;
                continue;
            }
            "$comment" => continue,
            _ => {}
        }
        let own = key.split('.').next().unwrap_or(key);
        match name {
            Some(other) if *other != own => {
                return refuse!(
                    "an array filter is about one name, not {} and {}",
                    shown(other),
                    shown(own)
                );
            }
            _ => *name = Some(own),
        }
    }
    Ok(())
}
