//! A leader whose disk has no room, or whose followers' have none. Must never give up leadership where
//! nobody can do better: reads go on.

use messages::{NodeId, Payload};

use super::Leader;
use crate::{Decision, Replica, Space, State, Turn, quorum};

impl Leader {
    /// Whether this node would append such an entry, and of the others enough for a quorum.
    pub(super) fn can_be_appended(&self, replica: &Replica, payload: &Payload) -> bool {
        let others = match payload {
            Payload::Blank => true,
            Payload::Command(_) => {
                quorum::has_majority(&replica.membership.voters, |voter| !self.is_full(voter))
            }
        };
        others && replica.has_room_for(payload)
    }

    fn is_full(&self, voter: NodeId) -> bool {
        self.progress.get(&voter).is_some_and(|progress| progress.is_full())
    }

    /// With no room of its own, steps down once another with room holds the whole log, and can be
    /// elected by it (thesis, section 3.10, where it is asked to stand at once).
    pub(super) fn make_way_if_full(self, replica: &mut Replica, turn: &mut Turn) -> State {
        let last = replica.log.last().index;
        let can_lead = |peer: &NodeId| {
            let progress = &self.progress[peer];
            !progress.is_full()
                && progress.matched() == last
                && progress.echoed() >= self.rounds.confirmed()
        };
        let other = match replica.space {
            Space::Enough => None,
            Space::Full | Space::Exhausted => self.progress.keys().copied().find(can_lead),
        };
        match other {
            None => State::Leader(self),
            Some(other) => {
                turn.decide(Decision::NoSpace);
                turn.decide(Decision::MadeWay(other));
                State::Follower(self.into_follower(replica, turn))
            }
        }
    }
}
