//! Apps and their deployments.

use std::sync::Arc;

use serde_json::Value;

use crate::connection::{Param, Row};
use crate::document::check_name;
use crate::{AppRecord, DeploymentRecord, DeploymentSummary, Store, StoreError};

const COLUMNS: &str =
    "key, name, app_secret_hash, master_secret_hash, settings, scheduled, active, created_ms";

impl Store {
    /// Makes an app.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if there is one with this key.
    pub async fn create_app(&self, app: &AppRecord) -> Result<(), StoreError> {
        check_name("an app's key", &app.key)?;
        self.write(app.clone(), |app, c| {
            Box::pin(async move {
                let sql =
                    format!("INSERT INTO apps ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
                c.execute(&sql, &columns(app)).await.map_err(|e| e.named(&app.key)).map(|_| ())
            })
        })
        .await
    }

    /// The app with this key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn app(&self, key: &str) -> Result<Option<AppRecord>, StoreError> {
        if check_name("an app's key", key).is_err() {
            return Ok(None);
        }
        self.read(key.to_owned(), |key, c| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM apps WHERE key = $1");
                c.first(&sql, &[key.as_str().into()], app).await
            })
        })
        .await
    }

    /// All apps, by key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn apps(&self) -> Result<Vec<AppRecord>, StoreError> {
        self.read((), |(), c| {
            Box::pin(async move {
                c.rows(&format!("SELECT {COLUMNS} FROM apps ORDER BY key"), &[], app).await
            })
        })
        .await
    }

    /// The keys of the apps of which something is to happen by itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn scheduled(&self) -> Result<Vec<String>, StoreError> {
        self.read((), |(), c| {
            Box::pin(async move {
                let sql = "SELECT key FROM apps WHERE scheduled <> 0 ORDER BY key";
                c.rows(sql, &[], |row| row.text(0)).await
            })
        })
        .await
    }

    /// Changes what is known of an app, except its key and when it was made, as `change` says; returns the
    /// other thing that it says, or `None` if there is no such app. Nobody else changes the app in between: a
    /// deployment that becomes the active one meanwhile, say, stays that. `change` must be quick.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn change_app<T: Send + 'static>(
        &self,
        key: &str,
        change: impl Fn(&mut AppRecord) -> T + Send + Sync + 'static,
    ) -> Result<Option<T>, StoreError> {
        self.write((key.to_owned(), Arc::new(change)), |(key, change), c| {
            Box::pin(async move {
                let lock = if c.is_sqlite() { "" } else { " FOR UPDATE" };
                let sql = format!("SELECT {COLUMNS} FROM apps WHERE key = $1{lock}");
                let Some(mut record) = c.first(&sql, &[key.as_str().into()], app).await? else {
                    return Ok(None);
                };
                let answer = change(&mut record);
                let sql =
                    "UPDATE apps SET name = $2, app_secret_hash = $3, master_secret_hash = $4,
                    settings = $5, scheduled = $6, active = $7 WHERE key = $1";
                let mut params = columns(&record).to_vec();
                params[0] = key.as_str().into();
                params.truncate(7);
                c.execute(sql, &params).await?;
                Ok(Some(answer))
            })
        })
        .await
    }

    /// Deletes an app and everything of it. For everybody it is gone at once; this returns when nothing is
    /// left. Returns whether there was such an app.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn delete_app(&self, key: &str) -> Result<bool, StoreError> {
        let was_there = self
            .write(key.to_owned(), |key, c| {
                Box::pin(async move {
                    let key = [Param::from(key.as_str())];
                    if !c.is_sqlite() {
                        // Waits for those that are about to make something of this app.
                        let sql = "SELECT 1 FROM apps WHERE key = $1 FOR UPDATE";
                        c.rows(sql, &key, |_| Ok(())).await?;
                    }
                    c.execute(
                        "INSERT INTO dropped (collection) SELECT id FROM collections WHERE app = $1",
                        &key,
                    )
                    .await?;
                    Ok(c.execute("DELETE FROM apps WHERE key = $1", &key).await? > 0)
                })
            })
            .await?;
        self.forget_numbers();
        self.purge().await?;
        Ok(was_there)
    }

    /// Adds a deployment and returns its number: 1, 2, 3… within the app, never twice the same.
    ///
    /// # Errors
    /// [`StoreError::NoApp`].
    pub async fn add_deployment(
        &self,
        app: &str,
        content: &Value,
        created_ms: i64,
        activate: bool,
    ) -> Result<u32, StoreError> {
        let asked = (app.to_owned(), content.to_string(), created_ms, activate);
        self.write(asked, |(app, content, created_ms, activate), c| {
            Box::pin(async move {
                let sql = "UPDATE apps SET last_deployment = last_deployment + 1 WHERE key = $1
                    RETURNING last_deployment";
                let number = c
                    .first(sql, &[app.as_str().into()], |row| row.int(0))
                    .await?
                    .ok_or_else(|| StoreError::NoApp(app.clone()))?;
                c.execute(
                    "INSERT INTO deployments (app, number, created_ms, content)
                     VALUES ($1, $2, $3, $4)",
                    &[
                        app.as_str().into(),
                        number.into(),
                        (*created_ms).into(),
                        content.as_str().into(),
                    ],
                )
                .await?;
                if *activate {
                    let sql = "UPDATE apps SET active = $2 WHERE key = $1";
                    c.execute(sql, &[app.as_str().into(), number.into()]).await?;
                }
                count(number)
            })
        })
        .await
    }

    /// A deployment with its scripts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn deployment(
        &self,
        app: &str,
        number: u32,
    ) -> Result<Option<DeploymentRecord>, StoreError> {
        self.read((app.to_owned(), number), |(app, number), c| {
            Box::pin(async move {
                let sql = "SELECT created_ms, content FROM deployments
                    WHERE app = $1 AND number = $2";
                c.first(sql, &[app.as_str().into(), (*number).into()], |row| {
                    Ok(DeploymentRecord {
                        number: *number,
                        created_ms: row.int(0)?,
                        content: row.json(1)?.unwrap_or_default(),
                    })
                })
                .await
            })
        })
        .await
    }

    /// The app's deployments by number, without their scripts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn deployments(&self, app: &str) -> Result<Vec<DeploymentSummary>, StoreError> {
        self.read(app.to_owned(), |app, c| {
            Box::pin(async move {
                let sql = "SELECT number, created_ms FROM deployments WHERE app = $1
                    ORDER BY number";
                c.rows(sql, &[app.as_str().into()], |row| {
                    Ok(DeploymentSummary { number: count(row.int(0)?)?, created_ms: row.int(1)? })
                })
                .await
            })
        })
        .await
    }

    /// Makes a deployment the active one. Returns whether there is such a deployment.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn activate(&self, app: &str, number: u32) -> Result<bool, StoreError> {
        self.write((app.to_owned(), number), |(app, number), c| {
            Box::pin(async move {
                let sql = "UPDATE apps SET active = $2 WHERE key = $1 AND EXISTS
                    (SELECT 1 FROM deployments d WHERE d.app = $1 AND d.number = $2)";
                Ok(c.execute(sql, &[app.as_str().into(), (*number).into()]).await? > 0)
            })
        })
        .await
    }
}

fn columns(app: &AppRecord) -> [Param; 8] {
    [
        app.key.as_str().into(),
        app.name.as_str().into(),
        (&app.app_secret_hash).into(),
        (&app.master_secret_hash).into(),
        app.settings.to_string().into(),
        i64::from(app.scheduled).into(),
        app.active.into(),
        app.created_ms.into(),
    ]
}

fn app(row: &Row<'_>) -> Result<AppRecord, StoreError> {
    Ok(AppRecord {
        key: row.text(0)?,
        name: row.text(1)?,
        app_secret_hash: row.hash(2)?,
        master_secret_hash: row.hash(3)?,
        settings: row.json(4)?.unwrap_or_default(),
        scheduled: row.int(5)? != 0,
        active: row.optional_int(6)?.map(count).transpose()?,
        created_ms: row.int(7)?,
    })
}

fn count(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|e| StoreError::unavailable("reading a deployment's number", e))
}
