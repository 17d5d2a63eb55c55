//! What a node knows of itself and its peers, as JSON: the answer to `RAFT.STATUS`. `lag_ms` is the
//! time since the leader last heard a member. Must never claim what the node does not know: that is
//! `null`.

use serde::{Deserialize, Serialize};
use servers::host::Status;
use states::Role;

use crate::config::{Config, Member};

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
pub fn status_json(status: &Status, config: &Config) -> String {
    let status = cluster_status(status, config);
    serde_json::to_string(&status).expect("strings and numbers only")
}

/// The status with names and addresses.
pub fn cluster_status(status: &Status, config: &Config) -> ClusterStatus {
    let leader = config.members.iter().find(|member| Some(member.id) == status.leader);
    ClusterStatus {
        cluster: format!("{:016x}", config.cluster.0),
        node: config.name.clone(),
        role: role_name(status.role).into(),
        leader: leader.map(|member| member.name.clone()),
        leader_address: leader.map(|member| member.client.clone()),
        term: status.term.0,
        survives: survives(status, config),
        refused_frames: status.refused_frames,
        members: config.members.iter().map(|member| row(member, status, config)).collect(),
    }
}

fn row(member: &Member, status: &Status, config: &Config) -> MemberStatus {
    let mut row = MemberStatus {
        name: member.name.clone(),
        id: format!("{:016x}", member.id.0),
        address: member.client.clone(),
        role: (Some(member.id) == status.leader).then(|| role_name(Role::Leader).into()),
        voter: true,
        matched: None,
        commit: None,
        applied: None,
        last: None,
        lag_ms: None,
    };
    let leads = status.role == Role::Leader;
    if member.id == status.id {
        row.role = Some(role_name(status.role).into());
        row.matched = leads.then_some(status.durable.0);
        row.commit = Some(status.commit_index.0);
        row.applied = Some(status.applied_index.0);
        row.last = Some(status.last.index.0);
        row.lag_ms = leads.then_some(0);
    } else if let Some(peer) = status.peers.iter().find(|peer| peer.id == member.id && leads) {
        row.role =
            Some(if is_heard(peer.heard_ago, config) { "follower" } else { "silent" }.into());
        row.matched = peer.matched.map(|index| index.0);
        row.lag_ms = peer.heard_ago.map(|micros| micros / 1_000);
    }
    row
}

fn survives(status: &Status, config: &Config) -> Option<i64> {
    if status.role != Role::Leader {
        return None;
    }
    let heard = status.peers.iter().filter(|peer| is_heard(peer.heard_ago, config)).count();
    Some(more_failures(heard + 1, config.members.len()))
}

/// How many of `alive` nodes may fail while a majority of `members` remains.
pub fn more_failures(alive: usize, members: usize) -> i64 {
    alive as i64 - (members / 2 + 1) as i64
}

/// Heard within the longest election time-out.
fn is_heard(heard_ago: Option<u64>, config: &Config) -> bool {
    heard_ago.is_some_and(|micros| u128::from(micros) < config.election.as_micros() * 3 / 2)
}

/// A role in a word.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}
