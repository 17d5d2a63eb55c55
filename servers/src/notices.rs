//! Which of the rules' decisions people are told of: those after which a follower gets more, or later,
//! than it otherwise would. Must never tell the same again and again of a node that is merely gone.

use std::collections::BTreeSet;

use messages::NodeId;
use states::Decision;

/// What was told, as far as it must not be told again.
#[derive(Debug, Default)]
pub struct Notices {
    /// Followers that were given up, and have taken nothing since.
    given_up: BTreeSet<NodeId>,
}

impl Notices {
    /// A warning, if there is one to this decision. `name` is what people call a node.
    pub fn warning(
        &mut self,
        decision: &Decision,
        name: impl Fn(NodeId) -> String,
    ) -> Option<String> {
        match decision {
            Decision::SnapshotFailed(to) if self.given_up.insert(*to) => Some(format!(
                "gives up sending a snapshot to {}, which takes nothing of it: nothing is kept for it \
                 any longer, and it is tried again",
                name(*to)
            )),
            Decision::Unpinned(of) => Some(format!(
                "keeps no more of the log for {}: too much was kept for it; it gets a newer snapshot",
                name(*of)
            )),
            Decision::Snapshotted(from, _) => {
                self.given_up.remove(from);
                None
            }
            Decision::Became(..) => {
                self.given_up.clear();
                None
            }
            Decision::SnapshotFailed(_)
            | Decision::NewTerm(_)
            | Decision::VoteGranted(..)
            | Decision::VoteRefused(..)
            | Decision::LostQuorum
            | Decision::Truncated(_)
            | Decision::Mismatched(..)
            | Decision::ElectionFailed(_)
            | Decision::Probing(_)
            | Decision::NeedsSnapshot(_)
            | Decision::Installed(_)
            | Decision::Suspects(_)
            | Decision::HeardAgain(_)
            | Decision::MadeWay(_)
            | Decision::NoSpace
            | Decision::StrangerIgnored(_)
            | Decision::Impossible(..) => None,
        }
    }
}
