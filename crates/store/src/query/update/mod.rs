//! What becomes of a document.

mod apply;
mod array;
mod elements;
mod number;
mod parse;
mod place;

use serde_json::{Map, Number, Value};

use super::error::{QueryError, refuse};
use super::filter::{ArrayFilter, Element, Node, Test};
use super::path::Path;
use super::{Document, Filter, SortKey};

/// Levels of a document: MongoDB's own bound, and below the 128 that the JSON reader stops at. A document that
/// could be written but not read again would break every query of its collection.
const MAX_LEVELS: usize = 100;

/// A whole new document, or operators that change one.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Replace(Document),
    /// What happens where, and which elements the names in the paths stand for.
    Change(Vec<(Path, Operation)>, Vec<ArrayFilter>),
}

/// What happens at one path.
#[derive(Clone, Debug, PartialEq)]
enum Operation {
    Set(Value),
    /// Only where an upsert makes the document.
    SetOnInsert(Value),
    Unset,
    Add(Number),
    Multiply(Number),
    Least(Value),
    Greatest(Value),
    Rename(Path),
    Push(Push),
    AddToSet(Vec<Value>),
    Pull(Element),
    PullAll(Vec<Value>),
    Pop {
        first: bool,
    },
    CurrentDate,
    Bits(Vec<(Bits, i64)>),
}

#[derive(Clone, Debug, PartialEq)]
struct Push {
    each: Vec<Value>,
    position: Option<i64>,
    slice: Option<i64>,
    sort: Option<Order>,
}

/// `$sort` of a `$push`.
#[derive(Clone, Debug, PartialEq)]
enum Order {
    /// By the elements themselves.
    Whole { descending: bool },
    /// By fields of elements that are objects.
    Fields(Vec<SortKey>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bits {
    And,
    Or,
    Xor,
}

impl Update {
    /// Reads a replacement document, or an object of operators. Their paths may stand for elements of arrays:
    /// `lines.$.price`, `lines.$[].price`.
    ///
    /// # Errors
    /// An operator that is unknown or given what it does not take, operators mixed with fields, two changes to
    /// one field, or a `$` where there can be none.
    pub fn parse(value: &Value) -> Result<Self, QueryError> {
        Self::parse_filtered(value, &Value::Null)
    }

    /// As [`Update::parse`], with MongoDB's `arrayFilters` (`null` is none): the list that says which elements a
    /// `$[name]` stands for.
    ///
    /// # Errors
    /// As [`Update::parse`]; a filter that has no name or several, or whose name is another's, or is not used; a
    /// name without a filter; filters for a replacement.
    pub fn parse_filtered(value: &Value, array_filters: &Value) -> Result<Self, QueryError> {
        Ok(Self { what: parse::update(value, ArrayFilter::parse_all(array_filters)?)? })
    }

    /// Changes the document, or leaves it as it is and says why; `true` if it differs now. A replacement leaves
    /// `_id`; everything else (`_acl`, `_kmd`) is replaced. The filter is the one that has found the document: it
    /// says which element a `$` is.
    ///
    /// # Errors
    /// An operator that does not fit a field's type, a change of `_id`, or a document that nests too deep; a `$`
    /// or `$[…]` that stands for nothing, for more than an update may change, or for what it changes elsewhere.
    pub fn apply(&self, document: &mut Document, filter: &Filter) -> Result<bool, QueryError> {
        let mut next = document.clone();
        self.change(&mut next, Some(filter))?;
        match (document.get("_id"), next.get("_id")) {
            (Some(old), Some(new)) if old == new => {}
            (None, _) => {}
            _ => return refuse!("_id cannot be changed"),
        }
        check(&next)?;
        let changed = next != *document;
        *document = next;
        Ok(changed)
    }

    /// The document that an upsert makes: what the filter's equalities say, then the update, `$setOnInsert` too.
    /// It has no `_id` if neither says one.
    ///
    /// # Errors
    /// As [`Update::apply`]; an `_id` that is not the filter's; and any `$`, as no element was found.
    pub fn on_insert(&self, filter: &Filter) -> Result<Document, QueryError> {
        let mut document = Map::new();
        match &self.what {
            What::Replace(_) => {
                if let Some(id) = equalities(filter.node()).find(|(path, _)| path.is_id()) {
                    document.insert("_id".into(), id.1.clone());
                }
            }
            What::Change(..) => {
                for (path, value) in equalities(filter.node()) {
                    place::set(&mut document, path, value.clone())?;
                }
            }
        }
        let id = document.get("_id").cloned();
        self.change(&mut document, None)?;
        if id.is_some() && document.get("_id") != id.as_ref() {
            return refuse!("_id cannot be changed");
        }
        check(&document)?;
        Ok(document)
    }

    /// Whether it is a whole new document.
    #[must_use]
    pub fn is_replacement(&self) -> bool {
        matches!(self.what, What::Replace(_))
    }

    /// Without the filter that has found the document, an upsert makes it.
    fn change(&self, document: &mut Document, found_by: Option<&Filter>) -> Result<(), QueryError> {
        match &self.what {
            What::Replace(next) => {
                let id = document.get("_id").cloned();
                *document = next.clone();
                if let Some(id) = id
                    && !document.contains_key("_id")
                {
                    document.shift_insert(0, "_id".into(), id);
                }
            }
            What::Change(changes, filters) => {
                for (path, operation) in elements::resolve(changes, filters, document, found_by)? {
                    operation.apply(document, &path, found_by.is_none())?;
                }
            }
        }
        Ok(())
    }
}

/// What a filter says that a document must be equal to.
fn equalities(node: &Node) -> Box<dyn Iterator<Item = (&Path, &Value)> + '_> {
    match node {
        Node::And(parts) => Box::new(parts.iter().flat_map(equalities)),
        Node::Or(parts) => match parts.as_slice() {
            [only] => equalities(only),
            _ => Box::new(std::iter::empty()),
        },
        Node::Field(path, Test::Equal(value)) => Box::new(std::iter::once((path, value))),
        Node::Field(path, Test::In(values)) if values.len() == 1 => {
            Box::new(values.iter().map(move |value| (path, value)))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether a document can be stored and read again.
///
/// # Errors
/// It nests deeper than 100 levels, or a name or text in it holds a NUL, which PostgreSQL cannot keep.
pub fn check(document: &Document) -> Result<(), QueryError> {
    members(document, 1)
}

fn members(object: &Map<String, Value>, level: usize) -> Result<(), QueryError> {
    if level > MAX_LEVELS {
        return refuse!("the document nests deeper than {MAX_LEVELS} levels");
    }
    for (name, value) in object {
        if name.contains('\0') {
            return refuse!("a field name of the document holds a NUL");
        }
        within(value, level)?;
    }
    Ok(())
}

fn within(value: &Value, level: usize) -> Result<(), QueryError> {
    match value {
        Value::Object(object) => members(object, level + 1),
        Value::Array(_) if level >= MAX_LEVELS => {
            refuse!("the document nests deeper than {MAX_LEVELS} levels")
        }
        Value::Array(items) => items.iter().try_for_each(|item| within(item, level + 1)),
        Value::String(text) if text.contains('\0') => refuse!("a text of the document holds a NUL"),
        _ => Ok(()),
    }
}
