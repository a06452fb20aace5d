//! `/user`: users of an app (Kinvey's REST guide, "Users"). Their documents are entities of the collection
//! `user`; passwords are kept apart from them, where no query and no script gets at them.

use axum::response::Response;
use http::StatusCode;
use lode_store::query::Filter;
use lode_store::{Change, Credential, Document, Session, StoreError};
use serde_json::{Value, json};

use crate::acl::{Access, Act};
use crate::auth::{self, Identity};
use crate::body::Body;
use crate::call::{Call, Path, check_id, json as answer};
use crate::data::{
    DELETE, FETCH, INSERT, Rewrite, UPDATE, count_readable, delete_entity, fetch_all, new_entity,
    operation,
};
use crate::error::{ApiError, Kind};
use crate::pipeline::{Before, Operation};
use crate::{password, query, secret, time};

type Answer = Result<Response, ApiError>;

pub(crate) const USERS: &str = "user";

/// How long a session lasts: a year. Kinvey's lasted until they were ended.
const SESSION_MS: i64 = 365 * 24 * 3600 * 1000;

/// What anybody may learn of a user (REST guide, "User Discovery").
const DISCOVERABLE: [&str; 6] =
    ["_id", "username", "email", "first_name", "last_name", "_socialIdentity"];

/// `POST /user/:app`: signs up, and logs in. Without a name or a password they are made up.
pub(crate) async fn sign_up(Path(_): Path<String>, call: Call, body: Body) -> Answer {
    call.may_write(USERS)?;
    let body = body.object_or_empty()?;
    // ACLs name users by it, also those who are gone. What a hook gives is the owner's choice.
    if !call.identity.is_master() && body.get("_id").is_some_and(|id| !id.is_null()) {
        let debug = "only the master secret may choose a user's _id";
        return Err(ApiError::new(Kind::InsufficientCredentials, debug));
    }
    let operation = operation(USERS, None, INSERT);
    let mut going =
        match call.before(operation, Value::Object(body), query::as_object(&call.params)?).await? {
            Before::Answered(response) => return Ok(response),
            Before::Going(going) => going,
        };
    let Some(Value::Object(mut document)) = going.body.take() else {
        return Err(ApiError::new(Kind::BadRequest, "a user is a JSON object"));
    };
    let username = match document.remove("username") {
        None | Some(Value::Null) => secret::request_id(),
        Some(name) => check_username(&name)?,
    };
    let password = match document.remove("password") {
        None | Some(Value::Null) => secret::new()?,
        Some(password) => text(&password, "password")?,
    };
    document.insert("username".into(), username.clone().into());
    let mut document = new_entity(&call, document)?;
    let id = id_of(&document);
    if id == *call.app.key {
        let debug = "the app's key is no _id of a user: in ACLs it names the app's owner";
        return Err(ApiError::new(Kind::InvalidIdentifier, debug));
    }
    // A user owns their own document.
    document["_acl"]["creator"] = id.clone().into();
    let password_hash = password::get_in_line(&call.app.key)?.hash(password).await?;
    let credential = Credential { user_id: id, username, password_hash };
    call.api.0.store.add_user(&call.app.key, &document, &credential).await.map_err(taken)?;
    let token = open_session(&call, &credential.user_id, &credential.password_hash).await?;
    document["_kmd"]["authtoken"] = token.into();
    call.after(operation, going, StatusCode::CREATED, &document).await
}

/// `POST /user/:app/login`.
pub(crate) async fn log_in(Path(_): Path<String>, call: Call, body: Body) -> Answer {
    let hooks: (&[&str], &[&str]) = (&["onPreLogin"], &["onPostLogin"]);
    let operation = operation(USERS, None, hooks);
    let body = Value::Object(body.object()?);
    let going = match call.before(operation, body, query::as_object(&call.params)?).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    let given = |name| going.body.as_ref().and_then(|body| body.get(name));
    if given("_socialIdentity").is_some() {
        let debug = "logins by other services are not available";
        return Err(ApiError::new(Kind::FeatureUnavailable, debug));
    }
    let missing = |what| ApiError::new(Kind::IncompleteRequestBody, format!("{what} is missing"));
    let username = given("username").ok_or_else(|| missing("username"))?;
    let password = given("password").ok_or_else(|| missing("password"))?;
    let (username, password) = (text(username, "username")?, text(password, "password")?);
    let credential = auth::log_in(&call.api.0, &call.app, &username, password).await?;
    let document = call.api.0.store.get(call.place(USERS), &credential.user_id).await?;
    let mut document = document.ok_or_else(|| ApiError::new(Kind::InvalidCredentials, ""))?;
    if auth::is_disabled(&document) {
        return Err(ApiError::new(Kind::InvalidCredentials, "the user is disabled"));
    }
    let token = open_session(&call, &credential.user_id, &credential.password_hash).await?;
    if let Some(kmd) = document.get_mut("_kmd").and_then(Value::as_object_mut) {
        kmd.insert("authtoken".into(), token.into());
    }
    call.after(operation, going, StatusCode::OK, &document).await
}

