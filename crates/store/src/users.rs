//! Users' credentials and sessions. Their documents are in the collection `user`.

use std::sync::Arc;

use serde_json::Value;

use crate::change::{read_for_write, replace};
use crate::collections::{make, number_for_write};
use crate::connection::{Connection, Param, Row};
use crate::document::{check_id, check_name, encode};
use crate::entities::insert_one;
use crate::records::At;
use crate::time::now_ms;
use crate::{Credential, Document, Place, Session, Store, StoreError};

impl Store {
    /// Adds a user, who logs in with the credential: the document and the credential, or neither.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] with the id if the app has a user with it, or with the name if another has
    /// that; [`StoreError::Invalid`] also if the two are not of one user; [`StoreError::NoApp`].
    pub async fn add_user(
        &self,
        app: &str,
        document: &Document,
        credential: &Credential,
    ) -> Result<(), StoreError> {
        check_name("a username", &credential.username)?;
        let (id, text) = encode(document)?;
        if id != credential.user_id {
            return Err(StoreError::Invalid("the credential is another user's".into()));
        }
        let at = At::from(Place { app, collection: "user" });
        self.write((at, text, credential.clone()), |(at, text, credential), c| {
            Box::pin(async move {
                let users = make(c, at).await?;
                insert_one(c, at, users, &credential.user_id, text).await?;
                // Never one that is there already: it would be somebody else's.
                let sql = "INSERT INTO credentials (app, user_id, username, password_hash)
                    VALUES ($1, $2, $3, $4)";
                let params = [
                    at.app.as_str().into(),
                    credential.user_id.as_str().into(),
                    credential.username.as_str().into(),
                    credential.password_hash.as_str().into(),
                ];
                c.execute(sql, &params).await.map_err(|e| e.named(&credential.username))?;
                Ok(())
            })
        })
        .await
    }

