//! Which elements of arrays an update changes: `$`, `$[]`, and `$[name]` with array filters.

use lode_store::query::{Filter, Update};
use serde_json::{Value, json};

use crate::support::document;
use crate::support::generate::{self, Random};

/// The document after the update, of which the filter has found it.
fn updated(of: &Value, filter: &Value, update: &Value, filters: &Value) -> Result<Value, String> {
    let mut result = document(of.clone());
    let filter = Filter::parse(filter).map_err(|error| error.to_string())?;
    let update = Update::parse_filtered(update, filters).map_err(|error| error.to_string())?;
    update.apply(&mut result, &filter).map_err(|error| {
        assert_eq!(Value::Object(result.clone()), *of, "a refused update changed something");
        error.to_string()
    })?;
    Ok(Value::Object(result))
}

/// Where `$` is in the array, if the filter says it.
fn position(of: &Value, filter: &Value, array: &str) -> Option<usize> {
    let path = format!("{array}.$");
    let after = updated(of, filter, &json!({ "$set": { path: "here" } }), &Value::Null).ok()?;
    let pointer = format!("/{}", array.replace('.', "/"));
    after.pointer(&pointer)?.as_array()?.iter().position(|item| item == "here")
}

#[test]
fn the_position_is_that_of_the_first_element_that_matched() {
    let lines =
        json!({ "a": [{ "sku": "x", "n": 1 }, { "sku": "y", "n": 5 }, { "sku": "y", "n": 9 }] });
    let numbers = json!({ "a": [1, 5, [7, 8], 9, 5], "b": [5, 6] });
    let nested = json!({ "a": [{ "b": [1, 2] }, { "b": [3, { "c": 4 }] }], "o": { "p": [1, 2] } });
    let arrays = json!({ "a": [[1, 2], [3, 4]], "n": [{}, { "x": null }] });
    for (of, filter, array, wanted) in [
        (&lines, json!({ "a.sku": "y" }), "a", Some(1)),
        (&lines, json!({ "a": { "sku": "y", "n": 9 } }), "a", Some(2)),
        (&lines, json!({ "a": { "$elemMatch": { "sku": "y", "n": { "$gt": 5 } } } }), "a", Some(2)),
        (&lines, json!({ "a.n": { "$gte": 5 } }), "a", Some(1)),
        (&lines, json!({ "a.sku": { "$in": ["z", "y"] } }), "a", Some(1)),
        (&lines, json!({ "a.sku": { "$regex": "^Y", "$options": "i" } }), "a", Some(1)),
        (&lines, json!({ "a.n": { "$mod": [9, 0] } }), "a", Some(2)),
        (&lines, json!({ "a.1.n": 5 }), "a", Some(1)),
        (&lines, json!({ "a.1": { "$exists": true } }), "a", Some(1)),
        // The last of several conditions on the array.
        (&lines, json!({ "a.sku": "y", "a.n": 1 }), "a", Some(0)),
        (&lines, json!({ "$and": [{ "a.n": 9 }, { "$and": [{ "a.sku": "x" }] }] }), "a", Some(0)),
        (&lines, json!({ "a.sku": { "$all": ["x", "y"] } }), "a", Some(1)),
        (&lines, json!({ "$or": [{ "a.sku": "y" }] }), "a", Some(1)),
        // Negations, and one of several, are by no element.
        (&lines, json!({ "$or": [{ "a.sku": "y" }, { "b": 1 }] }), "a", None),
        (&lines, json!({ "a.sku": { "$ne": "z" } }), "a", None),
        (&lines, json!({ "a.sku": { "$nin": ["z"] } }), "a", None),
        (&lines, json!({ "a.n": { "$not": { "$gt": 100 } } }), "a", None),
        (&lines, json!({ "$nor": [{ "a.sku": "z" }] }), "a", None),
        (&lines, json!({ "a.z": { "$exists": false } }), "a", None),
        (&lines, json!({ "a": { "$size": 3 } }), "a", None),
        (&lines, json!({ "a.sku": { "$ne": "z" }, "a.n": 5 }), "a", Some(1)),
        (&numbers, json!({ "a": 5 }), "a", Some(1)),
        (&numbers, json!({ "a": { "$gt": 5 } }), "a", Some(3)),
        (&numbers, json!({ "a": [7, 8] }), "a", Some(2)),
        (&numbers, json!({ "a": { "$elemMatch": { "$gt": 1, "$lt": 9 } } }), "a", Some(1)),
        (&numbers, json!({ "a": { "$elemMatch": { "$elemMatch": { "$eq": 8 } } } }), "a", Some(2)),
        (&numbers, json!({ "a": [1, 5, [7, 8], 9, 5] }), "a", None),
        // Each array has its own condition.
        (&numbers, json!({ "b": 6, "a": 5 }), "b", Some(1)),
        (&numbers, json!({ "a": 5 }), "b", None),
        (&numbers, json!({}), "a", None),
        // Through the outer array, or in the inner one that the path names.
        (&nested, json!({ "a.b": 3 }), "a", Some(1)),
        (&nested, json!({ "a.b.c": 4 }), "a", Some(1)),
        (&nested, json!({ "a.b.c": 4 }), "a.1.b", Some(1)),
        (&nested, json!({ "a.b.c": 4 }), "a.0.b", None),
        (&nested, json!({ "a.1.b": 3 }), "a.1.b", Some(0)),
        (&nested, json!({ "a.b": { "$elemMatch": { "c": 4 } } }), "a", Some(1)),
        (&nested, json!({ "o.p": 2 }), "o.p", Some(1)),
        (&nested, json!({ "o": { "$exists": true } }), "o.p", None),
        (&arrays, json!({ "a.1": [3, 4] }), "a", Some(1)),
        (&arrays, json!({ "a.1.0": 3 }), "a", Some(1)),
        (&arrays, json!({ "a.1.1": 4 }), "a.1", Some(1)),
        (&arrays, json!({ "a.1.7": null }), "a.1", None),
        (&arrays, json!({ "a.1": { "$elemMatch": { "$eq": 4 } } }), "a.1", Some(1)),
        (&arrays, json!({ "n.x": null }), "n", Some(0)),
        (&arrays, json!({ "a": { "$exists": true } }), "missing", None),
    ] {
        assert_eq!(position(of, &filter, array), wanted, "{array} of {of}, found by {filter}");
    }
}

