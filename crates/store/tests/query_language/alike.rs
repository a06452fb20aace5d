//! Places and patterns: computed by different engines, with the same results.

use lode_store::query::{Filter, Query};
use serde_json::json;

use crate::support::postgres::Postgres;
use crate::support::{Sqlite, document};

#[test]
fn the_nearest_come_first() {
    let places: Vec<_> = (0..200)
        .map(|n| {
            let (x, y) = (f64::from(n * 37 % 200) / 10.0, f64::from(n * 91 % 170) / 10.0);
            let place = if n % 3 == 0 { json!({"type": "Point", "coordinates": [x, y]}) } else { json!([x, y]) };
            document(json!({"_id": format!("id{n:03}"), "_geoloc": if n % 50 == 1 { json!("here") } else { place }}))
        })
        .collect();
    let (sqlite, postgres) = (Sqlite::new(&places), Postgres::new(&places));
    for filter in [
        json!({"_geoloc": {"$nearSphere": [3.1, 4.1]}}),
        json!({"_geoloc": {"$nearSphere": [3.1, 4.1], "$maxDistance": 300.5, "$minDistance": 20.5}}),
        json!({"_geoloc": {"$near": [3.1, 4.1], "$maxDistance": 5.05}, "_id": {"$gt": "id020"}}),
        json!({"_geoloc": {"$near": {"$geometry": {"type": "Point", "coordinates": [3.1, 4.1]}}}}),
    ] {
        let parsed = Filter::parse(&filter).unwrap();
        let wanted = places.iter().filter(|place| parsed.matches(place)).count();
        let query = Query { filter: parsed, limit: Some(150), ..Query::default() };
        let found = sqlite.ids(&query);
        assert_eq!(found, postgres.ids(&query), "{filter}");
        assert_eq!(found.len(), wanted.min(150), "{filter}");
        assert_ne!(
            found,
            {
                let mut sorted = found.clone();
                sorted.sort();
                sorted
            },
            "{filter}"
        );
    }
}

/// Only so many conditions side by side are given to indexes; the rest must hold, too.
#[test]
fn no_id_condition_is_dropped_however_many_there_are() {
    let documents: Vec<_> = ["a", "b"].map(|id| document(json!({"_id": id}))).into();
    let (sqlite, postgres) = (Sqlite::new(&documents), Postgres::new(&documents));
    for count in [1, 16, 17, 40] {
        let mut parts = vec![json!({"_id": {"$in": ["a", "b"]}}); count];
        parts.push(json!({"_id": "b"}));
        let filter = Filter::parse(&json!({"$and": parts})).unwrap();
        let query = Query { filter, ..Query::default() };
        assert_eq!(sqlite.ids(&query), ["b"], "{count}");
        assert_eq!(postgres.ids(&query), ["b"], "{count}");
    }
}

/// A pattern means the same to both engines, whatever it is made of.
#[test]
fn patterns_mean_the_same() {
    let texts = [
        "",
        "a",
        "A",
        "ab",
        "aB\nb",
        "\n",
        "é",
        "É",
        "ß",
        "ſ",
        "k",
        "\u{212A}",
        "\u{663}",
        "a-b",
        "a_b",
        "[x]",
        "\\",
        "a.b",
        "x\u{1F600}y",
        "\u{FFFD}",
        "\u{7f}",
        "\t",
        "aaaa",
        "foo bar",
        "'\"",
        "$^",
        "\u{2028}",
        "\u{E000}",
        "ab12",
    ];
    let documents: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| document(json!({"_id": format!("id{n:02}"), "a": text})))
        .collect();
    let (sqlite, postgres) = (Sqlite::new(&documents), Postgres::new(&documents));
    for pattern in [
        "",
        "^$",
        "^.$",
        "a*b",
        "a+?",
        "(a|b)+$",
        "(?:ab){2,3}|x",
        "[a-c]",
        "[^a-c]",
        "[[:alpha:]]",
        r"\.",
        r"\\",
        r"[\]\[]",
        r"\w\W\w",
        r"\s",
        r"^\S+$",
        r"\d{2}",
        r"\bb\b",
        "^b",
        "b$",
        "k",
        "ss",
        r"\x41",
        r"\u00e9",
        r"\p{Lu}",
        r"\p{Greek}",
        "'",
        "\"",
        r"\$\^",
        r"[\u{1F600}]",
        r"\t|\n",
        "a{0}",
        "(?i)AB",
        r"[^\n]",
        ".",
        r"\A",
        r"\z",
        "[a&&b]",
        "()",
        "a||b",
        r"[\D]",
        r"(?:\d|\D)",
        "(?s).b",
    ] {
        for options in ["", "i", "m", "s", "im", "x"] {
            let source = json!({"a": {"$regex": pattern, "$options": options}});
            let filter = Filter::parse(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
            let query = Query { filter, ..Query::default() };
            assert_eq!(sqlite.ids(&query), postgres.ids(&query), "{source}");
        }
    }
}
