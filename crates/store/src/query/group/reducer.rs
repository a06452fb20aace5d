//! Recognises the reducers that Kinvey's SDKs send, whatever their white space.

use super::super::error::{QueryError, refuse};
use super::super::path::Path;

/// Bytes of a reducer: the longest that an SDK sends has 250 beside its field's name.
const MAX_BYTES: usize = 2000;

/// What is computed, and which member of the result holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// What is computed.
    pub reducer: Reducer,
    /// The result's member.
    pub out: String,
}

/// What is computed of a group's documents. Values that are no numbers are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reducer {
    /// How many documents.
    Count,
    /// The sum of a field.
    Sum(Path),
    /// A field's least number.
    Min(Path),
    /// A field's greatest number.
    Max(Path),
    /// A field's mean.
    Average {
        /// Of this field.
        field: Path,
        /// The result's member that says of how many documents.
        count: String,
    },
}

/// The reducer in a text, or `None` if it is none that is known.
pub(super) fn parse(source: &str) -> Result<Option<Reduce>, QueryError> {
    if source.len() > MAX_BYTES {
        return refuse!("the group's reduce is longer than {MAX_BYTES} bytes");
    }
    let Some(tokens) = tokens(source) else { return Ok(None) };
    let Some(statements) = statements(&tokens) else { return Ok(None) };
    for shape in SHAPES {
        let Some(found) = matched(&statements, shape.statements) else { continue };
        let (Some(out), field) = (found.out, found.field) else { continue };
        let field = match (shape.kind, field) {
            (Kind::Count, _) => return Ok(Some(Reduce { reducer: Reducer::Count, out })),
            (_, Some(field)) => Path::parse(&field)?,
            (_, None) => continue,
        };
        let reducer = match (shape.kind, found.count) {
            (Kind::Sum, _) => Reducer::Sum(field),
            (Kind::Min, _) => Reducer::Min(field),
            (Kind::Max, _) => Reducer::Max(field),
            (Kind::Average, Some(count)) => Reducer::Average { field, count },
            (Kind::Average | Kind::Count, _) => continue,
        };
        return Ok(Some(Reduce { reducer, out }));
    }
    Ok(None)
}

#[derive(Clone, Copy)]
enum Kind {
    Count,
    Sum,
    Min,
    Max,
    Average,
}

struct Shape {
    kind: Kind,
    /// Tokens with a space between; `OUT`, `COUNT` are members of the result, `FIELD` one of the document.
    statements: &'static [&'static str],
}

const SHAPES: &[Shape] = &[
    Shape { kind: Kind::Count, statements: &["OUT += 1"] },
    Shape { kind: Kind::Count, statements: &["OUT ++"] },
    Shape { kind: Kind::Count, statements: &["++ OUT"] },
    Shape { kind: Kind::Count, statements: &["OUT = OUT + 1"] },
    Shape { kind: Kind::Sum, statements: &["OUT += FIELD"] },
    Shape { kind: Kind::Sum, statements: &["OUT = OUT + FIELD"] },
    Shape { kind: Kind::Min, statements: &["OUT = Math . min ( OUT , FIELD )"] },
    Shape { kind: Kind::Max, statements: &["OUT = Math . max ( OUT , FIELD )"] },
    Shape {
        kind: Kind::Average,
        statements: &["OUT = ( OUT * COUNT + FIELD ) / ( COUNT + 1 )", "COUNT += 1"],
    },
    Shape {
        kind: Kind::Average,
        statements: &["OUT = ( OUT * COUNT + FIELD ) / ( COUNT + 1 )", "COUNT ++"],
    },
    // The SDK for Java.
    Shape {
        kind: Kind::Average,
        statements: &[
            "var count = ( COUNT == undefined ) ? 0 : COUNT",
            "OUT = ( OUT * count + FIELD ) / ( count + 1 )",
            "COUNT = count + 1",
        ],
    },
];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
    /// A member of the result.
    Out(String),
    /// A field of the document.
    Field(String),
}

