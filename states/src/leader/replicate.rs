//! Sends followers what they lack (paper, section 5.3): one AppendEntries per follower and turn.

use messages::{AppendOutcome, Message, NodeId};

use super::Leader;
use crate::{Decision, Replica, Turn};

impl Leader {
    pub(super) fn on_append_entries_reply(
        &mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        outcome: AppendOutcome,
    ) {
        let Some(progress) = self.progress.get_mut(&from) else { return };
        let last = replica.log.last().index;
        match outcome {
            AppendOutcome::Matched(index) if index > last => {
                turn.decide(Decision::Impossible(from, "a match beyond the leader's log"));
            }
            AppendOutcome::Mismatched { rejected, .. } if rejected > last => {
                turn.decide(Decision::Impossible(from, "a refusal beyond the leader's log"));
            }
            AppendOutcome::Matched(index) => progress.on_matched(index, turn.now),
            AppendOutcome::Mismatched { rejected, try_at } => {
                // The follower skipped the terms above the probe's; skip here those above its own.
                progress.on_mismatched(rejected, replica.log.last_not_above(try_at));
            }
        }
    }

    pub(super) fn replicate(&mut self, replica: &Replica, turn: &mut Turn) {
        for (peer, progress) in &mut self.progress {
            if progress.repair_silence(replica, turn.now) {
                turn.decide(Decision::Probing(*peer));
            }
            if let Some(request) = progress.next_append(replica, turn.now) {
                turn.send(*peer, replica.term(), Message::AppendEntries(request));
            }
        }
    }
}
