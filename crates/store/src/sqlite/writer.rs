//! The thread that writes, with *group commit*: syncing a commit to disk takes far longer than a write, so
//! all writes that wait share one.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::Handle;
use crate::StoreError;
use crate::connection::Connection;
use crate::job::Job;

/// Writes in one commit: the sync is amortised well before that, and the first must not wait for many.
const MOST_WRITES: usize = 512;

/// For how long a commit gathers writes: the first in it waits for the last.
const LONGEST_GROUP: Duration = Duration::from_millis(20);

/// Serves writes until nobody can send any.
pub(super) fn serve(handle: &Handle, jobs: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = jobs.recv() {
        let mut written = Vec::new();
        let end = group(handle, first, jobs, &mut written);
        if let Err(error) = &end {
            tracing::error!(%error, writes = written.len(), "a commit failed");
        }
        for job in written {
            job.answer(end.clone());
        }
    }
}

/// Runs what waits in one transaction. Each write is in a savepoint of its own: one that fails is undone
/// and leaves the others alone. Nobody is answered before the commit is on disk.
fn group(
    handle: &Handle,
    first: Box<dyn Job>,
    jobs: &Receiver<Box<dyn Job>>,
    written: &mut Vec<Box<dyn Job>>,
) -> Result<(), StoreError> {
    let start = Instant::now();
    let connection = Connection::Sqlite(handle);
    let mut next = Some(first);
    let mut begun = false;
    while let Some(mut job) = next.take() {
        if job.is_wanted() {
            if !begun {
                if let Err(error) = run(handle, "BEGIN IMMEDIATE") {
                    written.push(job);
                    return Err(error);
                }
                begun = true;
            }
            if let Err(error) = run(handle, "SAVEPOINT write") {
                roll_back(handle);
                written.push(job);
                return Err(error);
            }
            let keep = job.run(&connection);
            written.push(job);
            if handle.database().is_autocommit() {
                // A full disk, say: SQLite has undone the whole transaction.
                return Err(StoreError::Unavailable("the transaction was rolled back".into()));
            }
            if !keep {
                run(handle, "ROLLBACK TO write").inspect_err(|_| roll_back(handle))?;
            }
            run(handle, "RELEASE write").inspect_err(|_| roll_back(handle))?;
        }
        if written.len() < MOST_WRITES && start.elapsed() < LONGEST_GROUP {
            next = jobs.try_recv().ok();
        }
    }
    if begun {
        run(handle, "COMMIT").inspect_err(|_| roll_back(handle))?;
    }
    Ok(())
}

fn run(handle: &Handle, sql: &str) -> Result<(), StoreError> {
    handle.execute(sql, &[]).map(|_| ())
}

fn roll_back(handle: &Handle) {
    if !handle.database().is_autocommit()
        && let Err(error) = run(handle, "ROLLBACK")
    {
        tracing::error!(%error, "rolling back failed");
    }
}
