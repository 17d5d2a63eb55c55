//! What a node says of itself, read from its `INFO`. Must never guess: a node whose answer lacks
//! something has not answered.

use std::time::Duration;

use raft::client::{Client, Reply};

/// How long a node that is awake may take to say how it is.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// A node as it sees itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// `follower`, `pre-candidate`, `candidate` or `leader`.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// The log is known to be committed up to here.
    pub commit: u64,
    /// The log is applied up to here.
    pub applied: u64,
    /// Where the log ends.
    pub last: u64,
    /// The first entry in memory, or the one that will be.
    pub first: u64,
    /// Bytes of the log in memory.
    pub log_bytes: u64,
    /// The newest snapshot stands for the log up to here; 0 if there is none.
    pub snapshot: u64,
    /// Its bytes.
    pub snapshot_bytes: u64,
}

impl View {
    /// Asks over a connection that is kept for this; connects when there is none.
    pub fn ask(connection: &mut Option<Client>, address: &str) -> Option<View> {
        if connection.is_none() {
            *connection = Client::connect(address, PATIENCE).ok();
        }
        let reply = connection.as_mut()?.call(&["info", "raft"]);
        match reply {
            Ok(Reply::Bulk(text)) => View::read(&String::from_utf8_lossy(&text)),
            Ok(_) => None,
            Err(_) => {
                *connection = None;
                None
            }
        }
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.role == "leader"
    }

    fn read(text: &str) -> Option<View> {
        let field = |name: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
        };
        let number = |name: &str| field(name)?.parse().ok();
        Some(View {
            role: field("raft_role")?.to_owned(),
            term: number("raft_term")?,
            commit: number("raft_commit_index")?,
            applied: number("raft_applied_index")?,
            last: number("raft_last_index")?,
            first: number("raft_log_first_index")?,
            log_bytes: number("raft_log_bytes")?,
            snapshot: number("raft_snapshot_index")?,
            snapshot_bytes: number("raft_snapshot_bytes")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_section_of_the_contract() {
        let text = "# Raft\r\nraft_node:2\r\nraft_role:leader\r\nraft_term:3\r\nraft_leader:2\r\n\
                    raft_leader_address:127.0.0.1:7002\r\nraft_commit_index:8\r\n\
                    raft_applied_index:7\r\nraft_last_index:9\r\nraft_snapshot_index:5\r\n\
                    raft_snapshot_bytes:600\r\nraft_log_first_index:4\r\nraft_log_bytes:70\r\n\
                    raft_members:3\r\n";
        let view = View {
            role: "leader".to_owned(),
            term: 3,
            commit: 8,
            applied: 7,
            last: 9,
            first: 4,
            log_bytes: 70,
            snapshot: 5,
            snapshot_bytes: 600,
        };
        assert_eq!(View::read(text), Some(view));
        assert_eq!(View::read("raft_role:leader\r\n"), None);
    }
}