const SIGNS: [&str; 20] = [
    "===", "==", "+=", "++", "=", "+", "*", "/", "(", ")", "{", "}", "[", "]", ",", ";", ".", "?",
    ":", "-",
];

fn tokens(source: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if first == '"' || first == '\'' {
            let (text, after) = string(&rest[1..], first)?;
            tokens.push(Token::Text(text));
            rest = after;
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Some(tokens)
}

/// A string up to its closing quote, and what comes after it. The SDKs escape nothing but quotes.
fn string(source: &str, quote: char) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = source.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((text, &source[at + c.len_utf8()..])),
            '\\' => match chars.next()?.1 {
                c @ ('"' | '\'' | '\\') => text.push(c),
                _ => return None,
            },
            '\n' => return None,
            c => text.push(c),
        }
    }
    None
}

/// The statements of `function (doc, out) { …; return out; }`, members put together.
fn statements(tokens: &[Token]) -> Option<Vec<Vec<Token>>> {
    let word = |token: &Token| match token {
        Token::Word(word) => Some(word.clone()),
        _ => None,
    };
    let [Token::Word(function), rest @ ..] = tokens else { return None };
    // The function may have a name.
    let rest = match rest {
        [Token::Word(_), rest @ ..] => rest,
        rest => rest,
    };
    let [
        Token::Sign("("),
        doc,
        Token::Sign(","),
        out,
        Token::Sign(")"),
        Token::Sign("{"),
        body @ ..,
        Token::Sign("}"),
    ] = rest
    else {
        return None;
    };
    let (doc, out) = (word(doc)?, word(out)?);
    if function != "function" || doc == out {
        return None;
    }
    let mut statements = Vec::new();
    for statement in body.split(|token| *token == Token::Sign(";")) {
        let returned =
            matches!(statement, [Token::Word(a), Token::Word(b)] if a == "return" && *b == out);
        if !statement.is_empty() && !returned {
            statements.push(members(statement, &doc, &out)?);
        }
    }
    Some(statements)
}

/// `out.total` and `doc["age"]` as one token each.
fn members(statement: &[Token], doc: &str, out: &str) -> Option<Vec<Token>> {
    let mut members = Vec::new();
    let mut rest = statement;
    while let [first, after @ ..] = rest {
        rest = after;
        let Token::Word(word) = first else {
            members.push(first.clone());
            continue;
        };
        if word != doc && word != out {
            members.push(first.clone());
            continue;
        }
        let mut path: Vec<String> = Vec::new();
        while let [Token::Sign("."), Token::Word(name), after @ ..]
        | [Token::Sign("["), Token::Text(name), Token::Sign("]"), after @ ..] = rest
        {
            path.push(name.clone());
            rest = after;
        }
        if path.is_empty() {
            return None;
        }
        let name = path.join(".");
        members.push(if word == out { Token::Out(name) } else { Token::Field(name) });
    }
    Some(members)
}

#[derive(Default)]
struct Found {
    out: Option<String>,
    count: Option<String>,
    field: Option<String>,
}

fn matched(statements: &[Vec<Token>], shape: &[&str]) -> Option<Found> {
    if statements.len() != shape.len() {
        return None;
    }
    let mut found = Found::default();
    for (statement, shape) in statements.iter().zip(shape) {
        let mut wanted = shape.split(' ');
        for token in statement {
            let fits = match (wanted.next()?, token) {
                ("OUT", Token::Out(name)) => same(&mut found.out, name),
                ("COUNT", Token::Out(name)) => same(&mut found.count, name),
                ("FIELD", Token::Field(name)) => same(&mut found.field, name),
                (wanted, Token::Word(word)) => wanted == word,
                (wanted, Token::Sign(sign)) => wanted == *sign,
                _ => false,
            };
            if !fits {
                return None;
            }
        }
        if wanted.next().is_some() {
            return None;
        }
    }
    Some(found)
}

fn same(slot: &mut Option<String>, name: &str) -> bool {
    slot.get_or_insert_with(|| name.to_owned()) == name
}
