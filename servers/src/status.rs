//! How a server sees itself and its peers, for people and for the doors. Must never change anything.

use std::collections::BTreeMap;

use messages::{Boot, LogIndex, NodeId, Term};
use states::{Micros, Replica, Role, State, Time};

use crate::host::{PeerStatus, Status, Usage};

/// Who leads, as one node sees it. A change of it is an event for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The node's own role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
}

/// When each peer was last heard, and which boot of it.
#[derive(Debug, Default)]
pub struct Heard {
    last: BTreeMap<NodeId, (Time, Boot)>,
}

impl Heard {
    /// A frame of this peer came; says whether it is the first of a newer boot than was heard.
    pub fn note(&mut self, peer: NodeId, boot: Boot, now: Time) -> bool {
        self.last.insert(peer, (now, boot)).is_some_and(|(_, known)| known < boot)
    }

    /// When the peer was last heard.
    pub fn time(&self, peer: NodeId) -> Option<Time> {
        self.last.get(&peer).map(|(time, _)| *time)
    }

    /// The peer's newest boot.
    pub fn boot(&self, peer: NodeId) -> Option<Boot> {
        self.last.get(&peer).map(|(_, boot)| *boot)
    }

    /// How many peers were heard within `span` before `now`.
    pub fn count_within(&self, span: Micros, now: Time) -> usize {
        self.last.values().filter(|(time, _)| now - *time <= span).count()
    }
}

/// What waits inside a server, counted over when asked: for whoever checks that it stays within its
/// limits, and is nothing when nobody asks anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Batches that wait for an answer, of clients and of other nodes.
    pub requests: usize,
    /// Their bytes, as they count towards the limit.
    pub request_bytes: usize,
    /// Batches in the log that are not applied yet.
    pub proposals: usize,
    /// Batches of reads that wait for the log to be applied.
    pub reads: usize,
    /// Batches of reads that wait for a blank entry to be proposed.
    pub held: usize,
    /// Copies handed to a leader that may still be answered.
    pub copies: usize,
}

/// Who leads, as this state sees it.
pub fn leadership(state: &State, replica: &Replica) -> Leadership {
    Leadership { role: state.role(), term: replica.term(), leader: state.leader(replica) }
}

/// All of it.
pub fn status(
    state: &State,
    replica: &Replica,
    applied_index: LogIndex,
    heard: &Heard,
    now: Time,
) -> Status {
    let peers = replica.membership.voters.iter().filter(|voter| **voter != replica.id);
    let peer_status = |id: &NodeId| PeerStatus {
        id: *id,
        matched: state.matched(*id),
        heard_ago: heard.time(*id).map(|heard| (now - heard).0),
    };
    Status {
        id: replica.id,
        role: state.role(),
        term: replica.term(),
        leader: state.leader(replica),
        commit_index: replica.commit_index(),
        applied_index,
        last: replica.log().last(),
        durable: replica.log().durable(),
        log_base: replica.log().base(),
        log_bytes: replica.log().bytes(),
        space: replica.space(),
        snapshot: None,
        peers: peers.map(peer_status).collect(),
        refused_frames: 0,
        usage: Usage::default(),
    }
}