/// Opens a session of a user whose password was verified, or set, with this hash.
async fn open_session(call: &Call, user: &str, password_hash: &str) -> Result<String, ApiError> {
    let token = secret::new()?;
    let now = time::now_ms();
    let session = Session {
        token_hash: secret::hash(&token),
        app: call.app.key.to_string(),
        user_id: user.to_owned(),
        created_ms: now,
        expires_ms: now + SESSION_MS,
    };
    if call.api.0.store.add_session(&session, password_hash).await? {
        return Ok(token);
    }
    Err(ApiError::new(Kind::InvalidCredentials, "the password was changed meanwhile"))
}

/// `POST /user/:app/_logout`: ends the session that asks.
pub(crate) async fn log_out(Path(_): Path<String>, call: Call) -> Answer {
    let session = call.identity.user().and_then(|user| user.session);
    let session =
        session.ok_or_else(|| ApiError::new(Kind::InsufficientCredentials, "no session"))?;
    call.api.0.store.remove_session(&session).await?;
    Ok(no_content())
}

/// `DELETE /user/:app/:id/tokens`: ends all sessions of a user.
pub(crate) async fn delete_tokens(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    self_or_master(&call, &id)?;
    call.api.0.store.remove_sessions_of(&call.app.key, &id).await?;
    Ok(no_content())
}

/// `GET /user/:app/_me`.
pub(crate) async fn me(Path(_): Path<String>, call: Call) -> Answer {
    let user = call.identity.user();
    let user = user.ok_or_else(|| ApiError::new(Kind::InsufficientCredentials, "no user"))?;
    let id = user.id.clone();
    fetch(&call, &id).await
}

/// Puts the session's own token into a user's document for that user: Kinvey's SDKs take what they get as
/// their session.
fn with_token(call: &Call, document: &mut Document) {
    let id = document.get("_id").and_then(Value::as_str).unwrap_or_default();
    if let (true, Some(token)) = (is_self(call, id), call.session_token())
        && let Some(kmd) = document.get_mut("_kmd").and_then(Value::as_object_mut)
    {
        kmd.insert("authtoken".into(), token.into());
    }
}

/// `GET /user/:app/:id`.
pub(crate) async fn get(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    check_id(&id)?;
    fetch(&call, &id).await
}

