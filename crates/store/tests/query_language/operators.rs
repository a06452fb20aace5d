//! What each operator matches, by the reference evaluator; `agree` carries it over to the databases.

use lode_store::query::{Filter, Projection, SortKey};
use serde_json::{Value, json};

use crate::support::document;

fn matches(filter: &Value, of: &Value) -> bool {
    let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    filter.matches(&document(of.clone()))
}

fn table(rows: &[(Value, Value, bool)]) {
    for (filter, of, wanted) in rows {
        assert_eq!(matches(filter, of), *wanted, "{filter} of {of}");
    }
}

#[test]
fn equality() {
    table(&[
        (json!({}), json!({"a": 1}), true),
        (json!({"a": 1}), json!({"a": 1.0}), true),
        (json!({"a": 1}), json!({"a": "1"}), false),
        (json!({"a": 1}), json!({"a": true}), false),
        (json!({"a": 9007199254740993_i64}), json!({"a": 9007199254740992.0}), false),
        // Arrays: an element, or the whole.
        (json!({"a": 1}), json!({"a": [2, 1]}), true),
        (json!({"a": 1}), json!({"a": [[1]]}), false),
        (json!({"a": [1, 2]}), json!({"a": [1, 2]}), true),
        (json!({"a": [1, 2]}), json!({"a": [2, 1]}), false),
        (json!({"a": [1]}), json!({"a": [[1], 5]}), true),
        (json!({"a": []}), json!({"a": []}), true),
        // Whole objects; the order of fields does not count, as JSONB does not keep it.
        (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"c": 2, "b": 1.0}}), true),
        (json!({"a": {"b": 1}}), json!({"a": {"b": 1, "c": 2}}), false),
        (json!({"a": {}}), json!({"a": {}}), true),
        (json!({"a": {}}), json!({"a": {"b": 1}}), false),
        // null and missing.
        (json!({"a": null}), json!({}), true),
        (json!({"a": null}), json!({"a": null}), true),
        (json!({"a": null}), json!({"a": 0}), false),
        (json!({"a": null}), json!({"a": [1, null]}), true),
        (json!({"a": null}), json!({"a": []}), false),
        (json!({"a.b": null}), json!({"a": 5}), true),
        (json!({"a.b": null}), json!({"a": [{"b": 1}, {}]}), true),
        (json!({"a.b": null}), json!({"a": [1, 2]}), false),
        (json!({"a": {"$ne": null}}), json!({}), false),
        (json!({"a": {"$ne": 1}}), json!({"a": [1, 2]}), false),
        (json!({"a": {"$ne": 1}}), json!({}), true),
        (json!({"a": {"$eq": {"b": 1}}}), json!({"a": {"b": 1}}), true),
    ]);
}

#[test]
fn paths() {
    table(&[
        (json!({"a.b": 1}), json!({"a": {"b": 1}}), true),
        (json!({"a.b": 1}), json!({"a": [{"b": 2}, {"b": [0, 1]}]}), true),
        (json!({"a.b": 1}), json!({"a": [[{"b": 1}]]}), false),
        (json!({"a.0": 1}), json!({"a": [1, 2]}), true),
        (json!({"a.1": 1}), json!({"a": [1, 2]}), false),
        (json!({"a.0": 1}), json!({"a": {"0": 1}}), true),
        (json!({"a.0": 1}), json!({"a": [{"0": 1}]}), true),
        // A position at the end names one element: there is no looking into it.
        (json!({"a.0": 1}), json!({"a": [[1]]}), false),
        (json!({"a.0": [1]}), json!({"a": [[1]]}), true),
        (json!({"a.0.b": 1}), json!({"a": [{"b": 1}, {"b": 2}]}), true),
        (json!({"a.1.b": 1}), json!({"a": [{"b": 1}, {"b": 2}]}), false),
        (json!({"a.0.1.b": 1}), json!({"a": [[0, {"b": 1}]]}), true),
        (json!({"a.00": 1}), json!({"a": [1]}), false),
        (json!({"a.-1": 1}), json!({"a": [1]}), false),
        (json!({"it's \"odd\" \\ é": 1}), json!({"it's \"odd\" \\ é": 1}), true),
    ]);
}

