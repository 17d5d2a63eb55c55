//! A replicated state machine of your own: bring a [`StateMachine`], start a [`Node`] on each host,
//! propose commands and ask queries on any of them. Must never say that a command was not applied
//! when it may yet be.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use messages::{LogPosition, Operation};
use servers::host::{Batch, NoSnapshot, Outcome, Snapshot, Status};
use servers::mailbox::Mailbox;
use servers::node::{Network, NodeSettings};
use servers::run::now;
use servers::status::Leadership;
use servers::storage::{Identity, Options, WalError};
use servers::{founding, machine::StateMachine};
use tokio::sync::{oneshot, watch};

use crate::session::Session;

pub use servers::node::StartError;

/// The largest command or query, bytes: with room to spare it fits into one frame between nodes.
pub const MAX_COMMAND: usize = 4 << 20;
/// Bytes of commands and queries that may wait on a node; more are not taken.
const WAITING_BYTES: usize = 64 << 20;

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's address for its peers, `host:port`; one of `members`.
    pub listen: String,
    /// The addresses of all nodes of the cluster, in any order, the same on every node. They are the
    /// nodes' names, too: cluster and nodes are told apart by nothing else, so an emptied data
    /// folder cannot be told from that of a new cluster.
    pub members: Vec<String>,
    /// This node's data folder, made if it does not exist. Nobody else may use it.
    pub data: PathBuf,
    /// A proposal or query is answered within this time.
    pub timeout: Duration,
    /// How often a leader sends heartbeats.
    pub heartbeat: Duration,
    /// After how long without a leader an election begins: drawn from this to one and a half of it.
    pub election: Duration,
}

impl Config {
    /// Default times (2.5 s, 50 ms, 300 ms) for a node at `listen`.
    pub fn new(
        listen: impl Into<String>,
        members: impl IntoIterator<Item = impl Into<String>>,
        data: impl Into<PathBuf>,
    ) -> Config {
        Config {
            listen: listen.into(),
            members: members.into_iter().map(Into::into).collect(),
            data: data.into(),
            timeout: Duration::from_millis(2500),
            heartbeat: Duration::from_millis(50),
            election: Duration::from_millis(300),
        }
    }
}

/// A command that was applied, on a majority's disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What the state machine replied.
    pub reply: Bytes,
    /// Where it stands in the log; unknown to a node that passed it on to the leader.
    pub position: Option<LogPosition>,
}

/// How fresh a query's answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// It sees every command that was answered, on whatever node, before the query was asked.
    Linearizable,
    /// It sees this node's own state at once, however old that is.
    Stale,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposeError {
    /// Certainly not applied, and never will be: no leader was found in time, or too much waits.
    NotApplied(String),
    /// May have been applied, or may yet be. Never for a query.
    Unknown(Option<LogPosition>),
    /// May have been applied, or may yet be: a command of a session, whose outcome can be asked for.
    Unresolved {
        /// The session's id.
        session: u64,
        /// The command's number in it.
        number: u64,
    },
    /// Applied, once, by a copy whose answer was lost; the reply was too long to be kept.
    AnswerNotKept,
    /// Larger than [`MAX_COMMAND`].
    Refused(usize),
    /// The node has stopped; certainly not applied.
    Stopped,
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::NotApplied(why) => write!(f, "not applied, safe to repeat: {why}"),
            ProposeError::Unknown(Some(position)) => {
                write!(f, "may or may not be applied, at {position}; query before repeating")
            }
            ProposeError::Unknown(None) => {
                write!(f, "may or may not be applied; query before repeating")
            }
            ProposeError::Unresolved { session, number } => write!(
                f,
                "number {number} of session {session} may or may not be applied; ask for its outcome"
            ),
            ProposeError::AnswerNotKept => write!(f, "applied, once; its reply was not kept"),
            ProposeError::Refused(size) => {
                write!(f, "not applied: {size} bytes, and {MAX_COMMAND} are the most")
            }
            ProposeError::Stopped => write!(f, "not applied: the node has stopped"),
        }
    }
}

impl std::error::Error for ProposeError {}

/// A running node. Stops when dropped.
#[derive(Debug)]
pub struct Node {
    inner: servers::node::Node,
}

impl Node {
    /// Starts a node over ZeroMQ; founds its data folder if there is nothing in it. Works on any
    /// async runtime: the node runs on threads of its own.
    ///
    /// # Errors
    /// The data folder is another's, damaged, or in use; the address cannot be listened at.
    #[cfg(feature = "zeromq")]
    pub async fn start<M>(config: Config, machine: M) -> Result<Node, StartError>
    where
        M: StateMachine + 'static,
    {
        let listen = config.listen.clone();
        let peers = config.members.iter().map(|member| (member.clone(), member.clone())).collect();
        Node::start_over(config, machine, Network::ZeroMq { listen, peers }).await
    }

    /// Starts a node over plain TCP, which the whole cluster then has to use; else as
    /// `Node::start`.
    ///
    /// # Errors
    /// The data folder is another's, damaged, or in use; the address cannot be listened at.
    pub async fn start_over_tcp<M>(config: Config, machine: M) -> Result<Node, StartError>
    where
        M: StateMachine + 'static,
    {
        let listen = config.listen.clone();
        let peers = config.members.iter().map(|member| (member.clone(), member.clone())).collect();
        Node::start_over(config, machine, Network::Tcp { listen, peers }).await
    }