async fn fetch(call: &Call, id: &str) -> Answer {
    let access = call.access(USERS).await?;
    let operation = operation(USERS, Some(id), FETCH);
    let params = query::as_object(&call.params)?;
    let going = match call.before(operation, Value::Null, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    let found = call.api.0.store.get(call.place(USERS), id).await?;
    let mut found = found.ok_or_else(|| ApiError::new(Kind::UserNotFound, ""))?;
    if !is_self(call, id) && !access.allows(Act::Read, &found)? {
        return Err(ApiError::new(Kind::InsufficientCredentials, ""));
    }
    with_token(call, &mut found);
    call.after(operation, going, StatusCode::OK, &found).await
}

/// `GET /user/:app?query=…`.
pub(crate) async fn find(Path(_): Path<String>, call: Call) -> Answer {
    fetch_all(&call, USERS).await
}

/// `GET /user/:app/_count`.
pub(crate) async fn count(Path(_): Path<String>, call: Call) -> Answer {
    count_readable(&call, USERS).await
}

/// `POST /user/:app/_lookup`: finds users by what anybody may know of them, and tells no more.
pub(crate) async fn look_up(Path(_): Path<String>, call: Call, body: Body) -> Answer {
    call.not_app()?;
    let wanted = body.object_or_empty()?;
    let hidden = wanted.keys().find(|key| {
        let field = key.split('.').next().unwrap_or(key);
        !DISCOVERABLE.contains(&field)
    });
    if let Some(hidden) = hidden {
        let debug = format!("{hidden:?} is not a field that users can be looked up by");
        return Err(ApiError::new(Kind::InvalidQuerySyntax, debug));
    }
    let query = lode_store::query::Query {
        filter: Filter::parse(&Value::Object(wanted))?,
        limit: Some(query::MOST),
        ..lode_store::query::Query::default()
    };
    let found = call.api.0.store.find(call.place(USERS), &query).await?;
    let shown = found.iter().filter_map(|user| {
        let mut user: Document = serde_json::from_str(user.get()).ok()?;
        let is_disabled = auth::is_disabled(&user);
        user.retain(|field, _| DISCOVERABLE.contains(&field.as_str()));
        (!is_disabled).then_some(Value::Object(user))
    });
    Ok(answer(StatusCode::OK, &shown.collect::<Value>()))
}

/// `PUT /user/:app/:id`: replaces a user's document, and their name or password where it has one.
pub(crate) async fn update(
    Path((_, id)): Path<(String, String)>,
    call: Call,
    body: Body,
) -> Answer {
    check_id(&id)?;
    call.may_write(USERS)?;
    self_or_master(&call, &id)?;
    let operation = operation(USERS, Some(&id), UPDATE);
    let body = Value::Object(body.object()?);
    let params = query::as_object(&call.params)?;
    let mut going = match call.before(operation, body, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    let Some(Value::Object(mut document)) = going.body.take() else {
        return Err(ApiError::new(Kind::BadRequest, "a user is a JSON object"));
    };
    match document.get("username") {
        None | Some(Value::Null) => drop(document.remove("username")),
        Some(name) => drop(check_username(name)?),
    }
    let password = document.remove("password").filter(|password| !password.is_null());
    let password = password.map(|password| text(&password, "password")).transpose()?;
    let new = Rewrite::of(&call, &id, document)?;
    let hash = match password {
        Some(password) => Some(password::get_in_line(&call.app.key)?.hash(password).await?),
        None => None,
    };
    let rewrite = move |before: &Document| {
        let mut after = new.over(before);
        if let (false, Some(name)) = (after.contains_key("username"), before.get("username")) {
            after.insert("username".into(), name.clone());
        }
        after
    };
    // Checked above: whose document it is. Whoever had the old password is out.
    let store = &call.api.0.store;
    let written = store.change_user(&call.app.key, &id, hash.as_deref(), rewrite).await;
    let written = written.map_err(taken)?;
    let mut written = written.ok_or_else(|| ApiError::new(Kind::UserNotFound, ""))?;
    match hash {
        None => with_token(&call, &mut written),
        // The one who changed it stays in.
        Some(hash) if is_self(&call, &id) => {
            let token = open_session(&call, &id, &hash).await?;
            written["_kmd"]["authtoken"] = token.into();
        }
        Some(_) => {}
    }
    call.after(operation, going, StatusCode::OK, &written).await
}

/// `DELETE /user/:app/:id`: disables a user, or with `hard=true` deletes them.
pub(crate) async fn delete(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    check_id(&id)?;
    call.may_write(USERS)?;
    self_or_master(&call, &id)?;
    let operation: Operation<'_> = operation(USERS, Some(&id), DELETE);
    let params = query::as_object(&call.params)?;
    let going = match call.before(operation, Value::Null, params).await? {
        Before::Answered(response) => return Ok(response),
        Before::Going(going) => going,
    };
    // As the hook left it.
    if going.params.get("hard").is_some_and(|hard| *hard == true || *hard == "true") {
        let access = Access::everything();
        delete_entity(&call, USERS, &id, &access, Kind::UserNotFound).await?;
        call.api.0.store.remove_credential(&call.app.key, &id).await?;
    } else {
        let now = time::iso(time::now_ms());
        let status = json!({ "val": "disabled", "lastChange": now });
        change_kmd(&call, &id, move |kmd| {
            kmd.insert("status".into(), status.clone());
        })
        .await?;
        call.api.0.store.remove_sessions_of(&call.app.key, &id).await?;
    }
    call.after(operation, going, StatusCode::NO_CONTENT, &Value::Null).await
}

/// `POST /user/:app/:id/_restore`: enables a disabled user.
pub(crate) async fn restore(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    call.master_only()?;
    change_kmd(&call, &id, |kmd| {
        kmd.remove("status");
    })
    .await?;
    Ok(no_content())
}

/// `GET /user/:app/:id/roles`.
pub(crate) async fn roles(Path((_, id)): Path<(String, String)>, call: Call) -> Answer {
    self_or_master(&call, &id)?;
    let user = call.api.0.store.get(call.place(USERS), &id).await?;
    let user = user.ok_or_else(|| ApiError::new(Kind::UserNotFound, ""))?;
    let roles = user.get("_kmd").and_then(|kmd| kmd.get("roles")).cloned();
    Ok(answer(StatusCode::OK, &roles.unwrap_or_else(|| json!([]))))
}

/// `PUT /user/:app/:id/roles/:role`.
pub(crate) async fn grant_role(
    Path((_, id, role)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    call.master_only()?;
    let known = call.api.0.store.get(call.place("role"), &role).await?;
    known.ok_or_else(|| ApiError::new(Kind::EntityNotFound, "there is no such role"))?;
    let granted = json!({
        "roleId": role,
        "grantedBy": *call.app.key,
        "grantDate": time::iso(time::now_ms()),
    });
    let answered = granted.clone();
    change_kmd(&call, &id, move |kmd| {
        let mut roles = without_role(kmd, &role);
        roles.push(granted.clone());
        kmd.insert("roles".into(), roles.into());
    })
    .await?;
    Ok(answer(StatusCode::OK, &answered))
}

/// `DELETE /user/:app/:id/roles/:role`.
pub(crate) async fn revoke_role(
    Path((_, id, role)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    call.master_only()?;
    change_kmd(&call, &id, move |kmd| {
        let roles = without_role(kmd, &role);
        kmd.insert("roles".into(), roles.into());
    })
    .await?;
    Ok(no_content())
}

fn without_role(kmd: &Document, role: &str) -> Vec<Value> {
    let roles = kmd.get("roles").and_then(Value::as_array).cloned().unwrap_or_default();
    roles.into_iter().filter(|known| known["roleId"] != role).collect()
}

async fn change_kmd(
    call: &Call,
    id: &str,
    change: impl Fn(&mut Document) + Send + Sync + 'static,
) -> Result<(), ApiError> {
    let decide = move |before: Option<Document>| {
        let Some(mut user) = before else { return (Change::Nothing, false) };
        if let Some(kmd) = user.get_mut("_kmd").and_then(Value::as_object_mut) {
            change(kmd);
        }
        (Change::Put(user), true)
    };
    let found = call.api.0.store.change(call.place(USERS), id, decide).await?;
    if found { Ok(()) } else { Err(ApiError::new(Kind::UserNotFound, "")) }
}

fn is_self(call: &Call, id: &str) -> bool {
    call.identity.user().is_some_and(|user| *user.id == *id)
}

fn self_or_master(call: &Call, id: &str) -> Result<(), ApiError> {
    if matches!(call.identity, Identity::Master) || is_self(call, id) {
        return Ok(());
    }
    Err(ApiError::new(Kind::InsufficientCredentials, "only the user or the master secret may"))
}

fn id_of(document: &Document) -> String {
    document.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn taken(error: StoreError) -> ApiError {
    match error {
        StoreError::Duplicate { .. } => ApiError::new(Kind::UserAlreadyExists, ""),
        error => error.into(),
    }
}

fn text(value: &Value, name: &str) -> Result<String, ApiError> {
    let wrong = || ApiError::new(Kind::BadRequest, format!("{name} is not a text"));
    value.as_str().map(str::to_owned).ok_or_else(wrong)
}

/// Whether a user can have this name.
pub(crate) fn is_username(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= 256 && !name.contains(char::is_control)
}

fn check_username(value: &Value) -> Result<String, ApiError> {
    let name = text(value, "username")?;
    if !is_username(&name) {
        let debug = "a username is a text of 1 to 256 bytes without control characters";
        return Err(ApiError::new(Kind::ParameterValueOutOfRange, debug));
    }
    Ok(name)
}

fn no_content() -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
