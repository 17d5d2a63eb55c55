//! What a node holds whose amount is bounded: how much there is, how much there may be, which key of
//! the configuration says so, and what happens then. Must never give as a limit what no code keeps.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use servers::host::{Filled, Status};

use crate::units;

/// The newest snapshot, and one to fall back on.
const SNAPSHOTS: u64 = 2;

/// What a node holds of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Of what, in a word of letters and `_`.
    pub name: String,
    /// So much is there; unknown if it could not be found out soon.
    pub used: Option<u64>,
    /// So much may be; none where time is the limit.
    pub limit: Option<u64>,
    /// What both are counted in: `bytes`, or what there is.
    pub unit: String,
    /// The same counted otherwise, such as `41 entries`.
    pub also: Option<String>,
    /// The key of the configuration that says so; none if it is the same for all nodes, for ever.
    pub key: Option<String>,
    /// What happens at the limit.
    pub then: String,
}

/// What a node's files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Bytes of the log's segments, those made ahead of need included.
    pub log: u64,
    /// How many these are.
    pub segments: u64,
    /// Snapshots in place.
    pub snapshots: u64,
}

impl Files {
    /// Those of a data folder.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(folder: &Path) -> std::io::Result<Files> {
        let mut files = Files::default();
        for file in folder.read_dir()? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".log") {
                // One that is gone by now takes nothing.
                files.log += file.metadata().map_or(0, |about| about.len());
                files.segments += 1;
            } else if name.ends_with(".snap") {
                files.snapshots += 1;
            }
        }
        Ok(files)
    }
}

/// What the door for clients holds, and its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Connections.
    pub connected: Filled,
    /// Bytes of replies that they have not taken.
    pub unsent: u64,
    /// One that takes none for so long is closed.
    pub stall: Duration,
}

/// All limits of a node, in the order in which people read them. `segment` is the size of one file of
/// its log.
pub fn limits(status: &Status, files: Option<Files>, segment: u64, clients: Clients) -> Vec<Limit> {
    let usage = &status.usage;
    let entries = Some(plural(usage.log_entries, "entry", "entries"));
    let segments = files.map(|files| plural(files.segments, "segment", "segments"));
    let newest = status.snapshot.map(|newest| units::rounded_size(newest.bytes));
    let newest = newest.map(|size| format!("the newest {size}"));
    let stall = units::duration_text(clients.stall);
    // From the older snapshot to the newest, from there to the next, and that one's writing; and what
    // whole segments have beyond that at either end, and ahead of need.
    let log_on_disk = 3 * usage.since_snapshot.limit + 3 * segment;
    vec![
        bytes("log_since_snapshot", usage.since_snapshot)
            .by("storage.snapshot", "a snapshot is taken"),
        bytes("log_in_memory", usage.log)
            .and(entries)
            .by("storage.snapshot", "none stays for a follower that is behind"),
        Limit {
            used: files.map(|files| files.log),
            ..bytes("log_on_disk", filled(0, log_on_disk))
        }
        .and(segments)
        .by("storage.snapshot", "segments that the older snapshot covers are removed"),
        counted("snapshots", "files", files.map(|files| files.snapshots), SNAPSHOTS)
            .and(newest)
            .then("the oldest is removed"),
        counted("sessions", "sessions", Some(usage.sessions.used), usage.sessions.limit)
            .then("the longest unused ends"),
        bytes("session_answers", usage.answers).then("the longest unused session ends"),
        bytes("waiting_requests", usage.waiting).by("client.max_waiting", "refused: TRYAGAIN"),
        bytes("uncommitted_writes", usage.uncommitted)
            .by("raft.max_uncommitted", "refused: TRYAGAIN"),
        bytes("in_flight_to_a_follower", usage.in_flight)
            .by("raft.max_in_flight", "no more until it answers"),
        Limit { limit: None, ..bytes("replies_not_taken", filled(clients.unsent, 0)) }
            .by("client.stall", &format!("a client that takes none for {stall} is closed")),
        counted("clients", "clients", Some(clients.connected.used), clients.connected.limit)
            .by("client.max_clients", "refused: ERR max number of clients reached"),
    ]
}

fn plural(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn filled(used: u64, limit: u64) -> Filled {
    Filled { used, limit }
}

fn bytes(name: &str, filled: Filled) -> Limit {
    counted(name, "bytes", Some(filled.used), filled.limit)
}

fn counted(name: &str, unit: &str, used: Option<u64>, limit: u64) -> Limit {
    let (name, unit) = (name.to_owned(), unit.to_owned());
    Limit { name, used, limit: Some(limit), unit, also: None, key: None, then: String::new() }
}

impl Limit {
    fn and(self, also: Option<String>) -> Limit {
        Limit { also, ..self }
    }

    fn by(self, key: &str, then: &str) -> Limit {
        Limit { key: Some(key.to_owned()), ..self.then(then) }
    }

    fn then(self, then: &str) -> Limit {
        Limit { then: then.to_owned(), ..self }
    }

    /// What is there, for people.
    pub fn used_text(&self) -> String {
        let used = self.used.map_or("?".to_owned(), |used| self.text(used));
        match &self.also {
            Some(also) => format!("{used}, {also}"),
            None => used,
        }
    }

    /// What may be, for people.
    pub fn limit_text(&self) -> String {
        self.limit.map_or("-".to_owned(), |limit| self.text(limit))
    }

    fn text(&self, amount: u64) -> String {
        if self.unit == "bytes" { units::rounded_size(amount) } else { amount.to_string() }
    }
}
