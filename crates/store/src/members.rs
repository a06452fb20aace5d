//! Who is in which group. It is kept beside the groups' documents: every request of a user asks for that user's.

use crate::collections::known;
use crate::connection::Connection;
use crate::records::At;
use crate::{Place, Store, StoreError};

/// The collection whose documents are groups.
pub(crate) const GROUPS: &str = "group";

/// Users that a group may have, as many as one query may answer: each is a row, and on SQLite all apps' writes wait
/// while they are written.
const MOST_MEMBERS: i64 = 10_000;

impl Store {
    /// The ids of the groups that a user is in, by name (`users.list._id`) or as all are (`users.all`): the first
    /// ones in order, and at most so many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn groups_of(
        &self,
        app: &str,
        user_id: &str,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let at = At::from(Place { app, collection: GROUPS });
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.look_up((at, user_id.to_owned(), most), |(at, user_id, most), c| {
            Box::pin(async move {
                let Some(known) = known(c, at).await? else { return Ok(Vec::new()) };
                // Each half ends at the bound: anybody may put a user into any number of groups.
                let sql = "SELECT id FROM (SELECT id FROM members
                        WHERE collection = $1 AND member = $2 ORDER BY id LIMIT $3) AS named
                    UNION SELECT id FROM (SELECT id FROM members
                        WHERE collection = $1 AND member = '' ORDER BY id LIMIT $3) AS all_users
                    ORDER BY id LIMIT $3";
                let params = [known.number.into(), user_id.as_str().into(), (*most).into()];
                c.rows(sql, &params, |row| row.text(0)).await
            })
        })
        .await
    }
}

/// Writes down anew who is in these groups, if the collection is that of groups. It belongs to the transaction
/// that has written them.
///
/// # Errors
/// [`StoreError::Invalid`]: a group of too many.
pub(crate) async fn renew(
    c: &Connection<'_>,
    at: &At,
    collection: i64,
    ids: &[impl AsRef<str>],
) -> Result<(), StoreError> {
    if at.collection != GROUPS {
        return Ok(());
    }
    for id in ids {
        let group = [collection.into(), id.as_ref().into()];
        let sql = "SELECT count(*) FROM memberships WHERE collection = $1 AND id = $2";
        if c.first(sql, &group, |row| row.int(0)).await?.unwrap_or(0) > MOST_MEMBERS {
            let what = format!("a group has at most {MOST_MEMBERS} users");
            return Err(StoreError::Invalid(what));
        }
        // Of a large group most stay, and are not written again.
        let sql = "DELETE FROM members WHERE collection = $1 AND id = $2 AND member NOT IN
            (SELECT member FROM memberships WHERE collection = $1 AND id = $2)";
        c.execute(sql, &group).await?;
        let sql = "INSERT INTO members (collection, id, member)
            SELECT collection, id, member FROM memberships WHERE collection = $1 AND id = $2
            ON CONFLICT DO NOTHING";
        c.execute(sql, &group).await?;
    }
    Ok(())
}
