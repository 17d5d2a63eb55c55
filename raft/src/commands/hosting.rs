//! A node with its door for clients, for the subcommands that run one. Must never found a data
//! folder, and never take an address or a limit from anywhere but the configuration.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use messages::{LogPosition, NodeId};
use raft::config::{Config, Transport};
use raft::doors::resp::{self, Backend, Door};
use raft::status::{self, Name, Names};
use servers::host::{Batch, NoSnapshot, Outcome, Snapshot, Status};
use servers::machine::StateMachine;
use servers::mailbox::Mailbox;
use servers::node::{Network, Node, NodeSettings};
use servers::run::{self, OnLeadership};
use servers::server;
use servers::storage::{Expected, Identity, Options};
use states::Micros;

use super::listen;

/// A client that takes nothing of its replies for so long is closed.
const WRITE_STALL: Duration = Duration::from_secs(30);
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
    let doors = move |mailbox| serve_clients(listener, door, Clients { mailbox, names });
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
        waiting_bytes: server::Settings::default().waiting_bytes,
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
        write_stall: WRITE_STALL,
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
}

impl Backend for Clients {
    async fn submit(&self, batch: Batch) -> Outcome {
        self.mailbox.submit(batch).await
    }

    fn status(&self) -> Status {
        self.mailbox.status()
    }

    fn describe(&self) -> Option<String> {
        Some(status::status_json(&self.mailbox.status(), &self.names))
    }

    async fn log_tail(&self, count: usize) -> Vec<LogPosition> {
        self.mailbox.log_tail(count).await
    }

    async fn snapshot(&self) -> Result<Snapshot, NoSnapshot> {
        self.mailbox.snapshot().await
    }
}
