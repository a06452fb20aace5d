//! Documents and filters that meet each other often: few names, few values, all types.

use serde_json::{Map, Value, json};

use lode_store::query::Document;

/// A small generator of numbers (xorshift): the same on every run, so a failure can be looked at again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

pub(crate) fn scalar(random: &mut Random) -> Value {
    let strings = [
        "",
        "a",
        "A",
        "b",
        "ab",
        "Ä",
        "z",
        "[",
        "[]",
        "{",
        "{}",
        "10",
        "a b",
        "a\nb",
        "\u{1F600}",
        "\u{FFFD}",
    ];
    match random.below(10) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2..=4 => json!(random.below(5) as i64 - 1),
        5 => random
            .pick(&[
                json!(0.5),
                json!(1.0),
                json!(-1.5),
                json!(1e20),
                json!(2147483648_i64),
                json!(9007199254740993_i64),
                json!(0.1),
            ])
            .clone(),
        _ => json!(random.pick(&strings)),
    }
}

pub(crate) fn name(random: &mut Random) -> &'static str {
    let names: [&'static str; 8] = ["a", "b", "c", "0", "1", "it's", "q\"\\$x", "é"];
    random.pick::<&'static str>(&names)
}

pub(crate) fn value(random: &mut Random, depth: u64) -> Value {
    match random.below(if depth == 0 { 5 } else { 9 }) {
        0..=4 => scalar(random),
        5 | 6 => {
            let mut object = Map::new();
            for _ in 0..random.below(3) {
                object.insert(name(random).into(), value(random, depth - 1));
            }
            Value::Object(object)
        }
        _ => (0..random.below(4)).map(|_| value(random, depth - 1)).collect(),
    }
}

pub(crate) fn document(random: &mut Random, number: usize) -> Document {
    let mut document = Map::new();
    document.insert("_id".into(), json!(format!("id{number:04}")));
    for _ in 0..random.below(5) {
        document.insert(name(random).into(), value(random, 3));
    }
    if random.one_in(2) {
        let (x, y) = (random.below(20) as f64 - 10.0, random.below(20) as f64 - 10.0);
        let place = if random.one_in(4) {
            json!({"type": "Point", "coordinates": [x, y]})
        } else {
            json!([x, y])
        };
        document.insert("_geoloc".into(), place);
    }
    document
}

pub(crate) fn path(random: &mut Random) -> String {
    let mut path = name(random).to_owned();
    while random.one_in(2) {
        path.push('.');
        path.push_str(name(random));
    }
    path
}

pub(crate) fn filter(random: &mut Random, depth: u64) -> Value {
    let mut filter = Map::new();
    for _ in 0..random.below(2) + 1 {
        if depth > 0 && random.one_in(4) {
            let list: Value =
                (0..random.below(2) + 1).map(|_| self::filter(random, depth - 1)).collect();
            filter.insert((*random.pick(&["$and", "$or", "$nor"])).into(), list);
        } else if random.one_in(12) {
            filter.insert("_geoloc".into(), within(random));
        } else if random.one_in(20) {
            let id = format!("id{:04}", random.below(100));
            filter.insert("_id".into(), json!({"$in": [id, 5]}));
        } else {
            filter.insert(path(random), condition(random, depth));
        }
    }
    Value::Object(filter)
}

fn condition(random: &mut Random, depth: u64) -> Value {
    if random.one_in(4) {
        return value(random, 2);
    }
    let mut operators = Map::new();
    for _ in 0..random.below(2) + 1 {
        operator(random, depth, &mut operators);
    }
    Value::Object(operators)
}

fn operator(random: &mut Random, depth: u64, operators: &mut Map<String, Value>) {
    let list =
        |random: &mut Random| -> Value { (0..random.below(3)).map(|_| value(random, 1)).collect() };
    let (name, operand) = match random.below(16) {
        0 => ("$eq", value(random, 2)),
        1 => ("$ne", value(random, 2)),
        2 => ("$gt", scalar(random)),
        3 => ("$gte", scalar(random)),
        4 => ("$lt", scalar(random)),
        5 => ("$lte", scalar(random)),
        6 => ("$in", list(random)),
        7 => ("$nin", list(random)),
        8 => ("$all", list(random)),
        9 => ("$exists", json!(random.one_in(2))),
        10 => {
            let kinds =
                ["double", "string", "object", "array", "bool", "null", "int", "long", "number"];
            ("$type", json!([random.pick(&kinds), random.pick(&kinds)]))
        }
        11 => {
            let patterns = [
                "^a",
                "a$",
                "A|b",
                "[^a]",
                ".",
                "^$",
                r"\d+",
                r"\ba\b",
                "a.b",
                r"^[\w ]{2,3}$",
                "ä",
                r"\[",
                r"\S",
                r"[^\x00-\x7f]",
            ];
            operators
                .insert("$options".into(), json!(random.pick(&["", "i", "m", "s", "is", "x"])));
            ("$regex", json!(random.pick(&patterns)))
        }
        12 => ("$size", json!(random.below(3))),
        13 => ("$mod", json!([random.below(3) + 1, random.below(2)])),
        14 if depth > 0 => ("$not", condition_object(random, depth - 1)),
        15 if depth > 0 => {
            let inner = if random.one_in(2) {
                condition_object(random, depth - 1)
            } else {
                filter(random, depth - 1)
            };
            ("$elemMatch", inner)
        }
        _ => ("$exists", json!(true)),
    };
    operators.insert(name.into(), operand);
}

fn condition_object(random: &mut Random, depth: u64) -> Value {
    let mut operators = Map::new();
    operator(random, depth, &mut operators);
    Value::Object(operators)
}

fn within(random: &mut Random) -> Value {
    // Off the grid of the documents' places: nothing is exactly on an edge.
    let mut at = || random.below(20) as f64 - 9.77;
    match at() as i64 % 4 {
        0 => json!({"$within": {"$box": [[at(), at()], [at(), at()]]}}),
        1 => json!({"$geoWithin": {"$center": [[at(), at()], 5.1234]}}),
        2 => json!({"$geoWithin": {"$centerSphere": [[at(), at()], 0.1234]}}),
        _ => {
            json!({"$within": {"$polygon": [[at(), at()], [at(), at()], [at(), at()], [at(), at()]]}})
        }
    }
}
