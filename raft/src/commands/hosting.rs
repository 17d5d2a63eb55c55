//! A node with its client door, for the subcommands that run one. Must never take an address or a
//! limit from anywhere but the configuration.

use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use messages::NodeId;
use raft::config::Config;
use raft::doors::resp::{self, Backend, Door};
use raft::exit::{self, Failure};
use servers::host::{Batch, Outcome, Status};
use servers::machine::StateMachine;
use servers::mailbox::Mailbox;
use servers::node::{Network, Node, NodeSettings, StartError};
use servers::run::{OnLeadership, now, wall};
use servers::server::Settings;
use servers::storage::{Expected, Identity, Options};
use states::Micros;

use super::{folder, listen};

/// How long a client may take none of its replies before it is closed: a multiple of any time-out.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// How the log is laid out.
pub fn log_options(config: &Config) -> Options {
    Options { segment: config.segment, ..Options::default() }
}

/// Starts the node that the configuration describes; its folder was founded before, as this node's.
pub fn start<M: StateMachine + 'static>(
    config: &Config,
    identity: &Identity,
    machine: M,
    on_leadership: OnLeadership,
) -> Result<Node, Failure> {
    let door = door_settings(config, identity)?;
    let listener = listen::for_clients(&config.client_listen)?;
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

fn door_settings(config: &Config, identity: &Identity) -> Result<resp::Settings, Failure> {
    let address = |name: &String| {
        let member = config.members.iter().find(|member| member.name == *name);
        member.map(|member| member.client.clone()).unwrap_or_default()
    };
    let member = |(id, name): (&NodeId, &String)| {
        (*id, resp::Member { name: name.clone(), client: address(name) })
    };
    Ok(resp::Settings {
        node: identity.node,
        members: identity.members.iter().map(member).collect(),
        port: listen::resolve("client.listen", &config.client_listen)?.port(),
        max_request: usize::try_from(config.max_request).unwrap_or(usize::MAX),
        max_clients: usize::try_from(listen::reserve_descriptors(config.max_clients))
            .unwrap_or(usize::MAX),
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
