//! Sends followers what they lack (paper, section 5.3): one AppendEntries per follower and turn.

use messages::{AppendOutcome, LogPosition, Message, NodeId};

use super::Leader;
use super::progress::{Next, Progress};
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
            match progress.next(replica, turn.now) {
                Next::Nothing => {}
                Next::Append(request) => {
                    turn.send(*peer, replica.term(), Message::AppendEntries(request));
                }
                Next::Snapshot => {
                    turn.decide(Decision::NeedsSnapshot(*peer));
                    turn.effects.snapshots.push(*peer);
                }
            }
        }
    }

    /// "Although servers normally take snapshots independently, the leader must occasionally send
    /// snapshots to followers that lag behind" (paper, section 7): one has what it was sent.
    pub(super) fn on_snapshotted(
        &mut self,
        replica: &Replica,
        turn: &mut Turn,
        from: NodeId,
        position: LogPosition,
    ) {
        let Some(progress) = self.progress.get_mut(&from) else { return };
        // A leader of a new term may not know yet that it is committed.
        if position.index > replica.log.last().index {
            turn.decide(Decision::Impossible(from, "a snapshot beyond the leader's log"));
            return;
        }
        turn.decide(Decision::Snapshotted(from, position));
        progress.on_snapshotted(position.index, turn.now);
    }

    /// A follower took no part of its snapshot for too long.
    pub(crate) fn on_snapshot_failed(&mut self, turn: &mut Turn, peer: NodeId) {
        if let Some(progress) = self.progress.get_mut(&peer)
            && progress.on_snapshot_failed(turn.now)
        {
            turn.decide(Decision::SnapshotFailed(peer));
        }
    }

    /// Entries that a follower needs who makes progress stay, unless these are too many.
    pub(super) fn forget(&self, replica: &mut Replica, turn: &mut Turn) {
        let before = replica.log.base().index;
        replica.forget(self.progress.values().filter_map(Progress::needs).min());
        let base = replica.log.base().index;
        for (peer, progress) in &self.progress {
            if progress.needs().is_some_and(|needs| (before..base).contains(&needs)) {
                turn.decide(Decision::Unpinned(*peer));
            }
        }
    }
}
