//! `/appdata`: entities of collections (Kinvey's REST guide, "Data Store").

use axum::response::Response;
use http::StatusCode;
use lode_store::query::{Filter, Group};
use lode_store::{Change, Document, DocumentText, RemoveHow, TOMBSTONES_KEPT};
use serde::Serialize;
use serde_json::{Value, json};

use crate::acl::{self, Access, Act};
use crate::body::{Body, check_fields};
use crate::call::{Call, Path, check_collection, check_id, json as answer};
use crate::error::{ApiError, Kind};
use crate::pipeline::{Before, Operation};
use crate::{query, time};

type Answer = Result<Response, ApiError>;

/// Entities in one request of API version 5 and up: what its SDKs send at most.
const MOST_AT_ONCE: usize = 100;

pub(crate) const FETCH: (&[&str], &[&str]) = (&["onPreFetch"], &["onPostFetch"]);
pub(crate) const INSERT: (&[&str], &[&str]) =
    (&["onPreInsert", "onPreSave"], &["onPostInsert", "onPostSave"]);
pub(crate) const UPDATE: (&[&str], &[&str]) =
    (&["onPreUpdate", "onPreSave"], &["onPostUpdate", "onPostSave"]);
pub(crate) const DELETE: (&[&str], &[&str]) = (&["onPreDelete"], &["onPostDelete"]);

/// An operation of a collection and its hooks.
pub(crate) fn operation<'a>(
    collection: &'a str,
    id: Option<&'a str>,
    (pre, post): (&'static [&'static str], &'static [&'static str]),
) -> Operation<'a> {
    Operation { collection, id, pre, post }
}

/// `GET /appdata/:app/:collection`.
pub(crate) async fn find(Path((_, collection)): Path<(String, String)>, call: Call) -> Answer {
    check_collection(&collection)?;
    fetch_all(&call, &collection).await
}

