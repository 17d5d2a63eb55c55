//! The candidate: stands for election in a new term (paper, section 5.2). Must never count its own
//! vote, nor lead, before that vote is durable.

use messages::{Message, NodeId, RequestVote, RequestVoteReply};

use crate::voting::{self, Ballot};
use crate::{
    Decision, Follower, Leader, PreCandidate, Replica, Role, State, Time, Turn, WallTime, WriteId,
};

/// A candidate's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    ballot: Ballot,
    own_vote: OwnVote,
}

/// A candidate's vote for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum OwnVote {
    /// On its way to the disk: not counted, and the clock does not run.
    Writing(WriteId),
    /// Durable and counted; the election fails at this time.
    Durable { deadline: Time },
}

impl Candidate {
    /// "To begin an election, a follower increments its current term and transitions to candidate
    /// state. It then votes for itself and issues RequestVote RPCs" (paper, section 5.2).
    pub(crate) fn stand(replica: &mut Replica, turn: &mut Turn) -> Candidate {
        let term = replica.term().next();
        replica.adopt_term(turn, term);
        replica.vote_for(replica.id);
        turn.decide(Decision::Became(Role::Candidate, term));
        let request = RequestVote { last: replica.log.last() };
        for peer in replica.peers() {
            // A promise: it says that this node's vote is given away.
            turn.promise(peer, term, Message::RequestVote(request.clone()));
        }
        let own_vote = OwnVote::Writing(replica.upcoming_write());
        Candidate { ballot: Ballot::default(), own_vote }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.own_vote {
            OwnVote::Writing(_) => None,
            OwnVote::Durable { deadline } => Some(deadline),
        }
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
                State::Candidate(self)
            }
            Message::RequestVote(request) => {
                voting::answer_request_vote(replica, turn, from, request); // its vote is its own
                State::Candidate(self)
            }
            // "While waiting for votes, a candidate may receive an AppendEntries RPC from another
            // server claiming to be leader" (paper, section 5.2): of this term, so it is one.
            Message::AppendEntries(_) | Message::Heartbeat(_) => {
                Follower::new(replica, turn).on_message(replica, turn, from, message)
            }
            Message::RequestVoteReply(reply) => {
                self.on_request_vote_reply(replica, turn, from, reply)
            }
            // Answers to an earlier round or leadership.
            Message::PreVoteReply(_)
            | Message::AppendEntriesReply(_)
            | Message::HeartbeatReply(_)
            | Message::Snapshotted(_) => State::Candidate(self),
        }
    }

    pub(crate) fn on_timeout(self, replica: &mut Replica, turn: &mut Turn) -> State {
        match self.own_vote {
            OwnVote::Writing(_) => State::Candidate(self),
            OwnVote::Durable { .. } => {
                turn.decide(Decision::ElectionFailed(replica.term()));
                PreCandidate::probe(replica, turn)
            }
        }
    }

    pub(crate) fn on_written(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        id: WriteId,
    ) -> State {
        if let OwnVote::Writing(write) = self.own_vote
            && write <= id
        {
            self.own_vote = OwnVote::Durable { deadline: replica.election_deadline(turn.now) };
            self.ballot.record(replica.id, true, turn.wall);
            self.retry_sooner_if_lost(replica, turn);
        }
        self.judge(replica, turn)
    }

    fn on_request_vote_reply(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        reply: RequestVoteReply,
    ) -> State {
        if reply.answers != replica.term() {
            return State::Candidate(self); // answers an earlier election
        }
        let lost_before = self.ballot.is_lost(replica);
        self.ballot.record(from, reply.granted, WallTime(reply.wall));
        if !lost_before {
            self.retry_sooner_if_lost(replica, turn);
        }
        self.judge(replica, turn)
    }

    fn retry_sooner_if_lost(&mut self, replica: &mut Replica, turn: &Turn) {
        if let OwnVote::Durable { deadline } = &mut self.own_vote
            && self.ballot.is_lost(replica)
        {
            *deadline = (*deadline).min(replica.retry_deadline(turn.now));
        }
    }

    fn judge(self, replica: &mut Replica, turn: &mut Turn) -> State {
        match self.own_vote {
            OwnVote::Durable { .. } if self.ballot.is_won(replica) => {
                State::Leader(self.into_leader(replica, turn))
            }
            OwnVote::Durable { .. } | OwnVote::Writing(_) => State::Candidate(self),
        }
    }

    fn into_leader(self, replica: &mut Replica, turn: &mut Turn) -> Leader {
        let vote = replica.hard_state().voted_for;
        assert_eq!(vote, Some(replica.id), "a leader voted for itself, durably");
        Leader::elected(replica, turn, self.ballot.median_wall())
    }
}
