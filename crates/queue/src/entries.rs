//! Entries of streams, as `XREAD` and `XREADGROUP` answer them (RESP2).

use redis::Value;

pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) fields: Fields,
}

/// An entry's fields; none if it was deleted under whoever it was given to.
pub(crate) struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    pub(crate) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let found = self.0.iter_mut().find(|(field, _)| field == name.as_bytes());
        found.map(|(_, value)| std::mem::take(value))
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        String::from_utf8(self.take(name)?).ok()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.0.is_empty()
    }
}

/// Streams' names and entries; of what has another shape, nothing.
pub(crate) fn streams(value: Value) -> Vec<(String, Vec<Entry>)> {
    let mut all = Vec::new();
    for stream in array(value) {
        let mut parts = array(stream).into_iter();
        let (Some(name), Some(list)) = (parts.next(), parts.next()) else { continue };
        let list = array(list).into_iter().filter_map(entry).collect();
        all.push((String::from_utf8_lossy(&bytes(name)).into_owned(), list));
    }
    all
}

pub(crate) fn entry(value: Value) -> Option<Entry> {
    let mut parts = array(value).into_iter();
    let id = String::from_utf8(bytes(parts.next()?)).ok()?;
    let mut values = array(parts.next().unwrap_or(Value::Nil)).into_iter().map(bytes);
    let mut fields = Vec::new();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        fields.push((name, value));
    }
    Some(Entry { id, fields: Fields(fields) })
}

/// The time in an entry's id: when it was made, in Redis' ms since 1970.
pub(crate) fn made_ms(id: &str) -> i64 {
    id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0)
}

pub(crate) fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.into_bytes(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_entries_have_no_fields_and_other_shapes_no_entries() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let deleted = Value::Array(vec![text("1-0"), Value::Nil]);
        let whole = Value::Array(vec![text("2-1"), Value::Array(vec![text("p"), text("x")])]);
        let stream = Value::Array(vec![text("s"), Value::Array(vec![deleted, whole])]);
        let mut all = streams(Value::Array(vec![stream, Value::Int(3)]));
        let (name, mut list) = all.remove(0);
        assert_eq!((name.as_str(), list.len(), all.len()), ("s", 2, 0));
        assert!(list[0].fields.is_deleted());
        assert_eq!(list[1].fields.text("p").as_deref(), Some("x"));
        assert_eq!(made_ms(&list[1].id), 2);
        assert!(streams(Value::Nil).is_empty());
    }
}
