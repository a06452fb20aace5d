//! SQLite in a data directory: one thread writes, several read, and whoever asks for one row reads it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::num::NonZero;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection as Database, OpenFlags};

use crate::StoreError;
use crate::connection::Connection;
use crate::job::{self, Job, Operation, job};
use crate::migrations;

mod handle;
mod writer;

pub(crate) use handle::Handle;

/// The file in the data directory.
const FILE: &str = "lode.db";

/// Pages of 8 KiB: the table of documents is one tree with the documents inside it, and a tree's page holds
/// few documents when they are as large as itself.
const PAGE_BYTES: u32 = 8192;

/// Prepared statements kept by each connection: the store's own are about 60, queries bring more.
const STATEMENTS: usize = 256;

/// The threads of an open data directory.
pub(crate) struct Sqlite {
    // Options, so that dropping can close the channels before it waits for the threads.
    writes: Option<Sender<Box<dyn Job>>>,
    reads: Option<Sender<Box<dyn Job>>>,
    threads: Vec<JoinHandle<()>>,
    /// Connections that read on the thread that asks; the one used last comes first, its pages are in the
    /// processor's cache.
    idle: Mutex<Vec<Handle>>,
}

impl Sqlite {
    /// Opens the data directory, which is made if it is not there, and brings its layout up to date.
    /// Blocks.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        let fail = |doing: &str, e: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("{doing} {}: {e}", directory.display()))
        };
        // 0700: what lies here is for this program's user only.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| fail("making the data directory", &e))?;
        let lock = lock(directory)?;
        let file = directory.join(FILE);
        let mut database = open_writing(&file).map_err(|e| fail("opening the database in", &e))?;
        migrations::sqlite(&mut database)?;

        let (writes, write_jobs) = channel();
        let (reads, read_jobs) = channel();
        let read_jobs = Arc::new(Mutex::new(read_jobs));
        let mut threads = Vec::new();
        let handle = Handle::new(database)?;
        threads.push(spawn("store-writer", move || {
            writer::serve(&handle, &write_jobs);
            drop(handle);
            // Held to the end: another process may open the directory only when nothing here writes.
            drop(lock);
        })?);
        let reading = || {
            let database = open_reading(&file);
            Handle::new(database.map_err(|e| fail("opening the database for reading in", &e))?)
        };
        for _ in 0..readers() {
            let handle = reading()?;
            let jobs = Arc::clone(&read_jobs);
            threads.push(spawn("store-reader", move || read(&handle, &jobs))?);
        }
        // Readers end first: the last connection to close folds the log into the file, and only the
        // writer's may write.
        threads.reverse();
        let idle = (0..processors()).map(|_| reading()).collect::<Result<_, _>>()?;
        Ok(Self { writes: Some(writes), reads: Some(reads), threads, idle: Mutex::new(idle) })
    }

    /// Runs an operation in a transaction, together with others that wait. It is on disk when this returns.
    pub(crate) async fn write<A: Send + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        ask(self.writes.as_ref(), arguments, operation).await
    }

    /// Runs an operation that only reads.
    pub(crate) async fn read<A: Send + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        ask(self.reads.as_ref(), arguments, operation).await
    }

    /// Runs an operation that reads a few rows by their keys, here and now where a connection is idle: that
    /// takes less than handing it to another thread and being woken by it.
    pub(crate) async fn look_up<A: Send + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        operation: impl Operation<A, T>,
    ) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let Some(handle) = idle else { return self.read(arguments, operation).await };
        let outcome = job::now(&arguments, &operation, &Connection::Sqlite(&handle));
        self.idle().push(handle);
        outcome
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Handle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sqlite {
    /// Waits until what was begun has ended, so that the directory can be opened again at once.
    fn drop(&mut self) {
        self.writes = None;
        self.reads = None;
        self.idle().clear();
        for thread in self.threads.drain(..) {
            // An operation that holds the last reference is dropped on a thread of the store's own.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

async fn ask<A, T, F>(
    to: Option<&Sender<Box<dyn Job>>>,
    arguments: A,
    operation: F,
) -> Result<T, StoreError>
where
    A: Send + 'static,
    T: Send + 'static,
    F: Operation<A, T>,
{
    let gone = || StoreError::Unavailable("the database's thread has ended".into());
    let (job, answer) = job(arguments, operation);
    to.ok_or_else(gone)?.send(job).map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|e| StoreError::unavailable("starting a thread", e))
}

/// Threads that read: more than there are processors, as one slow query must not hold up all others.
pub(crate) fn readers() -> usize {
    (processors() * 2).clamp(4, 16)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get)
}

fn read(handle: &Handle, jobs: &Mutex<Receiver<Box<dyn Job>>>) {
    let connection = Connection::Sqlite(handle);
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = next else { return };
        if job.is_wanted() {
            job.run(&connection);
            job.answer(Ok(()));
        }
    }
}

/// Takes the directory for this process until the file is closed.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path: PathBuf = directory.join("lode.lock");
    let fail = |e: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("locking {}: {e}", path.display()))
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| fail(&e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
            "the data directory {} is in use by another lode process; stop that one first, or use \
             PostgreSQL to run several",
            directory.display()
        ))),
        Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {
            Err(fail(&"its file system has no locks; use a local disk"))
        }
        Err(TryLockError::Error(e)) => Err(fail(&e)),
    }
}

fn open_writing(file: &Path) -> rusqlite::Result<Database> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Database::open_with_flags(file, flags)?;
    // Before the first table is made, or it has no effect.
    database.pragma_update(None, "page_size", PAGE_BYTES)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    // The log is synced at each commit: what was acknowledged survives a loss of power.
    database.pragma_update(None, "synchronous", "full")?;
    // After a burst, the log's file shrinks to 64 MiB.
    database.pragma_update(None, "journal_size_limit", 64 << 20)?;
    set_up(&database)?;
    Ok(database)
}

fn open_reading(file: &Path) -> rusqlite::Result<Database> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Database::open_with_flags(file, flags)?;
    set_up(&database)?;
    Ok(database)
}

fn set_up(database: &Database) -> rusqlite::Result<()> {
    database.pragma_update(None, "foreign_keys", true)?;
    // Negative: in KiB. 16 MiB of pages for each connection.
    database.pragma_update(None, "cache_size", -(16 << 10))?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    database.set_prepared_statement_cache_capacity(STATEMENTS);
    crate::query::sql::register(database)
}
