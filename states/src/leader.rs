//! The leader: takes proposals, replicates its log, says what is committed and when a read may run
//! (paper, sections 5.3, 5.4.2 and 8). Must never build anything but in `finish`, from the turn's
//! final state.
//!
//! Split by concern: `progress` (one follower's replication), `replicate`, `commit`, `heartbeat`
//! (rounds and check-quorum), `reads` (read index), `clock` (log time), `space` (full disks).

mod clock;
mod commit;
mod heartbeat;
mod progress;
mod reads;
mod replicate;
mod space;

use std::collections::{BTreeMap, BTreeSet};

use messages::{LogIndex, LogTime, Message, NodeId, Payload, Term};

use self::clock::LogClock;
use self::heartbeat::Rounds;
use self::progress::Progress;
use self::reads::Reads;
use crate::{
    Answer, Decision, Follower, Replica, RequestId, Role, State, Time, Turn, WallTime, voting,
};

/// A leader's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader {
    progress: BTreeMap<NodeId, Progress>,
    /// The blank entry of this term. Nothing is read before it is committed (paper, section 8).
    blank: LogIndex,
    rounds: Rounds,
    /// Who asked for an election, and shall hear at once that there is a leader.
    reassured: BTreeSet<NodeId>,
    reads: Reads,
    clock: LogClock,
    /// Entries up to here are committed, and durable on this node.
    settled: LogIndex,
    /// Bytes of the entries after `settled`: what this node must keep in memory for them.
    unsettled_bytes: usize,
}

impl Leader {
    /// Takes office, `median_wall` being the median clock of those who voted.
    pub(crate) fn elected(replica: &mut Replica, turn: &mut Turn, median_wall: WallTime) -> Leader {
        turn.decide(Decision::Became(Role::Leader, replica.term()));
        let clock = LogClock::start(replica.log.last_time(), median_wall, turn.now);
        let next = replica.log.last().index.next();
        // "reinitialized after election ... initialized to leader last log index + 1" (Figure 2).
        let progress =
            replica.peers().into_iter().map(|peer| (peer, Progress::new(next))).collect();
        let settled = commit::settled(replica);
        let mut leader = Leader {
            progress,
            blank: next,
            rounds: Rounds::start(turn.now),
            reassured: BTreeSet::new(),
            reads: Reads::default(),
            clock,
            settled,
            unsettled_bytes: commit::bytes_after(replica, settled),
        };
        // "having each leader commit a blank no-op entry into the log at the start of its term"
        // (paper, section 8).
        leader.append(replica, turn, Payload::Blank);
        leader
    }

    pub(crate) fn deadline(&self) -> Time {
        self.rounds.deadline()
    }

    /// The time that an entry made now would have.
    pub(crate) fn log_time(&self, now: Time, wall: WallTime) -> LogTime {
        self.clock.clone().read(now, wall)
    }

    /// How far this follower's log is known to match.
    pub(crate) fn matched(&self, follower: NodeId) -> Option<LogIndex> {
        self.progress.get(&follower).map(Progress::matched)
    }

    /// Whether this follower waits for a snapshot.
    pub(crate) fn needs_snapshot(&self, follower: NodeId) -> bool {
        self.progress.get(&follower).is_some_and(Progress::needs_snapshot)
    }

    /// Bytes of entries that are uncommitted or not yet durable here.
    pub(crate) fn unsettled_bytes(&self) -> usize {
        self.unsettled_bytes
    }

    /// Appends under way to this follower, and their bytes.
    pub(crate) fn in_flight(&self, follower: NodeId) -> Option<(usize, usize)> {
        self.progress.get(&follower).map(Progress::in_flight)
    }

    pub(crate) fn on_message(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        message: Message,
    ) -> State {
        match message {
            Message::PreVote(request) => {
                if !voting::answer_pre_vote(replica, turn, from, request) {
                    self.reassure(from);
                }
            }
            Message::RequestVote(request) => {
                voting::answer_request_vote(replica, turn, from, request); // its vote is its own
            }
            Message::AppendEntries(_) | Message::Heartbeat(_) => {
                turn.decide(Decision::Impossible(from, "two leaders in one term"));
            }
            Message::AppendEntriesReply(reply) => {
                self.on_append_entries_reply(replica, turn, from, reply.outcome);
            }
            Message::HeartbeatReply(reply) => self.on_heartbeat_reply(replica, turn, from, reply),
            Message::Snapshotted(reply) => {
                self.on_snapshotted(replica, turn, from, reply.position);
            }
            // Votes that came after the majority.
            Message::PreVoteReply(_) | Message::RequestVoteReply(_) => {}
        }
        State::Leader(self)
    }

    /// A heartbeat is due, which `finish` sees to, or no quorum has answered for too long.
    pub(crate) fn on_timeout(self, replica: &mut Replica, turn: &mut Turn) -> State {
        if self.hears_quorum(replica, turn.now) {
            return self.make_way_if_full(replica, turn);
        }
        // "a leader steps down if an election timeout elapses without a successful round of
        // heartbeats to a majority of its cluster" (thesis, section 6.2).
        turn.decide(Decision::LostQuorum);
        State::Follower(self.into_follower(replica, turn))
    }

    pub(crate) fn on_propose(
        &mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        id: RequestId,
        only_in: Option<Term>,
        payload: Payload,
    ) {
        let answer = if only_in.is_some_and(|term| term != replica.term()) {
            Answer::NotLeader
        } else if !self.can_be_appended(replica, &payload) {
            Answer::Full
        } else if self.unsettled_bytes > 0
            && self.unsettled_bytes + payload.size() > replica.config.uncommitted_bytes
        {
            Answer::Busy
        } else {
            Answer::Appended(self.append(replica, turn, payload))
        };
        turn.answer(id, answer);
    }

    pub(crate) fn on_read(&mut self, id: RequestId) {
        self.reads.wait(id);
    }

    /// A connection to a follower was lost, and perhaps what was under way over it.
    pub(crate) fn on_peer_lost(&mut self, turn: &mut Turn, peer: NodeId) {
        self.rounds.on_lost(peer, turn.now);
        if let Some(progress) = self.progress.get_mut(&peer)
            && progress.on_lost(turn.now)
        {
            turn.decide(Decision::Probing(peer));
        }
    }

    /// Once a turn, from the final state: commit, then reads and heartbeats, then appends. Reads
    /// that are done make way for those that wait, which a sole voter confirms by itself.
    pub(crate) fn finish(&mut self, replica: &mut Replica, turn: &mut Turn) {
        self.advance_commit(replica, turn);
        self.settle_entries(replica);
        self.confirm_reads(turn);
        self.beat(replica, turn);
        self.confirm_reads(turn);
        self.replicate(replica, turn);
        self.forget(replica, turn);
    }

    /// Leaves office: reads that wait may be asked elsewhere.
    pub(crate) fn into_follower(self, replica: &mut Replica, turn: &mut Turn) -> Follower {
        for id in self.reads.into_requests() {
            turn.answer(id, Answer::NotLeader);
        }
        Follower::new(replica, turn)
    }

    fn append(
        &mut self,
        replica: &mut Replica,
        turn: &Turn,
        payload: Payload,
    ) -> messages::LogPosition {
        let time = self.clock.read(turn.now, turn.wall);
        let position = replica.append(time, payload);
        let entry = replica.log.entry(position.index).expect("the entry just appended");
        self.unsettled_bytes += entry.size();
        position
    }
}
