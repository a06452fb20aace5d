//! The elements of arrays that a change's path stands for, as MongoDB's manual has them ("Array Update Operators"):
//! `$` is the one that the query has matched, `$[]` is all, `$[name]` those that an array filter lets through.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::place::kind;
use super::{Operation, parse};
use crate::query::error::{QueryError, refuse, shown};
use crate::query::filter::{ArrayFilter, is_name};
use crate::query::path::{Path, member, position};
use crate::query::{Document, Filter};

/// Elements that one update looks at in one document. Each of a thousand paths could mean all of a long array.
const MAX_ELEMENTS: usize = 10_000;

/// Bytes (as JSON) that one update writes into elements of one document, names and what fills arrays included: a
/// value that a request brings once would be written ten thousand times.
const MAX_WRITTEN: usize = 4 << 20;

/// A part of a change's path.
enum Part<'a> {
    Field(&'a str),
    /// `$`
    Matched,
    /// `$[]`
    Every,
    /// `$[name]`
    Filtered(&'a str),
}

impl<'a> Part<'a> {
    fn of(segment: &'a str) -> Self {
        if segment == "$" {
            return Self::Matched;
        }
        match segment.strip_prefix("$[").and_then(|rest| rest.strip_suffix(']')) {
            Some("") => Self::Every,
            Some(name) => Self::Filtered(name),
            None => Self::Field(segment),
        }
    }
}

fn is_placeholder(segment: &str) -> bool {
    !matches!(Part::of(segment), Part::Field(_))
}

fn is_plain(path: &Path) -> bool {
    !path.segments().iter().any(|segment| is_placeholder(segment))
}

/// The path of a change.
///
/// # Errors
/// As [`Path::parse`]; a `$` that is not alone in its path and before all others, as it has one position in one
/// array; a name that no filter can have; `$rename` of elements, which have no names.
pub(super) fn path(operator: &str, text: &str) -> Result<Path, QueryError> {
    let path = Path::parse_with(text, is_placeholder)?;
    if operator == "$rename" && !is_plain(&path) {
        return refuse!("$rename cannot reach {} through an array", shown(text));
    }
    let mut before = false;
    for segment in path.segments() {
        match Part::of(segment) {
            Part::Field(_) => continue,
            Part::Every => {}
            Part::Filtered(name) if is_name(name) => {}
            Part::Filtered(name) => {
                return refuse!(
                    "the name {} in {} is not letters and digits that begin with a lower-case letter",
                    shown(name),
                    shown(text)
                );
            }
            Part::Matched if before => {
                return refuse!("{} has a $ behind another, or behind a $[…]", shown(text));
            }
            Part::Matched => {}
        }
        before = true;
    }
    Ok(path)
}

/// Whether the paths and the filters need each other.
///
/// # Errors
/// A name without a filter, or a filter that is not used.
pub(super) fn check(
    changes: &[(Path, Operation)],
    filters: &[ArrayFilter],
) -> Result<(), QueryError> {
    let mut used = vec![false; filters.len()];
    for (path, _) in changes {
        for segment in path.segments() {
            let Part::Filtered(name) = Part::of(segment) else { continue };
            match filters.iter().position(|filter| filter.name() == name) {
                Some(index) => used[index] = true,
                None => {
                    return refuse!(
                        "there is no array filter {} for {}",
                        shown(name),
                        shown(&path.dotted())
                    );
                }
            }
        }
    }
    match used.iter().position(|used| !used) {
        Some(index) => {
            refuse!("the array filter {} is not used in the update", shown(filters[index].name()))
        }
        None => Ok(()),
    }
}

/// The changes at the paths that they come to in this document, which are those before any is made. Without the
/// filter that has found it, it is one that an upsert makes.
///
/// # Errors
/// No position for a `$`; nothing, or no array, where a `$[…]` looks for elements; two changes to one element; more
/// elements or bytes than one update may ask for.
pub(super) fn resolve<'a>(
    changes: &'a [(Path, Operation)],
    filters: &[ArrayFilter],
    document: &Document,
    found_by: Option<&Filter>,
) -> Result<Vec<(Cow<'a, Path>, &'a Operation)>, QueryError> {
    if changes.iter().all(|(path, _)| is_plain(path)) {
        return Ok(changes.iter().map(|(path, what)| (Cow::Borrowed(path), what)).collect());
    }
    let positions = HashMap::new();
    let mut elements =
        Elements { document, found_by, filters, looked_at: 0, written: 0, positions };
    let mut resolved = Vec::with_capacity(changes.len());
    for (path, operation) in changes {
        if is_plain(path) {
            resolved.push((Cow::Borrowed(path), operation));
            continue;
        }
        if found_by.is_some() && matches!(operation, Operation::SetOnInsert(_)) {
            continue;
        }
        let mut paths = Vec::new();
        elements.walk(path, None, path.segments(), &mut Vec::new(), &mut paths)?;
        // What the request itself has brought is written once.
        elements.writes(operation.copies() * paths.len().saturating_sub(1))?;
        resolved.extend(paths.into_iter().map(|path| (Cow::Owned(path), operation)));
    }
    parse::conflicts(resolved.iter().map(|(path, operation)| (&**path, *operation)))?;
    Ok(resolved)
}

