//! What scripts do with their app's documents: by host calls, and from the engine to a store and back.

use std::time::{Duration, Instant};

use lode_child::protocol::HostCall;
use lode_sandbox::{
    Engine, EngineOptions, Host, HostReply, Invocation, Limits as RunLimits, Outcome, Snapshot,
    Source, deploy_limits, random_seed, run,
};
use lode_store::{AppRecord, Credential, Store};
use lode_worker::broker::{AppContext, Broker, MAX_ANSWER, Options, Origin};
use serde_json::value::RawValue;
use serde_json::{Value, json};

struct World {
    broker: Broker,
    store: Store,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&format!("sqlite:{}", folder.path().display())).await.expect("a store");
    for key in ["kid_a", "kid_b"] {
        let app = AppRecord {
            key: key.into(),
            name: key.into(),
            app_secret_hash: [0; 32],
            master_secret_hash: [0; 32],
            settings: json!({}),
            scheduled: false,
            active: None,
            created_ms: 0,
        };
        store.create_app(&app).await.expect("an app");
    }
    let options = Options { store: Some(store.clone()), ..Options::default() };
    World { broker: Broker::new(options).expect("a broker"), store, _folder: folder }
}

impl World {
    async fn ask(&self, app: &str, what: &str, args: Value) -> Result<Value, (String, String)> {
        let args = RawValue::from_string(args.to_string()).expect("JSON");
        let call = HostCall { id: 1, name: what.into(), args };
        let deadline = Instant::now() + Duration::from_secs(60);
        match self.broker.answer(&AppContext::new(app), &Origin::default(), call, deadline).await {
            Ok(answer) => Ok(serde_json::from_str(answer.get()).expect("JSON")),
            Err(error) => Err((error.name, error.message)),
        }
    }

    async fn data(&self, what: &str, mut args: Value) -> Result<Value, (String, String)> {
        if args.get("collection").is_none() {
            args["collection"] = "c".into();
        }
        self.ask("kid_a", &format!("data.{what}"), args).await
    }

    async fn ok(&self, what: &str, args: Value) -> Value {
        let shown = args.to_string();
        self.data(what, args).await.unwrap_or_else(|error| panic!("{what} {shown}: {error:?}"))
    }

    async fn err(&self, what: &str, args: Value) -> (String, String) {
        self.data(what, args).await.expect_err("it is refused")
    }
}

fn ids(documents: &Value) -> Vec<&str> {
    documents.as_array().expect("a list").iter().filter_map(|d| d["_id"].as_str()).collect()
}

#[tokio::test]
async fn documents_are_inserted_with_their_metadata_and_found() {
    let world = world().await;
    let documents = json!([{ "_id": "a", "n": 1 }, { "n": 2, "_acl": { "gr": true } },
        { "_id": "c", "n": 3, "_acl": { "creator": "me" }, "_kmd": { "ect": "then" } }]);
    let made = world.ok("insert", json!({ "documents": documents, "creator": "u1" })).await;
    assert_eq!(made[0]["_acl"], json!({ "creator": "u1" }));
    assert_eq!(made[0]["_kmd"]["ect"], made[0]["_kmd"]["lmt"]);
    assert_eq!(made[1]["_id"].as_str().map(str::len), Some(24));
    assert_eq!(made[1]["_acl"], json!({ "gr": true, "creator": "u1" }));
    assert_eq!(made[2]["_acl"], json!({ "creator": "me" }));
    assert_eq!(made[2]["_kmd"]["ect"], "then");

    let found = world.ok("find", json!({})).await;
    assert_eq!(found.as_array().map(Vec::len), Some(3));
    let options = json!({ "sort": { "n": -1 }, "limit": 1, "skip": "1", "fields": ["n"] });
    let found =
        world.ok("find", json!({ "query": { "n": { "$gt": 1 } }, "options": options })).await;
    assert_eq!((found[0]["n"].clone(), found.as_array().map(Vec::len)), (json!(2), Some(1)));
    assert_eq!(world.ok("findOne", json!({ "query": { "_id": "a" } })).await, made[0]);
    assert_eq!(world.ok("findOne", json!({ "query": { "_id": "x" } })).await, Value::Null);
    assert_eq!(world.ok("count", json!({ "query": { "n": { "$lt": 3 } } })).await, 2);
    assert_eq!(
        world.ok("distinct", json!({ "field": "n", "query": { "n": { "$gt": 1 } } })).await,
        json!([2, 3])
    );
    let count = "function (doc, out) { out.result++; }";
    let group =
        json!({ "key": { "_acl.creator": true }, "initial": { "result": 0 }, "reduce": count });
    assert_eq!(world.ok("group", group).await.as_array().map(Vec::len), Some(2));
    let elsewhere = json!({ "collection": "unknown" });
    assert_eq!(world.ok("find", elsewhere.clone()).await, json!([]));
    assert_eq!(world.ok("count", elsewhere.clone()).await, 0);
    assert_eq!(world.ok("collectionExists", elsewhere).await, false);
    assert_eq!(world.ok("collectionExists", json!({})).await, true);
    assert_eq!(world.ok("collectionExists", json!({ "collection": "user" })).await, true);
}