/// The paths of the arrays in a value.
fn arrays(value: &Value, at: &str, found: &mut Vec<String>) {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| arrays(value, &below(name), found));
        }
        Value::Array(items) => {
            found.push(at.to_owned());
            let items = items.iter().enumerate();
            items.for_each(|(index, item)| arrays(item, &below(&index.to_string()), found));
        }
        _ => {}
    }
}

/// A path into the array that may leave out positions, and may go on.
fn path_into(array: &str, random: &mut Random) -> String {
    let mut parts: Vec<&str> = array.split('.').collect();
    parts.retain(|part| part.parse::<usize>().is_err() || random.one_in(2));
    while random.one_in(2) {
        parts.push(generate::name(random));
    }
    if parts.is_empty() { array.to_owned() } else { parts.join(".") }
}

/// With fewer elements the position is the same while the element is there, and there is none without it; and it is
/// the least number of elements, less one, with which the document matches at all.
#[test]
fn the_position_holds_for_random_documents_and_conditions() {
    let mut random = Random(0x0dd_ba11_5eed_cafe);
    let (mut found, mut through) = (0, 0);
    for number in 0..10_000 {
        let of = Value::Object(generate::document(&mut random, number));
        let scalar = match generate::scalar(&mut random) {
            Value::Null => continue,
            scalar => scalar,
        };
        let condition = match random.below(5) {
            0 => json!({ "$in": [scalar, "a"] }),
            1 => json!({ "$gte": scalar }),
            2 => json!({ "$regex": "a" }),
            3 => json!({ "$elemMatch": { "$lte": scalar } }),
            _ => scalar,
        };
        let mut all = Vec::new();
        arrays(&of, "", &mut all);
        if all.is_empty() {
            continue;
        }
        let array = random.pick(&all).clone();
        let filter = json!({ path_into(&array, &mut random): condition });
        let matches = |of: &Value| Filter::parse(&filter).unwrap().matches(&document(of.clone()));
        let pointer = format!("/{}", array.replace('.', "/"));
        let length = of.pointer(&pointer).and_then(Value::as_array).map_or(0, Vec::len);
        let shorter = |length: usize| {
            let mut of = of.clone();
            if let Some(Value::Array(items)) = of.pointer_mut(&pointer) {
                items.truncate(length);
            }
            of
        };
        let at = position(&of, &filter, &array);
        let case = format!("{array} of {of}, found by {filter}");
        if let Some(at) = at {
            found += 1;
            assert!(matches(&of), "{case}");
            assert_eq!(position(&shorter(at + 1), &filter, &array), Some(at), "{case}");
            assert_eq!(position(&shorter(at), &filter, &array), None, "{case}");
        }
        if matches(&of) && !matches(&shorter(0)) {
            through += 1;
            let least = (1..=length).find(|length| matches(&shorter(*length)));
            assert_eq!(at, least.map(|least| least - 1), "{case}");
        }
    }
    assert!(found > 300 && through > 300, "{found} found, {through} through the array");
}

