//! What each operator of an update does.

use lode_store::query::{Filter, Update};
use serde_json::{Value, json};

use crate::support::document;

fn updated(update: &Value, of: &Value) -> Result<(Value, bool), String> {
    let mut result = document(of.clone());
    let update = Update::parse(update).map_err(|error| error.to_string())?;
    let changed = update.apply(&mut result, &Filter::all()).map_err(|error| {
        assert_eq!(Value::Object(result.clone()), *of, "a refused update changed something");
        error.to_string()
    })?;
    Ok((Value::Object(result), changed))
}

#[test]
fn operators_change_documents() {
    for (update, of, wanted) in [
        (json!({"$set": {"a": 1, "b.c": 2}}), json!({}), json!({"a": 1, "b": {"c": 2}})),
        (json!({"$set": {"a.1": 9}}), json!({"a": [1, 2]}), json!({"a": [1, 9]})),
        (json!({"$set": {"a.3": 9}}), json!({"a": [1]}), json!({"a": [1, null, null, 9]})),
        (
            json!({"$set": {"a.0.b": 9}}),
            json!({"a": [{"b": 1, "c": 2}]}),
            json!({"a": [{"b": 9, "c": 2}]}),
        ),
        (json!({"$set": {"a.0": 1}}), json!({}), json!({"a": {"0": 1}})),
        (json!({"$set": {"a": {"$b": 1}}}), json!({}), json!({"a": {"$b": 1}})),
        (json!({"$setOnInsert": {"a": 1}, "$set": {"b": 1}}), json!({}), json!({"b": 1})),
        (
            json!({"$unset": {"a": "", "b.c": 1, "d.e.f": 1}}),
            json!({"a": 1, "b": {"c": 1}}),
            json!({"b": {}}),
        ),
        (json!({"$unset": {"a.0": 1}}), json!({"a": [1, 2]}), json!({"a": [null, 2]})),
        (
            json!({"$inc": {"a": 2, "b": -1, "c": 0.5}}),
            json!({"a": 1, "c": 0.5}),
            json!({"a": 3, "b": -1, "c": 1}),
        ),
        (json!({"$inc": {"a": 1}}), json!({"a": i64::MAX}), json!({"a": 9223372036854775808.0})),
        (json!({"$mul": {"a": 2, "b": 3}}), json!({"a": 1.5}), json!({"a": 3, "b": 0})),
        (
            json!({"$min": {"a": 2, "b": 2, "c": "x"}}),
            json!({"a": 3, "b": 1, "c": 5}),
            json!({"a": 2, "b": 1, "c": 5}),
        ),
        (
            json!({"$max": {"a": 2, "b": 2, "c": "x"}}),
            json!({"a": 3, "b": 1, "c": 5}),
            json!({"a": 3, "b": 2, "c": "x"}),
        ),
        (
            json!({"$min": {"a": [1]}, "$max": {"b": {"c": 2}}}),
            json!({"a": [2], "b": {"c": 1}}),
            json!({"a": [1], "b": {"c": 2}}),
        ),
        (json!({"$rename": {"a": "b.c", "x": "y"}}), json!({"a": 1}), json!({"b": {"c": 1}})),
        (json!({"$push": {"a": 1, "b": [2]}}), json!({"a": [0]}), json!({"a": [0, 1], "b": [[2]]})),
        (
            json!({"$push": {"a": {"$each": [5, 3], "$sort": 1}}}),
            json!({"a": [4]}),
            json!({"a": [3, 4, 5]}),
        ),
        (
            json!({"$push": {"a": {"$each": [5, 3], "$position": 0}}}),
            json!({"a": [4]}),
            json!({"a": [5, 3, 4]}),
        ),
        (
            json!({"$push": {"a": {"$each": [5], "$position": -1}}}),
            json!({"a": [4, 6]}),
            json!({"a": [4, 5, 6]}),
        ),
        (
            json!({"$push": {"a": {"$each": [5], "$slice": -2}}}),
            json!({"a": [3, 4]}),
            json!({"a": [4, 5]}),
        ),
        (
            json!({"$push": {"a": {"$each": [5], "$slice": 2}}}),
            json!({"a": [3, 4]}),
            json!({"a": [3, 4]}),
        ),
        (
            json!({"$push": {"a": {"$each": [[true], 3], "$sort": 1}}}),
            json!({}),
            json!({"a": [3, [true]]}),
        ),
        (
            json!({"$push": {"a": {"$each": [{"n": 1, "m": 9}], "$sort": {"n": -1, "m": 1}}}}),
            json!({"a": [{"n": 1, "m": 2}, {"n": 3}]}),
            json!({"a": [{"n": 3}, {"n": 1, "m": 2}, {"n": 1, "m": 9}]}),
        ),
        (json!({"$pushAll": {"a": [1, 2]}}), json!({"a": [0]}), json!({"a": [0, 1, 2]})),
        (json!({"$addToSet": {"a": 1}}), json!({"a": [1.0]}), json!({"a": [1.0]})),
        (
            json!({"$addToSet": {"a": {"$each": [1, 2, 2]}, "b": [1]}}),
            json!({"a": [1]}),
            json!({"a": [1, 2], "b": [[1]]}),
        ),
        (json!({"$pull": {"a": 1}}), json!({"a": [1, 2, 1, [1]]}), json!({"a": [2, [1]]})),
        (
            json!({"$pull": {"a": {"$gte": 2}}}),
            json!({"a": [1, 2, "3", [5]]}),
            json!({"a": [1, "3", [5]]}),
        ),
        (json!({"$pull": {"a": {"$in": [1, 2]}}}), json!({"a": [1, 2, 3]}), json!({"a": [3]})),
        (
            json!({"$pull": {"a": {"b": 1}}}),
            json!({"a": [{"b": 1, "c": 2}, {"b": 2}, 1]}),
            json!({"a": [{"b": 2}, 1]}),
        ),
        (
            json!({"$pull": {"a": {"b": {"$gt": 1}}}}),
            json!({"a": [{"b": 1}, {"b": 2}]}),
            json!({"a": [{"b": 1}]}),
        ),
        (json!({"$pull": {"a": [1]}, "$pop": {"b": 1}}), json!({"a": [[1], 1]}), json!({"a": [1]})),
        (json!({"$pullAll": {"a": [1, [2]]}}), json!({"a": [1, 2, [2]]}), json!({"a": [2]})),
        (
            json!({"$pop": {"a": 1, "b": -1, "c": 1}}),
            json!({"a": [1, 2], "b": [1, 2], "c": []}),
            json!({"a": [1], "b": [2], "c": []}),
        ),
        (
            json!({"$bit": {"a": {"and": 6}, "b": {"or": 5, "xor": 1}}}),
            json!({"a": 12}),
            json!({"a": 4, "b": 4}),
        ),
        (json!({"x": 1}), json!({"_id": "1", "a": 1}), json!({"_id": "1", "x": 1})),
        (json!({"_id": "1", "x": 1}), json!({"_id": "1", "a": 1}), json!({"_id": "1", "x": 1})),
    ] {
        let (found, changed) =
            updated(&update, &of).unwrap_or_else(|error| panic!("{update}: {error}"));
        assert_eq!(found, wanted, "{update} of {of}");
        assert_eq!(changed, found != of, "{update} of {of}");
    }
    let (found, _) =
        updated(&json!({"$currentDate": {"a": true, "b": {"$type": "date"}}}), &json!({})).unwrap();
    assert!(
        found["a"].as_str().is_some_and(|date| date.len() == 24 && date.ends_with('Z')),
        "{found}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let deep = (0..99).fold(json!(1), |inner, _| json!({ "a": inner }));
    for (update, of, named) in [
        (json!({"$inc": {"a": 1}}), json!({"a": "1"}), "$inc"),
        (json!({"$inc": {"a": "1"}}), json!({}), "$inc"),
        (json!({"$mul": {"a": 1e308}}), json!({"a": 1e308}), "too large"),
        (json!({"$push": {"a": 1}}), json!({"a": null}), "$push"),
        (json!({"$push": {"a": {"$each": [1], "$what": 1}}}), json!({}), "$what"),
        (json!({"$addToSet": {"a": 1}}), json!({"a": {}}), "$addToSet"),
        (json!({"$pull": {"a": 1}}), json!({"a": 1}), "$pull"),
        (json!({"$pull": {"a": {"$where": "x"}}}), json!({"a": 1}), "$where"),
        (json!({"$pop": {"a": 2}}), json!({"a": [1]}), "$pop"),
        (json!({"$bit": {"a": {"or": 1}}}), json!({"a": 0.5}), "$bit"),
        (json!({"$set": {"a.b": 1}}), json!({"a": 1}), "a.b"),
        (json!({"$set": {"a.b": 1}}), json!({"a": [1]}), "a.b"),
        (json!({"$set": {"a.999999": 1}}), json!({"a": []}), "999999"),
        (json!({"$set": {"a.$": 1}}), json!({"a": [1]}), "a.$"),
        (json!({"$set": {"a": 1}, "$inc": {"a.b": 1}}), json!({}), "conflict"),
        (json!({"$set": {"a.b": 1, "a": 1}}), json!({}), "conflict"),
        (json!({"$set": {"a": 1}, "$rename": {"b": "a"}}), json!({}), "conflict"),
        (json!({"$rename": {"a": "a"}}), json!({"a": 1}), "conflict"),
        (json!({"$rename": {"a.0": "b"}}), json!({"a": [1]}), "$rename"),
        (json!({"$set": {"a": 1}, "b": 1}), json!({}), "not both"),
        (json!({"$what": {"a": 1}}), json!({}), "$what"),
        (json!({"$set": 1}), json!({}), "$set"),
        (json!([]), json!({}), "an update"),
        (json!({"$set": {"_id": "2"}}), json!({"_id": "1"}), "_id"),
        (json!({"$unset": {"_id": 1}}), json!({"_id": "1"}), "_id"),
        (json!({"_id": "2"}), json!({"_id": "1"}), "_id"),
        (json!({"$set": {"b.c": deep}}), json!({}), "100 levels"),
        (json!({"$set": {"a": "\0"}}), json!({}), "NUL"),
    ] {
        let error = updated(&update, &of).expect_err(&update.to_string());
        assert!(error.contains(named), "{update}: {error}");
    }
}

#[test]
fn an_upsert_starts_from_the_filters_equalities() {
    let made = |filter: Value, update: Value| {
        let filter = Filter::parse(&filter).unwrap();
        Update::parse(&update).unwrap().on_insert(&filter).map(Value::Object)
    };
    assert_eq!(
        made(
            json!({"_id": "1", "a.b": {"$eq": 2}, "c": {"$gt": 1}, "$and": [{"d": 1}], "$or": [{"e": 1}, {"f": 1}], "g": {"$in": [7]}}),
            json!({"$set": {"x": 1}, "$setOnInsert": {"y": 2}, "$inc": {"d": 1}}),
        )
        .unwrap(),
        json!({"_id": "1", "a": {"b": 2}, "d": 2, "g": 7, "x": 1, "y": 2})
    );
    assert_eq!(
        made(json!({"_id": "1", "a": 2}), json!({"b": 1})).unwrap(),
        json!({"_id": "1", "b": 1})
    );
    assert_eq!(made(json!({"a": 2}), json!({"_id": "9"})).unwrap(), json!({"_id": "9"}));
    assert!(made(json!({"_id": "1"}), json!({"$set": {"_id": "2"}})).is_err());
    assert!(made(json!({"a": 1}), json!({"$push": {"a": 2}})).is_err());
}
