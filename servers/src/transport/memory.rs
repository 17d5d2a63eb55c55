//! Frames between nodes of one process: no sockets, no copies. For clusters in tests and for
//! embedders' tests. Must never promise more than a network does: what is full drops, and who
//! leaves loses what it had not received.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use messages::NodeId;

use super::changes::Changes;
use super::{Change, Counts, Lane, MAX_FRAME, Sent, Transport};

/// What waits for one node in one lane, bytes at most.
const INBOX_BYTES: usize = 2 * MAX_FRAME;

/// Where nodes meet. Clones are the same hub; nodes may live on different threads.
#[derive(Clone, Default)]
pub struct Hub {
    inboxes: Arc<Mutex<BTreeMap<NodeId, Arc<Mutex<Inbox>>>>>,
}

/// What has been sent to one node and not yet received.
#[derive(Default)]
struct Inbox {
    control: Queue,
    log: Queue,
    bulk: Queue,
    /// Who came and went.
    changes: Changes,
    waker: Option<Waker>,
}

/// One lane of an inbox.
#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// One node's end. The node leaves the hub when it is dropped.
pub struct Memory {
    id: NodeId,
    hub: Hub,
    inbox: Arc<Mutex<Inbox>>,
    counts: Counts,
}

impl Hub {
    /// A hub without nodes.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// Connects a node to all others. It takes the place of an earlier one with the same id, which
    /// from then on receives nothing new.
    pub fn join(&self, id: NodeId) -> Memory {
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let mut inboxes = lock(&self.inboxes);
        if inboxes.remove(&id).is_some() {
            tell(&inboxes, Change::Lost(id));
        }
        tell(&inboxes, Change::Found(id));
        let mut own = lock(&inbox);
        inboxes.keys().for_each(|peer| own.changes.tell(Change::Found(*peer)));
        drop(own);
        inboxes.insert(id, Arc::clone(&inbox));
        drop(inboxes);
        Memory { id, hub: self.clone(), inbox, counts: Counts::default() }
    }
}

/// Tells all of a change.
fn tell(inboxes: &BTreeMap<NodeId, Arc<Mutex<Inbox>>>, change: Change) {
    for inbox in inboxes.values() {
        let mut inbox = lock(inbox);
        inbox.changes.tell(change);
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queue {
    /// Takes a frame if there is room for it.
    fn push(&mut self, frame: Vec<u8>) -> Sent {
        if self.bytes + frame.len() > INBOX_BYTES {
            return Sent::Dropped;
        }
        self.bytes += frame.len();
        self.frames.push_back(frame);
        Sent::Queued
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

impl Transport for Memory {
    fn send(&mut self, to: NodeId, lane: Lane, frame: Vec<u8>) -> Sent {
        if frame.len() > MAX_FRAME {
            self.counts.oversize += 1;
            return Sent::Dropped;
        }
        let Some(inbox) = lock(&self.hub.inboxes).get(&to).cloned() else {
            self.counts.unconnected += 1;
            return Sent::Dropped;
        };
        let mut inbox = lock(&inbox);
        let sent = match lane {
            Lane::Control => inbox.control.push(frame),
            Lane::Log => inbox.log.push(frame),
            Lane::Bulk => inbox.bulk.push(frame),
        };
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.counts.full += u64::from(sent == Sent::Dropped);
        sent
    }

    fn receive(&mut self) -> Option<Bytes> {
        let mut inbox = lock(&self.inbox);
        let frame = inbox.control.pop().or_else(|| inbox.log.pop());
        let frame = frame.or_else(|| inbox.bulk.pop());
        if frame.is_none() {
            inbox.changes.ripen();
        }
        frame.map(Bytes::from)
    }

    fn change(&mut self) -> Option<Change> {
        lock(&self.inbox).changes.next()
    }

    fn flush(&mut self) -> bool {
        false
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut inbox = lock(&self.inbox);
        let is_news = inbox.changes.take_news();
        let queues = [&inbox.control, &inbox.log, &inbox.bulk];
        if !is_news && queues.iter().all(|queue| queue.frames.is_empty()) {
            inbox.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut inboxes = lock(&self.hub.inboxes);
        if inboxes.get(&self.id).is_some_and(|inbox| Arc::ptr_eq(inbox, &self.inbox)) {
            inboxes.remove(&self.id);
            tell(&inboxes, Change::Lost(self.id));
        }
    }
}

/// Nothing here can panic while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic under the lock")
}
