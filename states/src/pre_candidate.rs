//! The pre-candidate: asks whether it would be voted for before it disturbs anyone with a new term
//! (thesis, section 9.6). Must never change its term or vote.

use messages::{Message, NodeId, PreVote, PreVoteReply, RequestVote, Round};

use crate::hint::{self, ASKS};
use crate::voting::{self, Ballot};
use crate::{Candidate, Decision, Follower, Replica, Role, State, Time, Turn};

/// A pre-candidate's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreCandidate {
    ballot: Ballot,
    deadline: Time,
    hinted: Option<Hinted>,
}

/// What a pre-candidate that asks on a mere hint has besides: it asks a few times, in quick rounds,
/// and then is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hinted {
    follower: Follower,
    asked: u32,
    /// Rounds are named by the time at which they were asked, so that an answer to an earlier
    /// pre-candidacy is never taken for one to this.
    first: Round,
    latest: Round,
}

impl PreCandidate {
    /// Asks all voters; a node that does not vote stays a follower.
    pub(crate) fn probe(replica: &mut Replica, turn: &mut Turn) -> State {
        if !replica.is_voter() {
            return State::Follower(Follower::new(replica, turn));
        }
        turn.decide(Decision::Became(Role::PreCandidate, replica.term()));
        ask(replica, turn, Round(0));
        let deadline = replica.election_deadline(turn.now);
        PreCandidate { ballot: own_ballot(replica, turn), deadline, hinted: None }
            .judge(replica, turn)
    }

    /// Asks all voters on a hint that this follower's leader is gone.
    pub(crate) fn probe_on_hint(
        follower: Follower,
        replica: &mut Replica,
        turn: &mut Turn,
    ) -> State {
        turn.decide(Decision::Became(Role::PreCandidate, replica.term()));
        let round = Round(turn.now.0);
        ask(replica, turn, round);
        let hinted = Hinted { follower, asked: 1, first: round, latest: round };
        let deadline = turn.now + hint::ask_every(&replica.config);
        PreCandidate { ballot: own_ballot(replica, turn), deadline, hinted: Some(hinted) }
            .judge(replica, turn)
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
            Message::PreVote(request) => self.on_pre_vote(replica, turn, from, request),
            Message::RequestVote(request) => self.on_request_vote(replica, turn, from, request),
            Message::AppendEntries(_) | Message::Heartbeat(_) => {
                self.into_follower(replica, turn).on_message(replica, turn, from, message)
            }
            Message::PreVoteReply(reply) => self.on_pre_vote_reply(replica, turn, from, reply),
            // Answers to an earlier candidacy or leadership.
            Message::RequestVoteReply(_)
            | Message::AppendEntriesReply(_)
            | Message::HeartbeatReply(_)
            | Message::Snapshotted(_) => State::PreCandidate(self),
        }
    }

    pub(crate) fn on_timeout(mut self, replica: &mut Replica, turn: &mut Turn) -> State {
        let Some(hinted) = &mut self.hinted else {
            turn.decide(Decision::ElectionFailed(replica.term().next()));
            return PreCandidate::probe(replica, turn);
        };
        if hinted.asked == ASKS {
            return State::Follower(self.into_follower(replica, turn));
        }
        hinted.asked += 1;
        hinted.latest = Round(turn.now.0);
        ask(replica, turn, hinted.latest);
        self.deadline = turn.now + hint::ask_every(&replica.config);
        State::PreCandidate(self)
    }

    /// A follower: the one that it was if it asked on a hint only.
    pub(crate) fn into_follower(self, replica: &mut Replica, turn: &mut Turn) -> Follower {
        let Some(hinted) = self.hinted else { return Follower::new(replica, turn) };
        turn.decide(Decision::Became(Role::Follower, replica.term()));
        hinted.follower.after_asking()
    }

    /// Of two that ask on a hint at once both would stand: that of the higher id makes way.
    fn on_pre_vote(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        request: PreVote,
    ) -> State {
        let granted = voting::answer_pre_vote(replica, turn, from, request);
        if granted
            && from < replica.id
            && let Some(hinted) = &mut self.hinted
            && hinted.follower.make_way(replica, turn, from)
        {
            turn.decide(Decision::Became(Role::Follower, replica.term()));
            return State::Follower(hinted.follower);
        }
        State::PreCandidate(self)
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
        let asked = self.hinted.map_or(Round(0)..=Round(0), |asks| asks.first..=asks.latest);
        if !asked.contains(&reply.round) {
            return State::PreCandidate(self); // answers an earlier pre-candidacy
        }
        let lost_before = self.ballot.is_lost(replica);
        self.ballot.record_in(reply.round, from, reply.granted, turn.wall);
        if self.hinted.is_none() && !lost_before && self.ballot.is_lost(replica) {
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

fn ask(replica: &Replica, turn: &mut Turn, round: Round) {
    let (proposed, last) = (replica.term().next(), replica.log.last());
    let request = PreVote { proposed, last, round };
    for peer in replica.peers() {
        turn.send(peer, replica.term(), Message::PreVote(request.clone()));
    }
}

/// The node's own vote. It is no promise, so it needs no disk.
fn own_ballot(replica: &Replica, turn: &Turn) -> Ballot {
    let mut ballot = Ballot::default();
    ballot.record(replica.id, true, turn.wall);
    ballot
}
