//! Runs that are owed: kept until they are done, and run by one host at a time.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::collections::need_app;
use crate::connection::{Connection, Row};
use crate::document::{check_id, check_name};
use crate::{Store, StoreError};

/// For how long a key names the same task.
pub const KEY_KEPT_MS: i64 = 24 * 3_600_000;

/// Dead tasks that are kept of an app: the last ones.
const DEAD_KEPT: u32 = 1_000;

/// Tasks of one app that one host has at a time: of those that it can run at once, an eighth.
const PER_APP: u32 = 8;

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for its time.
    Waiting,
    /// A host has it.
    Running,
    /// It is given up, until somebody asks for another try.
    Dead,
    /// It has run.
    Done,
}

impl TaskState {
    const ALL: [Self; 4] = [Self::Waiting, Self::Running, Self::Dead, Self::Done];

    /// Its name: `waiting`, `running`, `dead` or `done`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Dead => "dead",
            Self::Done => "done",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A run that is owed. Whoever does not need all of its content can have it read as another type.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord<C = Value> {
    /// The app's key.
    pub app: String,
    /// Unique within the app.
    pub id: String,
    /// What is to be done, as the program describes it.
    pub content: C,
    /// How far it is.
    pub state: TaskState,
    /// Times it was begun.
    pub tries: u32,
    /// In milliseconds since 1970. Waiting: not before then. Running: its host is gone by then, if it does
    /// not say otherwise. Dead or done: since when.
    pub due_ms: i64,
    /// How its last try ended, if it failed.
    pub error: Option<String>,
    /// When it was asked for, in milliseconds since 1970.
    pub created_ms: i64,
}

/// What comes of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// It has run; with what its script failed, if it did.
    Done(Option<String>),
    /// It is tried again, not before that time, in milliseconds since 1970. Whether this try counts, and why
    /// it failed.
    Again {
        /// When.
        due_ms: i64,
        /// A try that never began does not.
        counts: bool,
        /// For whoever looks after tasks.
        error: String,
    },
    /// It is given up, and why.
    Dead(String),
}

const COLUMNS: &str = "app, id, content, state, tries, due_ms, error, created_ms";

fn record<C: DeserializeOwned + Default>(row: &Row<'_>) -> Result<TaskRecord<C>, StoreError> {
    Ok(TaskRecord {
        app: row.text(0)?,
        id: row.text(1)?,
        content: row.json(2)?.unwrap_or_default(),
        // Another version's state is nothing that this one may touch.
        state: TaskState::parse(&row.text(3)?).unwrap_or(TaskState::Dead),
        tries: u32::try_from(row.int(4)?).unwrap_or(u32::MAX),
        due_ms: row.int(5)?,
        error: row.optional_text(6)?,
        created_ms: row.int(7)?,
    })
}

