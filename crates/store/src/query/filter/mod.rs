//! Which documents: a filter as types.

mod array;
mod eval;
mod geo;
mod parse;
mod position;
mod regex;

use serde_json::{Value, json};

pub(crate) use self::array::{ArrayFilter, is_name};
pub(crate) use self::geo::{Near, Point, Shape, distance};
pub(crate) use self::regex::Pattern;
use super::Document;
use super::error::QueryError;
use super::path::{Path, Root};

/// Which documents of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// What was parsed: equal for equal filters, and what the database's own functions are given.
    source: Value,
    node: Node,
}

/// A filter, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// One of the values at the path passes the test.
    Field(Path, Test),
}

/// What one value has to be. `$ne`, `$nin`, `$not` and `{$exists: false}` are a [`Node::Not`] around one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Equal(Value),
    /// A range within the type of its (scalar) value.
    Range(Range, Value),
    In(Vec<Value>),
    Exists,
    Type(Vec<Kind>),
    Regex(Pattern),
    Modulo {
        divisor: i64,
        remainder: i64,
    },
    Size(u64),
    /// An array with an element that passes.
    Element(Box<Node>),
    /// An array with an element that is an object (or array) and matches.
    Object(Box<Node>),
    Near(Near),
    Within(Shape),
}

/// `$gt`, `$gte`, `$lt`, `$lte`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What `$type` can ask for. JSON has one type of number: integers that fit 32 and 64 bits are `int` and
/// `long`, others `double`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    String,
    Object,
    Array,
    Boolean,
    Null,
    Int,
    Long,
    Number,
}

impl Filter {
    /// Reads a filter; `null` is every document.
    ///
    /// # Errors
    /// An operator that is unknown, unsupported or given what it does not take; too deep, or too many
    /// conditions.
    pub fn parse(value: &Value) -> Result<Self, QueryError> {
        if value.is_null() {
            return Ok(Self::all());
        }
        Ok(Self { node: parse::filter(value)?, source: value.clone() })
    }

    /// Every document.
    #[must_use]
    pub fn all() -> Self {
        Self { source: json!({}), node: Node::And(Vec::new()) }
    }

    /// The document with this `_id`.
    #[must_use]
    pub fn id(id: &str) -> Self {
        let path = Path::of_id();
        Self {
            source: json!({ "_id": { "$eq": id } }),
            node: Node::Field(path, Test::Equal(id.into())),
        }
    }

    /// What both let through.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.is_all() {
            return other;
        }
        if other.is_all() {
            return self;
        }
        let source = json!({ "$and": [self.source, other.source] });
        Self { source, node: Node::And(vec![self.node, other.node]) }
    }

    /// Whether it lets every document through.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(&self.node, Node::And(parts) if parts.is_empty())
    }

    /// The reference: whether the document matches, as MongoDB's matcher decides it.
    #[must_use]
    pub fn matches(&self, document: &Document) -> bool {
        self.node.matches(Root::Document(document))
    }

    /// Where in the array at this path the first element is that this filter has matched the document by.
    /// Positions on the way to the array are parts of the path. A negation or an `$or` of several matches by
    /// none; of several conditions on the array the last decides.
    pub(crate) fn position(&self, document: &Document, array: &[String]) -> Option<usize> {
        self.node.position(document, array)
    }

    pub(crate) fn matches_value(&self, document: &Value) -> bool {
        self.node.matches(Root::Value(document))
    }

    /// As JSON that parses to it again (with the bounds lifted: `and` nests deeper than a client may).
    pub(crate) fn source(&self) -> &Value {
        &self.source
    }

    pub(crate) fn reparse(source: &Value) -> Result<Self, QueryError> {
        Ok(Self { node: parse::trusted(source)?, source: source.clone() })
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether finding what matches takes no time: it names one `_id`, or `_id`s alone, or lets all through.
    pub(crate) fn is_quick(&self) -> bool {
        let names_one = |node: &Node| match node {
            Node::Field(path, Test::Equal(id)) => path.is_id() && id.is_string(),
            _ => false,
        };
        match &self.node {
            Node::And(parts) if parts.iter().any(names_one) => true,
            node => super::sql::by_id_alone(node),
        }
    }

    /// What the elements of an array have to be for `$pull` to take them out.
    pub(crate) fn element(value: &Value) -> Result<Element, QueryError> {
        parse::pulled(value)
    }

    /// The `$near` that sorts the result: it stands outside of any `$or`.
    pub(crate) fn near(&self) -> Option<(&Path, &Near)> {
        self.node.near()
    }
}

/// What an element of an array has to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Element {
    /// Equal to this.
    Equal(Value),
    /// What operators say.
    Passing(Node),
    /// An object that matches.
    Matching(Node),
}

impl Element {
    pub(crate) fn fits(&self, element: &Value) -> bool {
        match self {
            Self::Equal(wanted) => super::value::equal(element, wanted),
            Self::Passing(node) => node.matches(Root::Value(element)),
            Self::Matching(node) => element.is_object() && node.matches(Root::Value(element)),
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::all()
    }
}

impl Node {
    fn near(&self) -> Option<(&Path, &Near)> {
        match self {
            Self::And(parts) => parts.iter().find_map(Self::near),
            Self::Field(path, Test::Near(near)) => Some((path, near)),
            _ => None,
        }
    }
}

impl Test {
    /// Whether an array at the end of the path gives its elements too.
    pub(crate) fn fans_out(&self) -> bool {
        !matches!(
            self,
            Self::Size(_) | Self::Element(_) | Self::Object(_) | Self::Near(_) | Self::Within(_)
        )
    }
}
