//! Heartbeat rounds, and what their echoes prove: that a quorum still followed this leader when the
//! round was *sent*. Must never use the time at which an echo arrived: after a pause it looks fresh.

use std::collections::VecDeque;

use messages::{Heartbeat, HeartbeatReply, Message, NodeId, Round};

use super::Leader;
use crate::{Decision, Replica, Time, Turn, quorum};

/// Rounds sent, and the newest that a quorum echoed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rounds {
    latest: Round,
    /// Rounds after the newest that a quorum echoed, with their send times.
    sent: VecDeque<(Round, Time)>,
    confirmed: Round,
    /// The send time of the confirmed round; before the first, the time of the election.
    quorum_at: Time,
    next_heartbeat: Time,
    step_down: Time,
}

impl Rounds {
    /// No round yet; the first is due at once.
    pub fn start(now: Time) -> Rounds {
        Rounds {
            latest: Round(0),
            sent: VecDeque::new(),
            confirmed: Round(0),
            quorum_at: now,
            next_heartbeat: now,
            step_down: now,
        }
    }

    /// When the next heartbeat is due or quorum is lost.
    pub fn deadline(&self) -> Time {
        self.next_heartbeat.min(self.step_down)
    }

    /// The newest round that a quorum echoed.
    pub fn confirmed(&self) -> Round {
        self.confirmed
    }

    fn open(&mut self, replica: &Replica, now: Time) {
        self.latest = Round(self.latest.0 + 1);
        self.sent.push_back((self.latest, now));
        self.next_heartbeat = now + replica.config.heartbeat;
    }

    fn confirm(&mut self, round: Round) {
        self.confirmed = self.confirmed.max(round);
        while let Some((_, at)) = self.sent.pop_front_if(|(sent, _)| *sent <= round) {
            self.quorum_at = at;
        }
    }
}

impl Leader {
    /// Whether a quorum echoed a round sent within the election timeout.
    pub(crate) fn hears_quorum(&self, replica: &Replica, now: Time) -> bool {
        replica.membership.voters.len() == 1
            || now < self.rounds.quorum_at + replica.config.election
    }

    pub(super) fn on_heartbeat_reply(
        &mut self,
        replica: &Replica,
        turn: &mut Turn,
        from: NodeId,
        reply: HeartbeatReply,
    ) {
        if reply.round > self.rounds.latest {
            turn.decide(Decision::Impossible(from, "an echo of a round never sent"));
            return;
        }
        if let Some(progress) = self.progress.get_mut(&from) {
            progress.on_echo(reply.round, reply.full);
            self.count_echoes(replica); // at once: a timeout in the same turn looks at it
        }
    }

    /// Who was refused a pre-vote is told at once that there is a leader.
    pub(crate) fn reassure(&mut self, peer: NodeId) {
        self.reassured.insert(peer);
    }

    /// Opens a round if a heartbeat is due or reads wait for one. If not, who is to be reassured
    /// hears the latest again: its echo proves no more than it did.
    pub(super) fn beat(&mut self, replica: &mut Replica, turn: &mut Turn) {
        let for_reads = self.reads_want_round(replica);
        let opens = for_reads || turn.now >= self.rounds.next_heartbeat;
        if opens {
            self.rounds.open(replica, turn.now);
        }
        let reassured = std::mem::take(&mut self.reassured);
        for (peer, progress) in &self.progress {
            if opens || reassured.contains(peer) {
                // A follower may commit only what it is known to hold.
                let commit = replica.commit_index.min(progress.matched());
                let heartbeat = Heartbeat { round: self.rounds.latest, commit };
                turn.send(*peer, replica.term(), Message::Heartbeat(heartbeat));
            }
        }
        if for_reads {
            self.reads.ask(self.rounds.latest, replica.commit_index);
        }
        self.count_echoes(replica); // its own included, which is all that a sole voter needs
    }

    fn count_echoes(&mut self, replica: &Replica) {
        let echoed = quorum::reached(&replica.membership.voters, |voter| {
            self.progress.get(&voter).map_or(self.rounds.latest, |progress| progress.echoed())
        });
        self.rounds.confirm(echoed);
        self.rounds.step_down = self.rounds.quorum_at + replica.config.election;
    }
}
