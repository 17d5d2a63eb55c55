//! The state object that a server holds, and the one door into the rules. Dispatches, and applies
//! what holds in every state: who is listened to, and the rule of terms. Must never hold a rule of
//! one role.

use std::ops::ControlFlow;

use messages::{
    AppendEntriesReply, AppendOutcome, HeartbeatReply, LogIndex, LogPosition, LogTime, Message,
    NodeId, Payload, Round, SnapshotMeta, Term,
};

use crate::{
    Answer, Candidate, Decision, Follower, Input, Leader, PreCandidate, Refusal, Replica,
    RequestId, Role, Time, Turn, WallTime, WriteId, voting,
};

/// Terms rise by one with each election; a jump beyond this is no honest node's.
const LARGEST_TERM_JUMP: u64 = 1 << 40;

/// A node's state object: the server holds one and swaps it on a transition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Answers leaders and candidates.
    Follower(Follower),
    /// Asks whether it would be voted for.
    PreCandidate(PreCandidate),
    /// Asks for votes.
    Candidate(Candidate),
    /// Replicates its log.
    Leader(Leader),
}

impl State {
    /// The state in which a node starts (paper, section 5.2: "When servers start up, they begin as
    /// followers").
    pub fn new(replica: &mut Replica, turn: &mut Turn) -> State {
        State::Follower(Follower::new(replica, turn))
    }

    /// Takes one input and returns the next state. What must be done is in `turn.effects`.
    pub fn step(mut self, replica: &mut Replica, turn: &mut Turn, input: Input) -> State {
        match input {
            Input::Message { from, term, message } => {
                self.on_message(replica, turn, from, term, message)
            }
            Input::Timeout => self.on_timeout(replica, turn),
            Input::Written(id) => self.on_written(replica, turn, id),
            Input::Space(space) => {
                replica.space = space;
                self
            }
            Input::PeerLost(peer) => self.on_peer_lost(replica, turn, peer),
            Input::SnapshotTaken(meta) => {
                replica.on_snapshot_taken(meta);
                self
            }
            Input::SnapshotPart { from, term, meta, complete } => {
                self.on_snapshot_part(replica, turn, from, term, meta, complete)
            }
            Input::SnapshotRestored(meta) => self.on_snapshot_restored(replica, turn, meta),
            Input::SnapshotFailed(peer) => {
                if let State::Leader(leader) = &mut self {
                    leader.on_snapshot_failed(turn, peer);
                }
                self
            }
            Input::Propose { id, only_in, items } => {
                self.on_propose(replica, turn, id, only_in, Payload::Command(items.into()))
            }
            Input::Blank(id) => self.on_propose(replica, turn, id, None, Payload::Blank),
            Input::Read(id) => {
                match &mut self {
                    State::Leader(leader) => leader.on_read(id),
                    State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => {
                        turn.answer(id, Answer::NotLeader);
                    }
                }
                self
            }
        }
    }

    /// Ends a turn: what depends on the final state of all its inputs is done once, here.
    pub fn finish(&mut self, replica: &mut Replica, turn: &mut Turn) {
        match self {
            State::Leader(leader) => leader.finish(replica, turn),
            State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => {
                replica.forget(None);
            }
        }
        replica.hand_out_write(turn);
    }

    /// When the state wants `Input::Timeout`; none for a node that does not vote.
    pub fn deadline(&self) -> Option<Time> {
        match self {
            State::Follower(follower) => follower.deadline(),
            State::PreCandidate(candidate) => Some(candidate.deadline()),
            State::Candidate(candidate) => candidate.deadline(),
            State::Leader(leader) => Some(leader.deadline()),
        }
    }

