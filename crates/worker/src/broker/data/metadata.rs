//! What Kinvey keeps beside a document's own fields: `_id`, `_acl` and `_kmd`.

use lode_store::{Document, time};
use serde_json::{Map, Value, json};

use super::Failure;

/// This moment, as `_kmd` has it.
pub(super) fn now() -> String {
    time::iso(time::now_ms())
}

/// Gives a new document what it lacks of its metadata; `lmt` is now in any case.
pub(super) fn complete(
    document: &mut Document,
    creator: Option<&str>,
    now: &str,
) -> Result<(), Failure> {
    if document.get("_id").is_none_or(Value::is_null) {
        document.insert("_id".into(), lode_store::new_id()?.into());
    }
    let acl = object(document, "_acl");
    if let (false, Some(creator)) = (acl.contains_key("creator"), creator) {
        acl.insert("creator".into(), creator.into());
    }
    let kmd = object(document, "_kmd");
    kmd.insert("lmt".into(), now.into());
    kmd.entry("ect").or_insert_with(|| now.into());
    Ok(())
}

/// A document in the place of another: what it does not say of its metadata stays.
pub(super) fn succeed(document: &mut Document, before: &Document, now: &str) {
    for name in ["_acl", "_kmd"] {
        if let (None, Some(old)) = (document.get(name), before.get(name)) {
            document.insert(name.into(), old.clone());
        }
    }
    if let Some(id) = before.get("_id") {
        document.insert("_id".into(), id.clone());
    }
    let ect = before.get("_kmd").and_then(|kmd| kmd.get("ect")).cloned();
    let kmd = object(document, "_kmd");
    kmd.insert("lmt".into(), now.into());
    if let Some(ect) = ect {
        kmd.insert("ect".into(), ect);
    }
}

fn object<'d>(document: &'d mut Document, name: &str) -> &'d mut Map<String, Value> {
    let member = document.entry(name).or_insert_with(|| json!({}));
    if !member.is_object() {
        *member = json!({});
    }
    match member {
        Value::Object(object) => object,
        _ => unreachable!("it has just been made one"),
    }
}

/// Has an update of operators keep `_kmd.lmt`, and give a document that it makes its metadata; unless the
/// script writes these itself, which MongoDB would call a conflict.
pub(super) fn stamp(update: &mut Value, query: &Value, creator: Option<&str>, now: &str) {
    let writes = |update: &Value, name: &str| {
        update.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_object).any(
            |fields| {
                fields.iter().any(|(path, value)| {
                    is_at(path, name) || value.as_str().is_some_and(|to| is_at(to, name))
                })
            },
        )
    };
    let (kmd, acl) = (writes(update, "_kmd"), writes(update, "_acl"));
    // What the query says of a field an upsert sets first.
    let asked = |name: &str| {
        query.as_object().is_some_and(|query| query.keys().any(|path| is_at(path, name)))
    };
    let (kmd_asked, acl_asked) = (asked("_kmd"), asked("_acl"));
    let mut put = |operator: &str, path: &str, value: Value| {
        let fields =
            update.as_object_mut().map(|update| update.entry(operator).or_insert(json!({})));
        if let Some(Value::Object(fields)) = fields {
            fields.insert(path.into(), value);
        }
    };
    if !kmd {
        put("$set", "_kmd.lmt", now.into());
        if !kmd_asked {
            put("$setOnInsert", "_kmd.ect", now.into());
        }
    }
    if let (false, false, Some(creator)) = (acl, acl_asked, creator) {
        put("$setOnInsert", "_acl", json!({ "creator": creator }));
    }
}

/// Whether a path is the field, or something in it.
pub(super) fn is_at(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_stamped_unless_it_writes_the_metadata_itself() {
        let stamped = |update: Value, query: Value| {
            let mut update = update;
            stamp(&mut update, &query, Some("u"), "now");
            update
        };
        assert_eq!(
            stamped(json!({ "$inc": { "n": 1 }, "$set": { "a": 1 } }), json!({})),
            json!({ "$inc": { "n": 1 }, "$set": { "a": 1, "_kmd.lmt": "now" },
                "$setOnInsert": { "_kmd.ect": "now", "_acl": { "creator": "u" } } })
        );
        let own = json!({ "$set": { "_kmd.lmt": 1 }, "$push": { "_acl.r": "x" } });
        assert_eq!(stamped(own.clone(), json!({})), own);
        assert_eq!(
            stamped(json!({ "$set": { "a": 1 } }), json!({ "_acl.creator": "x" })),
            json!({ "$set": { "a": 1, "_kmd.lmt": "now" }, "$setOnInsert": { "_kmd.ect": "now" } })
        );
    }
}
