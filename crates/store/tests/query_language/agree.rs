//! Random documents and random filters: SQLite, PostgreSQL and the reference evaluator give the same documents,
//! with and without indexes, and both databases in the same order.

use crate::support::Sqlite;
use crate::support::generate::{self, Random};
use crate::support::postgres::Postgres;
use lode_store::query::{Filter, Query, SortKey};
use serde_json::{Map, json};

const INDEXED: [&str; 5] = ["a", "b", "a.b", "b.0", "it's"];

#[test]
fn all_three_agree() {
    let seed = std::env::var("LODE_QUERY_SEED").ok().and_then(|seed| seed.parse().ok());
    let rounds =
        std::env::var("LODE_QUERY_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let mut random = Random(seed.unwrap_or(0x5eed_1234_5678_9abc));
    let documents: Vec<_> =
        (0..300).map(|number| generate::document(&mut random, number)).collect();
    let mut sqlite = Sqlite::new(&documents);
    let mut postgres = Postgres::new(&documents);
    let (mut found, mut refused) = (0, 0);
    for round in 0..rounds {
        if round == rounds / 2 {
            for field in INDEXED {
                sqlite.index(field);
                postgres.index(field);
            }
            postgres.batch("ANALYZE entities; SET enable_seqscan = off");
        }
        let source = generate::filter(&mut random, 2);
        let Ok(filter) = Filter::parse(&source) else {
            refused += 1;
            continue;
        };
        let wanted: Vec<String> = documents
            .iter()
            .filter(|document| filter.matches(document))
            .map(|document| document["_id"].as_str().unwrap().to_owned())
            .collect();
        found += wanted.len();
        let query = Query { filter: filter.clone(), ..Query::default() };
        assert_eq!(sqlite.ids(&query), wanted, "SQLite, round {round}: {source}");
        assert_eq!(postgres.ids(&query), wanted, "PostgreSQL, round {round}: {source}");

        let mut sort = Map::new();
        for _ in 0..random.below(3) {
            sort.insert(generate::path(&mut random), json!(if random.one_in(2) { 1 } else { -1 }));
        }
        let sort = json!(sort);
        let query = Query {
            sort: SortKey::parse(&sort).unwrap(),
            limit: (!random.one_in(3)).then(|| random.below(50)),
            skip: random.below(3) * random.below(20),
            ..query
        };
        assert_eq!(sqlite.ids(&query), postgres.ids(&query), "round {round}: {source} {sort}");
    }
    // A generator that finds nothing, or is refused, tests nothing.
    assert!(found > 20 * rounds, "{found} found");
    assert!(refused * 5 < rounds, "{refused} refused");
}
