//! Changing documents.

use lode_store::{
    Change, Document, Filter, FindAndModify, Modify, Place, Projection, Query, RemoveHow, SortKey,
    StoreError, Update, UpdateHow, Updated,
};
use serde_json::{Value, json};

use super::args::{self, read};
use super::metadata::{self, is_at};
use super::{Data, Failure, MAX_DOCUMENTS, fitting, refused, writable};

const USERS: &str = "user";

/// Fields of a user's document that stand for the credential.
const CREDENTIALS: [&str; 2] = ["username", "password"];

/// How often a document that others change at the same time is looked for again.
const TRIES: usize = 8;

impl Data {
    pub(super) async fn insert(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Insert = read(args)?;
        let at = writable(app, &args.collection)?;
        no_new_users(at)?;
        let now = metadata::now();
        let mut documents = args.documents;
        for document in &mut documents {
            metadata::complete(document, args.creator.as_deref(), &now)?;
        }
        let answer = fitting(&documents)?;
        self.store.insert(at, documents).await?;
        Ok(answer)
    }

    pub(super) async fn save(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Save = read(args)?;
        let at = writable(app, &args.collection)?;
        let now = metadata::now();
        let (mut document, creator) = (args.document, args.creator);
        let id = match document.get("_id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Null) | None => {
                metadata::complete(&mut document, creator.as_deref(), &now)?;
                document.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            Some(_) => return Err(refused("a document's _id must be a string")),
        };
        let is_user = at.collection == USERS;
        let decide = move |before: Option<Document>| {
            let mut document = document.clone();
            match before {
                Some(before) => {
                    if is_user && let Err(failure) = same_credentials(&document, &before) {
                        return (Change::Nothing, Err(failure));
                    }
                    if is_user && let Some(username) = before.get("username") {
                        document.insert("username".into(), username.clone());
                    }
                    metadata::succeed(&mut document, &before, &now);
                }
                None if is_user => return (Change::Nothing, Err(no_user())),
                None => {
                    if let Err(failure) =
                        metadata::complete(&mut document, creator.as_deref(), &now)
                    {
                        return (Change::Nothing, Err(failure));
                    }
                }
            }
            (Change::Put(document.clone()), Ok(document))
        };
        fitting(&self.store.change(at, &id, decide).await??)
    }

    pub(super) async fn update(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Update = read(args)?;
        let at = writable(app, &args.collection)?;
        let args::UpdateOptions { multi, upsert, array_filters } = args.options;
        if upsert {
            no_new_users(at)?;
        }
        let filter = super::geo::parse(&args.query)?;
        let updated = if has_operators(&args.update) {
            let creator = args.creator.as_deref();
            let update = stamped(at, &args.update, &array_filters, &args.query, creator)?;
            let how = UpdateHow { multi, upsert };
            self.store.update(at, &filter, &update, how).await?
        } else if multi {
            return Err(refused("an update of many documents needs operators such as $set"));
        } else if names_elements(&array_filters) {
            return Err(refused("arrayFilters need operators such as $set"));
        } else {
            let Value::Object(document) = args.update else {
                return Err(refused("the update is not an object"));
            };
            self.replace(at, filter, document, upsert, args.creator).await?
        };
        let Updated { matched, modified, upserted } = updated;
        fitting(&json!({ "matched": matched, "modified": modified, "upserted": upserted }))
    }

    /// Puts a document in the place of one that matches. As Kinvey's API does, and not MongoDB, what it does
    /// not say of its metadata stays.
    async fn replace(
        &self,
        at: Place<'_>,
        filter: Filter,
        document: Document,
        upsert: bool,
        creator: Option<String>,
    ) -> Result<Updated, Failure> {
        let now = metadata::now();
        let is_user = at.collection == USERS;
        for _ in 0..TRIES {
            let query = Query { filter: filter.clone(), limit: Some(1), ..Query::default() };
            let Some(id) = self.store.ids(at, &query).await?.into_iter().next() else {
                if !upsert {
                    return Ok(Updated::default());
                }
                let update = Value::Object(document.clone());
                let mut made = Update::parse(&update)?.on_insert(&filter)?;
                metadata::complete(&mut made, creator.as_deref(), &now)?;
                let id = made.get("_id").and_then(Value::as_str).map(str::to_owned);
                match self.store.insert(at, vec![made]).await {
                    Ok(()) => return Ok(Updated { upserted: id, ..Updated::default() }),
                    Err(StoreError::Duplicate { .. }) => continue, // somebody was quicker
                    Err(error) => return Err(error.into()),
                }
            };
            let (filter, document, now) = (filter.clone(), document.clone(), now.clone());
            let decide = move |before: Option<Document>| {
                let Some(before) = before.filter(|before| filter.matches(before)) else {
                    return (Change::Nothing, Ok(None)); // it is another one now
                };
                if is_user && let Err(failure) = same_credentials(&document, &before) {
                    return (Change::Nothing, Err(failure));
                }
                let mut document = document.clone();
                if is_user && let Some(username) = before.get("username") {
                    document.insert("username".into(), username.clone());
                }
                metadata::succeed(&mut document, &before, &now);
                (Change::Put(document), Ok(Some(())))
            };
            if self.store.change(at, &id, decide).await??.is_some() {
                return Ok(Updated { matched: 1, modified: 1, upserted: None });
            }
        }
        Err(StoreError::Contended.into())
    }