#[tokio::test]
async fn an_app_has_its_own_documents_only() {
    let world = world().await;
    world.ok("insert", json!({ "documents": [{ "_id": "a" }] })).await;
    let others = json!({ "collection": "c" });
    assert_eq!(world.ask("kid_b", "data.find", others.clone()).await, Ok(json!([])));
    assert_eq!(world.ask("kid_b", "data.remove", others.clone()).await, Ok(json!(0)));
    let named = json!({ "collection": "c", "app": "kid_a" });
    assert_eq!(world.ask("kid_b", "data.find", named).await.expect_err("refused").0, "TypeError");
    assert_eq!(world.ok("count", json!({})).await, 1);
}

#[tokio::test]
async fn documents_are_changed_and_their_times_kept() {
    let world = world().await;
    let old = json!({ "_id": "a", "n": 1, "_kmd": { "ect": "then", "lmt": "then" } });
    world.ok("insert", json!({ "documents": [old], "creator": "u1" })).await;

    let saved =
        world.ok("save", json!({ "document": { "_id": "a", "n": 2 }, "creator": "u2" })).await;
    assert_eq!((&saved["_acl"]["creator"], &saved["_kmd"]["ect"]), (&json!("u1"), &json!("then")));
    assert_ne!(saved["_kmd"]["lmt"], "then");
    let made = world.ok("save", json!({ "document": { "n": 5 }, "creator": "u2" })).await;
    assert_eq!(made["_acl"]["creator"], "u2");

    let set =
        json!({ "query": { "_id": "a" }, "update": { "$inc": { "n": 10 } }, "creator": "u3" });
    assert_eq!(
        world.ok("update", set).await,
        json!({ "matched": 1, "modified": 1, "upserted": null })
    );
    let many = json!({ "update": { "$set": { "m": 1 } }, "options": { "multi": true } });
    assert_eq!(world.ok("update", many).await["matched"], 2);
    let upsert = json!({ "query": { "_id": "new" }, "update": { "$set": { "x": 1 } }, "options": { "upsert": true }, "creator": "u3" });
    assert_eq!(world.ok("update", upsert).await["upserted"], "new");
    let new = world.ok("findOne", json!({ "query": { "_id": "new" } })).await;
    assert_eq!(new["_acl"], json!({ "creator": "u3" }));
    assert_eq!(new["_kmd"]["ect"], new["_kmd"]["lmt"]);

    let replace = json!({ "query": { "_id": "a" }, "update": { "only": true } });
    assert_eq!(world.ok("update", replace).await["matched"], 1);
    let replaced = world.ok("findOne", json!({ "query": { "_id": "a" } })).await;
    assert_eq!((&replaced["n"], &replaced["_acl"]["creator"]), (&Value::Null, &json!("u1")));
    assert_eq!(replaced["_kmd"]["ect"], "then");
    let nothing = json!({ "query": { "_id": "none" }, "update": { "x": 1 } });
    assert_eq!(world.ok("update", nothing).await["matched"], 0);
    let upsert = json!({ "query": { "_id": "r" }, "update": { "x": 1 }, "options": { "upsert": true }, "creator": "u" });
    assert_eq!(world.ok("update", upsert).await["upserted"], "r");

    let take = json!({ "query": { "n": 5 }, "sort": [["n", 1]], "update": { "$set": { "taken": true } }, "options": { "new": true } });
    assert_eq!(world.ok("findAndModify", take).await["taken"], true);
    let take = json!({ "query": { "n": 5 }, "options": { "remove": true, "fields": { "n": 1 } } });
    assert_eq!(world.ok("findAndModify", take.clone()).await["n"], 5);
    assert_eq!(world.ok("findAndModify", take).await, Value::Null);
    assert_eq!(world.ok("remove", json!({ "options": { "single": true } })).await, 1);
    assert_eq!(world.ok("remove", json!({})).await, 2);
}

