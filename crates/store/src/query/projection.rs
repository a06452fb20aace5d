//! What of a document is answered.

use serde_json::{Map, Value};

use super::Document;
use super::error::{QueryError, refuse, shown};
use super::path::Path;

/// Fields of one projection.
const MAX_FIELDS: usize = 500;

/// Fields that are kept, or fields that are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    keep: bool,
    paths: Vec<Path>,
    /// Whether `_id` is kept.
    id: bool,
}

impl Projection {
    /// Reads `"a,b"`, `["a", "b"]`, `{"a": 1}` or `{"a": 0}`; `null`, `""` and `{}` keep everything.
    ///
    /// `_id`, `_acl` and `_kmd` are kept with the kept ones, as Kinvey does; `{"_id": 0}` leaves `_id` out.
    ///
    /// # Errors
    /// A mixture of kept fields and fields left out, an operator (`$slice`, `$elemMatch`), more than 500 fields.
    pub fn parse(value: &Value) -> Result<Self, QueryError> {
        let mut paths = Vec::new();
        let mut keep = None;
        let mut id = true;
        match value {
            Value::Null => {}
            Value::String(names) => {
                for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    paths.push(Path::parse(name)?);
                    keep = Some(true);
                }
            }
            Value::Array(names) => {
                for name in names {
                    let Some(name) = name.as_str() else {
                        return refuse!("a list of fields holds names only");
                    };
                    paths.push(Path::parse(name)?);
                    keep = Some(true);
                }
            }
            Value::Object(object) => {
                for (name, how) in object {
                    let kept = kept(name, how)?;
                    if name == "_id" && !kept {
                        id = false;
                        continue;
                    }
                    if *keep.get_or_insert(kept) != kept {
                        return refuse!(
                            "fields are either kept or left out: {} differs",
                            shown(name)
                        );
                    }
                    paths.push(Path::parse(name)?);
                }
            }
            _ => {
                return refuse!("fields are a list of names, or an object such as {{\"name\": 1}}");
            }
        }
        if paths.len() > MAX_FIELDS {
            return refuse!("more than {MAX_FIELDS} fields");
        }
        Ok(Self { keep: keep.unwrap_or(false), paths, id })
    }

    /// Leaves of the document what the projection keeps.
    pub fn apply(&self, document: &mut Document) {
        if self.keep {
            let mut kept = Map::new();
            for (name, value) in std::mem::take(document) {
                if matches!(name.as_str(), "_id" | "_acl" | "_kmd") {
                    kept.insert(name, value);
                } else if let Some(value) = keep(&below(&name, &self.all()), value) {
                    kept.insert(name, value);
                }
            }
            *document = kept;
        } else {
            for path in self.all() {
                remove_in(document, path);
            }
        }
        if !self.id {
            document.shift_remove("_id");
        }
    }

    fn all(&self) -> Vec<&[String]> {
        self.paths.iter().map(Path::segments).collect()
    }
}

fn kept(name: &str, how: &Value) -> Result<bool, QueryError> {
    match how {
        Value::Bool(kept) => Ok(*kept),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Value::String(word) if word == "1" || word == "0" => Ok(word == "1"),
        Value::Object(object) => {
            let operator = object.keys().next().map_or("{}", String::as_str);
            refuse!("the projection {} of {} is not supported", shown(operator), shown(name))
        }
        _ => refuse!("the projection of {} is neither 1 nor 0", shown(name)),
    }
}

/// What is left of the paths that begin with `name`.
fn below<'a>(name: &str, paths: &[&'a [String]]) -> Vec<&'a [String]> {
    paths
        .iter()
        .filter_map(|path| path.split_first())
        .filter_map(|(first, rest)| (first == name).then_some(rest))
        .collect()
}

/// What the paths keep of a value; `None` for nothing.
fn keep(paths: &[&[String]], value: Value) -> Option<Value> {
    if paths.is_empty() {
        return None;
    }
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value);
    }
    match value {
        Value::Object(object) => Some(Value::Object(
            object
                .into_iter()
                .filter_map(|(name, value)| {
                    let value = keep(&below(&name, paths), value)?;
                    Some((name, value))
                })
                .collect(),
        )),
        // Of an array's elements those are left that have fields.
        Value::Array(items) => Some(Value::Array(
            items
                .into_iter()
                .filter(|item| item.is_object() || item.is_array())
                .filter_map(|item| keep(paths, item))
                .collect(),
        )),
        _ => None,
    }
}

fn remove_in(object: &mut Map<String, Value>, path: &[String]) {
    match path {
        [] => {}
        [name] => {
            object.shift_remove(name);
        }
        [name, rest @ ..] => {
            if let Some(value) = object.get_mut(name) {
                remove(value, rest);
            }
        }
    }
}

fn remove(value: &mut Value, path: &[String]) {
    match value {
        Value::Object(object) => remove_in(object, path),
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, path)),
        _ => {}
    }
}
