//! Users' credentials and sessions. Their documents are in the collection `user`.

use crate::collections::{make, need_app};
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
                insert_one(c, users, &credential.user_id, text).await?;
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

    /// Gives a user another name. Returns whether the user has a credential.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] with the name if another user of the app has it.
    pub async fn rename_credential(
        &self,
        app: &str,
        user_id: &str,
        username: &str,
    ) -> Result<bool, StoreError> {
        check_name("a username", username)?;
        self.set_column("username", app, user_id, username).await.map_err(|e| e.named(username))
    }

    /// Gives a user another password, by its hash. Sessions stay. Returns whether the user has a credential.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn set_password(
        &self,
        app: &str,
        user_id: &str,
        password_hash: &str,
    ) -> Result<bool, StoreError> {
        self.set_column("password_hash", app, user_id, password_hash).await
    }

    async fn set_column(
        &self,
        column: &'static str,
        app: &str,
        user_id: &str,
        value: &str,
    ) -> Result<bool, StoreError> {
        let texts = [app, user_id, value].map(str::to_owned);
        self.write((column, texts), |(column, texts), c| {
            Box::pin(async move {
                let sql =
                    format!("UPDATE credentials SET {column} = $3 WHERE app = $1 AND user_id = $2");
                Ok(c.execute(&sql, &texts.each_ref().map(|t| Param::from(t.as_str()))).await? > 0)
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
                remove_sessions(c, user).await?;
                let sql = "DELETE FROM credentials WHERE app = $1 AND user_id = $2";
                Ok(c.execute(sql, &user.each_ref().map(|t| Param::from(t.as_str()))).await? > 0)
            })
        })
        .await
    }

    /// Begins a session, and clears away the app's that have expired.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if the token is in use; [`StoreError::NoApp`].
    pub async fn add_session(&self, session: &Session) -> Result<(), StoreError> {
        check_id(&session.user_id)?;
        self.write(session.clone(), |session, c| {
            Box::pin(async move {
                let app = session.app.as_str();
                need_app(c, app).await?;
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
                Ok(())
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
