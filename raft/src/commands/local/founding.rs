//! Founds a local cluster as `raft init` does, and puts links between its nodes if they are wanted.
//! Must never write over anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use raft::chaos::configuration;
use raft::chaos::links::Links;
use raft::config::Transport;

use super::node::Node;
use super::ports::PEER_OFFSET;
use crate::commands::init;

/// How fast a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As `raft init` sets it.
    Usual,
    /// For eyes: heartbeat 1 s, election 3 s, client time-out 15 s.
    Slow,
}

impl Pace {
    /// What differs from the configuration file.
    pub fn settings(self) -> Settings {
        match self {
            Pace::Usual => &[],
            Pace::Slow => {
                &[("RAFT_HEARTBEAT", "1s"), ("RAFT_ELECTION", "3s"), ("RAFT_CLIENT_TIMEOUT", "15s")]
            }
        }
    }

    /// How long to wait for a leader, and for what follows from having one: several elections.
    pub fn patience(self) -> Duration {
        match self {
            Pace::Usual => Duration::from_secs(15),
            Pace::Slow => Duration::from_secs(60),
        }
    }

    /// How long to wait for an answer: a node gives one within its client time-out.
    pub fn client_patience(self) -> Duration {
        match self {
            Pace::Usual => Duration::from_millis(4_500),
            Pace::Slow => Duration::from_secs(20),
        }
    }
}

/// Settings that count more than the configuration file: variables of the environment and values.
pub type Settings = &'static [(&'static str, &'static str)];

/// What kind of cluster it is.
#[derive(Clone, Copy, Debug)]
pub struct Founding {
    /// How many nodes.
    pub nodes: u16,
    /// So many of the last are not started.
    pub absent: u16,
    /// How fast it is.
    pub pace: Pace,
    /// What nodes talk over.
    pub transport: Transport,
    /// Whether there are links between the nodes that can be cut; otherwise nodes talk directly.
    pub has_links: bool,
    /// What else differs from the configuration file.
    pub settings: Settings,
}

/// Writes configurations and data folders for all nodes into `folder`, as `raft init` does, and opens
/// the links between them. The files that the nodes are started with, whose peers are behind
/// the links' proxies, lie in `aside`: they are of no use later.
pub fn found(
    folder: &Path,
    aside: &Path,
    first_port: u16,
    founding: &Founding,
) -> anyhow::Result<(Vec<Node>, Links)> {
    let ports = first_port..first_port + founding.nodes;
    let addresses: Vec<(String, u16)> =
        ports.clone().map(|port| ("127.0.0.1".to_owned(), port)).collect();
    let written = init::found_cluster(folder, &addresses, founding.transport)?;
    let peers: Vec<SocketAddr> =
        ports.map(|port| (Ipv4Addr::LOCALHOST, port + PEER_OFFSET).into()).collect();
    let links = if founding.has_links { Links::between_all(&peers) } else { Ok(Links::none()) };
    let links = links.context("cannot open the links between the nodes")?;
    let settings = [founding.pace.settings(), founding.settings].concat();
    let mut nodes = Vec::new();
    for (founded, number) in written.nodes.into_iter().zip(1..) {
        let mut config = founded.file;
        if founding.has_links {
            let behind = aside.join(format!("n{number}.links.toml"));
            configuration::write_behind(&config, number, &links, &behind)?;
            config = behind;
        }
        nodes.push(Node::new(number, founded.client, folder, config, settings.clone()));
    }
    Ok((nodes, links))
}
