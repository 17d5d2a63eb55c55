//! Section 5.2, leader election.

use crate::{hard_state, in_role, starting};
use messages::NodeId;
use states::{Config, Micros, Role};
use unit_tests::inputs::{
    append, at, heartbeat, pre_vote, pre_vote_reply, request_vote, vote_reply,
};
use unit_tests::notation::{promises, sends, write};
use unit_tests::roles::log;
use unit_tests::{Cluster, roles};

/// "When servers start up, they begin as followers".
#[test]
fn when_servers_start_up_they_begin_as_followers() {
    let mut cluster = roles::leader(3, &[1]);
    cluster.restart(1);
    assert_eq!(cluster.node(1).role(), Role::Follower);
    assert_eq!(cluster.node(1).replica.hard_state(), hard_state(3, Some(1)));
    assert_eq!(cluster.node(1).log(), log(&[1, 3]));
    assert_eq!(cluster.node(1).commit(), 0, "volatile: initialized to 0");
}

/// "A server remains in follower state as long as it receives valid RPCs from a leader or candidate".
#[test]
fn a_server_remains_follower_as_long_as_it_receives_valid_rpcs() {
    let mut cluster = roles::follower(1, &[1], 0);
    for round in 1..50 {
        cluster.advance(Micros(299_000));
        assert!(cluster.node(1).state.deadline() > Some(cluster.now), "no timeout is due");
        match round % 2 {
            0 => cluster.input(1, heartbeat(2, 1, round, 0)),
            _ => cluster.input(1, append(2, 1, at(1, 1), &[], 0)),
        };
        assert_eq!(cluster.node(1).role(), Role::Follower);
    }
}

/// "If election timeout elapses without receiving AppendEntries RPC from current leader or granting
/// vote to candidate: convert to candidate" (Figure 2, followers): a grant restarts the clock, a
/// refusal does not, nor does a leader of an older term.
#[test]
fn only_the_current_leader_and_a_granted_vote_put_an_election_off() {
    let mut cluster = roles::follower(2, &[1, 2], 0);
    let deadline = cluster.node(1).state.deadline();
    roles::silence(&mut cluster);
    for input in [
        request_vote(3, 3, at(1, 1)), // its log is behind
        pre_vote(3, 3, at(9, 3)),
        heartbeat(3, 1, 1, 0),
        append(3, 1, at(0, 0), &[1], 0),
    ] {
        cluster.input(1, input);
        assert_eq!(cluster.node(1).state.deadline(), deadline);
    }
    let now = cluster.now;
    cluster.input(1, request_vote(3, 4, at(9, 3)));
    assert!(cluster.node(1).state.deadline() >= Some(now + Micros(300_000)), "granted");
}

/// "To begin an election, a follower increments its current term and transitions to candidate state.
/// It then votes for itself and issues RequestVote RPCs in parallel to each of the other servers".
#[test]
fn a_candidate_increments_its_term_votes_for_itself_and_asks_all() {
    let mut cluster = roles::pre_candidate(4, &[1, 3]);
    let effects = cluster.input(1, pre_vote_reply(3, 4, 5, true));
    assert_eq!(cluster.node(1).role(), Role::Candidate);
    assert_eq!(write(&effects), "term=5 vote=n1 []");
    let requests = ["@5 → n2 RequestVote last=2@3", "@5 → n3 RequestVote last=2@3"];
    assert_eq!(promises(&effects), requests);
    assert!(cluster.queue.is_empty(), "they tell of a vote, and wait for the disk");
}

/// "A candidate wins an election if it receives votes from a majority of the servers in the full
/// cluster for the same term".
#[test]
fn a_candidate_wins_with_votes_from_a_majority_for_the_same_term() {
    let mut cluster = Cluster::new(5);
    cluster.timeout(1);
    cluster.input(1, pre_vote_reply(2, 0, 1, true));
    cluster.input(1, pre_vote_reply(3, 0, 1, true));
    cluster.write_all(1); // its own vote
    cluster.input(1, vote_reply(2, 1, 1, true));
    cluster.input(1, vote_reply(2, 1, 1, true));
    cluster.input(1, vote_reply(3, 1, 0, true));
    cluster.input(1, vote_reply(4, 1, 1, false));
    cluster.input(1, vote_reply(6, 1, 1, true));
    cluster.input(1, vote_reply(7, 1, 1, true));
    let two = "one voter counts once; an earlier election, a refusal and strangers count nothing";
    assert_eq!(cluster.node(1).role(), Role::Candidate, "{two}");
    cluster.input(1, vote_reply(5, 1, 1, true));
    assert_eq!(cluster.node(1).role(), Role::Leader);
}

