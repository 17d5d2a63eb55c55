//! The thread that keeps a folder's snapshots: takes, receives, reads and restores, so that neither the
//! log's disk thread nor the node's waits for as many bytes as a machine has. Must never be in a hurry:
//! the disk is the log's.

use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem};

use log::{info, warn};
use messages::SnapshotMeta;

use crate::machine::StateMachine;
use crate::snapshots::{Replicated, Task, Told, restore};
use crate::storage::keeper::{Keeper, Whole};
use crate::storage::{Disk, OpenError, WalError};

/// A rest after each piece that is written.
const REST: Duration = Duration::from_millis(2);

/// What the thread has done.
pub enum Report<M> {
    /// For the server.
    Told(Told),
    /// What was restored from the snapshot that this stands for; for [`Server::restored`].
    ///
    /// [`Server::restored`]: crate::server::Server::restored
    Restored(SnapshotMeta, Replicated<M>),
}

enum Order<M> {
    Task(Task),
    Restore(Whole, Replicated<M>),
}

/// The thread, as the node's thread sees it.
pub struct Keeping<M> {
    orders: Option<mpsc::Sender<Order<M>>>,
    shared: Arc<Mutex<Shared<M>>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<M> {
    reports: VecDeque<Report<M>>,
    failed: Option<WalError>,
}

fn lock<M>(shared: &Mutex<Shared<M>>) -> MutexGuard<'_, Shared<M>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: StateMachine + 'static> Keeping<M> {
    /// Starts the thread. `wake` is called, on that thread, when [`Keeping::take`] has something new.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start<D, W>(keeper: Keeper<D>, wake: W) -> io::Result<Keeping<M>>
    where
        D: Disk + 'static,
        W: Fn() + Send + 'static,
    {
        let (orders, incoming) = mpsc::channel();
        let shared = Arc::new(Mutex::new(Shared { reports: VecDeque::new(), failed: None }));
        let side = Side { keeper, incoming, shared: Arc::clone(&shared), wake };
        let thread =
            std::thread::Builder::new().name("snapshots".to_owned()).spawn(move || side.run())?;
        Ok(Keeping { orders: Some(orders), shared, thread: Some(thread) })
    }

    /// Queues a task; `fresh` makes what to restore into, if it is that.
    pub fn submit(&self, task: Task, fresh: impl FnOnce() -> Replicated<M>) {
        let order = match task {
            Task::Restore(whole) => Order::Restore(whole, fresh()),
            other => Order::Task(other),
        };
        if let Some(orders) = &self.orders {
            let _ = orders.send(order); // a thread that ended has told why, or will
        }
    }

    /// What was done since the last call. An error is final.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn take(&self) -> Result<VecDeque<Report<M>>, WalError> {
        let mut shared = lock(&self.shared);
        match &shared.failed {
            Some(error) => Err(error.clone()),
            None => Ok(mem::take(&mut shared.reports)),
        }
    }
}

impl<M> Drop for Keeping<M> {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // a panic in it was printed
        }
    }
}

/// The thread's side.
struct Side<M, D, W> {
    keeper: Keeper<D>,
    incoming: mpsc::Receiver<Order<M>>,
    shared: Arc<Mutex<Shared<M>>>,
    wake: W,
}

impl<M: StateMachine, D: Disk, W: Fn()> Side<M, D, W> {
    fn run(mut self) {
        if let Err(error) = self.work() {
            lock(&self.shared).failed = Some(error);
            (self.wake)();
        }
    }

    fn work(&mut self) -> Result<(), WalError> {
        loop {
            let order = if self.keeper.is_taking() {
                match self.incoming.recv_timeout(REST) {
                    Ok(order) => Some(order),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            } else {
                match self.incoming.recv() {
                    Ok(order) => Some(order),
                    Err(mpsc::RecvError) => return Ok(()),
                }
            };
            match order {
                Some(Order::Task(task)) => self.perform(task)?,
                Some(Order::Restore(whole, fresh)) => self.restore(&whole, fresh)?,
                None => {
                    if let Some(taken) = self.keeper.go_on()? {
                        self.tell(Report::Told(Told::Taken(taken)));
                    }
                }
            }
        }
    }

    fn perform(&mut self, task: Task) -> Result<(), WalError> {
        if let Some(told) = perform(&mut self.keeper, task)? {
            self.tell(Report::Told(told));
        }
        Ok(())
    }

    fn restore(&mut self, whole: &Whole, fresh: Replicated<M>) -> Result<(), WalError> {
        if let Some(restored) = restored(&self.keeper, whole, fresh)? {
            self.tell(Report::Restored(whole.meta.clone(), restored));
        }
        self.tell(Report::Told(Told::Restored));
        Ok(())
    }

    fn tell(&self, report: Report<M>) {
        lock(&self.shared).reports.push_back(report);
        (self.wake)();
    }
}

/// Does what a task asks, but for restoring; what there is to tell at once.
///
/// # Errors
/// If the disk fails.
pub fn perform<D: Disk>(keeper: &mut Keeper<D>, task: Task) -> Result<Option<Told>, WalError> {
    match task {
        Task::Take { meta, pieces } => Ok(keeper.take(&meta, pieces)?.map(Told::Taken)),
        Task::Store { from, part } => {
            let stored = keeper.store(from, &part)?;
            if let Some(why) = &stored.lost {
                warn!("threw away what node {from} had sent of a snapshot: {why}");
            }
            let (term, meta) = (part.term, part.meta);
            Ok(Some(Told::Stored { from, term, meta, stored }))
        }
        Task::Read { to, position, offset, length } => {
            let bytes = keeper.read(position, offset, length)?;
            Ok(Some(Told::Read { to, position, offset, bytes }))
        }
        Task::Discard(whole) => keeper.discard(&whole).map(|()| None),
        Task::Remove(names) => keeper.remove_obsolete(&names).map(|()| None),
        Task::Restore(_) => Ok(None), // the driver's: it has the machine
    }
}

/// Restores a snapshot that was received; none, and said, if the machine cannot take it.
///
/// # Errors
/// If the disk fails.
pub fn restored<M: StateMachine, D: Disk>(
    keeper: &Keeper<D>,
    whole: &Whole,
    mut replicated: Replicated<M>,
) -> Result<Option<Replicated<M>>, WalError> {
    let done = keeper.reader(whole).and_then(|mut reader| restore(&mut reader, &mut replicated));
    match done {
        Ok(()) => {
            info!("restored a snapshot up to {}, {} bytes", whole.meta.position, whole.size);
            Ok(Some(replicated))
        }
        Err(OpenError::Io(error)) => Err(error),
        Err(error) => {
            warn!("cannot restore a snapshot that was received: {}", error.of_received());
            Ok(None)
        }
    }
}
