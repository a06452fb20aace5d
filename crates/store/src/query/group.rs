//! Kinvey's `_group`: documents counted or summed by the values of fields.
//!
//! The clients send the reducer as JavaScript. It is read, not run: what Kinvey's SDKs send is recognised, token
//! by token, and computed by the database.

mod reducer;

use serde_json::{Map, Number, Value};

use super::error::{QueryError, refuse, shown};
use super::{Document, Filter, Path};
pub use reducer::{Reduce, Reducer};

/// Fields to group by.
const MAX_KEYS: usize = 20;

/// Bytes of what each result holds at first, as JSON: each result has it. The SDKs' have 20.
const MAX_INITIAL: usize = 4096;

/// A group: what is reduced, by what.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// One result per combination of these fields' values; one result if there are none.
    pub keys: Vec<Path>,
    /// Which documents.
    pub condition: Filter,
    /// What is computed.
    pub reduce: Reduce,
    /// What each result holds at first.
    pub initial: Document,
}

impl Group {
    /// Reads `{key: {field: true}, initial: {…}, reduce: "function(doc, out) {…}", condition: {…}}`.
    ///
    /// # Errors
    /// A reducer that no SDK of Kinvey's sends, and what is wrong with the condition or a key.
    pub fn parse(value: &Value) -> Result<Self, QueryError> {
        let Some(object) = value.as_object() else { return refuse!("a group is an object") };
        let mut keys = Vec::new();
        match object.get("key") {
            None | Some(Value::Null) => {}
            Some(Value::Object(fields)) => {
                // The SDK's `Aggregation.count()` groups by a field without a name.
                for (name, _) in fields.iter().filter(|(name, _)| !name.is_empty()) {
                    keys.push(Path::parse(name)?);
                }
            }
            Some(_) => return refuse!("a group's key is an object such as {{\"city\": true}}"),
        }
        if keys.len() > MAX_KEYS {
            return refuse!("a group has at most {MAX_KEYS} keys");
        }
        let initial = match object.get("initial") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(initial)) => initial.clone(),
            Some(_) => return refuse!("a group's initial is an object"),
        };
        if Value::Object(initial.clone()).to_string().len() > MAX_INITIAL {
            return refuse!("a group's initial is larger than {MAX_INITIAL} bytes");
        }
        if object.contains_key("finalize") {
            return refuse!("a group's finalize is not supported");
        }
        let reduce = object.get("reduce").or_else(|| object.get("reduceFn"));
        let Some(Value::String(source)) = reduce else {
            return refuse!("a group's reduce is the text of a JavaScript function");
        };
        let Some(reduce) = reducer::parse(source)? else {
            return refuse!(
                "the group's reduce {} is not supported: it is not one of the SDKs' count, sum, min, max and average",
                shown(source)
            );
        };
        let condition = Filter::parse(object.get("condition").unwrap_or(&Value::Null))?;
        Ok(Self { keys, condition, reduce, initial })
    }

    /// One result, from a row of [`super::sql::Scope::group`]: the keys as JSON text, how many documents count,
    /// and what the database computed of them.
    ///
    /// # Errors
    /// A key that is no JSON: a fault of ours.
    pub fn result(
        &self,
        keys: &[String],
        count: i64,
        value: Option<f64>,
    ) -> Result<Document, serde_json::Error> {
        let mut result = Map::new();
        for (path, text) in self.keys.iter().zip(keys) {
            result.insert(path.dotted(), serde_json::from_str(text)?);
        }
        for (name, value) in &self.initial {
            result.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let at_first = |name: &str| self.initial.get(name).and_then(Value::as_f64);
        // Counts are far below 2⁵³.
        let count = count as f64;
        let Reduce { out, .. } = &self.reduce;
        let reduced = match &self.reduce.reducer {
            Reducer::Count => Some(at_first(out).unwrap_or(0.0) + count),
            Reducer::Sum(_) => Some(at_first(out).unwrap_or(0.0) + value.unwrap_or(0.0)),
            Reducer::Min(_) => least(at_first(out), value, f64::min),
            Reducer::Max(_) => least(at_first(out), value, f64::max),
            Reducer::Average { count: name, .. } => {
                let (before, mean) = (at_first(name).unwrap_or(0.0), at_first(out).unwrap_or(0.0));
                let all = before + count;
                result.insert(name.clone(), number(all));
                (all > 0.0).then(|| (mean * before + value.unwrap_or(0.0)) / all)
            }
        };
        if let Some(reduced) = reduced {
            result.insert(out.clone(), number(reduced));
        }
        Ok(result)
    }
}

fn least(a: Option<f64>, b: Option<f64>, choose: fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(choose(a, b)),
        (one, other) => one.or(other),
    }
}

/// Whole numbers without a fraction, as JavaScript writes them.
fn number(double: f64) -> Value {
    // The whole numbers that a double holds exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if double.fract() == 0.0 && double.abs() <= EXACT {
        return Value::from(double as i64);
    }
    Number::from_f64(double).map_or(Value::Null, Value::Number)
}
