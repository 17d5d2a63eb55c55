//! A whole node: opens its folder and its transport, and runs its server on a thread of its own,
//! together with the doors that its user brings. Must never found anything: a folder that is not
//! this node's is an error.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};

use log::{info, warn};
use messages::{Boot, NodeId};
use rand::Rng;
use states::{Config, Micros};
use tokio::runtime::{self, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;

use crate::host::Status;
use crate::keeping::Keeping;
use crate::machine::StateMachine;
use crate::mailbox::Mailbox;
use crate::run::{Driver, OnLeadership, Parts, now, wall};
use crate::server::Settings;
use crate::storage::{self, Expected, FolderDisk, Identity, Opened, WalError, Writer};
use crate::transport::memory::Hub;
use crate::transport::{self, Transport};
use crate::turn;

/// How long the doors may take to hand out the last replies.
const DOORS_LIMIT: Duration = Duration::from_millis(500);

/// What a node needs to start.
pub struct NodeSettings {
    /// Its data folder; founded before.
    pub folder: PathBuf,
    /// Whose folder that should be.
    pub expected: Expected,
    /// How its log is laid out.
    pub log: storage::Options,
    /// How it reaches the others.
    pub network: Network,
    /// Settings of the rules.
    pub config: Config,
    /// A batch is answered within this time of its arrival.
    pub client_timeout: Micros,
    /// Bytes of batches that may wait; more are refused.
    pub waiting_bytes: usize,
    /// Bytes that the log grows by before a snapshot is taken.
    pub snapshot_bytes: u64,
    /// Bytes of a snapshot sent in a second.
    pub snapshot_rate: u64,
    /// Called on the node's thread when it starts and with each change of who leads, before that is
    /// logged.
    pub on_leadership: OnLeadership,
}

/// How a node reaches the others.
pub enum Network {
    /// ZeroMQ on TCP.
    #[cfg(feature = "zeromq")]
    ZeroMq {
        /// Where to listen for peers, `host:port`.
        listen: String,
        /// Where each member listens for peers, by its name; this node's own is not looked at.
        peers: BTreeMap<String, String>,
    },
    /// Plain TCP.
    Tcp {
        /// Where to listen for peers, `host:port`.
        listen: String,
        /// Where each member listens for peers, by its name; this node's own is not looked at.
        peers: BTreeMap<String, String>,
    },
    /// The memory of this process.
    Memory(Hub),
}

/// A running node. Stops when dropped.
#[derive(Debug)]
pub struct Node {
    mailbox: Mailbox,
    identity: Identity,
    boot: Boot,
    ended: Option<oneshot::Receiver<Result<(), WalError>>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a node did not start.
#[derive(Debug)]
pub enum StartError {
    /// Its data folder cannot be opened.
    Storage(storage::OpenError),
    /// Its transport cannot be opened.
    Transport(transport::OpenError),
    /// A member has no address.
    NoAddress {
        /// The member's name.
        member: String,
    },
    /// The system gave no thread or no runtime.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Storage(error) => error.fmt(f),
            StartError::Transport(error) => error.fmt(f),
            StartError::NoAddress { member } => {
                write!(f, "the configuration gives no peer address for member {member}; add it")
            }
            StartError::System(error) => write!(f, "cannot start the node's thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Node {
    /// Opens folder and transport and starts the node. Blocks while the log is read. `doors` is
    /// called on the node's thread, in a `LocalRuntime`; what it returns runs there beside the server,
    /// and should end soon after [`Mailbox::stopping`] resolves.
    ///
    /// # Errors
    /// If the folder, the transport or the thread cannot be had; nothing runs then.
    pub fn start<M, D, F>(settings: NodeSettings, machine: M, doors: D) -> Result<Node, StartError>
    where
        M: StateMachine + 'static,
        D: FnOnce(Mailbox) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (started, start) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("node".to_owned())
            .spawn(move || {
                let result = live(settings, machine, doors, &started);
                // Nobody may wait for either: a start that failed was told, a handle may be gone.
                let _ = match result {
                    Ok(result) => end.send(result).map_err(|_| ()),
                    Err(error) => started.send(Err(error)).map_err(|_| ()),
                };
            })
            .map_err(StartError::System)?;
        let lost = || StartError::System(io::Error::other("the node's thread has panicked"));
        let (mailbox, identity, boot) = start.recv().unwrap_or_else(|_| Err(lost()))?;
        Ok(Node { mailbox, identity, boot, ended: Some(ended), thread: Some(thread) })
    }

    /// The way in.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// This run of its folder.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The node as of its last turn.
    pub fn status(&self) -> Status {
        self.mailbox.status()
    }

    /// Asks it to stop: no more batches, what is under way is finished.
    pub fn stop(&self) {
        self.mailbox.stop();
    }

    /// Resolves when it has ended: after `stop`, or because its disk failed. Once only.
    ///
    /// # Panics
    /// If the node's thread panicked, or when called again.
    pub async fn ended(&mut self) -> Result<(), WalError> {
        let ended = self.ended.take().expect("the end is told once");
        let result = ended.await.expect("the node's thread lives to tell");
        self.join_thread();
        result
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Panics
    /// If the node's thread panicked.
    pub fn shutdown(mut self) -> Result<(), WalError> {
        self.stop();
        let ended = self.ended.take();
        self.join_thread();
        ended.map_or(Ok(()), |mut ended| ended.try_recv().expect("the node's thread lived to tell"))
    }

    fn join_thread(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // a panic in it was printed
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
        self.join_thread();
    }
}

type Started = Result<(Mailbox, Identity, Boot), StartError>;

/// The node's thread, from opening to the end.
fn live<M, D, F>(
    settings: NodeSettings,
    machine: M,
    doors: D,
    started: &mpsc::Sender<Started>,
) -> Result<Result<(), WalError>, StartError>
where
    M: StateMachine + 'static,
    D: FnOnce(Mailbox) -> F,
    F: Future<Output = ()> + 'static,
{
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(1_024) // connections served between two looks for what else came
        .build_local(LocalOptions::default())
        .map_err(StartError::System)?;
    let _entered = runtime.enter(); // sockets want it
    let disk = FolderDisk::open(&settings.folder).map_err(StartError::Storage)?;
    let seed = rand::rng().next_u64();
    let opened = storage::open(disk, &settings.expected, &settings.log, seed)
        .map_err(StartError::Storage)?;
    match &settings.network {
        Network::Memory(hub) => {
            let transport = hub.join(opened.identity.node);
            run(&runtime, settings, opened, transport, machine, doors, started)
        }
        #[cfg(feature = "zeromq")]
        Network::ZeroMq { listen, peers } => {
            let identity = &opened.identity;
            let peers = addresses(identity, peers)?;
            let transport = transport::zeromq::ZeroMq::open(identity.node, listen, peers)
                .map_err(StartError::Transport)?;
            run(&runtime, settings, opened, transport, machine, doors, started)
        }
        Network::Tcp { listen, peers } => {
            let identity = &opened.identity;
            let peers = addresses(identity, peers)?;
            let transport = transport::tcp::Tcp::open(identity.node, listen, peers)
                .map_err(StartError::Transport)?;
            run(&runtime, settings, opened, transport, machine, doors, started)
        }
    }
}

/// Where each other member listens.
fn addresses(
    identity: &Identity,
    peers: &BTreeMap<String, String>,
) -> Result<Vec<(NodeId, String)>, StartError> {
    let others = identity.members.iter().filter(|(id, _)| **id != identity.node);
    others
        .map(|(id, name)| match peers.get(name) {
            Some(address) => Ok((*id, address.clone())),
            None => Err(StartError::NoAddress { member: name.clone() }),
        })
        .collect()
}

/// Runs server and doors until the node ends.
fn run<M, T, D, F>(
    runtime: &LocalRuntime,
    settings: NodeSettings,
    opened: Opened<FolderDisk>,
    transport: T,
    machine: M,
    doors: D,
    started: &mpsc::Sender<Started>,
) -> Result<Result<(), WalError>, StartError>
where
    M: StateMachine + 'static,
    T: Transport + 'static,
    D: FnOnce(Mailbox) -> F,
    F: Future<Output = ()> + 'static,
{
    if let Some(cut) = &opened.recovered.cut {
        warn!("{cut}");
    }
    let (term, entries) = (opened.recovered.hard_state.term, opened.recovered.entries.len());
    let server_settings = Settings {
        client_timeout: settings.client_timeout,
        waiting_bytes: settings.waiting_bytes,
        snapshot_bytes: settings.snapshot_bytes,
        snapshot_rate: settings.snapshot_rate,
        ..Settings::default()
    };
    let seed = rand::rng().next_u64();
    let moment = (now(), wall());
    let lost = opened.recovered.lost.clone();
    let snapshot = opened.recovered.snapshot.clone();
    let started_node = turn::start(opened, server_settings, settings.config, seed, machine, moment);
    let turn::Started { server, gate, boot, wal, identity } =
        started_node.map_err(StartError::Storage)?;
    let NodeSettings { mut on_leadership, .. } = settings;
    on_leadership(server.leadership()); // before the first line is logged
    for what in lost {
        warn!("{what}; an older snapshot and the log stand in for it");
    }
    match snapshot {
        Some(meta) => {
            let position = meta.position;
            info!("starts with term {term}, a snapshot up to {position} and {entries} entries");
        }
        None => info!("starts with term {term} and {entries} entries"),
    }
    let mailbox = Mailbox::new(server.status(), server.leadership());
    let (waker, other_waker) = (mailbox.clone(), mailbox.clone());
    let keeping = Keeping::start(wal.keeper(), move || other_waker.wake());
    let driver = Driver::new(Parts {
        server,
        transport,
        gate,
        boot,
        writer: Writer::start(wal, move || waker.wake()),
        keeping: keeping.map_err(StartError::System)?,
        mailbox: mailbox.clone(),
        names: identity.members.clone(),
        on_leadership,
    });
    let _ = started.send(Ok((mailbox.clone(), identity, boot))); // the handle may be gone already
    Ok(runtime.block_on(async move {
        let doors = tokio::task::spawn_local(doors(mailbox.clone()));
        let ended = tokio::task::spawn_local(driver.run()).await.expect("the server's task lives");
        if tokio::time::timeout(DOORS_LIMIT, doors).await.is_err() {
            warn!("stopped before all replies were taken");
        }
        ended
    }))
}