#[tokio::test]
async fn elements_of_arrays_are_changed() {
    let world = world().await;
    let lines = json!([{ "sku": "x", "n": 1 }, { "sku": "y", "n": 2 }, { "sku": "y", "n": 3 }]);
    world.ok("insert", json!({ "documents": [{ "_id": "a", "lines": lines }] })).await;
    let one = json!({ "query": { "lines.sku": "y" }, "update": { "$inc": { "lines.$.n": 10 } } });
    assert_eq!(world.ok("update", one).await["modified"], 1);
    let named = json!({ "update": { "$set": { "lines.$[few].n": 0 } }, "options":
        { "multi": true, "upsert": false, "arrayFilters": [{ "few.n": { "$lt": 3 } }] } });
    assert_eq!(world.ok("update", named).await["modified"], 1);
    let named = json!({ "query": { "lines.n": 12 }, "update": { "$set": { "lines.$[].seen": 1, "lines.$[few].n": 5 } },
        "options": { "new": true, "fields": ["lines"], "arrayFilters": [{ "few.n": 0 }] } });
    assert_eq!(
        world.ok("findAndModify", named).await["lines"],
        json!([{ "sku": "x", "n": 5, "seen": 1 }, { "sku": "y", "n": 12, "seen": 1 },
            { "sku": "y", "n": 3, "seen": 1 }])
    );
    let filters = json!({ "arrayFilters": [{ "few": 1 }] });
    let removal = json!({ "remove": true, "arrayFilters": [{ "few": 1 }] });
    let set = |path: &str| json!({ "$set": { path: 1 } });
    for (what, args, word) in [
        ("update", json!({ "update": set("lines.$") }), "lines.$"),
        ("update", json!({ "update": set("lines.$[few]") }), "no array filter"),
        ("update", json!({ "update": set("n"), "options": filters }), "not used"),
        ("update", json!({ "update": { "n": 1 }, "options": filters }), "arrayFilters"),
        (
            "update",
            json!({ "update": set("n"), "options": { "arrayFilters": { "few": 1 } } }),
            "arrayFilters",
        ),
        ("findAndModify", json!({ "update": set("n"), "options": filters }), "not used"),
        ("findAndModify", json!({ "options": removal }), "arrayFilters"),
    ] {
        let (name, message) = world.err(what, args.clone()).await;
        assert!(name == "MongoError" && message.contains(word), "{args}: {name}: {message}");
    }
    let none =
        json!({ "query": { "_id": "a" }, "update": { "n": 1 }, "options": { "arrayFilters": [] } });
    assert_eq!(world.ok("update", none).await["matched"], 1);
}