#[test]
fn operators_change_the_elements_that_are_meant() {
    let a = |items: Value| json!({ "a": items });
    let none = Value::Null;
    let is_5 = json!({ "a": 5 });
    let is_b5 = json!({ "a.b": 5 });
    let all = json!({});
    for (filter, update, filters, of, wanted) in [
        (&is_5, json!({ "$set": { "a.$": 0 } }), &none, a(json!([1, 5, 5])), a(json!([1, 0, 5]))),
        (&is_5, json!({ "$inc": { "a.$": 2 } }), &none, a(json!([1, 5])), a(json!([1, 7]))),
        (&is_5, json!({ "$unset": { "a.$": 1 } }), &none, a(json!([1, 5])), a(json!([1, null]))),
        (&is_5, json!({ "$max": { "a.$": 9 } }), &none, a(json!([5])), a(json!([9]))),
        (&is_5, json!({ "$bit": { "a.$": { "xor": 1 } } }), &none, a(json!([5])), a(json!([4]))),
        (
            &is_b5,
            json!({ "$set": { "a.$.c.d": 1 }, "$mul": { "a.$.b": 2 }, "$push": { "a.$.e": 7 } }),
            &none,
            a(json!([{}, { "b": 5 }])),
            a(json!([{}, { "b": 10, "c": { "d": 1 }, "e": [7] }])),
        ),
        (
            &is_b5,
            json!({ "$pull": { "a.$.c": { "$lt": 3 } }, "$unset": { "a.$.b": 1 } }),
            &none,
            a(json!([{ "b": 5, "c": [1, 3] }, { "c": [1] }])),
            a(json!([{ "c": [3] }, { "c": [1] }])),
        ),
        // The position is that before the update, whatever else it does.
        (
            &json!({ "a": 5, "old": [1] }),
            json!({ "$rename": { "old": "new" }, "$set": { "a.$": 6, "a.3": 9 } }),
            &none,
            json!({ "a": [5], "old": [1] }),
            json!({ "a": [6, null, null, 9], "new": [1] }),
        ),
        (
            &is_b5,
            json!({ "$set": { "a.$.c.$[].d": 0 } }),
            &none,
            a(json!([{ "b": 5, "c": [{ "d": 1 }, {}] }])),
            a(json!([{ "b": 5, "c": [{ "d": 0 }, { "d": 0 }] }])),
        ),
        (&all, json!({ "$inc": { "a.$[]": 1 } }), &none, a(json!([1, 2])), a(json!([2, 3]))),
        (&all, json!({ "$inc": { "a.$[]": 1 } }), &none, a(json!([])), a(json!([]))),
        (
            &all,
            json!({ "$unset": { "a.$[]": 1 } }),
            &none,
            a(json!([1, 2])),
            a(json!([null, null])),
        ),
        (
            &all,
            json!({ "$set": { "a.$[].$[]": 0 } }),
            &none,
            a(json!([[1], [], [2, 3]])),
            a(json!([[0], [], [0, 0]])),
        ),
        (
            &all,
            json!({ "$addToSet": { "a.$[].t": "x" }, "$pop": { "a.$[].b": 1 } }),
            &none,
            a(json!([{ "t": ["x"], "b": [1, 2] }, {}])),
            a(json!([{ "t": ["x"], "b": [1] }, { "t": ["x"] }])),
        ),
        (
            &all,
            json!({ "$setOnInsert": { "a.$[]": 1, "z.$[]": 1 } }),
            &none,
            a(json!([2])),
            a(json!([2])),
        ),
        (
            &all,
            json!({ "$set": { "a.$[big]": 10 } }),
            &json!([{ "big": { "$gt": 10 } }]),
            a(json!([1, 20, "30", 30])),
            a(json!([1, 10, "30", 10])),
        ),
        (
            &all,
            json!({ "$inc": { "a.$[x].n": 1, "a.$[y1].m": 1 } }),
            &json!([{ "x.k": 1, "x.n": { "$lt": 5 } }, { "$or": [{ "y1.k": 2 }, { "y1.n": 9 }] }]),
            a(json!([{ "k": 1, "n": 1 }, { "k": 1, "n": 9 }, { "k": 2 }, 5])),
            a(json!([{ "k": 1, "n": 2 }, { "k": 1, "n": 9, "m": 1 }, { "k": 2, "m": 1 }, 5])),
        ),
        (
            &all,
            json!({ "$set": { "a.$[x].b.$[y]": 0 } }),
            &json!([{ "x.k": { "$ne": 1 } }, { "y": { "$in": [1, 2] } }]),
            a(json!([{ "k": 1, "b": [1] }, { "b": [1, 2, 3] }])),
            a(json!([{ "k": 1, "b": [1] }, { "b": [0, 0, 3] }])),
        ),
        // A filter sees an element as it would a field of that name: it looks into arrays.
        (
            &all,
            json!({ "$set": { "a.$[x]": 0 } }),
            &json!([{ "x": 5 }]),
            a(json!([[4, 5], 5, [[5]]])),
            a(json!([0, 0, [[5]]])),
        ),
        (
            &all,
            json!({ "$set": { "a.$[x]": 0 } }),
            &json!([{ "x.n": { "$exists": false }, "$comment": "for the log" }]),
            a(json!([{ "n": 1 }, { "m": 1 }, [{ "n": 1 }]])),
            a(json!([{ "n": 1 }, 0, [{ "n": 1 }]])),
        ),
        (
            &all,
            json!({ "$set": { "a.$[x]": 0 } }),
            &json!([{ "$nor": [{ "x": { "$type": "number" } }] }]),
            a(json!([1, "1"])),
            a(json!([1, 0])),
        ),
        (
            &all,
            json!({ "$set": { "a.$[x]": 0 } }),
            &json!([{ "x": { "$all": [] } }]),
            a(json!([1])),
            a(json!([1])),
        ),
        (&all, json!({ "$set": { "b": 1 } }), &json!([]), json!({}), json!({ "b": 1 })),
    ] {
        let case = format!("{update} with {filters} of {of}, found by {filter}");
        assert_eq!(updated(&of, filter, &update, filters), Ok(wanted), "{case}");
    }
}