    pub(super) async fn find_and_modify(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::FindAndModify = read(args)?;
        let at = writable(app, &args.collection)?;
        let args::ModifyOptions { new, remove, upsert, fields, array_filters } = args.options;
        let action = if remove {
            if names_elements(&array_filters) {
                return Err(refused("arrayFilters need operators such as $set, and not remove"));
            }
            Modify::Remove
        } else if has_operators(&args.update) {
            let creator = args.creator.as_deref();
            Modify::Update(stamped(at, &args.update, &array_filters, &args.query, creator)?)
        } else {
            return Err(refused("findAndModify needs operators such as $set, or remove"));
        };
        if upsert {
            no_new_users(at)?;
        }
        let request = FindAndModify {
            filter: super::geo::parse(&args.query)?,
            sort: SortKey::parse(&args.sort)?,
            action,
            return_new: new,
            upsert,
            fields: None,
        };
        let fields = Projection::parse(&fields)?;
        let mut found = self.store.find_and_modify(at, &request).await?;
        if remove && at.collection == USERS {
            // Before the projection, which may leave out whom this was.
            let id = found.as_ref().and_then(|user| user.get("_id")?.as_str());
            self.forget_users(app, id).await?;
        }
        if let Some(found) = &mut found {
            fields.apply(found);
        }
        fitting(&found)
    }

    pub(super) async fn remove(&self, app: &str, args: &str) -> Result<String, Failure> {
        let args: args::Remove = read(args)?;
        let at = writable(app, &args.collection)?;
        let filter = super::geo::parse(&args.query)?;
        let how = RemoveHow { only_one: args.options.single };
        if at.collection != USERS {
            return Ok(self.store.remove(at, &filter, how).await?.to_string());
        }
        let limit = if how.only_one { 1 } else { MAX_DOCUMENTS };
        let query = Query { filter, limit: Some(limit), ..Query::default() };
        let ids = self.store.ids(at, &query).await?;
        // First what lets them in: a user without a credential is harmless, and not the reverse.
        self.forget_users(app, ids.iter().map(String::as_str)).await?;
        let mut removed = 0;
        for some in ids.chunks(500) {
            let these = Filter::parse(&json!({ "_id": { "$in": some } }))?;
            removed += self.store.remove(at, &these, RemoveHow::default()).await?;
        }
        Ok(removed.to_string())
    }

    async fn forget_users(
        &self,
        app: &str,
        ids: impl IntoIterator<Item = &str>,
    ) -> Result<(), Failure> {
        for id in ids {
            self.store.remove_credential(app, id).await?;
        }
        Ok(())
    }
}

fn has_operators(update: &Value) -> bool {
    update.as_object().is_some_and(|update| update.keys().any(|name| name.starts_with('$')))
}

/// Whether there are array filters. An empty list of them names nothing that an update could miss.
fn names_elements(array_filters: &Value) -> bool {
    match array_filters {
        Value::Null => false,
        Value::Array(filters) => !filters.is_empty(),
        _ => true,
    }
}

/// An update of operators with the metadata's in it.
fn stamped(
    at: Place<'_>,
    update: &Value,
    array_filters: &Value,
    query: &Value,
    creator: Option<&str>,
) -> Result<Update, Failure> {
    if at.collection == USERS {
        let fields = update.as_object().into_iter().flat_map(|update| update.values());
        for (path, value) in fields.filter_map(Value::as_object).flatten() {
            let renamed_to = value.as_str().unwrap_or_default();
            if CREDENTIALS.iter().any(|name| is_at(path, name) || is_at(renamed_to, name)) {
                return Err(no_credentials());
            }
        }
    }
    let mut update = update.clone();
    metadata::stamp(&mut update, query, creator, &metadata::now());
    Ok(Update::parse_filtered(&update, array_filters)?)
}

fn no_new_users(at: Place<'_>) -> Result<(), Failure> {
    if at.collection == USERS { Err(no_user()) } else { Ok(()) }
}

fn no_user() -> Failure {
    refused("scripts cannot make users: sign them up through the API")
}

fn no_credentials() -> Failure {
    refused("scripts cannot change usernames and passwords: use the API")
}

fn same_credentials(document: &Document, before: &Document) -> Result<(), Failure> {
    let renamed = document.get("username").is_some_and(|name| before.get("username") != Some(name));
    if renamed || document.contains_key("password") {
        return Err(no_credentials());
    }
    Ok(())
}
