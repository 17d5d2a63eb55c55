//! A node with its client door, for the subcommands that run one. Must never take an address or a
//! limit from anywhere but the configuration.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use raft::config::Config;
use raft::doors::resp::{self, Backend, Door};
use raft::exit::{self, Failure};
use servers::host::{Batch, Outcome, Status};
use servers::machine::StateMachine;
use servers::mailbox::Mailbox;
use servers::node::{Network, Node, NodeSettings, StartError};
use servers::run::{OnLeadership, now, wall};
use servers::server::Settings;
use servers::storage::{Expected, Options};
use states::Micros;

use super::folder;

/// How long a client may take none of its replies before it is closed: a multiple of any time-out.
const WRITE_STALL: std::time::Duration = std::time::Duration::from_secs(60);

/// How the log is laid out.
pub fn log_options(config: &Config) -> Options {
    Options { segment: config.segment, ..Options::default() }
}

/// Starts the node that the configuration describes; its folder was founded before.
pub fn start<M: StateMachine + 'static>(
    config: &Config,
    machine: M,
    on_leadership: OnLeadership,
) -> Result<Node, Failure> {
    let listener = listen(&config.client_listen)?;
    let door = door_settings(config, &listener)?;
    let settings = NodeSettings {
        folder: config.data.clone(),
        expected: Expected { cluster: config.cluster, name: config.name.clone() },
        log: log_options(config),
        network: Network::ZeroMq {
            listen: config.peer_listen.clone(),
            peers: config.members.iter().map(|m| (m.name.clone(), m.peer.clone())).collect(),
        },
        config: config.rules(),
        client_timeout: Micros::from(config.client_timeout),
        waiting_bytes: Settings::default().waiting_bytes,
        on_leadership,
    };
    let doors = |mailbox| serve_clients(listener, door, mailbox);
    Node::start(settings, machine, doors).map_err(|error| match error {
        StartError::Storage(error) => folder::failure(error),
        other => Failure::new(exit::FAILED, other.to_string()),
    })
}

fn listen(address: &str) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is in use; stop what listens there".to_owned(),
            _ => error.to_string(),
        };
        let text = format!("cannot listen for clients at {address}: {what}");
        Failure::new(exit::FAILED, text)
    })
}

fn door_settings(config: &Config, listener: &TcpListener) -> Result<resp::Settings, Failure> {
    let member = |member: &raft::config::Member| {
        let (name, client) = (member.name.clone(), member.client.clone());
        (member.id, resp::Member { name, client })
    };
    let members: BTreeMap<_, _> = config.members.iter().map(member).collect();
    let me = config.me().ok_or_else(|| {
        Failure::new(exit::CONFIGURATION, format!("node {} is no member", config.name))
    })?;
    let address = listener.local_addr();
    let address = address.map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    Ok(resp::Settings {
        node: me.id,
        members,
        port: address.port(),
        max_request: usize::try_from(config.max_request).unwrap_or(usize::MAX),
        max_clients: usize::try_from(config.max_clients).unwrap_or(usize::MAX),
        write_stall: WRITE_STALL,
        clock: now,
        wall,
    })
}

/// Lets clients in until the node stops, and then waits until the last have their replies.
async fn serve_clients(listener: TcpListener, settings: resp::Settings, mailbox: Mailbox) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            log::error!("cannot let clients in, stopping: {error}");
            return mailbox.stop();
        }
    };
    let door = Rc::new(Door::new(settings));
    let stopping = {
        let (door, mailbox) = (Rc::clone(&door), mailbox.clone());
        async move {
            mailbox.stopping().await;
            door.stop();
        }
    };
    tokio::join!(resp::serve(listener, Rc::clone(&door), Rc::new(Clients(mailbox))), stopping);
    while door.connected() > 0 {
        tokio::task::yield_now().await;
    }
}

/// The server as clients reach it.
struct Clients(Mailbox);

impl Backend for Clients {
    async fn submit(&self, batch: Batch) -> Outcome {
        self.0.submit(batch).await
    }

    fn status(&self) -> Status {
        self.0.status()
    }
}
