//! Arithmetic of `$inc`, `$mul` and `$bit`: whole numbers of 64 bits, doubles beyond.

use serde_json::{Number, Value};

use crate::query::error::{QueryError, refuse};

/// The whole numbers that a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn add(a: &Number, b: &Number) -> Result<Value, QueryError> {
    compute(a, b, i64::checked_add, |a, b| a + b)
}

pub(super) fn multiply(a: &Number, b: &Number) -> Result<Value, QueryError> {
    compute(a, b, i64::checked_mul, |a, b| a * b)
}

fn compute(
    a: &Number,
    b: &Number,
    whole: fn(i64, i64) -> Option<i64>,
    double: fn(f64, f64) -> f64,
) -> Result<Value, QueryError> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64())
        && let Some(result) = whole(a, b)
    {
        return Ok(result.into());
    }
    let result = double(a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
    // 0.5 + 0.5 is written as 1, as JavaScript does.
    if result.fract() == 0.0 && result.abs() <= EXACT {
        return Ok(Value::from(result as i64));
    }
    match Number::from_f64(result) {
        Some(number) => Ok(Value::Number(number)),
        None => refuse!("the result of the arithmetic is too large for a number"),
    }
}
