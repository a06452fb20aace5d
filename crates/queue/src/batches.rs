//! Runs of one script for many tasks at once: what is asked for while runs are under way goes into the next.
//!
//! A script's run costs Redis more than most of the commands in it, and Redis has one thread for all hosts.
//! Nobody waits for a batch to fill: a single task is sent at once, and is a batch of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::keys::{APPS, LOAD};
use crate::link::{Failure, Link, Script};

/// Runs under way at once: while Redis works on one, the next is on its way. With one, Redis waits between two;
/// more than two make batches small (measured at 256 tasks: 46, 57, 57 and 52 thousand round trips per second
/// with 1, 2, 3 and 8).
const UNDER_WAY: usize = 2;

/// Tasks of one run at most: Redis serves nobody else meanwhile, a third of a millisecond or so.
const MOST: usize = 64;

/// Bytes of entries, after which a run takes no more tasks.
const MOST_BYTES: usize = 1 << 20;

/// How long a batch waits for a connection. Its tasks have just seen one; they wait themselves.
const AGAIN: Duration = Duration::from_millis(50);

/// What is sent for one task.
pub(crate) struct Item {
    /// The stream that it adds an entry to.
    pub(crate) stream: String,
    /// What stands behind the stream's name in `XADD`.
    pub(crate) entry: Vec<Vec<u8>>,
    /// What the script is told.
    pub(crate) keys: Vec<String>,
    pub(crate) args: Vec<Vec<u8>>,
}

/// What Redis answers for one task.
#[derive(Clone)]
pub(crate) struct Said {
    /// The entry's id, nothing if it was not to be added, or an error.
    pub(crate) added: Value,
    /// The script's answer.
    pub(crate) script: Value,
}

type Ran = Result<Said, Failure>;

/// Hears what was answered for a task that nobody waited for any more by then.
pub(crate) type Unheard = Arc<dyn Fn(&Item, Said) + Send + Sync>;

struct Asked {
    item: Arc<Item>,
    done: oneshot::Sender<Ran>,
}

/// Who waits for an answer. Dropped, it leaves none behind: one that has just come is unheard, and one that comes
/// later finds the channel closed.
struct Waits<'b> {
    batches: &'b Batches,
    item: &'b Item,
    answer: oneshot::Receiver<Ran>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(answer)) = self.answer.try_recv() {
            (self.batches.unheard)(self.item, answer);
        }
    }
}

/// A script that takes, after what all its runs have in common, keys and arguments for each task, and answers
/// an array with one value for each. It runs behind the entries that are added for these tasks, as one with them:
/// an entry's payload does not go through it, as Lua hashes and copies all that it is given.
#[derive(Clone)]
pub(crate) struct Batches {
    link: Arc<Link>,
    asked: mpsc::UnboundedSender<Asked>,
    unheard: Unheard,
}

impl Batches {
    /// `args`: what all runs begin with.
    pub(crate) fn new(
        link: Arc<Link>,
        script: Script,
        args: Arc<[Vec<u8>]>,
        unheard: Unheard,
    ) -> Self {
        let (asked, asks) = mpsc::unbounded_channel();
        let asks = Arc::new(Mutex::new(asks));
        for _ in 0..UNDER_WAY {
            let (args, asks, unheard) = (args.clone(), asks.clone(), unheard.clone());
            tokio::spawn(send(link.clone(), script, args, asks, unheard));
        }
        Self { link, asked, unheard }
    }

    /// Runs the script for a task. Waits for a connection until `until`. If the future is dropped, it may
    /// have run or not, and may yet: then its answer is unheard.
    pub(crate) async fn run(&self, item: &Arc<Item>, until: Instant) -> Ran {
        loop {
            self.link.connection(until).await?;
            let (done, answer) = oneshot::channel();
            let mut waits = Waits { batches: self, item, answer };
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

async fn send(
    link: Arc<Link>,
    script: Script,
    common: Arc<[Vec<u8>]>,
    asks: Arc<Mutex<mpsc::UnboundedReceiver<Asked>>>,
    unheard: Unheard,
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
                bytes += asked.item.entry.iter().map(Vec::len).sum::<usize>();
                batch.push(asked);
            }
            let is_full = batch.len() == MOST || bytes >= MOST_BYTES;
            next = if is_full { None } else { asks.try_recv().ok() };
        }
        drop(asks);
        if batch.is_empty() {
            continue;
        }
        let items = || batch.iter().map(|asked| &*asked.item);
        let entries = items().map(|item| (item.stream.as_str(), item.entry.as_slice()));
        let own = items().flat_map(|item| &item.keys).map(String::as_str);
        let keys: Vec<&str> = [LOAD, APPS].into_iter().chain(own).collect();
        let args = common.iter().chain(items().flat_map(|item| &item.args));
        let args: Vec<&[u8]> = args.map(Vec::as_slice).collect();
        let until = Instant::now() + AGAIN;
        let answers = match link.add_and_run(entries, script, &keys, &args, until).await {
            Ok((added, Value::Array(answers)))
                if answers.len() == batch.len() && added.len() == batch.len() =>
            {
                let both = added.into_iter().zip(answers);
                both.map(|(added, script)| Ok(Said { added, script })).collect()
            }
            Ok(_) => vec![Err(Failure::Unknown("Redis' answer is none".into())); batch.len()],
            Err(failure) => vec![Err(failure); batch.len()],
        };
        for (asked, answer) in batch.into_iter().zip(answers) {
            if let Err(Ok(answer)) = asked.done.send(answer) {
                unheard(&asked.item, answer);
            }
        }
    }
}