#[test]
fn ranges_stay_within_their_type() {
    table(&[
        (json!({"a": {"$gt": 5}}), json!({"a": 6}), true),
        (json!({"a": {"$gt": 5}}), json!({"a": "6"}), false),
        (json!({"a": {"$gt": 5}}), json!({"a": true}), false),
        (json!({"a": {"$gt": 5}}), json!({"a": [1, 6]}), true),
        (json!({"a": {"$gt": 5, "$lt": 2}}), json!({"a": [1, 6]}), true),
        (json!({"a": {"$lt": 5}}), json!({}), false),
        (json!({"a": {"$lt": 5}}), json!({"a": null}), false),
        (json!({"a": {"$gte": null}}), json!({}), true),
        (json!({"a": {"$gt": null}}), json!({"a": null}), false),
        (json!({"a": {"$gt": false}}), json!({"a": true}), true),
        // By bytes: upper case before lower, and beyond ASCII last.
        (json!({"a": {"$lt": "a"}}), json!({"a": "Z"}), true),
        (json!({"a": {"$gt": "z"}}), json!({"a": "ä"}), true),
        (
            json!({"a": {"$gte": "2026-11-24T00:00:00.000Z"}}),
            json!({"a": "2026-11-24T13:05:00.000Z"}),
            true,
        ),
        (json!({"a": {"$gt": 9007199254740992_i64}}), json!({"a": 9007199254740993_i64}), true),
        (json!({"a": {"$not": {"$gt": 5}}}), json!({}), true),
        (json!({"a": {"$not": {"$gt": 5, "$lt": 9}}}), json!({"a": 7}), false),
    ]);
}

#[test]
fn lists_and_logic() {
    table(&[
        (json!({"a": {"$in": [1, "x"]}}), json!({"a": ["x"]}), true),
        (json!({"a": {"$in": []}}), json!({"a": 1}), false),
        (json!({"a": {"$in": [null]}}), json!({}), true),
        (json!({"a": {"$in": [2, []]}}), json!({"a": []}), true),
        (json!({"a": {"$nin": [1]}}), json!({"a": [1, 2]}), false),
        (json!({"a": {"$nin": []}}), json!({}), true),
        (json!({"a": {"$all": [1, 2]}}), json!({"a": [2, 3, 1]}), true),
        (json!({"a": {"$all": [1]}}), json!({"a": 1}), true),
        (json!({"a": {"$all": []}}), json!({"a": []}), false),
        (json!({"a": {"$all": [[1, 2]]}}), json!({"a": [1, 2]}), true),
        (json!({"a": {"$all": [null]}}), json!({}), true),
        (
            json!({"a": {"$all": [{"$elemMatch": {"b": 1}}, {"$elemMatch": {"b": 2}}]}}),
            json!({"a": [{"b": 1}, {"b": 2}]}),
            true,
        ),
        (json!({"$or": [{"a": 1}, {"b": 1}]}), json!({"b": 1}), true),
        (json!({"$nor": [{"a": 1}, {"b": 1}]}), json!({"c": 1}), true),
        (json!({"$and": [{"a": 1}, {"b": 1}]}), json!({"a": 1}), false),
        (json!({"$comment": "why", "a": 1}), json!({"a": 1}), true),
    ]);
}

