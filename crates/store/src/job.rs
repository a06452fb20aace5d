//! An operation on its way to a thread that owns a SQLite connection.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::StoreError;
use crate::connection::Connection;

/// What an operation returns.
pub(crate) type Answer<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// An operation: what it needs is lent to it, so that it can be run again.
pub(crate) trait Operation<A, T>:
    for<'c> Fn(&'c A, &'c Connection<'c>) -> Answer<'c, T> + Send + Sync + 'static
{
}

impl<A, T, F> Operation<A, T> for F where
    F: for<'c> Fn(&'c A, &'c Connection<'c>) -> Answer<'c, T> + Send + Sync + 'static
{
}

/// An operation that waits for its turn on a connection.
pub(crate) trait Job: Send {
    /// Whether somebody still waits for the answer.
    fn is_wanted(&self) -> bool;
    /// Runs it, once. False: what it wrote must be undone.
    fn run(&mut self, connection: &Connection<'_>) -> bool;
    /// Tells whoever asked: the operation's own answer, or why its transaction came to nothing.
    fn answer(self: Box<Self>, end: Result<(), StoreError>);
}

/// Runs an operation on a SQLite connection. A panic (of a caller's `decide`, say) ends this operation, never
/// the thread that serves all.
pub(crate) fn now<A, T, F>(
    arguments: &A,
    operation: &F,
    connection: &Connection<'_>,
) -> Result<T, StoreError>
where
    F: Operation<A, T>,
{
    catch_unwind(AssertUnwindSafe(|| {
        let mut future = pin!(operation(arguments, connection));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                Err(StoreError::Unavailable("an operation waited on a SQLite thread".into()))
            }
        }
    }))
    .unwrap_or_else(|_| Err(StoreError::Unavailable("an operation panicked".into())))
}

struct Asked<A, T, F> {
    arguments: A,
    operation: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

/// A job, and where its answer arrives.
pub(crate) fn job<A, T, F>(
    arguments: A,
    operation: F,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    A: Send + 'static,
    T: Send + 'static,
    F: Operation<A, T>,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Asked { arguments, operation, outcome: None, reply }), answer)
}

impl<A, T, F> Job for Asked<A, T, F>
where
    A: Send + 'static,
    T: Send + 'static,
    F: Operation<A, T>,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection<'_>) -> bool {
        let outcome = now(&self.arguments, &self.operation, connection);
        let kept = outcome.is_ok();
        self.outcome = Some(outcome);
        kept
    }

    fn answer(self: Box<Self>, end: Result<(), StoreError>) {
        let outcome = match (self.outcome, end) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(StoreError::Unavailable("an operation was not run".into())),
        };
        // Whoever asked may have gone away.
        let _ = self.reply.send(outcome);
    }
}
