//! `INFO`: the fields that clients of Redis look for, and a section of our own. Must never say what is
//! not so.

use std::fmt::Write;

use messages::LogIndex;
use servers::host::Status;
use states::{Micros, Role, Space};

use super::session::{Node, REDIS_VERSION};
use crate::store::arguments::Arguments;

/// Appends one section's lines.
type Section = fn(&Node, &Status, &mut String) -> std::fmt::Result;

const SECTIONS: [(&str, Section); 7] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Raft", raft),
];

/// The sections asked for, each once and in their own order; all when none is named.
pub fn report(node: &Node, asked: Arguments) -> String {
    let status = (node.status)();
    let every = asked.len() == 0
        || asked.clone().any(|name| {
            [&b"default"[..], b"all", b"everything"]
                .iter()
                .any(|all| name.eq_ignore_ascii_case(all))
        });
    let mut text = String::new();
    for (name, section) in SECTIONS {
        if every || asked.clone().any(|asked| asked.eq_ignore_ascii_case(name.as_bytes())) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            let written =
                write!(text, "{gap}# {name}\r\n").and_then(|()| section(node, &status, &mut text));
            written.expect("a string takes all that is written");
        }
    }
    text
}

fn server(node: &Node, _: &Status, text: &mut String) -> std::fmt::Result {
    let settings = &node.door.settings;
    let Micros(uptime) = (settings.clock)() - node.door.started;
    write!(text, "redis_version:{REDIS_VERSION}\r\n")?;
    write!(text, "raft_version:{}\r\n", env!("CARGO_PKG_VERSION"))?;
    write!(text, "redis_mode:standalone\r\n")?;
    write!(text, "arch_bits:{}\r\n", usize::BITS)?;
    write!(text, "process_id:{}\r\n", std::process::id())?;
    write!(text, "tcp_port:{}\r\n", settings.port)?;
    write!(text, "uptime_in_seconds:{}\r\n", uptime / 1_000_000)
}

fn clients(node: &Node, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "connected_clients:{}\r\n", node.door.connected())?;
    write!(text, "maxclients:{}\r\n", node.door.settings.max_clients)
}

fn memory(_: &Node, _: &Status, text: &mut String) -> std::fmt::Result {
    let used = resident_bytes().unwrap_or(0);
    write!(text, "used_memory:{used}\r\n")?;
    write!(text, "used_memory_rss:{used}\r\n")?;
    write!(text, "maxmemory:0\r\n")
}

/// What the process holds in memory, as the kernel counts it.
fn resident_bytes() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// A node that answers has loaded its log.
fn persistence(_: &Node, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "loading:0\r\n")
}

fn replication(_: &Node, status: &Status, text: &mut String) -> std::fmt::Result {
    let role = if status.role == Role::Leader { "master" } else { "slave" };
    write!(text, "role:{role}\r\n")
}

fn cluster(_: &Node, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "cluster_enabled:0\r\n")
}

/// This node's place in its cluster. Nodes are named as people name them; an unknown one has no name
/// and no address.
fn raft(node: &Node, status: &Status, text: &mut String) -> std::fmt::Result {
    let settings = &node.door.settings;
    let own = settings.members.get(&settings.node);
    let leader = status.leader.and_then(|leader| settings.members.get(&leader));
    let role = status.role;
    write!(text, "raft_node:{}\r\n", own.map_or("", |own| &own.name))?;
    write!(text, "raft_role:{role}\r\n")?;
    write!(text, "raft_term:{}\r\n", status.term)?;
    write!(text, "raft_leader:{}\r\n", leader.map_or("", |leader| &leader.name))?;
    write!(text, "raft_leader_address:{}\r\n", leader.map_or("", |leader| &leader.client))?;
    write!(text, "raft_commit_index:{}\r\n", status.commit_index)?;
    write!(text, "raft_applied_index:{}\r\n", status.applied_index)?;
    write!(text, "raft_last_index:{}\r\n", status.last.index)?;
    let snapshot = status.snapshot;
    let covered = snapshot.map_or(LogIndex(0), |snapshot| snapshot.position.index);
    write!(text, "raft_snapshot_index:{covered}\r\n")?;
    let bytes = snapshot.map_or(0, |snapshot| snapshot.bytes);
    write!(text, "raft_snapshot_bytes:{bytes}\r\n")?;
    write!(text, "raft_log_first_index:{}\r\n", status.log_base.index.next())?;
    write!(text, "raft_log_bytes:{}\r\n", status.log_bytes)?;
    let full = status.space != Space::Enough;
    write!(text, "raft_disk_full:{}\r\n", u8::from(full))?;
    let usage = status.usage;
    write!(text, "raft_log_entries:{}\r\n", usage.log_entries)?;
    write!(text, "raft_log_since_snapshot:{}\r\n", usage.since_snapshot.used)?;
    write!(text, "raft_sessions:{}\r\n", usage.sessions.used)?;
    write!(text, "raft_session_bytes:{}\r\n", usage.answers.used)?;
    write!(text, "raft_waiting_bytes:{}\r\n", usage.waiting.used)?;
    write!(text, "raft_uncommitted_bytes:{}\r\n", usage.uncommitted.used)?;
    write!(text, "raft_in_flight_bytes:{}\r\n", usage.in_flight.used)?;
    write!(text, "raft_reply_bytes:{}\r\n", node.door.unsent())?;
    write!(text, "raft_members:{}\r\n", status.peers.len() + 1)?;
    write!(text, "raft_waiting_clients:{}\r\n", node.door.waiting())?;
    write!(text, "raft_refused_frames:{}\r\n", status.refused_frames)?;
    write!(text, "raft_refused_requests:{}\r\n", node.door.refused())
}