#[test]
fn elements_and_types() {
    table(&[
        (json!({"a": {"$exists": true}}), json!({"a": null}), true),
        (json!({"a": {"$exists": 0}}), json!({}), true),
        (json!({"a.b": {"$exists": true}}), json!({"a": [1, {"b": 1}]}), true),
        (json!({"a": {"$type": "string"}}), json!({"a": [1, "x"]}), true),
        (json!({"a": {"$type": "array"}}), json!({"a": []}), true),
        (json!({"a": {"$type": 10}}), json!({}), false),
        (json!({"a": {"$type": ["int", 2]}}), json!({"a": 1.0}), true),
        (json!({"a": {"$type": "long"}}), json!({"a": 3_000_000_000_i64}), true),
        (json!({"a": {"$type": "double"}}), json!({"a": 0.5}), true),
        (json!({"a": {"$type": "number"}}), json!({"a": true}), false),
        (json!({"a": {"$size": 2}}), json!({"a": [1, [2, 3]]}), true),
        (json!({"a": {"$size": 2}}), json!({"a": [[1, 2]]}), false),
        (json!({"a": {"$size": 0}}), json!({}), false),
        (json!({"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}), json!({"a": [0, 2, 4]}), true),
        (json!({"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}), json!({"a": [0, 4]}), false),
        (json!({"a": {"$elemMatch": {"$gt": 1}}}), json!({"a": 2}), false),
        (json!({"a": {"$elemMatch": {"$gt": 1}}}), json!({"a": [[2]]}), false),
        (json!({"a": {"$elemMatch": {"b": 1, "c": 2}}}), json!({"a": [{"b": 1}, {"c": 2}]}), false),
        (
            json!({"a": {"$elemMatch": {"b": 1, "c": {"$gt": 1}}}}),
            json!({"a": [{"b": 1, "c": 2}]}),
            true,
        ),
        (
            json!({"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}}),
            json!({"a": [{"c": 1}]}),
            true,
        ),
        (json!({"a": {"$elemMatch": {"0": 1}}}), json!({"a": [[1]]}), true),
        (json!({"a": {"$elemMatch": {}}}), json!({"a": [1]}), false),
        (json!({"a": {"$mod": [4, 1]}}), json!({"a": [2, 5.9]}), true),
        (json!({"a": {"$mod": [4, -1]}}), json!({"a": -5}), true),
        (json!({"a": {"$mod": [3, 1]}}), json!({"a": 1e20}), false),
        (json!({"a": {"$mod": [-1, 0]}}), json!({"a": i64::MIN}), true),
    ]);
}

#[test]
fn patterns() {
    let is = |pattern: &str, options: &str, text: &str| {
        matches(&json!({"a": {"$regex": pattern, "$options": options}}), &json!({"a": text}))
    };
    assert!(is("^ab", "", "abc") && !is("^ab", "", "xab"));
    assert!(is("AB", "i", "xab") && is("ä", "i", "Ä") && !is("AB", "", "ab"));
    assert!(is("^b", "m", "a\nb") && !is("^b", "", "a\nb"));
    assert!(is("a.b", "s", "a\nb") && !is("a.b", "", "a\nb"));
    assert!(is("a b # words", "x", "ab"));
    // ASCII, as MongoDB's engine and JavaScript have it.
    assert!(!is(r"\d", "", "\u{663}") && !is(r"\w", "", "é") && is(r"\bé", "", "aé"));
    assert!(is(r"[\d_]+\/", "", "1_/") && is(r"[^\S]", "", " "));
    assert!(matches(&json!({"a": {"$regex": "x"}}), &json!({"a": ["y", "x"]})));
    assert!(!matches(&json!({"a": {"$regex": "1"}}), &json!({"a": 1})));
    assert!(matches(&json!({"a": {"$not": {"$regex": "x"}}}), &json!({})));
}

#[test]
fn places() {
    let near = |filter: Value, place: Value| {
        matches(&json!({"_geoloc": filter}), &json!({"_geoloc": place}))
    };
    // Boston to Cambridge: 2.9 miles.
    let (boston, cambridge) = ([-71.056416, 42.351018], json!([-71.085438, 42.362688]));
    assert!(near(json!({"$nearSphere": boston}), cambridge.clone()));
    assert!(near(json!({"$nearSphere": boston, "$maxDistance": 2}), cambridge.clone()));
    assert!(near(json!({"$nearSphere": boston, "$maxDistance": "2"}), cambridge.clone()));
    assert!(!near(json!({"$nearSphere": boston, "$maxDistance": 1.5}), cambridge.clone()));
    assert!(!near(json!({"$nearSphere": boston, "$minDistance": 2}), cambridge.clone()));
    let point = json!({"type": "Point", "coordinates": boston});
    let metres = |most: i32| json!({"$near": {"$geometry": point, "$maxDistance": most}});
    assert!(near(metres(2800), cambridge.clone()) && !near(metres(2600), cambridge.clone()));
    assert!(near(json!({"$near": [0, 0], "$maxDistance": 5}), json!([3, 4])));
    assert!(!near(json!({"$near": [0, 0], "$maxDistance": 4.9}), json!([3, 4])));
    assert!(near(json!({"$within": {"$box": [[5, 5], [0, 0]]}}), json!([3, 4])));
    assert!(near(
        json!({"$within": {"$center": [[0, 0], 5]}}),
        json!({"type": "Point", "coordinates": [3, 4]})
    ));
    assert!(!near(json!({"$geoWithin": {"$centerSphere": [[0, 0], 0.08]}}), json!([3, 4])));
    let triangle = json!([[0, 0], [10, 0], [0, 10]]);
    assert!(near(json!({"$geoWithin": {"$polygon": triangle}}), json!([3, 4])));
    assert!(!near(json!({"$geoWithin": {"$polygon": triangle}}), json!([8, 4])));
    let ring = json!([[0, 0], [10, 0], [0, 10], [0, 0]]);
    assert!(near(
        json!({"$geoWithin": {"$geometry": {"type": "Polygon", "coordinates": [ring]}}}),
        json!([3, 4])
    ));
    assert!(!near(json!({"$nearSphere": boston}), json!("here")));
    assert!(!matches(&json!({"_geoloc": {"$nearSphere": boston}}), &json!({})));
}

/// Each is refused with a message that says what the client has to change.
#[test]
fn what_is_not_supported_is_named() {
    let deep = (0..30).fold(json!({"a": 1}), |inner, _| json!({"$and": [inner]}));
    let deep_value = (0..80).fold(json!(1), |inner, _| json!([inner]));
    let many: Value = (0..1001).collect();
    for (filter, named) in [
        (json!({"$where": "true"}), "$where"),
        (json!({"$text": {"$search": "x"}}), "$text"),
        (json!({"$expr": {}}), "$expr"),
        (json!({"$query": {}, "$orderby": {"a": 1}}), "$query"),
        (json!({"a": {"$geoIntersects": {}}}), "$geoIntersects"),
        (json!({"a": {"$gt": 1, "b": 2}}), "mixes"),
        (json!({"a": {"$gt": [1]}}), "$gt"),
        (json!({"a": {"$in": 1}}), "$in"),
        (json!({"a": {"$in": [{"$gt": 1}]}}), "$in"),
        (json!({"a": {"$regex": "(?=a)"}}), "$regex"),
        (json!({"a": {"$regex": "("}}), "$regex"),
        (json!({"a": {"$regex": "a", "$options": "q"}}), "$options"),
        (json!({"a": {"$options": "i"}}), "$regex"),
        (json!({"a": {"$regex": "a".repeat(1001)}}), "1000"),
        (json!({"a": {"$regex": "((a{100}){100}){100}"}}), "$regex"),
        (json!({"a": {"$mod": [0, 1]}}), "$mod"),
        (json!({"a": {"$size": -1}}), "$size"),
        (json!({"a": {"$size": 0.5}}), "$size"),
        (json!({"a": {"$type": "objectId"}}), "objectId"),
        (json!({"a": {"$not": 5}}), "$not"),
        (json!({"$not": {"a": 1}}), "$not"),
        (json!({"$or": []}), "$or"),
        (json!({"$or": [{"a": {"$near": [0, 0]}}]}), "$near"),
        (json!({"a": {"$maxDistance": 1}}), "$maxDistance"),
        (json!({"a": {"$nearSphere": "here"}}), "$nearSphere"),
        (json!({"a": {"$within": {"$sphere": 1}}}), "$sphere"),
        (json!({"a..b": 1}), "a..b"),
        (json!({"": 1}), "field name"),
        (json!({"a.$b": 1}), "a.$b"),
        (json!({"a\0": 1}), "NUL"),
        (json!({"a": "\0"}), "NUL"),
        (json!([1]), "an object"),
        (deep, "20 levels"),
        (json!({"a": deep_value}), "60 levels"),
        (json!({"a": {"$in": many}}), "1000 conditions"),
        (json!({ "a.".repeat(300): 1 }), "500 bytes"),
    ] {
        let error = Filter::parse(&filter).expect_err(&filter.to_string()).to_string();
        assert!(error.contains(named), "{filter}: {error}");
    }
}

#[test]
fn combined_filters_keep_both_sides() {
    let one = Filter::parse(&json!({"a": 1})).unwrap();
    let both = one.clone().and(Filter::id("x"));
    assert!(both.matches(&document(json!({"_id": "x", "a": 1}))));
    assert!(!both.matches(&document(json!({"_id": "x", "a": 2}))));
    assert!(!both.matches(&document(json!({"_id": "y", "a": 1}))));
    assert_eq!(Filter::all().and(one.clone()), one);
    assert_eq!(one.clone().and(Filter::all()), one);
}

#[test]
fn sorts_are_read() {
    let sort = |value: Value| {
        SortKey::parse(&value).map(|keys| {
            keys.into_iter().map(|k| (k.path.dotted(), k.descending)).collect::<Vec<_>>()
        })
    };
    let two = vec![("b".to_owned(), true), ("a.c".to_owned(), false)];
    assert_eq!(sort(json!({"b": -1, "a.c": 1})).unwrap(), two);
    assert_eq!(sort(json!([["b", "desc"], ["a.c", 1]])).unwrap(), two);
    assert_eq!(sort(json!("b")).unwrap(), [("b".to_owned(), false)]);
    assert_eq!(sort(json!({"b": "-1", "a.c": "asc"})).unwrap(), two);
    assert!(sort(json!(null)).unwrap().is_empty() && sort(json!({})).unwrap().is_empty());
    for wrong in [
        json!(1),
        json!({"a": 2}),
        json!({"a": {"$meta": "textScore"}}),
        json!([1]),
        json!({"$a": 1}),
    ] {
        assert!(SortKey::parse(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn projections() {
    let whole = json!({
        "_id": "1", "_acl": {"creator": "u"}, "_kmd": {"lmt": "t"}, "a": {"b": 1, "c": 2}, "d": [{"e": 1, "f": 2}, 3], "g": 4,
    });
    let system = json!({"_id": "1", "_acl": {"creator": "u"}, "_kmd": {"lmt": "t"}});
    let with = |fields: Value| {
        let mut kept = document(system.clone());
        kept.extend(document(fields));
        Value::Object(kept)
    };
    for (projection, wanted) in [
        (json!("g"), with(json!({"g": 4}))),
        (json!("a.b, g"), with(json!({"a": {"b": 1}, "g": 4}))),
        (json!(["d.e"]), with(json!({"d": [{"e": 1}]}))),
        (json!({"a": 1, "nothing": 1}), with(json!({"a": {"b": 1, "c": 2}}))),
        (json!({"g.h": 1}), with(json!({}))),
        (json!({"a": 0, "d.e": 0}), with(json!({"d": [{"f": 2}, 3], "g": 4}))),
        (
            json!({"g": 1, "_id": 0}),
            json!({"_acl": {"creator": "u"}, "_kmd": {"lmt": "t"}, "g": 4}),
        ),
        (json!(""), whole.clone()),
        (json!({}), whole.clone()),
    ] {
        let mut found = document(whole.clone());
        Projection::parse(&projection).unwrap().apply(&mut found);
        assert_eq!(Value::Object(found), wanted, "{projection}");
    }
    for wrong in
        [json!(1), json!({"a": 1, "b": 0}), json!({"a": {"$slice": 1}}), json!([1]), json!("a.$")]
    {
        assert!(Projection::parse(&wrong).is_err(), "{wrong}");
    }
}

/// Each is compiled and kept while the query runs.
#[test]
fn a_query_has_few_patterns_and_none_is_large() {
    let fields = |count: usize| {
        let parts: Vec<_> = (0..count)
            .map(|n| json!({ format!("f{n}"): { "$regex": "^abc", "$options": "i" } }))
            .collect();
        Filter::parse(&json!({ "$or": parts }))
    };
    assert!(fields(10).is_ok());
    let error = fields(11).unwrap_err().to_string();
    assert_eq!(error, "the query has more than 1000 conditions (a $regex counts as 90)");
    let pattern = |pattern: &str| {
        Filter::parse(&json!({ "a": { "$regex": pattern, "$options": "i" } })).is_ok()
    };
    assert!(pattern(&"kés".repeat(250)));
    assert!(pattern(r"^[\w.+-]{1,64}@[\w-]{1,63}(\.[\w-]{1,63}){1,3}$"));
    assert!(pattern(r"^\p{Lu}\p{L}* \p{L}+$"));
    assert!(!pattern(r"(\pL{100}){100}"));
    assert!(!pattern(r"\pL{500}"));
}

/// The ways through arrays of nested `$elemMatch`es multiply.
#[test]
fn positions_are_bounded_through_nested_element_matches() {
    let filter = |inner: &str| {
        let inner = json!({ inner: { "$elemMatch": { "b.0": 1 } } });
        Filter::parse(&json!({ "a.0.0.0": { "$elemMatch": inner } }))
    };
    assert!(filter("c.0.0").is_ok());
    let error = filter("c.0.0.0").unwrap_err().to_string();
    assert_eq!(error, "the fields around \"b.0\" and itself have more than 6 numbers");
    // Side by side they do not.
    assert!(Filter::parse(&json!({ "$and": vec![json!({ "a.0.0.0": 1 }); 20] })).is_ok());
}