#[test]
fn what_has_no_elements_is_refused() {
    let none = Value::Null;
    let of = json!({ "_id": "1", "a": [1, 5, 5], "b": [{ "c": [1] }, {}], "n": 1, "o": {} });
    let five = json!({ "a": 5 });
    let set = |path: &str| json!({ "$set": { path: 0 } });
    let x = |condition: Value| json!([condition]);
    let many: Value = (0..101).map(|n| json!({ format!("x{n}"): 1 })).collect();
    let wide: Value = (0..1001).collect();
    for (filter, update, filters, named) in [
        (&json!({}), set("a.$"), &none, "a.$"),
        (&json!({ "a": { "$ne": 7 } }), set("a.$"), &none, "$not"),
        (&json!({ "n": 1 }), set("n.$"), &none, "n.$"),
        (&five, set("z.$"), &none, "z.$"),
        (&five, set("a.$.c"), &none, "a.1.c"),
        (&five, set("a.$.$"), &none, "behind"),
        (&five, set("b.$[].c.$"), &none, "behind"),
        (&five, set("$"), &none, "begins with $"),
        (&five, set("$.a"), &none, "begins with $"),
        (&five, set("$[].a"), &none, "begins with $"),
        (&five, set("a.$x"), &none, "begins with $"),
        (&five, set("a.$["), &none, "begins with $"),
        (&five, set("a.$[x]y"), &none, "begins with $"),
        (&five, json!({ "$set": { "a.$": 0, "a.1": 0 } }), &none, "conflict"),
        (&five, json!({ "$set": { "a.$": 0 }, "$inc": { "a.$[]": 0 } }), &none, "conflict"),
        (&five, json!({ "$set": { "a.$": 0 }, "$push": { "a": 0 } }), &none, "conflict"),
        (&five, json!({ "$rename": { "a.$": "z" } }), &none, "$rename"),
        (&five, json!({ "$rename": { "n": "a.$[]" } }), &none, "begins with $"),
        (&five, set("z.$[]"), &none, "nothing"),
        (&five, set("n.$[]"), &none, "a number"),
        (&five, set("o.$[].x"), &none, "an object"),
        (&five, set("b.$[].c.$[]"), &none, "b.1.c"),
        (&five, set("a.$[].x"), &none, "a.0.x"),
        (&five, set("a.$[x]"), &none, "no array filter \"x\""),
        (&five, set("a.$[X]"), &none, "lower-case"),
        (&five, set("a.$[x_y]"), &none, "lower-case"),
        (&five, set("n"), &x(json!({ "x": 1 })), "not used"),
        (&five, set("a.$[x]"), &x(json!({ "x": 1, "y": 2 })), "one name"),
        (&five, set("a.$[x]"), &x(json!({ "$or": [{ "x": 1 }, { "y": 2 }] })), "one name"),
        (&five, set("a.$[x]"), &x(json!({})), "needs a condition"),
        (&five, set("a.$[x]"), &x(json!({ "$comment": [{ "x": 1 }] })), "needs a condition"),
        (&five, set("a.$[x]"), &x(json!({ "X": 1 })), "lower-case"),
        (&five, set("a.$[x]"), &x(json!({ "x": { "$near": [0, 0] } })), "$near"),
        (&five, set("a.$[x]"), &x(json!({ "x": { "$what": 1 } })), "$what"),
        (&five, set("a.$[x]"), &x(json!("x")), "a query is an object"),
        (&five, set("a.$[x]"), &json!([{ "x": 1 }, { "x.y": 1 }]), "two array filters"),
        (&five, set("a.$[x]"), &json!({ "x": 1 }), "a list"),
        (&five, json!({ "n": 2 }), &x(json!({ "x": 1 })), "a whole document"),
        (&five, set("a.$[x]"), &many, "100 array filters"),
        (&five, set("a.$[x]"), &x(json!({ "x": { "$in": wide } })), "1000 conditions"),
    ] {
        let error = updated(&of, filter, &update, filters).expect_err(&update.to_string());
        assert!(error.contains(named), "{update} with {filters}: {error}");
    }
}

