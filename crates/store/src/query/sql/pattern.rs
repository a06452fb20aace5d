//! A pattern in PostgreSQL's syntax: written from what Rust's engine understood of it, so that both mean the same.
//! Cases are spelled out as classes; nothing of the client's own syntax is left.

use std::fmt::Write as _;

use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind, Look};

use super::QueryError;
use crate::query::error::refuse;
use crate::query::filter::Pattern;

/// PostgreSQL counts repetitions to 255.
const MAX_REPEAT: u32 = 255;

/// Bytes of a pattern for PostgreSQL: it spells out cases and classes.
const MAX_TEXT: usize = 20_000;

pub(super) fn postgres(pattern: &Pattern) -> Result<String, QueryError> {
    let hir = regex_syntax::parse(pattern.as_str())
        .map_err(|_| QueryError::new("$regex is not a pattern that is supported"))?;
    let mut text = String::new();
    write(&hir, &mut text)?;
    // `***:` makes it an advanced pattern whatever the server is set to.
    Ok(format!("***:{text}"))
}

fn write(hir: &Hir, text: &mut String) -> Result<(), QueryError> {
    if text.len() > MAX_TEXT {
        return refuse!("$regex is too large");
    }
    match hir.kind() {
        HirKind::Empty => text.push_str("(?:)"),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(literal) => literal.chars().for_each(|c| character(c, text)),
            Err(_) => return refuse!("$regex matches bytes that are no text"),
        },
        HirKind::Class(Class::Unicode(class)) => ranges(class.ranges(), text),
        HirKind::Class(Class::Bytes(class)) => match class.to_unicode_class() {
            Some(class) => ranges(class.ranges(), text),
            None => return refuse!("$regex matches bytes that are no text"),
        },
        HirKind::Look(look) => text.push_str(match look {
            Look::Start => r"\A",
            Look::End => r"\Z",
            Look::StartLF => r"(?:\A|(?<=\n))",
            Look::EndLF => r"(?:\Z|(?=\n))",
            Look::WordAscii => {
                "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))"
            }
            _ => return refuse!("$regex has a boundary that is not supported"),
        }),
        HirKind::Repetition(repetition) => {
            if repetition.min > MAX_REPEAT || repetition.max.is_some_and(|max| max > MAX_REPEAT) {
                return refuse!("$regex repeats more than {MAX_REPEAT} times");
            }
            text.push_str("(?:");
            write(&repetition.sub, text)?;
            text.push(')');
            match (repetition.min, repetition.max) {
                (0, None) => text.push('*'),
                (1, None) => text.push('+'),
                (min, None) => {
                    let _ = write!(text, "{{{min},}}");
                }
                (min, Some(max)) => {
                    let _ = write!(text, "{{{min},{max}}}");
                }
            }
        }
        HirKind::Capture(capture) => {
            text.push_str("(?:");
            write(&capture.sub, text)?;
            text.push(')');
        }
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, text)?;
            }
        }
        HirKind::Alternation(parts) => {
            text.push_str("(?:");
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    text.push('|');
                }
                write(part, text)?;
            }
            text.push(')');
        }
    }
    Ok(())
}

fn character(c: char, text: &mut String) {
    if c.is_ascii_alphanumeric() || c == '_' {
        text.push(c);
    } else {
        // By number: no character's meaning has to be known.
        let _ = write!(text, "\\U{:08X}", u32::from(c));
    }
}

fn ranges(ranges: &[ClassUnicodeRange], text: &mut String) {
    if ranges.iter().all(|range| range.end() == '\0') {
        // Nothing matches: no start has a character before it.
        text.push_str(r"(?:\A(?<=a))");
        return;
    }
    text.push('[');
    for range in ranges {
        // A text in PostgreSQL holds no NUL, and its patterns cannot name one.
        let start = if range.start() == '\0' { '\u{1}' } else { range.start() };
        if range.end() < start {
            continue;
        }
        character(start, text);
        if range.end() > start {
            text.push('-');
            character(range.end(), text);
        }
    }
    text.push(']');
}
