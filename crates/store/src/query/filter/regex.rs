//! Regular expressions: read once, in the syntax that both Rust's engine and PostgreSQL's are given.

use regex::{Regex, RegexBuilder};

use crate::query::error::{QueryError, refuse, shown};

/// Bytes of a pattern.
const MAX_PATTERN: usize = 1000;

/// Bytes of memory that a compiled pattern may take: `(\pL{100}){100}` is short and huge. Real ones take a tenth:
/// 1,000 letters that match in either case take 100 KiB.
const MAX_COMPILED: usize = 256 << 10;

/// A `$regex` with its `$options`.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Pattern {
    /// Reads a pattern and its options, of `imsx` (a `g` or `u`, which JavaScript's have, changes nothing).
    pub(crate) fn parse(pattern: &str, options: &str) -> Result<Self, QueryError> {
        if pattern.len() > MAX_PATTERN {
            return refuse!("$regex is longer than {MAX_PATTERN} bytes");
        }
        if pattern.contains('\0') {
            return refuse!("$regex holds a NUL");
        }
        let mut flags = String::new();
        for option in options.chars() {
            match option {
                'i' | 'm' | 's' | 'x' if !flags.contains(option) => flags.push(option),
                'i' | 'm' | 's' | 'x' | 'g' | 'u' => {}
                _ => return refuse!("$options {} is not of i, m, s and x", shown(options)),
            }
        }
        let mut text = ascii_classes(pattern)?;
        if !flags.is_empty() {
            text = format!("(?{flags}){text}");
        }
        let regex = RegexBuilder::new(&text)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build()
            .map_err(|_| QueryError::new(format!(
                "$regex {} is not a pattern that is supported (look-around and back-references are not)",
                shown(pattern)
            )))?;
        Ok(Self { regex })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// In the syntax of the `regex` crate, options included.
    pub(crate) fn as_str(&self) -> &str {
        self.regex.as_str()
    }
}

/// `\d`, `\w`, `\s` and `\b` mean ASCII, as in MongoDB's engine and in JavaScript; here they would be Unicode's.
fn ascii_classes(pattern: &str) -> Result<String, QueryError> {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    let mut depth = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '\\' => {
                let escaped = chars.next();
                match (escaped, depth) {
                    (Some('d'), _) => text.push_str("[0-9]"),
                    (Some('D'), _) => text.push_str("[^0-9]"),
                    (Some('w'), _) => text.push_str("[0-9A-Za-z_]"),
                    (Some('W'), _) => text.push_str("[^0-9A-Za-z_]"),
                    (Some('s'), _) => text.push_str(r"[\t\n\x0B\x0C\r\x20]"),
                    (Some('S'), _) => text.push_str(r"[^\t\n\x0B\x0C\r\x20]"),
                    (Some('b'), 0) => text.push_str(r"(?-u:\b)"),
                    (Some('B'), 0) => return refuse!(r"$regex with \B is not supported"),
                    (escaped, _) => {
                        text.push(c);
                        text.extend(escaped);
                    }
                }
                continue;
            }
            _ => {}
        }
        text.push(c);
    }
    Ok(text)
}
