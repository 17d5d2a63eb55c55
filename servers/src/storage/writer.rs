//! The thread that owns the log, so that neither heartbeats nor reads ever wait for a disk. Must
//! never hand back a promise before the writes it rests on are durable, and never try again what
//! failed. A full disk is no failure but a slow disk: what finds no room waits for it, in order.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use messages::{Envelope, NodeId};
use states::{Space, Write, WriteId};

use super::keeper::{Kept, Whole};
use super::{Disk, Wal, WalError};
use crate::transport::Lane;

/// What one turn asks of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// A snapshot to put in place before the write, once all earlier writes are durable.
    pub keep: Option<Whole>,
    /// What must become durable.
    pub write: Option<Write>,
    /// What may leave when that and all earlier writes are.
    pub promises: Vec<(NodeId, Lane, Vec<Envelope>)>,
}

/// What came of jobs, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// May leave now.
    pub promises: Vec<(NodeId, Lane, Vec<Envelope>)>,
    /// This write and all before it are durable.
    pub written: Option<WriteId>,
    /// These snapshots are in place.
    pub kept: Vec<Kept>,
    /// What room there is for the log, if that has changed.
    pub space: Option<Space>,
}

impl Done {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Done { promises, written, kept, space } = self;
        promises.is_empty() && written.is_none() && kept.is_empty() && space.is_none()
    }

    fn add(&mut self, later: Done) {
        self.promises.extend(later.promises);
        self.kept.extend(later.kept);
        self.written = later.written.or(self.written);
        self.space = later.space.or(self.space);
    }
}

/// The writer without its thread: stage any number of jobs, write and sync once for all.
#[derive(Debug)]
pub struct Rounds<D: Disk> {
    wal: Wal<D>,
    /// What the next sync releases.
    staged: Done,
    /// As last told.
    space: Space,
    /// A job found no room; the next are not to be tried before it.
    stalled: bool,
}

impl<D: Disk> Rounds<D> {
    /// A writer over an open log.
    pub fn new(wal: Wal<D>) -> Rounds<D> {
        Rounds { wal, staged: Done::default(), space: Space::Enough, stalled: false }
    }

    /// Takes in a job's batch; its promises wait for `sync`. Gives back what found no room: that is to be
    /// tried again later, before all other jobs.
    pub fn stage(&mut self, mut job: Job) -> Result<Option<Job>, WalError> {
        if let Some(whole) = job.keep.take() {
            self.staged.kept.push(self.wal.keep(whole)?);
        }
        if let Some(write) = &job.write {
            let staged = self.wal.stage(write);
            self.stalled = staged.is_err() && self.wal.is_usable();
            if self.stalled {
                return Ok(Some(job));
            }
            staged?;
            self.staged.written = Some(write.id);
        }
        self.staged.promises.extend(job.promises);
        Ok(None)
    }

    /// Writes all that was staged.
    pub fn write(&mut self) -> Result<(), WalError> {
        self.wal.write()
    }

    /// Makes all that was staged durable, and releases what waited for it.
    pub fn sync(&mut self) -> Result<Done, WalError> {
        self.wal.sync()?;
        let space = if self.stalled { Space::Exhausted } else { self.wal.space() };
        if mem::replace(&mut self.space, space) != space {
            self.staged.space = Some(space);
        }
        Ok(mem::take(&mut self.staged))
    }

    /// Whether room is awaited: `sync` is to be called from time to time, though there is no job.
    pub fn awaits_room(&self) -> bool {
        self.space != Space::Enough
    }

    /// To be called when there was no work for [`IDLE`]: proves the last batch, if there is room for
    /// what proves it. Syncs.
    pub fn mark(&mut self) -> Result<(), WalError> {
        match self.wal.mark() {
            Err(_) if self.wal.is_usable() => Ok(()),
            marked => marked.map(|_| ()),
        }
    }
}

/// After this long without work the last batch is proven.
pub const IDLE: Duration = Duration::from_millis(50);

/// While room is awaited it is looked for as often.
const LOOK: Duration = Duration::from_millis(200);

/// The writer's thread, as the node's thread sees it.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queues: Mutex<Queues>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    jobs: Vec<Job>,
    /// The writer sleeps until it is told of work.
    asleep: bool,
    /// No more jobs will come.
    closing: bool,
    done: Done,
    /// The node was told of `done`, and has not looked yet.
    told: bool,
    failed: Option<WalError>,
    /// The thread has ended.
    ended: bool,
}

