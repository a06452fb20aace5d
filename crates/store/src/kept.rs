//! Small things that the program keeps for an app: recordings of failed runs, the state of schedules…

use serde_json::Value;

use crate::collections::need_app;
use crate::connection::Connection;
use crate::document::check_name;
use crate::{Store, StoreError};

impl Store {
    /// Keeps something of an app under a kind and an id, and forgets all but the `keep_last` of this kind
    /// that were kept last. What is kept again counts as new.
    ///
    /// # Errors
    /// [`StoreError::NoApp`].
    pub async fn keep(
        &self,
        app: &str,
        kind: &str,
        id: &str,
        content: &Value,
        keep_last: u32,
    ) -> Result<(), StoreError> {
        check_name("a kind", kind)?;
        check_name("an id", id)?;
        let texts = [app, kind, id].map(str::to_owned);
        self.write((texts, content.to_string(), keep_last), |(texts, content, keep_last), c| {
            Box::pin(keep(c, texts, content, *keep_last))
        })
        .await
    }

    /// What was kept under this kind and id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn kept(&self, app: &str, kind: &str, id: &str) -> Result<Option<Value>, StoreError> {
        if check_name("an id", id).is_err() {
            return Ok(None); // It comes from a request; nothing can have been kept under it.
        }
        let texts = [app, kind, id].map(str::to_owned);
        self.read(texts, |[app, kind, id], c| {
            Box::pin(async move {
                let sql = "SELECT content FROM kept WHERE app = $1 AND kind = $2 AND id = $3";
                let params = [app.as_str().into(), kind.as_str().into(), id.as_str().into()];
                Ok(c.first(sql, &params, |row| row.json(0)).await?.flatten())
            })
        })
        .await
    }

    /// All that is kept of a kind, by id, what was kept last first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn kept_all(
        &self,
        app: &str,
        kind: &str,
    ) -> Result<Vec<(String, Value)>, StoreError> {
        self.read([app, kind].map(str::to_owned), |[app, kind], c| {
            Box::pin(async move {
                let sql = "SELECT id, content FROM kept WHERE app = $1 AND kind = $2
                    ORDER BY seq DESC";
                c.rows(sql, &[app.as_str().into(), kind.as_str().into()], |row| {
                    Ok((row.text(0)?, row.json(1)?.unwrap_or_default()))
                })
                .await
            })
        })
        .await
    }

    /// Forgets what was kept under this kind and id. Returns whether there was anything.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget(&self, app: &str, kind: &str, id: &str) -> Result<bool, StoreError> {
        if check_name("an id", id).is_err() {
            return Ok(false);
        }
        let texts = [app, kind, id].map(str::to_owned);
        self.write(texts, |[app, kind, id], c| {
            Box::pin(async move {
                let sql = "DELETE FROM kept WHERE app = $1 AND kind = $2 AND id = $3";
                let params = [app.as_str().into(), kind.as_str().into(), id.as_str().into()];
                Ok(c.execute(sql, &params).await? > 0)
            })
        })
        .await
    }
}

async fn keep(
    c: &Connection<'_>,
    [app, kind, id]: &[String; 3],
    content: &str,
    keep_last: u32,
) -> Result<(), StoreError> {
    need_app(c, app).await?;
    let (app, kind, id) = (app.as_str(), kind.as_str(), id.as_str());
    // Of two that keep at once, the second counts what the first has kept.
    c.lock(&format!("kept {app} {kind}")).await?;
    // Deleted and inserted, not updated: so it is the newest.
    let sql = "DELETE FROM kept WHERE app = $1 AND kind = $2 AND id = $3";
    c.execute(sql, &[app.into(), kind.into(), id.into()]).await?;
    let sql = "INSERT INTO kept (app, kind, id, content) VALUES ($1, $2, $3, $4)";
    c.execute(sql, &[app.into(), kind.into(), id.into(), content.into()]).await?;
    let sql = "DELETE FROM kept WHERE app = $1 AND kind = $2 AND seq <=
        (SELECT seq FROM kept WHERE app = $1 AND kind = $2 ORDER BY seq DESC LIMIT 1 OFFSET $3)";
    c.execute(sql, &[app.into(), kind.into(), keep_last.into()]).await.map(|_| ())
}
