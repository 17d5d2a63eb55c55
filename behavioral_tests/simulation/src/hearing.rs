//! Whether a node hears a leader, as can be seen from outside: who does would vote for nobody else
//! (thesis, section 4.2.3). Must never ask the node.

use messages::{Boot, NodeId, Term};

use crate::checks::Violation;

/// What one node has heard of leaders in its present run. Times are of its own clock.
#[derive(Debug, Default)]
pub struct Hearing {
    heard: Option<Heard>,
    /// It heard a leader when its present turn began, and nothing hints otherwise since.
    undisturbed: Option<Heard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    leader: NodeId,
    boot: Boot,
    term: Term,
    at: u64,
}

impl Hearing {
    /// A turn begins, of a node in this term.
    pub fn begin(&mut self, term: Term, clock: u64, election: u64) {
        self.undisturbed =
            self.heard.filter(|heard| heard.term == term && clock < heard.at + election);
    }

    /// Something of this boot of a node comes.
    pub fn on_frame(&mut self, from: NodeId, boot: Boot) {
        if self.heard.is_some_and(|heard| heard.leader == from && heard.boot != boot) {
            self.on_lost(from);
        }
    }

    /// What only a leader of this term says comes.
    pub fn on_leader(&mut self, leader: NodeId, boot: Boot, term: Term, clock: u64) {
        if self.heard.is_none_or(|heard| heard.term <= term) {
            self.heard = Some(Heard { leader, boot, term, at: clock });
        }
    }

    /// The connection to a node was lost.
    pub fn on_lost(&mut self, peer: NodeId) {
        let is_other = |heard: &Heard| heard.leader != peer;
        self.heard = self.heard.filter(is_other);
        self.undisturbed = self.undisturbed.filter(is_other);
    }

    /// The node says that it would vote for another, and is in this term now.
    pub fn on_pre_vote_granted(&self, id: NodeId, term: Term) -> Result<(), Violation> {
        let Some(heard) = self.undisturbed.filter(|heard| heard.term == term) else {
            return Ok(());
        };
        let Heard { leader, at, .. } = heard;
        Err(format!("disturbed: {id} heard {leader} at {at}, and would vote for another"))
    }
}