/// "Once a candidate wins an election, it becomes leader. It then sends heartbeat messages to all of
/// the other servers to establish its authority and prevent new elections".
#[test]
fn a_new_leader_sends_heartbeats_to_all() {
    let (_, effects) = roles::elected(5, &[1, 3]);
    let sends = sends(&effects);
    assert_eq!(starting("@5 → n2 Heartbeat", &sends).len(), 1);
    assert_eq!(starting("@5 → n3 Heartbeat", &sends).len(), 1);
}

/// "Repeat during idle periods to prevent election timeouts" (Figure 2, leaders).
#[test]
fn a_leader_repeats_heartbeats_during_idle_periods() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for _ in 0..20 {
        let before = cluster.now;
        let effects = cluster.timeout(1);
        assert_eq!(cluster.now - before, Config::default().heartbeat);
        assert_eq!(sends(&effects).len(), 2, "{:?}", sends(&effects));
        assert_eq!(starting("Heartbeat", &sends(&effects)).len(), 2);
        cluster.settle();
    }
    assert_eq!(cluster.node(1).role(), Role::Leader);
}

/// "If the leader's term (included in its RPC) is at least as large as the candidate's current term,
/// then the candidate recognizes the leader as legitimate and returns to follower state".
#[test]
fn a_candidate_recognizes_a_legitimate_leader_and_returns_to_follower() {
    for role in [Role::PreCandidate, Role::Candidate] {
        for term in [4, 5] {
            for input in [heartbeat(3, term, 1, 0), append(3, term, at(2, 2), &[term], 0)] {
                let mut cluster = in_role(role);
                cluster.input(1, input);
                let node = cluster.node(1);
                assert_eq!((node.role(), node.term()), (Role::Follower, term));
                assert_eq!(node.state.leader(&node.replica), Some(NodeId(3)));
            }
        }
    }
}

/// "If the term in the RPC is smaller than the candidate's current term, then the candidate rejects
/// the RPC and continues in candidate state".
#[test]
fn a_candidate_rejects_an_older_leader_and_continues() {
    for role in [Role::PreCandidate, Role::Candidate] {
        for input in [heartbeat(3, 3, 1, 0), append(3, 3, at(2, 2), &[3], 0)] {
            let mut cluster = in_role(role);
            let effects = cluster.input(1, input);
            assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (role, 4));
            assert_eq!(cluster.node(1).log(), log(&[1, 2]));
            let answers = [sends(&effects), promises(&effects)].concat();
            assert_eq!(starting("@4 → n3", &answers).len(), 1, "the sender learns of term 4");
        }
    }
}

/// "If many followers become candidates at the same time, votes could be split … each candidate will
/// time out and start a new election by incrementing its term".
#[test]
fn a_candidate_without_a_majority_times_out_and_starts_a_new_election() {
    let mut cluster = roles::candidate(4, &[1, 2]);
    cluster.timeout(1);
    cluster.input(1, pre_vote_reply(3, 4, 5, true));
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Candidate, 5));
}

/// "Raft uses randomized election timeouts to ensure that split votes are rare". Of three nodes that
/// time out whenever they are due, one is elected, whatever the seeds.
#[test]
fn split_votes_are_resolved_quickly() {
    let mut cluster = Cluster::new(3);
    for _ in 0..40 {
        let due = (1..=3).min_by_key(|id| cluster.node(*id).state.deadline().map(|at| at.0));
        cluster.timeout(due.expect("three nodes"));
        cluster.settle();
        if (1..=3).any(|id| cluster.node(id).role() == Role::Leader) {
            return;
        }
    }
    panic!("nobody was elected");
}
