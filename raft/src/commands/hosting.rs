//! A node with its door for clients, for the subcommands that run one. Must never found a data
//! folder, and never take an address or a limit from anywhere but the configuration.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use messages::{LogPosition, NodeId};
use raft::config::{Config, Transport};
use raft::doors::resp::{self, Backend, Door};
use raft::limits::{self, Files};
use raft::status::{self, Name, Names};
use servers::host::{Batch, Filled, NoSnapshot, Outcome, Snapshot, Status};
use servers::machine::StateMachine;
use servers::mailbox::Mailbox;
use servers::node::{Network, Node, NodeSettings};
use servers::run::{self, OnLeadership};
use servers::storage::{Expected, Identity, Options};
use states::Micros;

use super::listen;

/// How long the size of the files may take to be found out.
const FILES_LIMIT: Duration = Duration::from_millis(100);
/// How often a stop looks whether the last client has its replies.
const LAST_CLIENTS: Duration = Duration::from_millis(2);

/// How the log is laid out.
pub fn log_options(config: &Config) -> Options {
    let default = Options::default();
    let first_segment = default.first_segment.min(config.segment);
    Options { first_segment, segment: config.segment }
}

/// Starts the node that the configuration describes; its folder was founded before, as this node's.
/// Clients are listened for before peers hear of the node.
pub fn start<M: StateMachine + 'static>(
    config: &Config,
    identity: &Identity,
    machine: M,
    on_leadership: OnLeadership,
) -> anyhow::Result<Node> {
    let door = door_settings(config, identity)?;
    let listener = listen::for_clients(&config.client_listen)?;
    let names = names(config, identity);
    let (data, segment) = (config.data.clone(), config.segment);
    let doors =
        move |mailbox| serve_clients(listener, door, Clients { mailbox, names, data, segment });
    Ok(Node::start(node_settings(config, on_leadership), machine, doors)?)
}

fn node_settings(config: &Config, on_leadership: OnLeadership) -> NodeSettings {
    let peers = config.members.iter().map(|member| (member.name.clone(), member.peer.clone()));
    let (listen, peers) = (config.peer_listen.clone(), peers.collect());
    let network = match config.transport {
        #[cfg(feature = "zeromq")]
        Transport::ZeroMq => Network::ZeroMq { listen, peers },
        Transport::Tcp => Network::Tcp { listen, peers },
    };
    NodeSettings {
        folder: config.data.clone(),
        expected: Expected { cluster: config.cluster, name: config.name.clone() },
        log: log_options(config),
        network,
        config: config.rules(),
        client_timeout: Micros::from(config.client_timeout),
        waiting_bytes: usize::try_from(config.max_waiting).unwrap_or(usize::MAX),
        snapshot_bytes: config.snapshot,
        snapshot_rate: config.snapshot_rate,
        on_leadership,
    }
}

/// The members: id, name, address for clients.
fn members<'a>(
    config: &'a Config,
    identity: &'a Identity,
) -> impl Iterator<Item = (NodeId, &'a str, &'a str)> {
    config
        .members
        .iter()
        .filter_map(|member| Some((identity.member(&member.name)?, &*member.name, &*member.client)))
}

fn names(config: &Config, identity: &Identity) -> Names {
    let name = |(id, name, client): (NodeId, &str, &str)| Name {
        id,
        name: name.to_owned(),
        client: client.to_owned(),
    };
    Names {
        cluster: identity.cluster,
        members: members(config, identity).map(name).collect(),
        silent_after: config.election.mul_f64(1.5),
    }
}

fn door_settings(config: &Config, identity: &Identity) -> anyhow::Result<resp::Settings> {
    let member = |(id, name, client): (NodeId, &str, &str)| {
        (id, resp::Member { name: name.to_owned(), client: client.to_owned() })
    };
    let members: BTreeMap<NodeId, resp::Member> = members(config, identity).map(member).collect();
    let max_clients = listen::reserve_descriptors(config.max_clients);
    Ok(resp::Settings {
        node: identity.node,
        members,
        port: listen::resolve("client.listen", &config.client_listen)?.port(),
        max_request: usize::try_from(config.max_request).context("max_request")?,
        max_clients: usize::try_from(max_clients).context("max_clients")?,
        write_stall: config.stall,
        clock: run::now,
        wall: run::wall,
    })
}

/// Lets clients in until the node stops; then waits until the last have their replies.
async fn serve_clients(listener: TcpListener, settings: resp::Settings, clients: Clients) {
    let mailbox = clients.mailbox.clone();
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            log::error!("cannot let clients in, stopping: {error}");
            return mailbox.stop();
        }
    };
    let door = Rc::new(Door::new(settings));
    let stopping = async {
        mailbox.stopping().await;
        door.stop();
    };
    tokio::join!(resp::serve(listener, Rc::clone(&door), Rc::new(clients)), stopping);
    while door.connected() > 0 {
        tokio::time::sleep(LAST_CLIENTS).await;
    }
}

/// The node as its clients reach it.
struct Clients {
    mailbox: Mailbox,
    names: Names,
    data: PathBuf,
    /// Bytes of one file of the log.
    segment: u64,
}

impl Backend for Clients {
    async fn submit(&self, batch: Batch) -> Outcome {
        self.mailbox.submit(batch).await
    }

    fn status(&self) -> Status {
        self.mailbox.status()
    }

    fn describe(&self, door: &Door, files: Option<Files>) -> Option<String> {
        let status = self.mailbox.status();
        let settings = door.settings();
        let clients = limits::Clients {
            connected: Filled { used: door.connected() as u64, limit: settings.max_clients as u64 },
            unsent: door.unsent() as u64,
            stall: settings.write_stall,
        };
        let limits = limits::limits(&status, files, self.segment, clients);
        Some(status::status_json(&status, &self.names, limits))
    }

    /// On a thread of its own: a folder may wait for its disk.
    async fn files(&self) -> Option<Files> {
        let data = self.data.clone();
        let files = tokio::task::spawn_blocking(move || Files::of(&data));
        tokio::time::timeout(FILES_LIMIT, files).await.ok()?.ok()?.ok()
    }

    async fn log_tail(&self, count: usize) -> Vec<LogPosition> {
        self.mailbox.log_tail(count).await
    }

    async fn snapshot(&self) -> Result<Snapshot, NoSnapshot> {
        self.mailbox.snapshot().await
    }
}