#[test]
fn what_one_update_does_to_elements_is_bounded() {
    let long = json!({ "a": vec![0; 10_000] });
    let all = json!({});
    let of = |update: Value| updated(&long, &all, &update, &Value::Null);
    assert_eq!(of(json!({ "$inc": { "a.$[]": 1 } })), Ok(json!({ "a": vec![1; 10_000] })));
    let longer = json!({ "a": vec![0; 10_001] });
    let error = updated(&longer, &all, &json!({ "$inc": { "a.$[]": 1 } }), &Value::Null);
    assert!(error.as_ref().is_err_and(|error| error.contains("10000 elements")), "{error:?}");
    // All paths together, and what a filter turns away.
    let half = json!({ "a": vec![json!({}); 5_001] });
    let twice = json!({ "$set": { "a.$[x].b": 1, "a.$[x].c": 1 } });
    let error = updated(&half, &all, &twice, &json!([{ "x": 7 }]));
    assert!(error.as_ref().is_err_and(|error| error.contains("10000 elements")), "{error:?}");

    let text = "x".repeat(500);
    for update in [
        json!({ "$set": { "a.$[]": text } }),
        json!({ "$max": { "a.$[]": text } }),
        json!({ "$setOnInsert": { "n": 1 }, "$min": { "a.$[]": [text] } }),
    ] {
        let error = of(update.clone());
        assert!(error.as_ref().is_err_and(|error| error.contains("4 MiB")), "{update}: {error:?}");
    }
    let objects = json!({ "a": vec![json!({ "b": [] }); 1_000] });
    let fields = format!("a.$[].{}", vec!["y".repeat(50); 9].join("."));
    let longs: serde_json::Map<String, Value> =
        (0..10).map(|n| (format!("{fields}{n}"), json!(1))).collect();
    for update in [
        json!({ "$push": { "a.$[].b": { "$each": vec![0; 5_000] } } }),
        json!({ "$addToSet": { "a.$[].b": { "$each": [text, "y".repeat(5_000)] } } }),
        json!({ "$set": { "a.$[].b.9999": 1 } }),
        json!({ "$set": longs }),
    ] {
        let error = updated(&objects, &all, &update, &Value::Null);
        assert!(error.as_ref().is_err_and(|error| error.contains("4 MiB")), "{update}: {error:?}");
    }
    // Once is what the request has brought itself.
    let one = json!({ "a": [1] });
    let big = "x".repeat(5 << 20);
    let update = json!({ "$set": { "a.$[]": big } });
    assert!(updated(&one, &all, &update, &Value::Null).is_ok());
}

#[test]
fn an_upsert_has_the_elements_of_its_equalities_only() {
    let made = |filter: Value, update: Value, filters: Value| {
        let filter = Filter::parse(&filter).unwrap();
        let update = Update::parse_filtered(&update, &filters).unwrap();
        update.on_insert(&filter).map(Value::Object).map_err(|error| error.to_string())
    };
    let all = json!({ "$inc": { "a.$[]": 1 }, "$setOnInsert": { "b.$[x]": 0 } });
    let filters = json!([{ "x": { "$gt": 1 } }]);
    assert_eq!(
        made(json!({ "a": [1, 2], "b": [1, 2] }), all.clone(), filters.clone()),
        Ok(json!({ "a": [2, 3], "b": [1, 0] }))
    );
    let error = made(json!({ "a": [1] }), all, filters).unwrap_err();
    assert!(error.contains("b.$[x]") && error.contains("nothing"), "{error}");
    let error = made(json!({ "a": 1 }), json!({ "$set": { "a.$": 2 } }), Value::Null).unwrap_err();
    assert!(error.contains("upsert"), "{error}");
}
