//! What is wrong with a query: always the request's fault.

use std::fmt;

/// Why a query, sort, projection, update or group was refused. Its text is for the client and names the
/// operator or the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError(String);

impl QueryError {
    /// With this text for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for QueryError {}

/// A client's text as it may stand in a message: short, and on one line.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// `Err(QueryError)` with a formatted message.
macro_rules! refuse {
    ($($message:tt)*) => { Err($crate::query::QueryError::new(format!($($message)*))) };
}
pub(crate) use refuse;
