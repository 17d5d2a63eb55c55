//! The Redis door: any Redis client, RESP2 and RESP3. Runs on the node thread, as one task for the
//! listener and one a connection. Must never block, never close a connection to say "unknown", and
//! never take memory because a client claims a length.
//!
//! - [`parser`], [`inline`]: bytes to requests;
//! - [`requests`]: requests to one batch for the server;
//! - [`transactions`]: what is queued behind `MULTI`, and which keys are watched;
//! - [`connection`]: reads, submits, answers; one batch at a time;
//! - [`session`]: what a connection answers by itself; [`info`], [`config`]: two of its answers;
//! - `own`: what a node says of itself, and its snapshots;
//! - `once`: commands of sessions, and what came of them;
//! - [`replies`]: what came of a batch, as RESP.

pub mod config;
mod connection;
mod info;
mod inline;
mod once;
mod own;
pub mod parser;
pub mod replies;
mod requests;
mod session;
mod transactions;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use messages::{LogPosition, NodeId};
use servers::host::{Batch, NoSnapshot, Outcome, Snapshot, Status};
use states::{Time, WallTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::limits::Files;

/// Bytes that one read takes at most. One buffer serves all connections.
const READ: usize = 64 << 10;

/// How long the listener rests when it cannot accept, as it cannot while there is no descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server behind the door.
pub trait Backend: 'static {
    /// Executes a batch, however long that takes; the server keeps the clients' time-out.
    fn submit(&self, batch: Batch) -> impl Future<Output = Outcome>;

    /// The node at this moment.
    fn status(&self) -> Status;

    /// The node and its cluster in JSON, for `RAFT.STATUS`, which is nil without it.
    fn describe(&self, door: &Door, files: Option<Files>) -> Option<String> {
        let _ = (door, files);
        None
    }

    /// What the node's files take, if that can be found out soon.
    fn files(&self) -> impl Future<Output = Option<Files>> {
        std::future::ready(None)
    }

    /// The positions of the last `count` entries of the node's log, oldest first, for `RAFT.LOG`.
    fn log_tail(&self, count: usize) -> impl Future<Output = Vec<LogPosition>> {
        let _ = count;
        std::future::ready(Vec::new())
    }

    /// A snapshot of what the node has applied now, or of more, once it is in place, for
    /// `RAFT.SNAPSHOT`.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, NoSnapshot>>;
}

/// How clients reach a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// Where its clients connect, `host:port`.
    pub client: String,
}

/// What the door is told at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node.
    pub node: NodeId,
    /// All nodes.
    pub members: BTreeMap<NodeId, Member>,
    /// The port that it listens on, for `INFO` and `CONFIG GET`.
    pub port: u16,
    /// The most bytes of one request.
    pub max_request: usize,
    /// The most connections at a time.
    pub max_clients: usize,
    /// A client that takes no byte of its replies for so long, while the kernel's buffers are full
    /// of them, is closed.
    pub write_stall: Duration,
    /// The clock of the driver: stamps requests.
    pub clock: fn() -> Time,
    /// The wall clock, for `TIME`.
    pub wall: fn() -> WallTime,
}

/// What all connections share.
pub struct Door {
    settings: Settings,
    started: Time,
    connected: Cell<usize>,
    waiting: Cell<usize>,
    unsent: Cell<usize>,
    last_id: Cell<u64>,
    refused: Cell<u64>,
    stopping: Cell<bool>,
    stop: Notify,
    buffer: RefCell<Box<[u8]>>,
}

impl Door {
    /// A door that nobody has come through yet.
    pub fn new(settings: Settings) -> Door {
        Door {
            started: (settings.clock)(),
            settings,
            connected: Cell::new(0),
            waiting: Cell::new(0),
            unsent: Cell::new(0),
            last_id: Cell::new(0),
            refused: Cell::new(0),
            stopping: Cell::new(false),
            stop: Notify::new(),
            buffer: RefCell::new(vec![0; READ].into_boxed_slice()),
        }
    }

    /// Connections at this moment.
    pub fn connected(&self) -> usize {
        self.connected.get()
    }

    /// Connections whose requests the cluster has not answered yet.
    pub fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Bytes of replies that clients have not taken yet.
    pub fn unsent(&self) -> usize {
        self.unsent.get()
    }

    /// What it was told at start.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Requests that broke the protocol or a limit.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Takes no more connections, and ends each as soon as what it has in flight is answered.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_waiters();
    }

    /// Resolves when the door stops.
    async fn stopped(&self) {
        let notified = self.stop.notified();
        if !self.stopping.get() {
            notified.await;
        }
    }

    fn count_refused(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    /// A place for one more client, if there is one.
    fn admit(self: &Rc<Self>) -> Option<Place> {
        if self.connected.get() >= self.settings.max_clients {
            return None;
        }
        self.connected.set(self.connected.get() + 1);
        self.last_id.set(self.last_id.get() + 1);
        Some(Place { door: Rc::clone(self), id: self.last_id.get() })
    }
}

/// One connection's place among `max_clients`; free again when dropped.
struct Place {
    door: Rc<Door>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.connected.set(self.door.connected.get() - 1);
    }
}

/// Accepts clients until the door stops. Runs where local tasks can be spawned.
pub async fn serve<B: Backend>(listener: TcpListener, door: Rc<Door>, backend: Rc<B>) {
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.stopped() => return,
        };
        match accepted {
            Ok((stream, _)) => welcome(stream, &door, &backend),
            Err(error) => {
                if !failing {
                    log::warn!("cannot accept clients, trying again: {error}");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                failing = true;
                continue;
            }
        }
        failing = false;
    }
}

fn welcome<B: Backend>(stream: TcpStream, door: &Rc<Door>, backend: &Rc<B>) {
    // Replies leave in one write each turn: there is nothing to gain from waiting for more.
    let _ = stream.set_nodelay(true);
    match door.admit() {
        Some(place) => {
            let connection = connection::Connection::new(stream, place, Rc::clone(backend));
            tokio::task::spawn_local(connection.run());
        }
        None => {
            door.count_refused();
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
        }
    }
}
