//! Ongaro's thesis, "Consensus: Bridging Theory and Practice" (2014): sections 4.2.3, 6.2, 6.4, 9.6.

use crate::{hard_state, starting};
use states::{Answer, Config, Decision, Micros, RequestId, Role};
use unit_tests::inputs::{at, pre_vote, pre_vote_reply, request_vote};
use unit_tests::notation::{promises, sends, write};
use unit_tests::{Cluster, inputs, roles};

/// Section 4.2.3: "if a server receives a RequestVote request within the minimum election timeout of
/// hearing from a current leader, it does not update its term or grant its vote".
#[test]
fn who_hears_a_leader_does_not_update_its_term_or_grant_its_vote() {
    let mut cluster = roles::follower(4, &[1, 2], 0);
    let minimum = Config::default().election;
    cluster.advance(Micros(minimum.0 - 1));
    for input in [request_vote(3, 9, at(9, 8)), pre_vote(3, 8, at(9, 8))] {
        let effects = cluster.input(1, input);
        assert_eq!(cluster.node(1).replica.hard_state(), hard_state(4, None));
        let answers = [sends(&effects), promises(&effects)].concat();
        assert_eq!(starting("@4 → n3", &answers).len(), 1);
        assert_eq!(starting("refused", &answers).len(), 1);
        assert_eq!(write(&effects), "");
    }
    cluster.advance(Micros(1));
    let effects = cluster.input(1, request_vote(3, 9, at(9, 8)));
    assert_eq!(promises(&effects), ["@9 → n3 RequestVoteReply answers=9 granted"]);
}

/// The same for the leader itself, while a quorum answers it.
#[test]
fn a_leader_that_hears_a_quorum_is_not_disturbed_by_a_candidate() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.advance(Micros(Config::default().election.0 - 1));
    let effects = cluster.input(1, request_vote(3, 9, at(9, 8)));
    assert_eq!(promises(&effects), ["@1 → n3 RequestVoteReply answers=9 refused"]);
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Leader, 1));
}

/// Section 6.2: "a leader in Raft steps down if an election timeout elapses without a successful
/// round of heartbeats to a majority of its cluster".
#[test]
fn a_leader_steps_down_without_a_successful_round_for_an_election_timeout() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let heard = cluster.now; // round 1 was sent and echoed now
    let effects = roles::step_down(&mut cluster, 1);
    assert_eq!(cluster.now - heard, Config::default().election);
    assert!(effects.decisions.contains(&Decision::LostQuorum));
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Follower, 1));
    assert_eq!(sends(&effects), [""; 0], "it sends no heartbeat any more");
}

/// Section 6.4, step 3: the leader's own reads that wait are refused when it steps down; they were
/// never appended, and may be asked elsewhere.
#[test]
fn reads_that_wait_are_refused_when_the_leader_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.read(1); // in a round
    cluster.read(1); // waits for the next
    let effects = cluster.input(1, inputs::echo(2, 7, 0));
    let refused = [1, 2].map(|id| (RequestId(id), Answer::NotLeader));
    assert_eq!(effects.answers, refused);
}

/// Section 9.6: "In the Pre-Vote algorithm, a candidate only increments its term if it first learns
/// from a majority of the cluster that they would be willing to grant the candidate their votes".
#[test]
fn a_term_is_incremented_only_if_a_majority_would_vote() {
    let mut cluster = Cluster::new(5);
    for _ in 0..20 {
        cluster.timeout(1); // cut off: it asks again and again
        cluster.lose(None, None);
        assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::PreCandidate, 0));
    }
    cluster.input(1, pre_vote_reply(2, 0, 1, true));
    cluster.input(1, pre_vote_reply(2, 0, 1, true));
    cluster.input(1, pre_vote_reply(3, 0, 1, false));
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::PreCandidate, 0));
    cluster.input(1, pre_vote_reply(4, 0, 1, true));
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Candidate, 1));
}

/// "The Pre-Vote algorithm solves the issue of a partitioned server disrupting the cluster when it
/// rejoins" (section 9.6).
#[test]
fn a_partitioned_server_does_not_disrupt_the_cluster_when_it_rejoins() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut(3);
    for _ in 0..50 {
        cluster.timeout(1);
        cluster.settle();
        if cluster.node(3).state.deadline() <= Some(cluster.now) {
            cluster.timeout(3);
        }
    }
    assert_eq!(cluster.node(3).role(), Role::PreCandidate);
    cluster.heal();
    cluster.timeout(3);
    cluster.settle();
    cluster.timeout(1);
    cluster.settle();
    let terms = [1, 2, 3].map(|id| cluster.node(id).term());
    assert_eq!(terms, [1, 1, 1]);
    assert_eq!(cluster.node(1).role(), Role::Leader);
    assert_eq!(cluster.node(3).role(), Role::Follower);
}