    /// The state's name.
    pub fn role(&self) -> Role {
        match self {
            State::Follower(_) => Role::Follower,
            State::PreCandidate(_) => Role::PreCandidate,
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// The leader of the present term, if known.
    pub fn leader(&self, replica: &Replica) -> Option<NodeId> {
        match self {
            State::Follower(follower) => follower.leader(),
            State::PreCandidate(_) | State::Candidate(_) => None,
            State::Leader(_) => Some(replica.id),
        }
    }

    /// Log time at this moment, as an entry made now would have it; only a leader knows.
    pub fn log_time(&self, now: Time, wall: WallTime) -> Option<LogTime> {
        match self {
            State::Leader(leader) => Some(leader.log_time(now, wall)),
            State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => None,
        }
    }

    /// How far a follower's log is known to match; only a leader knows.
    pub fn matched(&self, follower: NodeId) -> Option<LogIndex> {
        match self {
            State::Leader(leader) => leader.matched(follower),
            State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => None,
        }
    }

    /// Whether a follower waits for a snapshot; only a leader knows.
    pub fn needs_snapshot(&self, follower: NodeId) -> bool {
        match self {
            State::Leader(leader) => leader.needs_snapshot(follower),
            State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => false,
        }
    }

    /// Appends under way to a follower, and their bytes; only a leader knows.
    pub fn in_flight(&self, follower: NodeId) -> Option<(usize, usize)> {
        match self {
            State::Leader(leader) => leader.in_flight(follower),
            State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => None,
        }
    }

    /// Bytes of entries that are uncommitted or not yet durable here; only a leader counts them.
    pub fn unsettled_bytes(&self) -> Option<usize> {
        match self {
            State::Leader(leader) => Some(leader.unsettled_bytes()),
            State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => None,
        }
    }

    /// Whether a leader is there, so that no election is called for (thesis, section 4.2.3).
    fn hears_leader(&self, replica: &Replica, now: Time) -> bool {
        match self {
            State::Follower(follower) => follower.hears_leader(replica, now),
            State::PreCandidate(_) | State::Candidate(_) => false,
            State::Leader(leader) => leader.hears_quorum(replica, now),
        }
    }

    fn on_message(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        term: Term,
        message: Message,
    ) -> State {
        if from == replica.id {
            turn.decide(Decision::Impossible(from, "a message in this node's own name"));
            return self;
        }
        if message.is_reply() && !replica.membership.voters.contains(&from) {
            turn.decide(Decision::StrangerIgnored(from));
            return self;
        }
        if matches!(message, Message::PreVote(_) | Message::RequestVote(_))
            && self.hears_leader(replica, turn.now)
        {
            // "If a server receives a RequestVote request within the minimum election timeout of
            // hearing from a current leader, it does not update its term or grant its vote"
            // (thesis, section 4.2.3).
            voting::refuse(replica, turn, from, term, &message, Refusal::HearsLeader);
            if let (State::Leader(leader), Message::PreVote(_)) = (&mut self, &message) {
                leader.reassure(from);
            }
            return self;
        }
        let state = match self.in_term(replica, turn, from, term) {
            ControlFlow::Continue(state) => state,
            ControlFlow::Break(state) => return state,
        };
        if term < replica.term() {
            answer_older_term(replica, turn, from, term, message);
            return state;
        }
        match state {
            State::Follower(follower) => follower.on_message(replica, turn, from, message),
            State::PreCandidate(candidate) => candidate.on_message(replica, turn, from, message),
            State::Candidate(candidate) => candidate.on_message(replica, turn, from, message),
            State::Leader(leader) => leader.on_message(replica, turn, from, message),
        }
    }

    /// The rule of terms: the state in which a message of this term is taken, or that in which it is
    /// dropped.
    fn in_term(
        self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        term: Term,
    ) -> ControlFlow<State, State> {
        if term.0.saturating_sub(replica.term().0) > LARGEST_TERM_JUMP {
            turn.decide(Decision::Impossible(from, "a term far beyond this node's"));
            return ControlFlow::Break(self);
        }
        if term <= replica.term() {
            return ControlFlow::Continue(self);
        }
        // "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
        // follower" (paper, Figure 2, rules for all servers).
        replica.adopt_term(turn, term);
        ControlFlow::Continue(self.into_follower(replica, turn))
    }

    /// A leader sends a snapshot: that speaks for it as an append would.
    fn on_snapshot_part(
        self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
        complete: bool,
    ) -> State {
        if from == replica.id || !replica.membership.voters.contains(&from) {
            turn.decide(Decision::StrangerIgnored(from));
            return self;
        }
        let state = match self.in_term(replica, turn, from, term) {
            ControlFlow::Continue(state) if term == replica.term() => state,
            ControlFlow::Continue(state) | ControlFlow::Break(state) => return state, // an older leader hears of the term by heartbeats
        };
        let mut follower = match state {
            State::Follower(follower) => follower,
            State::PreCandidate(candidate) => candidate.into_follower(replica, turn),
            State::Candidate(_) => Follower::new(replica, turn),
            State::Leader(_) => {
                turn.decide(Decision::Impossible(from, "two leaders in one term"));
                return state;
            }
        };
        follower.on_snapshot_part(replica, turn, from, meta, complete);
        State::Follower(follower)
    }

    /// A snapshot is restored beside the machine. Meanwhile the log may have come further.
    fn on_snapshot_restored(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        meta: SnapshotMeta,
    ) -> State {
        match &mut self {
            State::Follower(follower) => follower.on_snapshot_restored(replica, turn, meta),
            // Whoever leads has everything that is committed (paper, section 5.4).
            State::Leader(_) => {}
            State::PreCandidate(_) | State::Candidate(_) => {
                if !replica.has_all(meta.position) {
                    replica.install(turn, meta);
                }
            }
        }
        self
    }

    fn on_propose(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        id: RequestId,
        only_in: Option<Term>,
        payload: Payload,
    ) -> State {
        match &mut self {
            State::Leader(leader) => leader.on_propose(replica, turn, id, only_in, payload),
            State::Follower(_) | State::PreCandidate(_) | State::Candidate(_) => {
                turn.answer(id, Answer::NotLeader);
            }
        }
        self
    }

    fn on_timeout(self, replica: &mut Replica, turn: &mut Turn) -> State {
        if self.deadline().is_none_or(|deadline| turn.now < deadline) {
            return self; // what came earlier in this turn put it off
        }
        match self {
            State::Follower(follower) => follower.on_timeout(replica, turn),
            State::PreCandidate(candidate) => candidate.on_timeout(replica, turn),
            State::Candidate(candidate) => candidate.on_timeout(replica, turn),
            State::Leader(leader) => leader.on_timeout(replica, turn),
        }
    }

    /// A hint, no more: the peer may be there, and reached another way.
    fn on_peer_lost(mut self, replica: &mut Replica, turn: &mut Turn, peer: NodeId) -> State {
        match &mut self {
            State::Follower(follower) => follower.on_peer_lost(replica, turn, peer),
            State::Leader(leader) => leader.on_peer_lost(turn, peer),
            // Who asks for votes goes on asking, whoever is gone.
            State::PreCandidate(_) | State::Candidate(_) => {}
        }
        self
    }

    fn on_written(self, replica: &mut Replica, turn: &mut Turn, id: WriteId) -> State {
        replica.log.written(id);
        match self {
            State::Candidate(candidate) => candidate.on_written(replica, turn, id),
            // What a follower wrote speaks through its promises; what a leader wrote counts when
            // the turn is finished.
            State::Follower(_) | State::PreCandidate(_) | State::Leader(_) => self,
        }
    }

    /// A follower that knows no leader, in the term just adopted.
    fn into_follower(self, replica: &mut Replica, turn: &mut Turn) -> State {
        match self {
            State::Follower(follower) => State::Follower(follower.into_leaderless()),
            State::PreCandidate(candidate) => {
                State::Follower(candidate.into_follower(replica, turn).into_leaderless())
            }
            State::Candidate(_) => State::Follower(Follower::new(replica, turn)),
            State::Leader(leader) => State::Follower(leader.into_follower(replica, turn)),
        }
    }
}

/// Answers a message of an older term, so that its sender learns of ours; older replies say nothing.
///
/// The sender may lead *our* term by the time the answer arrives, so that nothing in it may look like
/// an answer to what it sends in this term: round zero is before any round, and index zero matches
/// everywhere.
fn answer_older_term(
    replica: &mut Replica,
    turn: &mut Turn,
    from: NodeId,
    term: Term,
    message: Message,
) {
    let own_term = replica.term();
    match message {
        Message::PreVote(_) | Message::RequestVote(_) => {
            voting::refuse(replica, turn, from, term, &message, Refusal::OldTerm);
        }
        Message::AppendEntries(_) => {
            let outcome =
                AppendOutcome::Mismatched { rejected: LogIndex(0), try_at: LogPosition::ZERO };
            let reply = AppendEntriesReply { outcome };
            turn.promise(from, own_term, Message::AppendEntriesReply(reply));
        }
        Message::Heartbeat(_) => {
            let reply = HeartbeatReply { round: Round(0), full: false };
            turn.send(from, own_term, Message::HeartbeatReply(reply));
        }
        Message::PreVoteReply(_)
        | Message::RequestVoteReply(_)
        | Message::AppendEntriesReply(_)
        | Message::HeartbeatReply(_)
        | Message::Snapshotted(_) => {}
    }
}
