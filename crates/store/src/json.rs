//! JSON that others wrote, as values: as it was written, and no more of it than there is room for.
//!
//! `serde_json::from_str` does neither. It makes all values before anybody can count them, some 80 bytes for as few
//! as two of text. And where an object has the one name `$serde_json::private::RawValue` (its feature `raw_value`
//! passes texts on in that form), it reads the text behind that name in place of the object, with levels of its own:
//! what was counted or checked in the text is then not what is there. No text that has such a name comes through here,
//! so that later readings of what did are safe.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Values of one request's body, one call's arguments, or what one script leaves: each takes some 80 bytes in memory,
/// whatever few it has as text.
pub const MOST_VALUES: usize = 200_000;

/// What an object takes, in values: the node of a tree with room for eleven members, some 450 bytes, beside itself.
const OBJECT: usize = 6;

/// How all names begin by which serde_json talks to itself.
const RESERVED: &str = "$serde_json::private::";

/// Why a text was not read. Both texts are for clients.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum JsonError {
    /// It is no JSON.
    Syntax(String),
    /// It is too deep, or too much.
    TooLarge(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Syntax(why) | Self::TooLarge(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for JsonError {}

/// Reads a JSON text with at most `levels` arrays and objects within each other (120 at most: the parser stops near
/// 128) and [`MOST_VALUES`], an object being six. Returns what it says, and how many values that are.
///
/// # Errors
/// Blame: whoever wrote it. Nothing that is beyond the bounds was made.
pub fn read_json(text: &[u8], levels: usize) -> Result<(Value, usize), JsonError> {
    let mut room = Room { levels, left: MOST_VALUES, refused: None };
    let mut parser = serde_json::Deserializer::from_slice(text);
    let read = Next(&mut room).deserialize(&mut parser);
    let read = read.and_then(|value| parser.end().map(|()| value));
    match (read, room.refused) {
        (Ok(value), _) => Ok((value, MOST_VALUES - room.left)),
        (Err(_), Some(why)) => Err(JsonError::TooLarge(why)),
        (Err(error), None) => Err(JsonError::Syntax(error.to_string())),
    }
}

struct Room {
    levels: usize,
    left: usize,
    refused: Option<String>,
}

impl Room {
    fn take<E: serde::de::Error>(&mut self, values: usize) -> Result<(), E> {
        match self.left.checked_sub(values) {
            Some(left) => self.left = left,
            None => {
                return Err(self
                    .refuse(format!("more than {MOST_VALUES} values, an object being {OBJECT}")));
            }
        }
        Ok(())
    }

    fn refuse<E: serde::de::Error>(&mut self, why: String) -> E {
        let error = E::custom(&why);
        self.refused = Some(why);
        error
    }

    fn within<T, E: serde::de::Error>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(levels) = self.levels.checked_sub(1) else {
            return Err(self.refuse("nested too deeply".into()));
        };
        self.levels = levels;
        let read = read(self)?;
        self.levels += 1;
        Ok(read)
    }
}

/// The next value of a text.
struct Next<'r>(&'r mut Room);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.take(1).map(|()| Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.take(1).map(|()| value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.take(1).map(|()| value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.0.take(1).map(|()| value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.take(1).map(|()| value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.take(1).map(|()| value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.0.take(1).map(|()| value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.take(1)?;
        self.0.within(|room| {
            let mut array = Vec::new();
            while let Some(item) = items.next_element_seed(Next(room))? {
                array.push(item);
            }
            Ok(Value::Array(array))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.0.take(OBJECT)?;
        self.0.within(|room| {
            let mut object = Map::new();
            while let Some(name) = members.next_key::<String>()? {
                if name.starts_with(RESERVED) {
                    return Err(A::Error::custom("an object has a name that is reserved"));
                }
                object.insert(name, members.next_value_seed(Next(room))?);
            }
            Ok(Value::Object(object))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(text: &str, levels: usize) -> String {
        match read_json(text.as_bytes(), levels) {
            Err(JsonError::TooLarge(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_is_read_as_serde_json_reads_it() {
        for text in [
            "null",
            " [1, -1, 0.1, 1e300, 18446744073709551615, -9223372036854775808, 1e-7, 5e-324] ",
            r#"{"b": [{}, [], "", "\u00e9\ud83d\ude00\n"], "a": {"c": true, "d": false}, "b": 1}"#,
        ] {
            let plain: Value = serde_json::from_str(text).expect("JSON");
            let (read, _) = read_json(text.as_bytes(), 3).expect("JSON");
            assert_eq!(read, plain);
            assert_eq!(read.to_string(), plain.to_string());
        }
        for text in ["", "[1,]", "{\"a\":}", "1 2", "\"\\ud800\"", "nul"] {
            let plain = serde_json::from_str::<Value>(text).expect_err("no JSON").to_string();
            assert_eq!(read_json(text.as_bytes(), 3), Err(JsonError::Syntax(plain)), "{text}");
        }
    }

    #[test]
    fn a_text_is_refused_where_it_becomes_too_much() {
        let ones = |count| format!("[{}1]", "1,".repeat(count - 1));
        let (_, taken) = read_json(ones(MOST_VALUES - 1).as_bytes(), 1).expect("room");
        assert_eq!(taken, MOST_VALUES);
        assert!(large(&ones(MOST_VALUES), 1).contains("200000 values"));
        // What comes behind it was not looked at.
        assert!(large(&ones(MOST_VALUES + 1).replace(']', "!"), 1).contains("200000 values"));
        assert!(
            large(&format!("[{}{{}}]", "{},".repeat(MOST_VALUES / 6)), 2).contains("an object")
        );
        assert_eq!(large("[[{\"a\": []}]]", 3), "nested too deeply");
        assert!(read_json(b"[[{\"a\": []}], [[[]]]]", 4).is_ok());
        assert_eq!(large(&"[".repeat(1 << 20), 120), "nested too deeply");
    }

    #[test]
    fn no_text_is_read_out_of_a_reserved_name() {
        let hidden = r#"{"\u0024serde_json::private::RawValue": "[[[1, 2, 3]]]"}"#;
        let plain: Value = serde_json::from_str(hidden).expect("JSON");
        assert_eq!(plain.to_string(), "[[[1,2,3]]]", "this is what it is about");
        for text in
            [hidden.to_owned(), format!("[{{\"a\": {hidden}}}]"), hidden.replace("Raw", "Any")]
        {
            let refused = read_json(text.as_bytes(), 9);
            assert!(
                matches!(&refused, Err(JsonError::Syntax(why)) if why.contains("reserved")),
                "{refused:?}"
            );
        }
        assert!(
            read_json(br#"{"$serde_json": 1, "a": "$serde_json::private::RawValue"}"#, 1).is_ok()
        );
    }
}