#[tokio::test]
async fn mistakes_are_errors_in_the_scripts_name() {
    let world = world().await;
    world.ok("insert", json!({ "documents": [{ "_id": "a" }] })).await;
    let twice = world.err("insert", json!({ "documents": [{ "_id": "b" }, { "_id": "a" }] })).await;
    assert_eq!(
        twice,
        ("MongoError".into(), "E11000 duplicate key error: _id \"a\" exists already".into())
    );
    assert_eq!(world.ok("count", json!({})).await, 1);
    for (what, args, word) in [
        ("find", json!({ "query": { "a": { "$nothing": 1 } } }), "$nothing"),
        ("find", json!({ "options": { "sort": { "a": 7 } } }), "sort"),
        ("count", json!({ "query": { "$or": 5 } }), "$or"),
        ("update", json!({ "update": { "$nothing": {} } }), "$nothing"),
        ("update", json!({ "update": { "a": 1 }, "options": { "multi": true } }), "operators"),
        ("findAndModify", json!({ "update": { "a": 1 } }), "operators"),
        ("save", json!({ "document": { "_id": 5 } }), "_id"),
        ("find", json!({ "collection": "_secret" }), "_secret"),
        ("insert", json!({ "collection": "_blob", "documents": [] }), "files"),
        (
            "group",
            json!({ "key": {}, "initial": {}, "reduce": "function () { evil(); }" }),
            "reduce",
        ),
    ] {
        let (name, message) = world.err(what, args).await;
        assert!(name == "MongoError" && message.contains(word), "{what}: {name}: {message}");
    }
    for args in
        [json!({ "limit": 1 }), json!({ "options": { "limit": -1 } }), json!({ "options": 5 })]
    {
        assert_eq!(world.err("find", args).await.0, "TypeError");
    }
    assert_eq!(world.err("nothing", json!({})).await.0, "NotFoundError");
    let bare = Broker::new(Options::default()).expect("a broker");
    let call = HostCall {
        id: 1,
        name: "data.find".into(),
        args: RawValue::from_string("{}".into()).expect("JSON"),
    };
    let answer =
        bare.answer(&AppContext::new("kid_a"), &Origin::default(), call, Instant::now()).await;
    assert!(answer.expect_err("refused").message.contains("without a store"));
    for call in ["email.send", "push.send", "push.broadcast"] {
        let (name, message) = world.ask("kid_a", call, json!({})).await.expect_err("refused");
        assert!(name == "NotConfiguredError" && message.starts_with("not configured"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let world = world().await;
    let big = "x".repeat(3 << 20);
    for n in 0..=MAX_ANSWER / big.len() {
        world.ok("insert", json!({ "documents": [{ "_id": n.to_string(), "big": big }] })).await;
    }
    let (name, message) = world.err("find", json!({})).await;
    assert!(name == "MongoError" && message.contains("limit"), "{name}: {message}");
    let few = world.ok("find", json!({ "options": { "limit": 2 } })).await;
    assert_eq!(ids(&few), ["0", "1"]);
    let less = world.ok("find", json!({ "options": { "fields": { "_kmd": 1 } } })).await;
    assert_eq!(less.as_array().map(Vec::len), Some(MAX_ANSWER / big.len() + 1));
}

#[tokio::test]
async fn scripts_cannot_touch_credentials() {
    let world = world().await;
    let users = |args: Value| {
        let mut args = args;
        args["collection"] = "user".into();
        args
    };
    for id in ["u1", "u2"] {
        let document = json!({ "_id": id, "username": id, "_kmd": {}, "_acl": {} });
        let document = document.as_object().expect("an object").clone();
        let credential =
            Credential { user_id: id.into(), username: id.into(), password_hash: "hash".into() };
        world.store.add_user("kid_a", &document, &credential).await.expect("a user");
    }
    let query = json!({ "_id": "u1" });
    for (what, args) in [
        ("insert", json!({ "documents": [{ "_id": "u3", "username": "u3" }] })),
        ("save", json!({ "document": { "_id": "u3" } })),
        ("save", json!({ "document": { "username": "u3" } })),
        ("save", json!({ "document": { "_id": "u1", "username": "root" } })),
        ("save", json!({ "document": { "_id": "u1", "password": "x" } })),
        ("update", json!({ "query": query, "update": { "$set": { "username": "root" } } })),
        ("update", json!({ "query": query, "update": { "$unset": { "username": 1 } } })),
        ("update", json!({ "query": query, "update": { "$rename": { "a": "username" } } })),
        ("update", json!({ "query": query, "update": { "$set": { "password.x": 1 } } })),
        ("update", json!({ "query": query, "update": { "username": "root" } })),
        (
            "update",
            json!({ "query": { "_id": "u9" }, "update": { "$set": { "a": 1 } }, "options": { "upsert": true } }),
        ),
        ("findAndModify", json!({ "query": query, "update": { "$set": { "username": "root" } } })),
        (
            "findAndModify",
            json!({ "query": { "_id": "u9" }, "update": { "$set": { "a": 1 } }, "options": { "upsert": true } }),
        ),
    ] {
        let (name, message) = world.err(what, users(args.clone())).await;
        assert!(name == "MongoError" && message.contains("scripts cannot"), "{args}: {message}");
    }
    let found = world.ok("find", users(json!({}))).await;
    assert!(!found.to_string().contains("hash"), "{found}");

    let saved = world.ok("save", users(json!({ "document": { "_id": "u1", "age": 5 } }))).await;
    assert_eq!((&saved["username"], &saved["age"]), (&json!("u1"), &json!(5)));
    let update = json!({ "query": query, "update": { "$set": { "age": 6 } } });
    assert_eq!(world.ok("update", users(update)).await["matched"], 1);

    assert_eq!(world.ok("remove", users(json!({ "query": query }))).await, 1);
    assert!(world.store.credential("kid_a", "u1").await.expect("an answer").is_none());
    assert!(world.store.credential("kid_a", "u2").await.expect("an answer").is_some());
    let take =
        json!({ "query": { "_id": "u2" }, "options": { "remove": true, "fields": { "_id": 0 } } });
    world.ok("findAndModify", users(take)).await;
    assert!(world.store.credential("kid_a", "u2").await.expect("an answer").is_none());
}

#[tokio::test]
async fn places_are_found_by_distance() {
    let world = world().await;
    let documents = json!([{ "_id": "far", "_geoloc": [10, 10] }, { "_id": "near", "_geoloc": [1, 0] }, { "_id": "none" }]);
    world.ok("insert", json!({ "documents": documents })).await;
    let found = world.ok("geoNear", json!({ "near": [0, 0] })).await;
    assert_eq!(found["ok"], 1);
    assert_eq!(found["results"][0]["dis"], 1.0);
    assert_eq!(
        (&found["results"][0]["obj"]["_id"], &found["results"][1]["obj"]["_id"]),
        (&json!("near"), &json!("far"))
    );
    let sphere = json!({ "near": [0, 0], "spherical": true, "distanceMultiplier": 6371.0, "limit": 1, "query": { "_id": { "$ne": "x" } } });
    let kilometres =
        world.ok("geoNear", sphere).await["results"][0]["dis"].as_f64().expect("a number");
    assert!((kilometres - 111.19).abs() < 0.1, "{kilometres}");
}

// ---- from the engine to the store and back ----

struct Brokered<'a>(&'a World);

impl Host for Brokered<'_> {
    async fn call(&self, call: HostCall) -> HostReply {
        let deadline = Instant::now() + Duration::from_secs(60);
        self.0.broker.answer(&AppContext::new("kid_a"), &Origin::default(), call, deadline).await
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

async fn complete(world: &World, source: &str) -> Value {
    let engine = Engine::new(EngineOptions::default()).expect("the engine");
    let (snapshot, _) =
        Snapshot::build(&engine, &[Source::entry("a.js", source)], &deploy_limits());
    let request = json!({ "backend": { "appKey": "kid_a", "authenticated": { "userId": "u1", "username": "ann" } } });
    let request = request.to_string();
    let invocation = Invocation { handler: 0, request: &request };
    let limits = RunLimits { wall: Duration::from_secs(60), ..RunLimits::default() };
    let seed = random_seed().expect("randomness");
    let report =
        run(&snapshot.expect("it builds"), &invocation, &limits, seed, &Brokered(world)).await;
    match report.outcome {
        Outcome::Completed { body: Some(body), .. } => {
            serde_json::from_str(body.get()).expect("JSON")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_kinvey_script_works_on_its_collections() {
    let world = world().await;
    let script = "function onRequest(request, response, modules) {
        var rooms = modules.collectionAccess.collection('rooms');
        var id = modules.collectionAccess.objectID();
        rooms.insert([{ name: 'Ada', free: true }, { _id: id, name: 'Bob', free: true }], function (error, docs) {
          rooms.findAndModify({ free: true }, { name: 1 }, { $set: { free: false } }, { new: true }, function (error, room) {
            rooms.find({ name: /^b/i }, { sort: [['name', 'asc']] }, function (error, found) {
              rooms.group(['free'], {}, { n: 0 }, function (doc, out) { out.n++; }, function (error, groups) {
                rooms.insert({ _id: id }, function (twice) {
                  response.complete(200, [docs.length, docs[0]._acl.creator, room.name, room.free, found.length, found[0]._id == id,
                    groups.length, twice.name, twice.code]);
                }); }); }); }); }); }";
    let expected = json!([2, "u1", "Ada", false, 1, true, 2, "MongoError", 11000]);
    assert_eq!(complete(&world, script).await, expected);
}

#[tokio::test]
async fn a_modern_handler_does_the_same_with_promises() {
    let world = world().await;
    let module = "export async function onRequest(request, context) {
        const notes = context.collectionAccess.collection('notes');
        const saved = await notes.saveAsync({ text: 'é' });
        const changed = await notes.updateAsync({ _id: saved._id }, { $push: { tags: 'a' } });
        const all = await notes.find();
        let message;
        try { await notes.findAsync({ $what: 1 }); } catch (error) { message = error.name; }
        return [changed, all.length, all[0].tags, await notes.countAsync(), await notes.distinctAsync('tags'),
          await notes.removeAsync({}), message, await context.collectionAccess.collectionExistsAsync('notes')];
      }";
    let expected = json!([1, 1, ["a"], 1, ["a"], 1, "MongoError", true]);
    assert_eq!(complete(&world, module).await, expected);
}