    /// The credential of the user with this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn credential(
        &self,
        app: &str,
        username: &str,
    ) -> Result<Option<Credential>, StoreError> {
        self.credential_where("username", app, username).await
    }

    /// The credential of the user with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn credential_of(
        &self,
        app: &str,
        user_id: &str,
    ) -> Result<Option<Credential>, StoreError> {
        self.credential_where("user_id", app, user_id).await
    }

    async fn credential_where(
        &self,
        column: &'static str,
        app: &str,
        value: &str,
    ) -> Result<Option<Credential>, StoreError> {
        if check_name(column, value).is_err() {
            return Ok(None); // It comes from a request; nobody can be called so.
        }
        self.read((column, app.to_owned(), value.to_owned()), |(column, app, value), c| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT user_id, username, password_hash FROM credentials
                     WHERE app = $1 AND {column} = $2"
                );
                c.first(&sql, &[app.as_str().into(), value.as_str().into()], |row| {
                    Ok(Credential {
                        user_id: row.text(0)?,
                        username: row.text(1)?,
                        password_hash: row.text(2)?,
                    })
                })
                .await
            })
        })
        .await
    }

    /// Writes a user's document anew, and with it what the user logs in with, in one step: where `rewrite`
    /// changes the member `username`, the credential has the new name from then on; with a `password_hash`
    /// the password is another, and all sessions of the user end. Returns the document as it is now, `None` if
    /// there is no such user: none is made. `rewrite` is called as [`Store::change`] calls its `decide`.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] with the name if another user of the app has it; [`StoreError::Invalid`] if
    /// the document or the name cannot be stored. Nothing was written.
    pub async fn change_user(
        &self,
        app: &str,
        user_id: &str,
        password_hash: Option<&str>,
        rewrite: impl Fn(&Document) -> Document + Send + Sync + 'static,
    ) -> Result<Option<Document>, StoreError> {
        check_id(user_id)?;
        let at = At::from(Place { app, collection: "user" });
        let user = [app, user_id].map(str::to_owned);
        let asked = (at, user, password_hash.map(str::to_owned), Arc::new(rewrite));
        self.write(asked, |(at, user, password_hash, rewrite), c| {
            Box::pin(async move {
                let [_, id] = user;
                let Some(number) = number_for_write(c, at).await? else { return Ok(None) };
                let Some(before) = read_for_write(c, number, id).await? else { return Ok(None) };
                let after = rewrite(&before);
                replace(c, at, number, id, &after).await?;
                let name = after.get("username").and_then(Value::as_str);
                if let Some(name) =
                    name.filter(|name| before.get("username") != Some(&(*name).into()))
                {
                    check_name("a username", name)?;
                    set(c, "username", user, name).await.map_err(|e| e.named(name))?;
                }
                if let Some(hash) = password_hash {
                    // In this order: a login that verified the old password and is about to begin its session
                    // has begun it, and it is ended here, or finds another password (`add_session`).
                    set(c, "password_hash", user, hash).await?;
                    remove_sessions(c, user).await?;
                }
                Ok(Some(after))
            })
        })
        .await
    }

    /// Removes a user's credential and sessions. Returns whether there was a credential.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove_credential(&self, app: &str, user_id: &str) -> Result<bool, StoreError> {
        self.write([app, user_id].map(str::to_owned), |user, c| {
            Box::pin(async move {
                let sql = "DELETE FROM credentials WHERE app = $1 AND user_id = $2";
                let params = user.each_ref().map(|t| Param::from(t.as_str()));
                let had_one = c.execute(sql, &params).await? > 0;
                // Afterwards: no login begins another one (`add_session`).
                remove_sessions(c, user).await?;
                Ok(had_one)
            })
        })
        .await
    }

    /// Begins a session of a user whose password still has this hash, and clears away the app's that have
    /// expired. Returns whether it has: whoever verified a password that was changed meanwhile gets none.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if the token is in use.
    pub async fn add_session(
        &self,
        session: &Session,
        password_hash: &str,
    ) -> Result<bool, StoreError> {
        check_id(&session.user_id)?;
        self.write((session.clone(), password_hash.to_owned()), |(session, hash), c| {
            Box::pin(async move {
                let app = session.app.as_str();
                // Until this transaction has ended, nobody changes it.
                let lock = if c.is_sqlite() { "" } else { " FOR SHARE" };
                let sql = format!(
                    "SELECT 1 FROM credentials
                     WHERE app = $1 AND user_id = $2 AND password_hash = $3{lock}"
                );
                let user = [app.into(), session.user_id.as_str().into(), hash.as_str().into()];
                if c.first(&sql, &user, |_| Ok(())).await?.is_none() {
                    return Ok(false);
                }
                // Some at a time: whoever logs in after a long pause should not wait for all of them.
                let sql = "DELETE FROM sessions WHERE token_hash IN
                    (SELECT token_hash FROM sessions WHERE expires_ms < $1 LIMIT 100)";
                c.execute(sql, &[now_ms().into()]).await?;
                let sql = "INSERT INTO sessions (token_hash, app, user_id, created_ms, expires_ms)
                    VALUES ($1, $2, $3, $4, $5)";
                let params = [
                    (&session.token_hash).into(),
                    app.into(),
                    session.user_id.as_str().into(),
                    session.created_ms.into(),
                    session.expires_ms.into(),
                ];
                c.execute(sql, &params).await.map_err(|e| e.named("this session"))?;
                Ok(true)
            })
        })
        .await
    }

    /// The session with this token, by SHA-256, and its user's document if there is one. The session may have
    /// expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn session(
        &self,
        token_hash: &[u8; 32],
    ) -> Result<Option<(Session, Option<Document>)>, StoreError> {
        self.look_up(*token_hash, |token_hash, c| {
            Box::pin(async move {
                let sql = "SELECT s.token_hash, s.app, s.user_id, s.created_ms, s.expires_ms, e.doc
                    FROM sessions s
                    LEFT JOIN collections c ON c.app = s.app AND c.name = 'user'
                    LEFT JOIN entities e ON e.collection = c.id AND e.id = s.user_id
                    WHERE s.token_hash = $1";
                c.first(sql, &[token_hash.into()], |row| Ok((session(row)?, row.json(5)?))).await
            })
        })
        .await
    }

    /// Ends a session. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove_session(&self, token_hash: &[u8; 32]) -> Result<bool, StoreError> {
        self.write(*token_hash, |token_hash, c| {
            Box::pin(async move {
                let sql = "DELETE FROM sessions WHERE token_hash = $1";
                Ok(c.execute(sql, &[token_hash.into()]).await? > 0)
            })
        })
        .await
    }

    /// Ends all sessions of a user. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remove_sessions_of(&self, app: &str, user_id: &str) -> Result<u64, StoreError> {
        self.write([app, user_id].map(str::to_owned), |user, c| Box::pin(remove_sessions(c, user)))
            .await
    }
}

/// Sets a column of a user's credential, if there is one.
async fn set(
    c: &Connection<'_>,
    column: &str,
    [app, id]: &[String; 2],
    value: &str,
) -> Result<(), StoreError> {
    let sql = format!("UPDATE credentials SET {column} = $3 WHERE app = $1 AND user_id = $2");
    c.execute(&sql, &[app.as_str().into(), id.as_str().into(), value.into()]).await.map(drop)
}

async fn remove_sessions(c: &Connection<'_>, user: &[String; 2]) -> Result<u64, StoreError> {
    let sql = "DELETE FROM sessions WHERE app = $1 AND user_id = $2";
    c.execute(sql, &user.each_ref().map(|t| Param::from(t.as_str()))).await
}

fn session(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        token_hash: row.hash(0)?,
        app: row.text(1)?,
        user_id: row.text(2)?,
        created_ms: row.int(3)?,
        expires_ms: row.int(4)?,
    })
}