struct Elements<'a> {
    document: &'a Document,
    found_by: Option<&'a Filter>,
    filters: &'a [ArrayFilter],
    looked_at: usize,
    written: usize,
    /// What `$` is in the arrays that were asked about: a thousand paths ask about the same.
    positions: HashMap<Vec<String>, usize>,
}

impl<'a> Elements<'a> {
    /// Adds the paths that `rest` comes to from a value, whose own path is `at`.
    fn walk(
        &mut self,
        path: &Path,
        value: Option<&'a Value>,
        rest: &[String],
        at: &mut Vec<String>,
        paths: &mut Vec<Path>,
    ) -> Result<(), QueryError> {
        let Some((first, rest)) = rest.split_first() else {
            paths.push(Path::of(at.clone()));
            return self.writes(at.iter().map(String::len).sum());
        };
        match Part::of(first) {
            Part::Field(name) => {
                if let (Some(Value::Array(items)), Some(index)) = (value, position(name)) {
                    self.writes("null,".len() * index.saturating_sub(items.len()))?;
                }
                let next = match value {
                    Some(value) => member(value, name),
                    None if at.is_empty() => self.document.get(name),
                    None => None,
                };
                self.step(path, next, name.to_owned(), rest, at, paths)
            }
            Part::Matched => {
                let index = self.position(path, at)?;
                let next = value.and_then(Value::as_array).and_then(|items| items.get(index));
                self.step(path, next, index.to_string(), rest, at, paths)
            }
            Part::Every => {
                for (index, element) in self.look_at(path, value, at)?.iter().enumerate() {
                    self.step(path, Some(element), index.to_string(), rest, at, paths)?;
                }
                Ok(())
            }
            Part::Filtered(name) => {
                let filters = self.filters;
                let filter = filters.iter().find(|filter| filter.name() == name);
                for (index, element) in self.look_at(path, value, at)?.iter().enumerate() {
                    if filter.is_some_and(|filter| filter.fits(element)) {
                        self.step(path, Some(element), index.to_string(), rest, at, paths)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn step(
        &mut self,
        path: &Path,
        next: Option<&'a Value>,
        name: String,
        rest: &[String],
        at: &mut Vec<String>,
        paths: &mut Vec<Path>,
    ) -> Result<(), QueryError> {
        at.push(name);
        self.walk(path, next, rest, at, paths)?;
        at.pop();
        Ok(())
    }

    fn writes(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.written += bytes;
        if self.written > MAX_WRITTEN {
            return refuse!(
                "the update writes more than {} MiB into elements of one document",
                MAX_WRITTEN >> 20
            );
        }
        Ok(())
    }

    /// What `$` is in the array at this path.
    fn position(&mut self, path: &Path, array: &[String]) -> Result<usize, QueryError> {
        if let Some(index) = self.positions.get(array) {
            return Ok(*index);
        }
        let Some(filter) = self.found_by else {
            return refuse!(
                "{} needs an element that the query has matched: an upsert's new document has none",
                shown(&path.dotted())
            );
        };
        let Some(index) = filter.position(self.document, array) else {
            return refuse!(
                "no condition of the query says which element {} is: one of {} must have matched, outside of $not, \
                 $nor and $or",
                shown(&path.dotted()),
                shown(&array.join("."))
            );
        };
        self.positions.insert(array.to_vec(), index);
        Ok(index)
    }

    /// The elements of the array that a `$[…]` looks at.
    fn look_at(
        &mut self,
        path: &Path,
        value: Option<&'a Value>,
        at: &[String],
    ) -> Result<&'a [Value], QueryError> {
        let items = match value {
            Some(Value::Array(items)) => items,
            other => {
                return refuse!(
                    "{} needs an array at {}, where {} is",
                    shown(&path.dotted()),
                    shown(&at.join(".")),
                    other.map_or("nothing", kind)
                );
            }
        };
        self.looked_at += items.len();
        if self.looked_at > MAX_ELEMENTS {
            return refuse!(
                "the update looks at more than {MAX_ELEMENTS} elements of one document"
            );
        }
        Ok(items)
    }
}

impl Operation {
    /// Bytes (as JSON) that it writes into each place.
    fn copies(&self) -> usize {
        let size = |value: &Value| value.to_string().len();
        match self {
            Self::Set(value)
            | Self::SetOnInsert(value)
            | Self::Least(value)
            | Self::Greatest(value) => size(value),
            Self::AddToSet(values) => values.iter().map(size).sum(),
            Self::Push(push) => push.each.iter().map(size).sum(),
            _ => 0,
        }
    }
}
