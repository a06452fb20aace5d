//! `/roles` and `/group`: what ACLs can name beside users (Kinvey's security guide).

use axum::response::Response;
use http::StatusCode;
use lode_store::query::{Filter, Query, Update};
use lode_store::{Change, Document, UpdateHow};
use serde_json::{Value, json};

use crate::acl::{Access, Act};
use crate::body::Body;
use crate::call::{Call, Path, check_id, json as answer};
use crate::data::{Rewrite, delete_entity, new_entity, replace_entity};
use crate::error::{ApiError, Kind};
use crate::query::MOST;

type Answer = Result<Response, ApiError>;

const ROLES: &str = "role";
const GROUPS: &str = "group";

/// `POST /roles/:app`.
pub(crate) async fn create_role(Path(_): Path<String>, call: Call, body: Body) -> Answer {
    call.master_only()?;
    create(&call, ROLES, body.object()?).await
}

/// `GET /roles/:app`.
pub(crate) async fn roles(Path(_): Path<String>, call: Call) -> Answer {
    call.master_only()?;
    let all = Query { limit: Some(MOST), ..Query::default() };
    list(&call, ROLES, &all).await
}

/// `GET /roles/:app/:id`.
pub(crate) async fn role(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    call.master_only()?;
    get(&call, ROLES, &id, &Access::everything()).await
}

/// `PUT /roles/:app/:id`.
pub(crate) async fn update_role(
    Path((_, id)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    call.master_only()?;
    update(&call, ROLES, &id, &Access::everything(), body).await
}

/// `DELETE /roles/:app/:id`. It is taken from all users who have it: ACLs go on naming it.
pub(crate) async fn delete_role(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    call.master_only()?;
    let deleted = delete(&call, ROLES, &id, &Access::everything()).await;
    // Also if it is gone: the time before, this may have broken off.
    let granted = Filter::parse(&json!({ "_kmd.roles.roleId": id }))?;
    let taken = Update::parse(&json!({ "$pull": { "_kmd.roles": { "roleId": id } } }))?;
    let all = UpdateHow { multi: true, upsert: false };
    call.api.0.store.update(call.place("user"), &granted, &taken, all).await?;
    deleted
}

/// `GET /roles/:app/:id/membership`: the users who have a role.
pub(crate) async fn members(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    call.master_only()?;
    let filter = Filter::parse(&json!({ "_kmd.roles.roleId": id }))?;
    let query = Query { filter, limit: Some(MOST), ..Query::default() };
    list(&call, "user", &query).await
}

/// What makes a group of all users: the owner's doing, as it changes everybody's rights.
fn of_all() -> Result<Filter, ApiError> {
    Ok(Filter::parse(&json!({ "users.all": true }))?)
}

const OF_ALL: &str = "only the master secret may make a group of all users";

/// `POST /group/:app`.
pub(crate) async fn create_group(Path(_): Path<String>, call: Call, body: Body) -> Answer {
    call.not_app()?;
    call.may_write(GROUPS)?;
    let group = body.object()?;
    if !call.identity.is_master() {
        // ACLs name groups by it, also those that are gone.
        if group.get("_id").is_some_and(|id| !id.is_null()) {
            let debug = "only the master secret may choose a group's _id";
            return Err(ApiError::new(Kind::InsufficientCredentials, debug));
        }
        if of_all()?.matches(&group) {
            return Err(ApiError::new(Kind::InsufficientCredentials, OF_ALL));
        }
    }
    create(&call, GROUPS, group).await
}

/// `GET /group/:app/:id`.
pub(crate) async fn group(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    let access = call.access(GROUPS).await?;
    get(&call, GROUPS, &id, &access).await
}

/// `PUT /group/:app/:id`.
pub(crate) async fn update_group(
    Path((_, id)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    check_id(&id)?;
    call.may_write(GROUPS)?;
    let access = call.access(GROUPS).await?;
    if call.identity.is_master() {
        return update(&call, GROUPS, &id, &access, body).await;
    }
    let new = Rewrite::of(&call, &id, body.object()?)?;
    let (filter, of_all) = (access.filter(Act::Update)?, of_all()?);
    let decide = move |before: Option<Document>| {
        // Not made: its id would be the user's choice.
        let Some(before) = before else {
            return (Change::Nothing, Err((Kind::EntityNotFound, "")));
        };
        if filter.as_ref().is_some_and(|filter| !filter.matches(&before)) {
            let debug = "the entity's ACL forbids it";
            return (Change::Nothing, Err((Kind::InsufficientCredentials, debug)));
        }
        let after = new.over(&before);
        if of_all.matches(&after) && !of_all.matches(&before) {
            return (Change::Nothing, Err((Kind::InsufficientCredentials, OF_ALL)));
        }
        (Change::Put(after.clone()), Ok(after))
    };
    let written = call.api.0.store.change(call.place(GROUPS), &id, decide).await?;
    let written = written.map_err(|(kind, debug)| ApiError::new(kind, debug))?;
    Ok(answer(StatusCode::OK, &Value::Object(written)))
}

/// `DELETE /group/:app/:id`.
pub(crate) async fn delete_group(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    call.may_write(GROUPS)?;
    let access = call.access(GROUPS).await?;
    delete(&call, GROUPS, &id, &access).await
}

async fn create(call: &Call, collection: &str, document: Document) -> Answer {
    let document = new_entity(call, document)?;
    call.api.0.store.insert(call.place(collection), [&document]).await?;
    Ok(answer(StatusCode::CREATED, &Value::Object(document)))
}

async fn list(call: &Call, collection: &str, query: &Query) -> Answer {
    let found = call.api.0.store.find(call.place(collection), query).await?;
    Ok(answer(StatusCode::OK, &found))
}

async fn get(call: &Call, collection: &str, id: &str, access: &Access) -> Answer {
    let found = call.api.0.store.get(call.place(collection), id).await?;
    let found = found.ok_or_else(|| ApiError::new(Kind::EntityNotFound, ""))?;
    if !access.allows(Act::Read, &found)? {
        return Err(ApiError::new(Kind::InsufficientCredentials, "its ACL forbids it"));
    }
    Ok(answer(StatusCode::OK, &Value::Object(found)))
}

async fn update(call: &Call, collection: &str, id: &str, access: &Access, body: Body) -> Answer {
    check_id(id)?;
    let written = replace_entity(call, collection, id, access, body.object()?).await?;
    Ok(answer(StatusCode::OK, &Value::Object(written)))
}

async fn delete(call: &Call, collection: &str, id: &str, access: &Access) -> Answer {
    check_id(id)?;
    delete_entity(call, collection, id, access, Kind::EntityNotFound).await?;
    Ok(answer(StatusCode::NO_CONTENT, &Value::Null))
}