impl Store {
    /// Owes a run, unless the app has a task of this key that is younger than [`KEY_KEPT_MS`]. Returns its
    /// id: `id`, or that of the task there is; `None` if the app has `most` tasks that are neither dead nor
    /// done.
    ///
    /// # Errors
    /// [`StoreError::NoApp`].
    pub async fn add_task(
        &self,
        app: &str,
        id: &str,
        key: Option<&str>,
        content: &Value,
        now_ms: i64,
        most: u32,
    ) -> Result<Option<String>, StoreError> {
        check_id(id)?;
        if let Some(key) = key {
            check_name("an idempotency key", key)?;
        }
        let asked = (
            [app.to_owned(), id.to_owned(), content.to_string()],
            key.map(str::to_owned),
            now_ms,
            most,
        );
        self.write(asked, |([app, id, content], key, now_ms, most), c| {
            Box::pin(async move {
                need_app(c, app).await?;
                // Of two that ask at once, the second finds what the first has made.
                c.lock(&format!("tasks {app}")).await?;
                if let Some(key) = key {
                    let of = [app.as_str().into(), key.as_str().into()];
                    let sql = "SELECT id, created_ms FROM tasks WHERE app = $1 AND key = $2";
                    let found = c.first(sql, &of, |row| Ok((row.text(0)?, row.int(1)?))).await?;
                    match found {
                        Some((id, created)) if *now_ms - created < KEY_KEPT_MS => {
                            return Ok(Some(id));
                        }
                        Some(_) => {
                            let sql = "UPDATE tasks SET key = NULL WHERE app = $1 AND key = $2";
                            c.execute(sql, &of).await?;
                        }
                        None => {}
                    }
                }
                let sql = "SELECT count(*) FROM tasks WHERE app = $1
                    AND state IN ('waiting', 'running')";
                let open = c.first(sql, &[app.as_str().into()], |row| row.int(0)).await?;
                if open.unwrap_or(0) >= i64::from(*most) {
                    return Ok(None);
                }
                let sql =
                    "INSERT INTO tasks (app, id, key, content, state, tries, due_ms, created_ms)
                    VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $5)";
                let params = [
                    app.as_str().into(),
                    id.as_str().into(),
                    key.clone().into(),
                    content.as_str().into(),
                    (*now_ms).into(),
                ];
                c.execute(sql, &params).await.map_err(|e| e.named(id))?;
                Ok(Some(id.clone()))
            })
        })
        .await
    }

    /// Gives up to `most` tasks that are due to a host, which has to say before `until_ms` that it is still
    /// at them ([`Store::hold_tasks`]). It never has more than 8 of one app. It is not given again what it is `at`,
    /// as `(app, id)`: its claim to that has only lapsed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn claim_tasks(
        &self,
        owner: &str,
        at: &[(String, String)],
        now_ms: i64,
        until_ms: i64,
        most: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let asked = (owner.to_owned(), json!(at).to_string(), now_ms, until_ms, most);
        self.write(asked, |(owner, at, now, until, most), c| {
            Box::pin(async move {
                // Others' claims are passed by, not waited for.
                let skip = if c.is_sqlite() { "" } else { "FOR UPDATE SKIP LOCKED" };
                let due = format!(
                    "t.state IN ('waiting', 'running') AND t.due_ms <= $2
                     AND NOT (t.state = 'running' AND t.owner = $1 AND (t.app, t.id) IN {})",
                    listed(c, 6)
                );
                let sql = format!(
                    "WITH running AS (SELECT app, count(*) AS has FROM tasks
                        WHERE state = 'running' AND owner = $1 AND due_ms > $2 GROUP BY app),
                    turns AS (SELECT t.app, t.id, t.due_ms, coalesce(r.has, 0)
                            + row_number() OVER (PARTITION BY t.app ORDER BY t.due_ms, t.id) AS turn
                        FROM tasks t LEFT JOIN running r ON r.app = t.app
                        WHERE {due}),
                    next AS (SELECT app, id FROM turns WHERE turn <= $5 ORDER BY due_ms LIMIT $4)
                    UPDATE tasks SET state = 'running', owner = $1, due_ms = $3, tries = tries + 1
                    WHERE (app, id) IN (SELECT t.app, t.id FROM tasks t
                        WHERE (t.app, t.id) IN (SELECT app, id FROM next) AND {due} {skip})
                    RETURNING {COLUMNS}"
                );
                let params = [
                    owner.as_str().into(),
                    (*now).into(),
                    (*until).into(),
                    (*most).into(),
                    PER_APP.into(),
                    at.as_str().into(),
                ];
                c.rows(&sql, &params, record).await
            })
        })
        .await
    }

    /// Says that a host is still `at` these tasks, as `(app, id)`, until the next `until_ms`. Returns them: one
    /// that is not among them is not its any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn hold_tasks(
        &self,
        owner: &str,
        at: &[(String, String)],
        until_ms: i64,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let asked = (owner.to_owned(), json!(at).to_string(), until_ms);
        self.write(asked, |(owner, at, until), c| {
            Box::pin(async move {
                let sql = format!(
                    "UPDATE tasks SET due_ms = $2 WHERE owner = $1 AND state = 'running'
                     AND (app, id) IN {} RETURNING app, id",
                    listed(c, 3)
                );
                let params = [owner.as_str().into(), (*until).into(), at.as_str().into()];
                c.rows(&sql, &params, |row| Ok((row.text(0)?, row.text(1)?))).await
            })
        })
        .await
    }

    /// Ends a host's try of a task. Returns whether the task was still its.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end_task(
        &self,
        app: &str,
        id: &str,
        owner: &str,
        end: TaskEnd,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let asked = ([app, id, owner].map(str::to_owned), end, now_ms);
        self.write(asked, |([app, id, owner], end, now), c| {
            Box::pin(async move {
                let (state, due, uncounted, error) = match end {
                    TaskEnd::Done(error) => (TaskState::Done, *now, 0, error.as_deref()),
                    TaskEnd::Dead(error) => (TaskState::Dead, *now, 0, Some(error.as_str())),
                    TaskEnd::Again { due_ms, counts, error } => {
                        (TaskState::Waiting, *due_ms, i64::from(!counts), Some(error.as_str()))
                    }
                };
                let sql =
                    "UPDATE tasks SET state = $4, due_ms = $5, tries = tries - $6, error = $7,
                    owner = NULL WHERE app = $1 AND id = $2 AND owner = $3 AND state = 'running'";
                let params = [
                    app.as_str().into(),
                    id.as_str().into(),
                    owner.as_str().into(),
                    state.name().into(),
                    due.into(),
                    uncounted.into(),
                    error.into(),
                ];
                let was_its = c.execute(sql, &params).await? > 0;
                if state == TaskState::Dead {
                    forget_dead(c, app).await?;
                }
                Ok(was_its)
            })
        })
        .await
    }

    /// An app's tasks, of one state or all, the youngest first. Their contents are read one after another, and
    /// of each only what `C` has is kept: together they may be very large.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn tasks<C: DeserializeOwned + Default + Send + 'static>(
        &self,
        app: &str,
        state: Option<TaskState>,
        most: u32,
    ) -> Result<Vec<TaskRecord<C>>, StoreError> {
        self.read((app.to_owned(), state, most), |(app, state, most), c| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM tasks WHERE app = $1 AND ($2 = '' OR state = $2)
                     ORDER BY created_ms DESC, id LIMIT $3"
                );
                let state = state.map_or("", TaskState::name);
                let params = [app.as_str().into(), state.into(), (*most).into()];
                c.rows(&sql, &params, record).await
            })
        })
        .await
    }

    /// One task.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn task(&self, app: &str, id: &str) -> Result<Option<TaskRecord>, StoreError> {
        if check_id(id).is_err() {
            return Ok(None); // It comes from a request; no task can be called so.
        }
        self.read([app, id].map(str::to_owned), |[app, id], c| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM tasks WHERE app = $1 AND id = $2");
                c.first(&sql, &[app.as_str().into(), id.as_str().into()], record).await
            })
        })
        .await
    }

    /// Has a dead task tried again from now on, as often as a new one. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn retry_task(&self, app: &str, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let asked = ([app, id].map(str::to_owned), now_ms);
        self.write(asked, |([app, id], now), c| {
            Box::pin(async move {
                let sql = "UPDATE tasks SET state = 'waiting', tries = 0, due_ms = $3
                    WHERE app = $1 AND id = $2 AND state = 'dead'";
                let params = [app.as_str().into(), id.as_str().into(), (*now).into()];
                Ok(c.execute(sql, &params).await? > 0)
            })
        })
        .await
    }

    /// Forgets a task, whatever its state: a host that is at it stops. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn delete_task(&self, app: &str, id: &str) -> Result<bool, StoreError> {
        self.write([app, id].map(str::to_owned), |[app, id], c| {
            Box::pin(async move {
                let sql = "DELETE FROM tasks WHERE app = $1 AND id = $2";
                Ok(c.execute(sql, &[app.as_str().into(), id.as_str().into()]).await? > 0)
            })
        })
        .await
    }

    /// Forgets the tasks of all apps that were asked for and done before `before_ms`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget_done_tasks(&self, before_ms: i64) -> Result<(), StoreError> {
        self.write(before_ms, |before, c| {
            Box::pin(async move {
                let sql = "DELETE FROM tasks WHERE state = 'done' AND due_ms < $1
                    AND created_ms < $1";
                c.execute(sql, &[(*before).into()]).await.map(|_| ())
            })
        })
        .await
    }

    /// How many tasks are dead, of all apps.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn dead_tasks(&self) -> Result<i64, StoreError> {
        self.read((), |(), c| {
            Box::pin(async move {
                let sql = "SELECT count(*) FROM tasks WHERE state = 'dead'";
                Ok(c.first(sql, &[], |row| row.int(0)).await?.unwrap_or(0))
            })
        })
        .await
    }
}

/// The rows of a parameter that is a JSON list of `[app, id]`.
fn listed(c: &Connection<'_>, parameter: u32) -> String {
    match c.is_sqlite() {
        true => format!("(SELECT value ->> 0, value ->> 1 FROM json_each(${parameter}))"),
        false => format!(
            "(SELECT e ->> 0, e ->> 1 FROM jsonb_array_elements((${parameter}::text)::jsonb) AS e)"
        ),
    }
}

/// Forgets all but the last dead tasks of an app.
async fn forget_dead(c: &Connection<'_>, app: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM tasks WHERE app = $1 AND state = 'dead' AND due_ms <
        (SELECT due_ms FROM tasks WHERE app = $1 AND state = 'dead'
         ORDER BY due_ms DESC LIMIT 1 OFFSET $2)";
    c.execute(sql, &[app.into(), DEAD_KEPT.into()]).await.map(|_| ())
}
