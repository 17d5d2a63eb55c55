//! What a node knows of itself and its peers, as JSON: the answer to `RAFT.STATUS`. `lag_ms` is the
//! time since the leader last heard a member. Must never claim what the node does not know: that is
//! `null`.

use std::time::Duration;

use messages::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};
use servers::host::Status;
use states::Role;

use crate::limits::Limit;

/// What a node's numbers mean to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The cluster.
    pub cluster: ClusterId,
    /// Every member.
    pub members: Vec<Name>,
    /// A member that the leader has not heard for so long counts as failed.
    pub silent_after: Duration,
}

/// A member's name and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The id of its data folder.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where clients reach it, `HOST:PORT`.
    pub client: String,
}

/// A cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's id.
    pub cluster: String,
    /// The name of the node that answers.
    pub node: String,
    /// Its role.
    pub role: String,
    /// The name of the leader, if known.
    pub leader: Option<String>,
    /// Where clients reach the leader.
    pub leader_address: Option<String>,
    /// The node's term.
    pub term: u64,
    /// How many more nodes may fail before writes stop; below zero: they have. Only a leader knows.
    pub survives: Option<i64>,
    /// Frames that the node refused.
    pub refused_frames: u64,
    /// All members.
    pub members: Vec<MemberStatus>,
    /// What the node that answers holds whose amount is bounded.
    #[serde(default)]
    pub limits: Vec<Limit>,
}

/// A member as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// The id of its data folder.
    pub id: String,
    /// Where clients reach it.
    pub address: String,
    /// `leader`, `follower`, `candidate`, `pre-candidate`, `silent` (unheard by the leader).
    pub role: Option<String>,
    /// Whether it votes.
    pub voter: bool,
    /// How far its log is known to match the leader's, durably.
    #[serde(rename = "match")]
    pub matched: Option<u64>,
    /// How far it knows the log to be committed.
    pub commit: Option<u64>,
    /// How far it has applied.
    pub applied: Option<u64>,
    /// Where its log ends.
    pub last: Option<u64>,
    /// Milliseconds since the leader last heard it.
    pub lag_ms: Option<u64>,
}

/// The answer to `RAFT.STATUS`.
pub fn status_json(status: &Status, names: &Names, limits: Vec<Limit>) -> String {
    let status = ClusterStatus { limits, ..cluster_status(status, names) };
    serde_json::to_string(&status).expect("strings and numbers only")
}

/// The status with names and addresses, without limits.
pub fn cluster_status(status: &Status, names: &Names) -> ClusterStatus {
    let own = names.members.iter().find(|member| member.id == status.id);
    let leader = names.members.iter().find(|member| Some(member.id) == status.leader);
    ClusterStatus {
        cluster: format!("{:016x}", names.cluster.0),
        node: own.map(|member| member.name.clone()).unwrap_or_default(),
        role: status.role.name().into(),
        leader: leader.map(|member| member.name.clone()),
        leader_address: leader.map(|member| member.client.clone()),
        term: status.term.0,
        survives: survives(status, names),
        refused_frames: status.refused_frames,
        members: names.members.iter().map(|member| row(member, status, names)).collect(),
        limits: Vec::new(),
    }
}

fn row(member: &Name, status: &Status, names: &Names) -> MemberStatus {
    let mut row = MemberStatus {
        name: member.name.clone(),
        id: format!("{:016x}", member.id.0),
        address: member.client.clone(),
        role: (Some(member.id) == status.leader).then(|| Role::Leader.name().into()),
        voter: true,
        matched: None,
        commit: None,
        applied: None,
        last: None,
        lag_ms: None,
    };
    let leads = status.role == Role::Leader;
    if member.id == status.id {
        row.role = Some(status.role.name().into());
        row.matched = leads.then_some(status.durable.0);
        row.commit = Some(status.commit_index.0);
        row.applied = Some(status.applied_index.0);
        row.last = Some(status.last.index.0);
        row.lag_ms = leads.then_some(0);
    } else if let Some(peer) = status.peers.iter().find(|peer| peer.id == member.id && leads) {
        row.role = Some(if is_heard(peer.heard_ago, names) { "follower" } else { "silent" }.into());
        row.matched = peer.matched.map(|index| index.0);
        row.lag_ms = peer.heard_ago.map(|micros| micros / 1_000);
    }
    row
}

fn survives(status: &Status, names: &Names) -> Option<i64> {
    if status.role != Role::Leader {
        return None;
    }
    let heard = status.peers.iter().filter(|peer| is_heard(peer.heard_ago, names)).count();
    Some(more_failures(heard + 1, names.members.len()))
}

/// How many of `alive` nodes may fail while a majority of `members` remains.
pub fn more_failures(alive: usize, members: usize) -> i64 {
    alive as i64 - (members / 2 + 1) as i64
}

fn is_heard(heard_ago: Option<u64>, names: &Names) -> bool {
    heard_ago.is_some_and(|micros| u128::from(micros) < names.silent_after.as_micros())
}
