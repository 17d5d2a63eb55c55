//! When a node votes, and how votes are counted: the same for every role. Must never look at who
//! the candidate is: whoever counts decides whose vote counts.

use std::collections::BTreeMap;

use messages::{
    Message, NodeId, PreVote, PreVoteReply, RequestVote, RequestVoteReply, Round, Term,
};

use crate::{Decision, Refusal, Replica, Turn, WallTime, quorum};

/// Answers a pre-vote of the present term, when no leader is heard; says whether it would vote so.
pub(crate) fn answer_pre_vote(
    replica: &mut Replica,
    turn: &mut Turn,
    from: NodeId,
    request: PreVote,
) -> bool {
    let refusal = if request.proposed <= replica.term() {
        Some(Refusal::OldTerm)
    } else if request.last < replica.log.last() {
        Some(Refusal::LogBehind)
    } else {
        None
    };
    if let Some(why) = refusal {
        turn.decide(Decision::VoteRefused(from, why));
    }
    let PreVote { proposed, round, .. } = request;
    let reply = PreVoteReply { proposed, granted: refusal.is_none(), round };
    turn.send(from, replica.term(), Message::PreVoteReply(reply));
    refusal.is_none()
}

/// Answers a request for a vote in the present term; says whether the vote was granted.
pub(crate) fn answer_request_vote(
    replica: &mut Replica,
    turn: &mut Turn,
    from: NodeId,
    request: RequestVote,
) -> bool {
    let term = replica.term();
    let vote = replica.hard_state().voted_for;
    let refusal = if vote.is_some_and(|candidate| candidate != from) {
        Some(Refusal::VotedForOther)
    } else if request.last < replica.log.last() {
        // "the voter denies its vote if its own log is more up-to-date than that of the
        // candidate" (paper, section 5.4.1).
        Some(Refusal::LogBehind)
    } else {
        None
    };
    match refusal {
        Some(why) => turn.decide(Decision::VoteRefused(from, why)),
        None => {
            replica.vote_for(from);
            turn.decide(Decision::VoteGranted(from, term));
        }
    }
    promise_vote_reply(replica, turn, from, term, refusal.is_none());
    refusal.is_none()
}

/// Refuses a vote or pre-vote with this node's own term, and changes nothing.
pub(crate) fn refuse(
    replica: &Replica,
    turn: &mut Turn,
    from: NodeId,
    term: Term,
    request: &Message,
    why: Refusal,
) {
    turn.decide(Decision::VoteRefused(from, why));
    if let Message::PreVote(request) = request {
        let PreVote { proposed, round, .. } = *request;
        let reply = PreVoteReply { proposed, granted: false, round };
        turn.send(from, replica.term(), Message::PreVoteReply(reply));
    } else {
        promise_vote_reply(replica, turn, from, term, false);
    }
}

fn promise_vote_reply(
    replica: &Replica,
    turn: &mut Turn,
    to: NodeId,
    answers: Term,
    granted: bool,
) {
    let reply = RequestVoteReply { answers, granted, wall: turn.wall.0 };
    turn.promise(to, replica.term(), Message::RequestVoteReply(reply));
}

/// The votes of one election, by voter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ballot {
    votes: BTreeMap<NodeId, Vote>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Vote {
    granted: bool,
    wall: WallTime,
    round: Round,
}

impl Ballot {
    /// Records a vote; a voter's grant is not taken back by a later refusal.
    pub fn record(&mut self, voter: NodeId, granted: bool, wall: WallTime) {
        self.record_in(Round(0), voter, granted, wall);
    }

    /// Records the answer to a question that was asked in this round: of a voter's answers that to
    /// the latest round counts.
    pub fn record_in(&mut self, round: Round, voter: NodeId, granted: bool, wall: WallTime) {
        let vote = self.votes.entry(voter).or_insert(Vote { granted, wall, round });
        if round > vote.round {
            *vote = Vote { granted, wall, round };
        } else if round == vote.round {
            vote.granted |= granted;
        }
    }

    /// Whether a majority of the voters granted.
    pub fn is_won(&self, replica: &Replica) -> bool {
        quorum::has_majority(&replica.membership.voters, |voter| {
            self.votes.get(&voter).is_some_and(|vote| vote.granted)
        })
    }

    /// Whether so many refused that no majority can grant any more.
    pub fn is_lost(&self, replica: &Replica) -> bool {
        !quorum::has_majority(&replica.membership.voters, |voter| {
            self.votes.get(&voter).is_none_or(|vote| vote.granted)
        })
    }

    /// The median wall clock of those who granted.
    pub fn median_wall(&self) -> WallTime {
        let mut walls: Vec<WallTime> =
            self.votes.values().filter(|vote| vote.granted).map(|vote| vote.wall).collect();
        walls.sort_unstable();
        walls.get(walls.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }
}
