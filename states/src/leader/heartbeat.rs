//! Heartbeat rounds, and what their echoes prove: that a quorum still followed this leader when the
//! round was *sent*. Must never use the time at which an echo arrived: after a pause it looks fresh.
//!
//! A round for reads asks only as many as a quorum takes, those that echoed first the last time; if they
//! keep silent for a moment, the others too. Heartbeats go to all.

use std::collections::{BTreeSet, VecDeque};

use messages::{Heartbeat, HeartbeatReply, Message, NodeId, Round};

use super::Leader;
use crate::{Decision, Micros, Replica, Time, Turn, quorum};

/// So long a round for reads waits for those that it asked.
const PATIENCE: Micros = Micros(2_000);

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
    /// Who echoed the confirmed round before it was.
    quick: BTreeSet<NodeId>,
    /// Not all were asked for the latest round; then they are.
    widen: Option<Time>,
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
            quick: BTreeSet::new(),
            widen: None,
        }
    }

    /// When the next heartbeat is due, a round has waited for too long or quorum is lost.
    pub fn deadline(&self) -> Time {
        let next = self.next_heartbeat.min(self.step_down);
        self.widen.map_or(next, |widen| widen.min(next))
    }

    /// The newest round that a quorum echoed.
    pub fn confirmed(&self) -> Round {
        self.confirmed
    }

    /// Opens a round if one is due, or reads want one; who is to hear the latest now.
    fn tend(&mut self, replica: &Replica, for_reads: bool, now: Time) -> BTreeSet<NodeId> {
        let is_due = now >= self.next_heartbeat;
        let widens = self.widen.is_some_and(|widen| now >= widen);
        if for_reads || is_due {
            self.latest = Round(self.latest.0 + 1);
            self.sent.push_back((self.latest, now));
        }
        if is_due {
            self.next_heartbeat = now + replica.config.heartbeat;
        }
        let others = others_of_quorum(replica);
        if for_reads && !is_due && self.quick.len() == others {
            self.widen = Some(now + PATIENCE);
            return self.quick.clone();
        }
        if for_reads || is_due || widens {
            self.widen = None;
            return replica.peers().into_iter().collect();
        }
        BTreeSet::new()
    }

    /// Whoever was asked may not answer: the others are asked at once.
    pub fn on_lost(&mut self, peer: NodeId, now: Time) {
        if self.quick.remove(&peer)
            && let Some(widen) = &mut self.widen
        {
            *widen = now;
        }
    }

    fn confirm(&mut self, round: Round, echoed: impl FnOnce() -> BTreeSet<NodeId>) {
        if round <= self.confirmed {
            return;
        }
        self.confirmed = round;
        self.quick = echoed();
        self.widen.take_if(|_| round == self.latest);
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
        let mut asked = std::mem::take(&mut self.reassured);
        asked.extend(self.rounds.tend(replica, for_reads, turn.now));
        for (peer, progress) in self.progress.iter().filter(|(peer, _)| asked.contains(peer)) {
            // A follower may commit only what it is known to hold.
            let commit = replica.commit_index.min(progress.matched());
            let heartbeat = Heartbeat { round: self.rounds.latest, commit };
            turn.send(*peer, replica.term(), Message::Heartbeat(heartbeat));
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
        let others = others_of_quorum(replica);
        self.rounds.confirm(echoed, || {
            let quick = self.progress.iter().filter(|(_, progress)| progress.echoed() >= echoed);
            quick.map(|(peer, _)| *peer).take(others).collect()
        });
        self.rounds.step_down = self.rounds.quorum_at + replica.config.election;
    }
}

/// How many others make a quorum with this node.
fn others_of_quorum(replica: &Replica) -> usize {
    quorum::majority(replica.membership.voters.len()) - 1
}
