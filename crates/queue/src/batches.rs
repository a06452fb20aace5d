//! Transactions for many tasks at once: what is asked for while some are under way goes into the next.
//!
//! One costs Redis more than most of the commands in it, and Redis has one thread for all hosts.
//! Nobody waits for a batch to fill: a single task is sent at once, and is a batch of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Pipeline;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::link::{Answers, Failure, Link, Scripts};

/// Transactions under way at once: while Redis works on one, the next is on its way. With one, Redis waits between two;
/// more than two make batches small (measured at 256 tasks: 46, 57, 57 and 52 thousand round trips per second
/// with 1, 2, 3 and 8).
const UNDER_WAY: usize = 2;

/// Tasks of one at most: Redis serves nobody else meanwhile, a third of a millisecond or so.
const MOST: usize = 64;

/// Bytes of tasks, after which one takes no more.
const MOST_BYTES: usize = 1 << 20;

/// How long a batch waits for a connection. Its tasks have just seen one; they wait themselves.
const AGAIN: Duration = Duration::from_millis(50);

/// What is sent for tasks together, as one transaction.
pub(crate) trait Kind: Send + Sync + 'static {
    /// What is sent for one task.
    type Item: Send + Sync + 'static;
    /// What Redis answers for one.
    type Said: Send + 'static;

    /// Bytes that Redis keeps for it.
    fn bytes(item: &Self::Item) -> usize;

    /// The commands for these tasks.
    fn commands(&self, items: &[&Self::Item], scripts: &Scripts) -> Pipeline;

    /// What the commands' answers mean for each of the tasks.
    fn said(&self, items: &[&Self::Item], answers: Answers) -> Vec<Result<Self::Said, Failure>>;

    /// Hears what was answered for a task that nobody waited for any more by then.
    fn unheard(&self, _item: &Self::Item, _said: Self::Said) {}
}

struct Asked<K: Kind> {
    item: Arc<K::Item>,
    done: oneshot::Sender<Result<K::Said, Failure>>,
}

/// Who waits for an answer. Dropped, it leaves none behind: one that has just come is unheard, and one that comes
/// later finds the channel closed.
struct Waits<'b, K: Kind> {
    kind: &'b K,
    item: &'b K::Item,
    answer: oneshot::Receiver<Result<K::Said, Failure>>,
}

impl<K: Kind> Drop for Waits<'_, K> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(answer)) = self.answer.try_recv() {
            self.kind.unheard(self.item, answer);
        }
    }
}

/// Tasks to be sent. Cheap to clone.
pub(crate) struct Batches<K: Kind> {
    kind: Arc<K>,
    link: Arc<Link>,
    asked: mpsc::UnboundedSender<Asked<K>>,
}

impl<K: Kind> Clone for Batches<K> {
    fn clone(&self) -> Self {
        Self { kind: self.kind.clone(), link: self.link.clone(), asked: self.asked.clone() }
    }
}

impl<K: Kind> Batches<K> {
    pub(crate) fn new(link: Arc<Link>, kind: K) -> Self {
        let kind = Arc::new(kind);
        let (asked, asks) = mpsc::unbounded_channel();
        let asks = Arc::new(Mutex::new(asks));
        for _ in 0..UNDER_WAY {
            tokio::spawn(send(kind.clone(), link.clone(), asks.clone()));
        }
        Self { kind, link, asked }
    }

    /// Sends what is to be sent for a task. Waits for a connection until `until`. If the future is dropped, it may
    /// have run or not, and may yet: then its answer is unheard.
    pub(crate) async fn run(
        &self,
        item: &Arc<K::Item>,
        until: Instant,
    ) -> Result<K::Said, Failure> {
        loop {
            self.link.connection(until).await?;
            let (done, answer) = oneshot::channel();
            let mut waits = Waits { kind: &*self.kind, item, answer };
            // The other end lives as long as this one.
            let _ = self.asked.send(Asked { item: item.clone(), done });
            match (&mut waits.answer).await {
                // It broke in between.
                Ok(Err(Failure::NotReached)) => {}
                Ok(answer) => return answer,
                Err(_) => return Err(Failure::NotRun("the queue is closed".into())),
            }
        }
    }
}

async fn send<K: Kind>(
    kind: Arc<K>,
    link: Arc<Link>,
    asks: Arc<Mutex<mpsc::UnboundedReceiver<Asked<K>>>>,
) {
    loop {
        let mut asks = asks.lock().await;
        let Some(first) = asks.recv().await else { return };
        let mut bytes = 0;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(asked) = next {
            // Whoever asked may not wait any more.
            if !asked.done.is_closed() {
                bytes += K::bytes(&asked.item);
                batch.push(asked);
            }
            let is_full = batch.len() == MOST || bytes >= MOST_BYTES;
            next = if is_full { None } else { asks.try_recv().ok() };
        }
        drop(asks);
        if batch.is_empty() {
            continue;
        }
        let items: Vec<&K::Item> = batch.iter().map(|asked| &*asked.item).collect();
        let until = Instant::now() + AGAIN;
        let ran = link.transact(|scripts| kind.commands(&items, scripts), until).await;
        let mut answers = match ran {
            Ok(answers) => kind.said(&items, answers),
            Err(failure) => items.iter().map(|_| Err(failure.clone())).collect(),
        };
        answers.resize_with(batch.len(), || Err(no_answer()));
        for (asked, answer) in batch.into_iter().zip(answers) {
            if let Err(Ok(answer)) = asked.done.send(answer) {
                kind.unheard(&asked.item, answer);
            }
        }
    }
}

/// Redis answered something that these commands do not.
pub(crate) fn no_answer() -> Failure {
    Failure::Unknown("Redis' answer is none".into())
}
