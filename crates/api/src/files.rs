//! `/blob`: what is known of files. Lode keeps their metadata; where their bytes are is the client's to say
//! (Kinvey handed out upload URLs of a file service, which Lode has none of).

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::acl::Act;
use crate::body::Body;
use crate::call::{Call, Path, check_id, json as answer};
use crate::data::{delete_entity, find_readable, new_entity, replace_entity};
use crate::error::{ApiError, Kind};
use crate::query;

type Answer = Result<Response, ApiError>;

const FILES: &str = "_blob";

/// `GET /blob/:app?query=…`.
pub(crate) async fn find(Path(_): Path<String>, call: Call) -> Answer {
    let access = call.access(FILES).await?;
    let params = query::as_object(&call.params)?;
    let found = find_readable(&call, FILES, &access, &params).await?;
    Ok(answer(StatusCode::OK, &found))
}

/// `POST /blob/:app`.
pub(crate) async fn create(Path(_): Path<String>, call: Call, body: Body) -> Answer {
    call.not_app()?;
    call.may_write(FILES)?;
    let document = new_entity(&call, body.object_or_empty()?)?;
    call.api.0.store.insert(call.place(FILES), [&document]).await?;
    Ok(answer(StatusCode::CREATED, &Value::Object(document)))
}

/// `GET /blob/:app/:id`.
pub(crate) async fn get(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    check_id(&id)?;
    let access = call.access(FILES).await?;
    let found = call.api.0.store.get(call.place(FILES), &id).await?;
    let found = found.ok_or_else(|| ApiError::new(Kind::BlobNotFound, ""))?;
    if !access.allows(Act::Read, &found)? {
        return Err(ApiError::new(Kind::InsufficientCredentials, "the file's ACL forbids it"));
    }
    Ok(answer(StatusCode::OK, &Value::Object(found)))
}

/// `PUT /blob/:app/:id`.
pub(crate) async fn replace(
    Path((_, id)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    check_id(&id)?;
    call.may_write(FILES)?;
    let access = call.access(FILES).await?;
    let written = replace_entity(&call, FILES, &id, &access, body.object()?).await?;
    Ok(answer(StatusCode::OK, &Value::Object(written)))
}

/// `DELETE /blob/:app/:id`.
pub(crate) async fn delete(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    check_id(&id)?;
    call.may_write(FILES)?;
    let access = call.access(FILES).await?;
    delete_entity(&call, FILES, &id, &access, Kind::BlobNotFound).await?;
    Ok(answer(StatusCode::OK, &json!({ "count": 1 })))
}
