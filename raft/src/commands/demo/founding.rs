//! Founds a demonstration's cluster as `raft init` does. Must never write over anything.

use std::path::Path;
use std::time::Duration;

use super::node::Node;
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
    /// What differs from the configuration file: variables of the environment.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
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

/// Writes configurations and data folders for so many nodes.
pub fn found(folder: &Path, first_port: u16, nodes: u16, pace: Pace) -> anyhow::Result<Vec<Node>> {
    let addresses: Vec<(String, u16)> =
        (0..nodes).map(|number| ("127.0.0.1".to_owned(), first_port + number)).collect();
    init::found_cluster(folder, &addresses)?;
    let nodes = addresses
        .iter()
        .zip(1..)
        .map(|((host, port), number)| Node::new(number, format!("{host}:{port}"), folder, pace));
    Ok(nodes.collect())
}
