//! The way into a running server: doors and the library put batches in and wait for outcomes, from
//! any thread. Must never block and never reorder; it wakes the server once, however much comes.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messages::{LogPosition, Operation};
use tokio::sync::{Notify, oneshot, watch};

use crate::host::{Batch, NoSnapshot, Outcome, Snapshot, Status};
use crate::status::Leadership;

/// A handle on a running server; clones are the same mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

/// A batch, and where its outcome goes.
pub type Letter = (Batch, oneshot::Sender<Outcome>);

/// How many of the log's last entries are asked for, and where their positions go.
pub type TailQuestion = (usize, oneshot::Sender<Vec<LogPosition>>);

/// Where the answer to whoever wants a snapshot goes.
pub type SnapshotQuestion = oneshot::Sender<Result<Snapshot, NoSnapshot>>;

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// For the server: there is something to look at.
    news: Notify,
    status: Mutex<Status>,
    leadership: watch::Sender<Leadership>,
    stopping: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Queue {
    letters: Vec<Letter>,
    tail_questions: Vec<TailQuestion>,
    snapshot_questions: Vec<SnapshotQuestion>,
    closed: bool,
}

impl Mailbox {
    /// The mailbox of a server that sees itself so.
    pub fn new(status: Status, leadership: Leadership) -> Mailbox {
        let shared = Shared {
            queue: Mutex::default(),
            news: Notify::new(),
            status: Mutex::new(status),
            leadership: watch::Sender::new(leadership),
            stopping: watch::Sender::new(false),
        };
        Mailbox { shared: Arc::new(shared) }
    }

    /// Has a batch executed, however long that takes; the server keeps the clients' time-out. If the
    /// returned future is dropped the batch is executed all the same.
    pub async fn submit(&self, batch: Batch) -> Outcome {
        let writes = batch.operations.iter().any(Operation::is_command);
        let (sender, outcome) = oneshot::channel();
        if !self.put((batch, sender)) {
            return Outcome::Stopped;
        }
        let lost = if writes { Outcome::Uncertain { position: None } } else { Outcome::Stopped };
        outcome.await.unwrap_or(lost)
    }

    /// The node as of its last turn.
    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// The positions of the last `count` entries of the node's log, oldest first; none when the
    /// server is gone.
    pub async fn log_tail(&self, count: usize) -> Vec<LogPosition> {
        let (sender, positions) = oneshot::channel();
        {
            let mut queue = lock(&self.shared.queue);
            if queue.closed {
                return Vec::new();
            }
            queue.tail_questions.push((count, sender));
        }
        self.wake();
        positions.await.unwrap_or_default()
    }

    /// Has a snapshot taken of what the node has applied now, unless there is one already, and waits
    /// until it is in place; one that covers more will do.
    ///
    /// # Errors
    /// If nothing is applied yet, there is no room for it on the disk, or the node stops.
    pub async fn snapshot(&self) -> Result<Snapshot, NoSnapshot> {
        let (sender, answer) = oneshot::channel();
        {
            let mut queue = lock(&self.shared.queue);
            if queue.closed {
                return Err(NoSnapshot::Stopped);
            }
            queue.snapshot_questions.push(sender);
        }
        self.wake();
        answer.await.unwrap_or(Err(NoSnapshot::Stopped))
    }

    /// Follows who leads, as this node sees it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    /// Asks the server to stop: it takes no more batches and finishes what is under way.
    pub fn stop(&self) {
        self.shared.stopping.send_replace(true);
        self.wake();
    }

    /// Resolves when the server was asked to stop.
    pub async fn stopping(&self) {
        let mut stopping = self.shared.stopping.subscribe();
        // The sender lives as long as this handle, so it cannot fail.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Whether the server was asked to stop.
    pub fn is_stopping(&self) -> bool {
        *self.shared.stopping.borrow()
    }

    /// Wakes the server, from any thread.
    pub fn wake(&self) {
        self.shared.news.notify_one();
    }

    /// Waits until there is something to look at. For the server alone.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Takes all that came. For the server alone.
    pub fn take(&self) -> Vec<Letter> {
        mem::take(&mut lock(&self.shared.queue).letters)
    }

    /// Takes all questions for the end of the log. For the server alone.
    pub fn take_tail_questions(&self) -> Vec<TailQuestion> {
        mem::take(&mut lock(&self.shared.queue).tail_questions)
    }

    /// Takes all wishes for a snapshot. For the server alone.
    pub fn take_snapshot_questions(&self) -> Vec<SnapshotQuestion> {
        mem::take(&mut lock(&self.shared.queue).snapshot_questions)
    }

    /// Tells what others may see of the server. For the server alone.
    pub fn publish(&self, status: Status, leadership: Leadership) {
        *lock(&self.shared.status) = status;
        self.shared
            .leadership
            .send_if_modified(|known| mem::replace(known, leadership) != leadership);
    }

    /// The server is gone: what is in the mailbox, and what may still come, is answered `Stopped`.
    pub fn close(&self) {
        self.shared.stopping.send_replace(true);
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        let letters = mem::take(&mut queue.letters);
        queue.snapshot_questions.clear();
        queue.tail_questions.clear(); // whoever asked sees that nobody answers
        drop(queue);
        for (_, sender) in letters {
            let _ = sender.send(Outcome::Stopped); // whoever no longer waits need not hear it
        }
    }

    /// Puts a letter in; false if nobody will ever read it.
    fn put(&self, letter: Letter) -> bool {
        let mut queue = lock(&self.shared.queue);
        if queue.closed {
            return false;
        }
        let was_empty = queue.letters.is_empty();
        queue.letters.push(letter);
        drop(queue);
        if was_empty {
            self.wake();
        }
        true
    }
}

/// A panic elsewhere poisons the lock; what it guards is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
