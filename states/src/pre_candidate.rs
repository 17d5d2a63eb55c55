//! The pre-candidate: asks whether it would be voted for before it disturbs anyone with a new term
//! (thesis, section 9.6). Must never change its term or vote.

use messages::{Message, NodeId, PreVote, PreVoteReply, RequestVote};

use crate::voting::{self, Ballot};
use crate::{Candidate, Decision, Follower, Replica, Role, State, Time, Turn};

/// A pre-candidate's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreCandidate {
    ballot: Ballot,
    deadline: Time,
}

impl PreCandidate {
    /// Asks all voters; a node that does not vote stays a follower.
    pub(crate) fn probe(replica: &mut Replica, turn: &mut Turn) -> State {
        if !replica.is_voter() {
            return State::Follower(Follower::new(replica, turn));
        }
        turn.decide(Decision::Became(Role::PreCandidate, replica.term()));
        let mut ballot = Ballot::default();
        ballot.record(replica.id, true, turn.wall); // no promise, so it needs no disk
        let request = PreVote { proposed: replica.term().next(), last: replica.log.last() };
        for peer in replica.peers() {
            turn.send(peer, replica.term(), Message::PreVote(request.clone()));
        }
        let deadline = replica.election_deadline(turn.now);
        PreCandidate { ballot, deadline }.judge(replica, turn)
    }

    pub(crate) fn deadline(&self) -> Time {
        self.deadline
    }

    pub(crate) fn on_message(
        self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        message: Message,
    ) -> State {
        match message {
            Message::PreVote(request) => {
                voting::answer_pre_vote(replica, turn, from, request);
                State::PreCandidate(self)
            }
            Message::RequestVote(request) => self.on_request_vote(replica, turn, from, request),
            Message::AppendEntries(_) | Message::Heartbeat(_) => {
                Follower::new(replica, turn).on_message(replica, turn, from, message)
            }
            Message::PreVoteReply(reply) => self.on_pre_vote_reply(replica, turn, from, reply),
            // Answers to an earlier candidacy or leadership.
            Message::RequestVoteReply(_)
            | Message::AppendEntriesReply(_)
            | Message::HeartbeatReply(_) => State::PreCandidate(self),
        }
    }

    pub(crate) fn on_timeout(self, replica: &mut Replica, turn: &mut Turn) -> State {
        turn.decide(Decision::ElectionFailed(replica.term().next()));
        PreCandidate::probe(replica, turn)
    }

    /// Who votes for another waits for the outcome as a follower.
    fn on_request_vote(
        self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        request: RequestVote,
    ) -> State {
        if voting::answer_request_vote(replica, turn, from, request) {
            return State::Follower(Follower::new(replica, turn));
        }
        State::PreCandidate(self)
    }

    fn on_pre_vote_reply(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        reply: PreVoteReply,
    ) -> State {
        if reply.proposed != replica.term().next() {
            return State::PreCandidate(self); // answers an earlier round
        }
        let lost_before = self.ballot.is_lost(replica);
        self.ballot.record(from, reply.granted, turn.wall);
        if !lost_before && self.ballot.is_lost(replica) {
            self.deadline = self.deadline.min(replica.retry_deadline(turn.now));
        }
        self.judge(replica, turn)
    }

    fn judge(self, replica: &mut Replica, turn: &mut Turn) -> State {
        if self.ballot.is_won(replica) {
            return State::Candidate(Candidate::stand(replica, turn));
        }
        State::PreCandidate(self)
    }
}