impl Shared {
    /// A panic elsewhere poisons the lock; the queues are whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts the thread. `wake` is called, on that thread, when [`Writer::take`] has something new
    /// for a node that has taken all before.
    ///
    /// # Panics
    /// If the system refuses a thread.
    pub fn start<D, W>(wal: Wal<D>, wake: W) -> Writer
    where
        D: Disk + 'static,
        W: Fn() + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let rounds = Rounds::new(wal);
        let side = Side { shared: Arc::clone(&shared), wake };
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || side.run(rounds))
            .expect("a thread for the writer");
        Writer { shared, thread: Some(thread) }
    }

    /// Queues a job behind all earlier ones. Never blocks on the disk.
    pub fn submit(&self, job: Job) {
        let mut queues = self.shared.lock();
        queues.jobs.push(job);
        let was_asleep = mem::take(&mut queues.asleep);
        drop(queues); // or the writer would wake up to wait for it
        if was_asleep {
            self.shared.work.notify_one();
        }
    }

    /// What was done since the last call. An error is final: the log is not to be used again.
    ///
    /// # Panics
    /// If the writer's thread panicked.
    pub fn take(&self) -> Result<Done, WalError> {
        let mut queues = self.shared.lock();
        queues.told = false;
        if let Some(error) = &queues.failed {
            return Err(error.clone());
        }
        assert!(!queues.ended, "the writer's thread lives");
        Ok(mem::take(&mut queues.done))
    }

    /// Finishes all that is queued, proves it, and ends the thread; returns what was not taken yet.
    pub fn stop(mut self) -> Result<Done, WalError> {
        self.close();
        let mut queues = self.shared.lock();
        match queues.failed.take() {
            Some(error) => Err(error),
            None => Ok(mem::take(&mut queues.done)),
        }
    }

    fn close(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let mut queues = self.shared.lock();
        queues.closing = true;
        queues.asleep = false;
        drop(queues);
        self.shared.work.notify_one();
        drop(thread.join()); // a panic in it was printed, and is seen as `ended`
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's side. However it ends, the node hears of it.
struct Side<W: Fn()> {
    shared: Arc<Shared>,
    wake: W,
}

/// What the thread does next.
enum Next {
    Work,
    Mark,
    /// Look for room.
    Look,
    End,
}

/// What is waited for besides work.
#[derive(Clone, Copy)]
struct Waits {
    /// The last batch is proven, or cannot be.
    marked: bool,
    room: bool,
}

impl<W: Fn()> Side<W> {
    fn run<D: Disk>(self, mut rounds: Rounds<D>) {
        if let Err(error) = self.work(&mut rounds) {
            self.shared.lock().failed = Some(error);
        }
    }

    fn work<D: Disk>(&self, rounds: &mut Rounds<D>) -> Result<(), WalError> {
        let mut jobs = Vec::new();
        let mut queued = VecDeque::new();
        let mut marked = false;
        loop {
            let waits = Waits { marked: marked || !queued.is_empty(), room: rounds.awaits_room() };
            match self.next(&mut jobs, waits) {
                Next::Work | Next::Look => {
                    queued.extend(jobs.drain(..));
                    while let Some(job) = queued.pop_front() {
                        marked &= job.write.is_none();
                        if let Some(job) = rounds.stage(job)? {
                            queued.push_front(job);
                            break;
                        }
                    }
                    rounds.write()?;
                    self.tell(rounds.sync()?);
                }
                Next::Mark => {
                    rounds.mark()?;
                    marked = true;
                }
                Next::End => return rounds.mark(),
            }
        }
    }

    /// Waits for jobs and takes all of them.
    fn next(&self, jobs: &mut Vec<Job>, waits: Waits) -> Next {
        let mut queues = self.shared.lock();
        let mut waited = false;
        loop {
            if !queues.jobs.is_empty() {
                mem::swap(&mut queues.jobs, jobs);
                return Next::Work;
            }
            if queues.closing {
                return Next::End;
            }
            if waited {
                return if waits.marked { Next::Look } else { Next::Mark };
            }
            queues.asleep = true;
            (queues, waited) = self.wait(queues, waits);
            queues.asleep = false;
        }
    }

    /// Sleeps until there is work, or, with something left to prove, [`IDLE`] has passed, or [`LOOK`]
    /// while room is awaited; whether it has.
    fn wait<'a>(
        &self,
        queues: MutexGuard<'a, Queues>,
        waits: Waits,
    ) -> (MutexGuard<'a, Queues>, bool) {
        let work = &self.shared.work;
        let most = match waits {
            Waits { marked: false, .. } => IDLE,
            Waits { room: true, .. } => LOOK,
            Waits { .. } => {
                let woken = work.wait(queues).unwrap_or_else(PoisonError::into_inner);
                return (woken, false);
            }
        };
        let (woken, timeout) =
            work.wait_timeout(queues, most).unwrap_or_else(PoisonError::into_inner);
        (woken, timeout.timed_out())
    }

    /// Hands on what was done; wakes the node unless it was told of something that it has not taken
    /// yet.
    fn tell(&self, done: Done) {
        if done.is_empty() {
            return;
        }
        let mut queues = self.shared.lock();
        queues.done.add(done);
        if !mem::replace(&mut queues.told, true) {
            drop(queues);
            (self.wake)();
        }
    }
}

impl<W: Fn()> Drop for Side<W> {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        (self.wake)();
    }
}