/// Answers with the entities that the parameters ask for, its hooks around.
pub(crate) async fn fetch_all(call: &Call, collection: &str) -> Answer {
    let access = call.access(collection).await?;
    let operation = operation(collection, None, FETCH);
    let params = query::as_object(&call.params)?;
    let going = match call.before(operation, Value::Null, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    let found = find_readable(call, collection, &access, &going.params).await?;
    call.after(operation, going, StatusCode::OK, &found).await
}

/// The entities that parameters ask for and the sender may read.
pub(crate) async fn find_readable(
    call: &Call,
    collection: &str,
    access: &Access,
    params: &Value,
) -> Result<Vec<DocumentText>, ApiError> {
    let mut wanted = query::read(params)?;
    wanted.filter = access.narrow(Act::Read, wanted.filter)?;
    // One more than may be, to see whether there are more.
    let limit = wanted.limit.unwrap_or(u64::MAX);
    wanted.limit = Some(limit.min(query::MOST + 1));
    let found = call.api.0.store.find(call.place(collection), &wanted).await?;
    if found.len() as u64 > query::MOST {
        return Err(ApiError::new(Kind::ResultSetSizeExceeded, "use limit and skip"));
    }
    Ok(found)
}

/// `GET /appdata/:app/:collection/:id`.
pub(crate) async fn get(
    Path((_, collection, id)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    check_collection(&collection)?;
    check_id(&id)?;
    let access = call.access(&collection).await?;
    let operation = operation(&collection, Some(&id), FETCH);
    let params = query::as_object(&call.params)?;
    let going = match call.before(operation, Value::Null, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    let found = call.api.0.store.get(call.place(&collection), &id).await?;
    let mut found = found.ok_or_else(|| ApiError::new(Kind::EntityNotFound, ""))?;
    if !access.allows(Act::Read, &found)? {
        return Err(ApiError::new(Kind::InsufficientCredentials, "the entity's ACL forbids it"));
    }
    if let Some(fields) = query::read(&going.params)?.fields {
        fields.apply(&mut found);
    }
    call.after(operation, going, StatusCode::OK, &found).await
}

/// `GET /appdata/:app/:collection/_count`.
pub(crate) async fn count(Path((_, collection)): Path<(String, String)>, call: Call) -> Answer {
    check_collection(&collection)?;
    count_readable(&call, &collection).await
}

/// How many entities the parameters ask for and the sender may read.
pub(crate) async fn count_readable(call: &Call, collection: &str) -> Answer {
    let access = call.access(collection).await?;
    let params = query::as_object(&call.params)?;
    let filter = access.narrow(Act::Read, query::read(&params)?.filter)?;
    let count = call.api.0.store.count(call.place(collection), &filter).await?;
    Ok(answer(StatusCode::OK, &json!({ "count": count })))
}

/// `POST /appdata/:app/:collection/_group`.
pub(crate) async fn group(
    Path((_, collection)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    check_collection(&collection)?;
    let access = call.access(&collection).await?;
    let mut group = Group::parse(&Value::Object(body.object()?))?;
    group.condition = access.narrow(Act::Read, group.condition)?;
    let groups = call.api.0.store.group(call.place(&collection), &group).await?;
    Ok(answer(StatusCode::OK, &groups))
}

#[derive(Serialize)]
struct DeltaSet {
    changed: Vec<DocumentText>,
    deleted: Vec<Value>,
}

/// `GET /appdata/:app/:collection/_deltaset?since=…`: what changed and what went since a time, of what
/// the sender may, or might, read.
pub(crate) async fn delta_set(Path((_, collection)): Path<(String, String)>, call: Call) -> Answer {
    check_collection(&collection)?;
    let access = call.access(&collection).await?;
    let since = call.params.get("since");
    let since = since.ok_or_else(|| ApiError::new(Kind::MissingRequestParameter, "since"))?;
    let wrong = || ApiError::new(Kind::ParameterValueOutOfRange, "since is not an ISO 8601 time");
    let since = time::parse(since).ok_or_else(wrong)?;
    // What was deleted earlier cannot be told, as with Kinvey.
    let kept = i64::try_from(TOMBSTONES_KEPT.as_millis()).unwrap_or(i64::MAX);
    if since < time::now_ms() - kept {
        let debug = "since is more than 30 days ago";
        return Err(ApiError::new(Kind::ParameterValueOutOfRange, debug));
    }
    let mut params = call.params.clone();
    params.remove("since");
    let mut wanted = query::read(&query::as_object(&params)?)?;
    let changed = json!({ "_kmd.lmt": { "$gte": time::iso(since) } });
    wanted.filter = access.narrow(Act::Read, wanted.filter.and(Filter::parse(&changed)?))?;
    wanted.limit = Some(query::MOST + 1);
    let place = call.place(&collection);
    let changed = call.api.0.store.find(place, &wanted).await?;
    let too_many = || ApiError::new(Kind::ResultSetSizeExceeded, "fetch the collection anew");
    if changed.len() as u64 > query::MOST {
        return Err(too_many());
    }
    let readable = access.narrow(Act::Read, Filter::all())?;
    let store = &call.api.0.store;
    let deleted = store.deleted_since(place, since, &readable, query::MOST + 1).await?;
    if deleted.len() as u64 > query::MOST {
        return Err(too_many());
    }
    let deleted = deleted.into_iter().map(|id| json!({ "_id": id })).collect();
    Ok(answer(StatusCode::OK, &DeltaSet { changed, deleted }))
}

/// `POST /appdata/:app/:collection`: one entity, or several of API version 5 and up.
pub(crate) async fn insert(
    Path((_, collection)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    check_collection(&collection)?;
    call.not_app()?;
    call.may_write(&collection)?;
    let body = body.0.ok_or_else(|| ApiError::new(Kind::IncompleteRequestBody, ""))?;
    if body.is_array() && call.api_version() < 5 {
        let debug = "several entities at once need API version 5";
        return Err(ApiError::new(Kind::FeatureUnavailable, debug));
    }
    let operation = operation(&collection, None, INSERT);
    let params = query::as_object(&call.params)?;
    let mut going = match call.before(operation, body, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    let result = match going.body.take().unwrap_or_default() {
        Value::Array(items) if items.len() <= MOST_AT_ONCE => {
            let (mut entities, mut errors) = (Vec::new(), Vec::new());
            for (index, item) in items.into_iter().enumerate() {
                match insert_one(&call, &collection, item).await {
                    Ok(document) => entities.push(Value::Object(document)),
                    Err(error) => {
                        entities.push(Value::Null);
                        let mut body = error.body();
                        body["index"] = index.into();
                        errors.push(body);
                    }
                }
            }
            json!({ "entities": entities, "errors": errors })
        }
        Value::Array(_) => {
            let debug = format!("one request brings at most {MOST_AT_ONCE} entities");
            return Err(ApiError::new(Kind::ParameterValueOutOfRange, debug));
        }
        item => Value::Object(insert_one(&call, &collection, item).await?),
    };
    call.after(operation, going, StatusCode::CREATED, &result).await
}

async fn insert_one(call: &Call, collection: &str, item: Value) -> Result<Document, ApiError> {
    let Value::Object(document) = item else {
        return Err(ApiError::new(Kind::BadRequest, "an entity is a JSON object"));
    };
    let document = new_entity(call, document)?;
    call.api.0.store.insert(call.place(collection), [&document]).await?;
    Ok(document)
}

/// An entity as it is stored first: with an `_id`, its `_acl` and its `_kmd`.
pub(crate) fn new_entity(call: &Call, mut document: Document) -> Result<Document, ApiError> {
    check_fields(&document)?;
    let id = match document.remove("_id") {
        None | Some(Value::Null) => lode_store::new_id()?,
        Some(Value::String(id)) => id,
        Some(_) => return Err(ApiError::new(Kind::InvalidIdentifier, "an _id is a text")),
    };
    check_id(&id)?;
    document.insert("_id".into(), id.into());
    let acl = acl::new_acl(call, document.remove("_acl"));
    document.insert("_acl".into(), acl);
    let now = time::iso(time::now_ms());
    document.insert("_kmd".into(), json!({ "lmt": now, "ect": now }));
    Ok(document)
}

/// `PUT /appdata/:app/:collection/:id`: replaces an entity, or makes it.
pub(crate) async fn replace(
    Path((_, collection, id)): Path<(String, String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    check_collection(&collection)?;
    check_id(&id)?;
    call.may_write(&collection)?;
    let access = call.access(&collection).await?;
    let body = Value::Object(body.object()?);
    let operation = operation(&collection, Some(&id), UPDATE);
    let params = query::as_object(&call.params)?;
    let mut going = match call.before(operation, body, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    let Some(Value::Object(document)) = going.body.take() else {
        return Err(ApiError::new(Kind::BadRequest, "an entity is a JSON object"));
    };
    let written = replace_entity(&call, &collection, &id, &access, document).await?;
    call.after(operation, going, StatusCode::OK, &written).await
}

/// What an entity is to be, whatever there is.
pub(crate) struct Rewrite {
    document: Document,
    given_acl: Option<Value>,
    new_acl: Value,
    is_master: bool,
}

impl Rewrite {
    /// # Errors
    /// It cannot be an entity, or not that one.
    pub(crate) fn of(call: &Call, id: &str, mut document: Document) -> Result<Self, ApiError> {
        if document.get("_id").is_some_and(|given| given.as_str() != Some(id)) {
            let debug = "the _id of the body is not that of the URL";
            return Err(ApiError::new(Kind::BadRequest, debug));
        }
        document.insert("_id".into(), id.into());
        check_fields(&document)?;
        let given_acl = document.remove("_acl").filter(|acl| !acl.is_null());
        document.remove("_kmd");
        let new_acl = acl::new_acl(call, given_acl.clone());
        Ok(Self { document, given_acl, new_acl, is_master: call.identity.is_master() })
    }

    /// The entity where there was none.
    fn anew(&self) -> Document {
        let now = time::iso(time::now_ms());
        let mut after = self.document.clone();
        after.insert("_acl".into(), self.new_acl.clone());
        after.insert("_kmd".into(), json!({ "lmt": now, "ect": now }));
        after
    }

    /// The entity in the place of the one before.
    pub(crate) fn over(&self, before: &Document) -> Document {
        let mut after = self.document.clone();
        let acl = acl::changed_acl(self.is_master, self.given_acl.clone(), before.get("_acl"));
        after.insert("_acl".into(), acl);
        let mut kmd = match before.get("_kmd") {
            Some(Value::Object(kmd)) => kmd.clone(),
            _ => Document::new(),
        };
        kmd.insert("lmt".into(), time::iso(time::now_ms()).into());
        after.insert("_kmd".into(), kmd.into());
        after
    }
}

/// Writes an entity over the one that is there, as far as its ACL lets the sender, or makes it.
pub(crate) async fn replace_entity(
    call: &Call,
    collection: &str,
    id: &str,
    access: &Access,
    document: Document,
) -> Result<Document, ApiError> {
    let new = Rewrite::of(call, id, document)?;
    let filter = access.filter(Act::Update)?;
    let decide = move |before: Option<Document>| {
        let after = match before {
            None => new.anew(),
            Some(before) if filter.as_ref().is_some_and(|filter| !filter.matches(&before)) => {
                return (Change::Nothing, None);
            }
            Some(before) => new.over(&before),
        };
        (Change::Put(after.clone()), Some(after))
    };
    let written = call.api.0.store.change(call.place(collection), id, decide).await?;
    written
        .ok_or_else(|| ApiError::new(Kind::InsufficientCredentials, "the entity's ACL forbids it"))
}

/// `DELETE /appdata/:app/:collection/:id`.
pub(crate) async fn delete(
    Path((_, collection, id)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    check_collection(&collection)?;
    check_id(&id)?;
    call.may_write(&collection)?;
    let access = call.access(&collection).await?;
    let operation = operation(&collection, Some(&id), DELETE);
    let params = query::as_object(&call.params)?;
    let going = match call.before(operation, Value::Null, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    delete_entity(&call, &collection, &id, &access, Kind::EntityNotFound).await?;
    call.after(operation, going, StatusCode::OK, &json!({ "count": 1 })).await
}

/// Deletes an entity, if it is there and its ACL lets the sender.
pub(crate) async fn delete_entity(
    call: &Call,
    collection: &str,
    id: &str,
    access: &Access,
    none: Kind,
) -> Result<(), ApiError> {
    let filter = access.filter(Act::Delete)?;
    let decide = move |before: Option<Document>| match before {
        None => (Change::Nothing, None),
        Some(before) if filter.as_ref().is_some_and(|filter| !filter.matches(&before)) => {
            (Change::Nothing, Some(false))
        }
        Some(_) => (Change::Remove, Some(true)),
    };
    match call.api.0.store.change(call.place(collection), id, decide).await? {
        Some(true) => Ok(()),
        Some(false) => {
            Err(ApiError::new(Kind::InsufficientCredentials, "the entity's ACL forbids it"))
        }
        None => Err(ApiError::new(none, "")),
    }
}

/// `DELETE /appdata/:app/:collection?query=…`. A query is needed: nobody deletes all by leaving one out.
pub(crate) async fn delete_by_query(
    Path((_, collection)): Path<(String, String)>,
    call: Call,
) -> Answer {
    check_collection(&collection)?;
    call.may_write(&collection)?;
    let access = call.access(&collection).await?;
    let operation = operation(&collection, None, DELETE);
    let params = query::as_object(&call.params)?;
    query::needed(&params)?;
    let going = match call.before(operation, Value::Null, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    // The hook may have dropped it.
    query::needed(&going.params)?;
    let filter = access.narrow(Act::Delete, query::read(&going.params)?.filter)?;
    let how = RemoveHow { only_one: false };
    let count = call.api.0.store.remove(call.place(&collection), &filter, how).await?;
    call.after(operation, going, StatusCode::OK, &json!({ "count": count })).await
}
