//! Who may do what with an entity: its collection's permission, and its own ACL (Kinvey's security guide).

use lode_store::Document;
use lode_store::query::{Filter, Query};
use serde_json::{Value, json};

use crate::auth::{Identity, User};
use crate::call::Call;
use crate::error::{ApiError, Kind};
use crate::settings::{CollectionSettings, Permission};

/// Groups of a user that count, and roles. Each is a condition of the filter below, groups twice: with all of
/// them it is well below the 1,000 that a filter may have.
const MOST_MEMBERSHIPS: usize = 200;

/// What a user wants to do with an entity that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Read,
    Update,
    Delete,
}

impl Act {
    /// The members of an ACL that grant it: `_acl.<list>`, `_acl.groups.<list>`, `_acl.<everybody>`,
    /// `_acl.roles.<role>`.
    fn members(self) -> (&'static [&'static str], &'static str, &'static str) {
        match self {
            // Who may write may read.
            Self::Read => (&["r", "w"], "gr", "r"),
            Self::Update => (&["w"], "gw", "u"),
            Self::Delete => (&["w"], "gw", "d"),
        }
    }

    /// Whether a collection's permission grants it for all entities.
    fn is_granted(self, permission: Permission) -> bool {
        match self {
            Self::Read => permission != Permission::Private,
            Self::Update => matches!(permission, Permission::Public | Permission::Full),
            Self::Delete => permission == Permission::Full,
        }
    }
}

/// What the sender of a request may do in a collection.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// `None`: everything.
    user: Option<Member>,
    permission: Permission,
}

#[derive(Clone, Debug)]
struct Member {
    id: String,
    roles: Vec<String>,
    groups: Vec<String>,
}

impl Access {
    /// What the owner may.
    pub(crate) fn everything() -> Self {
        Self { user: None, permission: Permission::Full }
    }

    /// The filter of what may be done; `None` for all.
    pub(crate) fn filter(&self, act: Act) -> Result<Option<Filter>, ApiError> {
        let Some(user) = &self.user else { return Ok(None) };
        let (lists, everybody, role) = act.members();
        let mut ways = vec![json!({ "_acl.creator": user.id })];
        for list in lists {
            ways.push(json!({ format!("_acl.{list}"): user.id }));
            if !user.groups.is_empty() {
                ways.push(json!({ format!("_acl.groups.{list}"): { "$in": user.groups } }));
            }
        }
        let roles = user.roles.get(..MOST_MEMBERSHIPS).unwrap_or(&user.roles);
        if !roles.is_empty() {
            ways.push(json!({ format!("_acl.roles.{role}"): { "$in": roles } }));
        }
        let everybody = format!("_acl.{everybody}");
        // An entity may say that it is not for everybody though its collection is.
        ways.push(if act.is_granted(self.permission) {
            json!({ everybody: { "$ne": false } })
        } else {
            json!({ everybody: true })
        });
        Ok(Some(Filter::parse(&json!({ "$or": ways }))?))
    }

    /// `filter`, narrowed to what may be done.
    pub(crate) fn narrow(&self, act: Act, filter: Filter) -> Result<Filter, ApiError> {
        Ok(match self.filter(act)? {
            Some(allowed) => filter.and(allowed),
            None => filter,
        })
    }

    /// Whether something may be done with a document.
    pub(crate) fn allows(&self, act: Act, document: &Document) -> Result<bool, ApiError> {
        Ok(self.filter(act)?.is_none_or(|filter| filter.matches(document)))
    }
}

impl Call {
    /// What the sender may do in a collection with these settings.
    ///
    /// # Errors
    /// Nobody is logged in.
    pub(crate) async fn access(&self, collection: &str) -> Result<Access, ApiError> {
        self.not_app()?;
        let permission = self.collection_settings(collection).permission;
        let user = match self.identity.user() {
            Some(user) => Some(Member {
                id: user.id.to_string(),
                roles: user.roles.clone(),
                groups: self.groups_of(user).await?,
            }),
            None => None,
        };
        Ok(Access { user, permission })
    }