    /// Starts a node over any network.
    pub(crate) async fn start_over<M>(
        config: Config,
        machine: M,
        network: Network,
    ) -> Result<Node, StartError>
    where
        M: StateMachine + 'static,
    {
        if !config.members.contains(&config.listen) {
            return Err(StartError::NoAddress { member: config.listen });
        }
        let identity = founding::by_names(&config.members, &config.listen);
        aside(move || open(config, &identity, machine, network))
            .await
            .map_err(StartError::System)?
            .map(|inner| Node { inner })
    }

    /// Has a command applied on a majority, in the one order that all nodes share; on whichever
    /// node it is asked.
    ///
    /// # Errors
    /// See [`ProposeError`], above all [`ProposeError::Unknown`].
    pub async fn propose(&self, command: impl Into<Bytes>) -> Result<Applied, ProposeError> {
        let operation = Operation::Command(command.into());
        let (reply, position) = submit(self.inner.mailbox(), operation, false).await?;
        Ok(Applied { reply, position })
    }

    /// Opens a session, whose commands take effect once however often they are sent.
    ///
    /// # Errors
    /// See [`ProposeError`]; after any of them it can be tried again.
    pub async fn session(&self) -> Result<Session, ProposeError> {
        Session::open(self.inner.mailbox().clone()).await
    }

    /// Goes on with a session that was opened through this or another node. `last` is the highest
    /// number given out in it: a number that is used again gets the answer to its first command.
    pub fn resume_session(&self, id: u64, last: u64) -> Session {
        Session::resume(self.inner.mailbox().clone(), id, last)
    }

    /// Asks the state machine.
    ///
    /// # Errors
    /// See [`ProposeError`]; never [`ProposeError::Unknown`].
    pub async fn query(
        &self,
        query: impl Into<Bytes>,
        consistency: Consistency,
    ) -> Result<Bytes, ProposeError> {
        let stale = consistency == Consistency::Stale;
        let operation = Operation::Query(query.into());
        Ok(submit(self.inner.mailbox(), operation, stale).await?.0)
    }

    /// The node as it sees itself and its peers.
    pub fn status(&self) -> Status {
        self.inner.status()
    }

    /// Has a snapshot taken of all that the node has applied, unless there is one already, and waits
    /// until it is in place. Snapshots are taken by themselves, too, as the log grows.
    ///
    /// # Errors
    /// If nothing is applied yet, or the node stops.
    pub async fn snapshot(&self) -> Result<Snapshot, NoSnapshot> {
        self.inner.mailbox().snapshot().await
    }

    /// Follows the node's role, its term, and who leads.
    pub fn watch_role(&self) -> watch::Receiver<Leadership> {
        self.inner.mailbox().leadership()
    }

    /// Finishes what is under way, syncs, and stops.
    ///
    /// # Errors
    /// A write or sync had failed.
    pub async fn shutdown(self) -> Result<(), WalError> {
        let Node { inner } = self;
        aside(move || inner.shutdown()).await.expect("a thread to wait on")
    }
}

fn open<M>(
    config: Config,
    identity: &Identity,
    machine: M,
    network: Network,
) -> Result<servers::node::Node, StartError>
where
    M: StateMachine + 'static,
{
    let log = Options::default();
    let seed = servers::founding::seed();
    founding::found_if_new(&config.data, identity, &log, seed).map_err(StartError::Storage)?;
    let settings = NodeSettings {
        folder: config.data,
        expected: identity.expected(),
        log,
        network,
        config: states::Config {
            heartbeat: config.heartbeat.into(),
            election: config.election.into(),
            ..states::Config::default()
        },
        client_timeout: config.timeout.into(),
        waiting_bytes: WAITING_BYTES,
        snapshot_bytes: servers::server::Settings::default().snapshot_bytes,
        snapshot_rate: servers::server::Settings::default().snapshot_rate,
        on_leadership: Box::new(|_| {}),
    };
    servers::node::Node::start(settings, machine, |mailbox: Mailbox| async move {
        mailbox.stopping().await;
    })
}

/// Runs what blocks on a thread of its own, so that any executor can wait for it.
async fn aside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> io::Result<R> {
    let (sender, result) = oneshot::channel();
    std::thread::Builder::new().spawn(move || sender.send(work()).map_err(|_| ()))?;
    result.await.map_err(|_| io::Error::other("a thread has panicked"))
}

pub(crate) async fn submit(
    mailbox: &Mailbox,
    operation: Operation,
    stale: bool,
) -> Result<(Bytes, Option<LogPosition>), ProposeError> {
    if operation.size() > MAX_COMMAND {
        return Err(ProposeError::Refused(operation.size()));
    }
    let batch = Batch { arrived: now(), operations: vec![operation], stale };
    match mailbox.submit(batch).await {
        Outcome::Done { mut replies, position } => {
            Ok((replies.pop().expect("one reply for each operation"), position))
        }
        Outcome::NoLeader { waited, heard, members } => {
            let waited = Duration::from_micros(waited);
            let why = format!("no leader for {waited:.1?}; nodes heard: {heard} of {members}");
            Err(ProposeError::NotApplied(why))
        }
        Outcome::Busy => Err(ProposeError::NotApplied("too much waits already".to_owned())),
        Outcome::Full => {
            let why = "no space left on the disk of the leader, or of too many others";
            Err(ProposeError::NotApplied(why.to_owned()))
        }
        Outcome::Uncertain { position } => Err(ProposeError::Unknown(position)),
        Outcome::Stopped => Err(ProposeError::Stopped),
    }
}