    pub(crate) fn collection_settings(&self, collection: &str) -> CollectionSettings {
        let set = self.app.settings.collections.get(collection).cloned();
        set.unwrap_or_else(|| CollectionSettings {
            // Users are not shown to each other unless the owner wants it.
            permission: if collection == "user" { Permission::Private } else { Permission::Shared },
            read_only: false,
        })
    }

    /// Refuses writes to collections that are read-only.
    pub(crate) fn may_write(&self, collection: &str) -> Result<(), ApiError> {
        if self.collection_settings(collection).read_only && !self.identity.is_master() {
            return Err(ApiError::new(Kind::WritesToCollectionDisallowed, ""));
        }
        Ok(())
    }

    /// The groups of a user that count: the first ones by id, those first that the owner made. Users make
    /// groups, too, of whomever they like: that is to put nobody out of the owner's.
    async fn groups_of(&self, user: &User) -> Result<Vec<String>, ApiError> {
        let store = &self.api.0.store;
        let groups = store.groups_of(&self.app.key, &user.id, MOST_MEMBERSHIPS + 1).await?;
        if groups.len() <= MOST_MEMBERSHIPS {
            return Ok(groups);
        }
        let owners = json!({
            "_acl.creator": *self.app.key,
            "$or": [{ "users.list._id": *user.id }, { "users.all": true }],
        });
        let query = Query {
            filter: Filter::parse(&owners)?,
            limit: u64::try_from(MOST_MEMBERSHIPS).ok(),
            ..Query::default()
        };
        let mut first = store.ids(self.place("group"), &query).await?;
        let others: Vec<String> = groups.into_iter().filter(|id| !first.contains(id)).collect();
        first.extend(others);
        first.truncate(MOST_MEMBERSHIPS);
        Ok(first)
    }
}

/// The `_acl` of a new entity: what the sender gave, its creator being the sender unless the owner says
/// otherwise.
pub(crate) fn new_acl(call: &Call, given: Option<Value>) -> Value {
    let mut acl = match given {
        Some(Value::Object(acl)) => acl,
        _ => Document::new(),
    };
    let creator = match &call.identity {
        Identity::User(user) => Some(user.id.to_string()),
        // Kinvey has the app be the creator of what the master secret makes.
        _ if !acl.contains_key("creator") => Some(call.app.key.to_string()),
        _ => None,
    };
    if let Some(creator) = creator {
        acl.insert("creator".into(), creator.into());
    }
    acl.into()
}

/// The `_acl` of an entity that is written again: what the sender gives, else what it had; only the owner
/// changes its creator.
pub(crate) fn changed_acl(is_master: bool, given: Option<Value>, before: Option<&Value>) -> Value {
    let mut acl = match (given, before) {
        (Some(Value::Object(acl)), _) => acl,
        (_, Some(Value::Object(before))) => before.clone(),
        _ => Document::new(),
    };
    let creator = before.and_then(|before| before.get("creator")).cloned();
    if (!is_master || !acl.contains_key("creator"))
        && let Some(creator) = creator
    {
        acl.insert("creator".into(), creator);
    }
    acl.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_of_a_user_of_everything_is_none_too_large() {
        let many = |what: &str, n: usize| (0..n).map(|i| format!("{what}{i}")).collect();
        let user = Member {
            id: "ada".into(),
            roles: many("role", 5_000),
            groups: many("group", MOST_MEMBERSHIPS),
        };
        let access = Access { user: Some(user), permission: Permission::Private };
        for (act, list) in [(Act::Read, "r"), (Act::Update, "w"), (Act::Delete, "w")] {
            let Value::Object(shared) = json!({ "_acl": { "groups": { list: ["group199"] } } })
            else {
                unreachable!()
            };
            assert!(access.allows(act, &shared).expect("a filter"));
        }
        let Value::Object(others) = json!({ "_acl": { "creator": "bob" } }) else { unreachable!() };
        assert!(!access.allows(Act::Read, &others).expect("a filter"));
    }
}
