//! One test for each rule of the paper (Ongaro, Ousterhout: "In Search of an Understandable Consensus
//! Algorithm", extended version) and of the thesis, named after the sentence that it verifies.
//! Expected values come from there, never from what the code does.

use messages::{LogIndex, LogPosition, NodeId, Term};
use states::{Answer, Config, Decision, Effects, HardState, Micros, RequestId, Role};
use unit_tests::inputs::{
    append, at, echo, heartbeat, matched, mismatched, pre_vote, pre_vote_reply, request_vote,
    vote_reply,
};
use unit_tests::notation::{promises, sends, write};
use unit_tests::roles::{self, log};
use unit_tests::{Cluster, inputs};

fn hard_state(term: u64, vote: Option<u64>) -> HardState {
    HardState { term: Term(term), voted_for: vote.map(NodeId) }
}

fn starting<'a>(with: &str, lines: &'a [String]) -> Vec<&'a str> {
    lines.iter().map(String::as_str).filter(|line| line.contains(with)).collect()
}

// Figure 2, state.

/// "Persistent state on all servers: (Updated on stable storage before responding to RPCs)".
#[test]
fn term_and_vote_are_on_stable_storage_before_the_vote_is_told() {
    let mut cluster = Cluster::new(3);
    let effects = cluster.input(1, request_vote(2, 5, at(0, 0)));
    assert_eq!(write(&effects), "term=5 vote=n2 []");
    assert_eq!(promises(&effects), ["@5 → n2 RequestVoteReply answers=5 granted"]);
    assert_eq!(sends(&effects), [""; 0]);
    assert!(cluster.queue.is_empty(), "nothing leaves before the disk is done");
    cluster.write_all(1);
    assert_eq!(cluster.queue.len(), 1);
    assert_eq!(cluster.node(1).durable_hard_state(), hard_state(5, Some(2)));
}

/// "(Updated on stable storage before responding to RPCs)": log[].
#[test]
fn entries_are_on_stable_storage_before_they_are_acknowledged() {
    let mut cluster = Cluster::new(3);
    let effects = cluster.input(1, append(2, 1, at(0, 0), &[1, 1], 0));
    assert_eq!(write(&effects), "term=1 vote=none [1@1 2@1]");
    assert_eq!(promises(&effects), ["@1 → n2 AppendEntriesReply matched=2"]);
    assert!(cluster.queue.is_empty(), "nothing leaves before the disk is done");
    let repeated = cluster.input(1, append(2, 1, at(0, 0), &[1, 1], 0));
    assert_eq!(write(&repeated), "", "it is on its way to the disk");
    assert!(cluster.queue.is_empty(), "an answer without a write of its own waits as well");
    cluster.write_one(1);
    assert_eq!(cluster.node(1).durable_log(), log(&[1, 1]));
    assert_eq!(cluster.queue.len(), 1);
}

/// A vote survives a crash, so that none is given twice.
#[test]
fn a_restarted_server_votes_for_no_other_candidate_in_the_same_term() {
    let mut cluster = Cluster::new(3);
    cluster.input(1, request_vote(2, 5, at(0, 0)));
    cluster.write_all(1);
    cluster.restart(1);
    let effects = cluster.input(1, request_vote(3, 5, at(9, 4)));
    assert_eq!(promises(&effects), ["@5 → n3 RequestVoteReply answers=5 refused"]);
    let effects = cluster.input(1, request_vote(2, 5, at(0, 0)));
    assert_eq!(promises(&effects), ["@5 → n2 RequestVoteReply answers=5 granted"]);
}

// Figure 2, AppendEntries.

/// "1. Reply false if term < currentTerm".
#[test]
fn append_entries_of_an_older_term_is_refused() {
    let mut cluster = roles::follower(3, &[1, 3], 0);
    let effects = cluster.input(1, append(3, 2, at(2, 3), &[2], 2));
    assert_eq!(starting("@3 → n3 AppendEntriesReply mismatched", &promises(&effects)).len(), 1);
    assert_eq!(write(&effects), "");
    assert_eq!(cluster.node(1).log(), log(&[1, 3]));
    assert_eq!(cluster.node(1).commit(), 0);
    assert_eq!(cluster.node(1).state.leader(&cluster.node(1).replica), Some(NodeId(2)));
}

/// "2. Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm".
#[test]
fn append_entries_that_builds_on_what_is_missing_is_refused() {
    let mut cluster = roles::follower(3, &[1, 1, 3], 0);
    for (previous, try_at) in [(at(5, 3), "3@3"), (at(3, 2), "2@1"), (at(2, 3), "2@1")] {
        let effects = cluster.input(1, append(2, 3, previous, &[3], 9));
        let expected =
            format!("@3 → n2 AppendEntriesReply mismatched={} try={try_at}", previous.index);
        assert_eq!(promises(&effects), [expected]);
        assert_eq!(cluster.node(1).log(), log(&[1, 1, 3]));
        assert_eq!(cluster.node(1).commit(), 0);
    }
}

/// "3. If an existing entry conflicts with a new one (same index but different terms), delete the
/// existing entry and all that follow it".
#[test]
fn a_conflicting_entry_and_all_that_follow_it_are_deleted() {
    let mut cluster = roles::follower(2, &[1, 1, 2, 2, 2], 2);
    let effects = cluster.input(1, append(3, 3, at(2, 1), &[3], 2));
    assert_eq!(write(&effects), "term=3 vote=none [3@3]");
    cluster.write_all(1);
    assert_eq!(cluster.node(1).log(), log(&[1, 1, 3]));
    assert_eq!(cluster.node(1).durable_log(), log(&[1, 1, 3]));
}

/// "4. Append any new entries not already in the log": what is there already stays, and so does what
/// lies behind it, for a message may be late (section 5.3: RPCs are idempotent).
#[test]
fn only_entries_not_already_in_the_log_are_appended() {
    let mut cluster = roles::follower(2, &[1, 2, 2, 2], 0);
    let effects = cluster.input(1, append(2, 2, at(1, 1), &[2], 0));
    assert_eq!(promises(&effects), ["@2 → n2 AppendEntriesReply matched=2"]);
    assert_eq!((write(&effects), cluster.node(1).log()), (String::new(), log(&[1, 2, 2, 2])));
    let effects = cluster.input(1, append(2, 2, at(1, 1), &[], 0));
    assert_eq!(promises(&effects), ["@2 → n2 AppendEntriesReply matched=1"]);
    assert_eq!(cluster.node(1).log(), log(&[1, 2, 2, 2]));
    let effects = cluster.input(1, append(2, 2, at(2, 2), &[2, 2, 2], 0));
    assert_eq!(promises(&effects), ["@2 → n2 AppendEntriesReply matched=5"]);
    assert_eq!(write(&effects), "term=2 vote=none [5@2]");
}

/// "5. If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)".
#[test]
fn commit_index_is_the_least_of_leader_commit_and_last_new_entry() {
    // Entries 3 to 5 are of an older leader: what this message does not prove to match may yet be
    // replaced.
    let mut cluster = roles::follower(2, &[1, 1, 2, 2, 2], 0);
    let effects = cluster.input(1, append(3, 3, at(1, 1), &[1], 5));
    assert_eq!(effects.commit, Some(LogIndex(2)));
    let effects = cluster.input(1, append(3, 3, at(2, 1), &[3, 3], 3));
    assert_eq!(effects.commit, Some(LogIndex(3)));
    let effects = cluster.input(1, append(3, 3, at(1, 1), &[1], 1));
    assert_eq!(effects.commit, None, "the commit index never falls");
    assert_eq!(cluster.node(1).commit(), 3);
}

// Figure 2, RequestVote.

/// "1. Reply false if term < currentTerm".
#[test]
fn request_vote_of_an_older_term_is_refused() {
    let mut cluster = roles::follower(3, &[1], 0);
    roles::silence(&mut cluster);
    let effects = cluster.input(1, request_vote(3, 2, at(9, 2)));
    assert_eq!(promises(&effects), ["@3 → n3 RequestVoteReply answers=2 refused"]);
    assert_eq!(cluster.node(1).replica.hard_state(), hard_state(3, None));
}

/// "2. If votedFor is null or candidateId, and candidate's log is at least as up-to-date as
/// receiver's log, grant vote". "If the logs have last entries with different terms, then the log
/// with the later term is more up-to-date. If the logs end with the same term, then whichever log is
/// longer is more up-to-date" (section 5.4.1).
#[test]
fn the_vote_is_granted_to_a_log_at_least_as_up_to_date() {
    for (last, granted) in [
        (at(3, 2), true),  // the same
        (at(4, 2), true),  // longer
        (at(2, 2), false), // shorter
        (at(1, 3), true),  // a later term, however short
        (at(9, 1), false), // an earlier term, however long
        (at(0, 0), false),
    ] {
        let mut cluster = roles::follower(3, &[1, 2, 2], 0);
        roles::silence(&mut cluster);
        let effects = cluster.input(1, request_vote(3, 4, last));
        let word = if granted { "granted" } else { "refused" };
        let expected = format!("@4 → n3 RequestVoteReply answers=4 {word}");
        assert_eq!(promises(&effects), [expected], "candidate's log ends at {last}");
        let vote = granted.then_some(3);
        assert_eq!(cluster.node(1).replica.hard_state(), hard_state(4, vote));

        let mut cluster = roles::follower(3, &[1, 2, 2], 0);
        roles::silence(&mut cluster);
        let effects = cluster.input(1, pre_vote(3, 3, last));
        let expected = format!("@3 → n3 PreVoteReply proposed=4 {word}");
        assert_eq!(sends(&effects), [expected], "pre-candidate's log ends at {last}");
    }
}

/// "Each server will vote for at most one candidate in a given term, on a first-come-first-served
/// basis" (section 5.2).
#[test]
fn each_server_votes_for_at_most_one_candidate_in_a_given_term() {
    let mut cluster = Cluster::new(3);
    cluster.input(1, request_vote(2, 1, at(0, 0)));
    let effects = cluster.input(1, request_vote(3, 1, at(0, 0)));
    assert_eq!(promises(&effects), ["@1 → n3 RequestVoteReply answers=1 refused"]);
    let effects = cluster.input(1, request_vote(2, 1, at(0, 0)));
    assert_eq!(
        promises(&effects),
        ["@1 → n2 RequestVoteReply answers=1 granted"],
        "a repeated call"
    );
    let effects = cluster.input(1, request_vote(3, 2, at(0, 0)));
    assert_eq!(promises(&effects), ["@2 → n3 RequestVoteReply answers=2 granted"], "a new term");
}

// Figure 2, rules for all servers; section 5.1.

/// "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
/// follower", in every role and for every message.
#[test]
fn any_message_of_a_higher_term_makes_a_follower_of_that_term() {
    for role in [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader] {
        for input in roles::every_message(9) {
            let mut cluster = in_role(role);
            roles::silence(&mut cluster); // nobody hears a leader or a quorum
            let effects = cluster.input(1, input.clone());
            assert_eq!(cluster.node(1).role(), Role::Follower, "{role:?} got {input:?}");
            assert_eq!(cluster.node(1).term(), 9, "{role:?} got {input:?}");
            let hard_state = effects.write.expect("the new term must last").hard_state;
            assert_eq!(hard_state.term, Term(9));
            // Voted in no earlier term counts: only a request of this term may have got the vote.
            let asked_for_vote = matches!(
                input,
                states::Input::Message { message: messages::Message::RequestVote(_), .. }
            );
            let may_vote = asked_for_vote && cluster.node(1).log().is_empty();
            assert_eq!(hard_state.voted_for.is_some(), may_vote, "{role:?} got {input:?}");
        }
    }
}

/// "If a server receives a request with a stale term number, it rejects the request" (section 5.1):
/// nothing changes, and every request is answered with the present term.
#[test]
fn a_request_with_a_stale_term_number_is_rejected() {
    for role in [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader] {
        for input in roles::every_message(1) {
            let mut cluster = in_role(role);
            roles::silence(&mut cluster);
            cluster.write_all(1);
            let before = cluster.node(1).clone();
            let effects = cluster.input(1, input.clone());
            let after = cluster.node(1);
            assert_eq!(after.role(), before.role(), "{role:?} got {input:?}");
            assert_eq!(after.replica.hard_state(), before.replica.hard_state());
            assert_eq!((after.log(), after.commit()), (before.log(), before.commit()));
            let states::Input::Message { message, .. } = &input else { unreachable!() };
            let answers: Vec<String> = [sends(&effects), promises(&effects)].concat();
            let expected = usize::from(!message.is_reply());
            let replies = starting("@4 → n2", &answers).into_iter().filter(|l| l.contains("Reply"));
            assert_eq!(replies.count(), expected, "{role:?} got {input:?}: {answers:?}");
        }
    }
}

/// n1 in this role, in term 4, with a log that ends at 2@2 (a leader's: at its blank, 3@4).
fn in_role(role: Role) -> Cluster {
    match role {
        Role::Follower => roles::follower(4, &[1, 2], 0),
        Role::PreCandidate => roles::pre_candidate(4, &[1, 2]),
        Role::Candidate => roles::candidate(4, &[1, 2]),
        Role::Leader => roles::leader(4, &[1, 2]),
    }
}

// Section 5.2.

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

// Section 5.3.

/// "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in
/// parallel to each of the other servers to replicate the entry".
#[test]
fn the_leader_appends_a_command_and_sends_it_to_all() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let effects = cluster.propose(1, 10, None);
    assert_eq!(write(&effects), "term=1 vote=n1 [2@1]");
    let expected = [
        "@1 → n2 AppendEntries prev=1@1 [2@1] commit=1",
        "@1 → n3 AppendEntries prev=1@1 [2@1] commit=1",
    ];
    assert_eq!(sends(&effects), expected);
    assert_eq!(effects.answers, [(RequestId(1), Answer::Appended(at(2, 1)))]);
    assert_eq!(effects.commit, None);
}

/// "A log entry is committed once the leader that created the entry has replicated it on a majority
/// of the servers": on itself durably, like on the others.
#[test]
fn an_entry_is_committed_once_a_majority_holds_it() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.propose(1, 10, None);
    assert_eq!(cluster.input(1, matched(2, 1, 2)).commit, None, "one of five");
    assert_eq!(cluster.input(1, matched(3, 1, 2)).commit, None, "two; its own is not written");
    assert_eq!(cluster.write_one(1).commit, Some(LogIndex(2)), "three");
}

/// "The leader keeps track of the highest index it knows to be committed, and it includes that index
/// in future AppendEntries RPCs (including heartbeats) so that the other servers eventually find out".
#[test]
fn followers_learn_of_the_commit_index() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, 10, None);
    cluster.settle();
    cluster.timeout(1);
    cluster.settle();
    for id in 1..=3 {
        assert_eq!(cluster.node(id).commit(), 2);
    }
}

/// "If followers crash or run slowly, or if network packets are lost, the leader retries
/// AppendEntries RPCs indefinitely".
#[test]
fn the_leader_retries_append_entries_indefinitely() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut(3);
    cluster.propose(1, 10, None);
    cluster.settle();
    for _ in 0..100 {
        cluster.timeout(1);
        cluster.settle();
    }
    assert_eq!(cluster.node(3).log(), log(&[1]));
    cluster.heal();
    cluster.timeout(1);
    cluster.settle();
    assert_eq!(cluster.node(3).log(), log(&[1, 1]));
}

/// "After a rejection, the leader decrements nextIndex and retries the AppendEntries RPC. Eventually
/// nextIndex will reach a point where the leader and follower logs match"; by terms, "one
/// AppendEntries RPC will be required for each term with conflicting entries, rather than one RPC
/// per entry".
#[test]
fn after_a_rejection_the_leader_goes_back_and_retries() {
    let (mut cluster, effects) = roles::elected(5, &[1, 1, 2, 2, 4, 4]);
    let first = "@5 → n3 AppendEntries prev=6@4 [7@5] commit=0";
    assert_eq!(starting("n3 AppendEntries", &sends(&effects)), [first]);
    // n3's log is 1 1 1 3 3: its last of a term not above 4, at or before 6, is 5@3. The leader's
    // last of a term not above 3, at or before 5, is 4@2.
    let effects = cluster.input(1, mismatched(3, 5, 6, at(5, 3)));
    let second = "@5 → n3 AppendEntries prev=4@2 [5@4 6@4 7@5] commit=0";
    assert_eq!(sends(&effects), [second]);
    // At 4 it holds 3, at or before 4 and not above term 2 it has 3@1; the leader has 2@1.
    let effects = cluster.input(1, mismatched(3, 5, 4, at(3, 1)));
    let third = "@5 → n3 AppendEntries prev=2@1 [3@2 4@2 5@4 6@4 7@5] commit=0";
    assert_eq!(sends(&effects), [third]);
    // "If successful: update nextIndex and matchIndex for follower" (Figure 2, leaders).
    cluster.input(1, matched(3, 5, 7));
    assert_eq!(cluster.node(1).state.matched(NodeId(3)), Some(LogIndex(7)));
    let effects = cluster.propose(1, 1, None);
    let next = "@5 → n3 AppendEntries prev=7@5 [8@5] commit=0";
    assert_eq!(starting("n3 AppendEntries", &sends(&effects)), [next]);
}

/// "A leader never overwrites or deletes entries in its own log" (Figure 3, Leader Append-Only).
#[test]
fn a_leader_never_overwrites_or_deletes_entries_in_its_own_log() {
    let mut cluster = roles::leader(5, &[1, 2]);
    for input in [append(3, 5, at(0, 0), &[5, 5, 5, 5], 4), heartbeat(3, 5, 7, 3)] {
        let effects = cluster.input(1, input);
        let dropped = Decision::Impossible(NodeId(3), "two leaders in one term");
        assert_eq!(effects.decisions, [dropped]);
        assert_eq!(cluster.node(1).log(), log(&[1, 2, 5]));
        assert_eq!(cluster.node(1).role(), Role::Leader);
    }
}

/// "Figure 7: When the leader at the top comes to power, it is possible that any of scenarios (a-f)
/// could occur in follower logs." All six at once: n1 leads, n2 to n7 are (a) to (f).
#[test]
fn figure_7() {
    let top = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [(u64, u64, &[u64]); 6] = [
        (2, 6, &[1, 1, 1, 4, 4, 5, 5, 6, 6]), // (a) misses an entry
        (3, 4, &[1, 1, 1, 4]),                // (b) misses many
        (4, 6, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]), // (c) has one too many
        (5, 7, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]), // (d) has two of a later term
        (6, 4, &[1, 1, 1, 4, 4, 4, 4]),       // (e) both misses and has too many
        (7, 3, &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]), // (f) led twice and told nobody
    ];
    let mut cluster = Cluster::new(7);
    roles::follow(&mut cluster, 1, 6, &top, 0);
    for (id, term, terms) in followers {
        roles::follow(&mut cluster, id, term, terms, 0);
    }
    roles::silence(&mut cluster);
    cluster.input(1, request_vote(5, 7, at(3, 1))); // n1 hears of term 7, in which (d) led
    cluster.write_all(1);
    cluster.lose(None, None);
    cluster.timeout(1);
    cluster.deliver(Some(1), None);
    cluster.deliver(None, Some(1));
    cluster.write_all(1);
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Candidate, 8));
    cluster.deliver(Some(1), None);
    (2..=7).for_each(|id| cluster.write_all(id));

    // (c) ends at 11@6 and (d) at 12@7, both more up-to-date than 10@6: the other four vote for it.
    for id in 2..=7 {
        let vote = if id == 4 || id == 5 { None } else { Some(1) };
        assert_eq!(cluster.node(id).replica.hard_state(), hard_state(8, vote), "n{id}");
    }
    cluster.take_trace();
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    let trace = cluster.take_trace();
    cluster.timeout(1); // a heartbeat tells the commit index
    cluster.settle();
    let leaders = log(&[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]);
    for id in 1..=7 {
        assert_eq!(cluster.node(id).log(), leaders, "n{id}");
        assert_eq!(cluster.node(id).durable_log(), leaders, "n{id}");
        assert_eq!(cluster.node(id).commit(), 11, "n{id}");
    }
    // Each conflicts with the leader in one stretch at most: one refusal, whatever its length.
    for (id, refusals) in [(2, 1), (3, 1), (4, 0), (5, 0), (6, 1), (7, 1)] {
        let line = format!("n1@8 leader ← n{id}@8 AppendEntriesReply mismatched");
        assert_eq!(trace.matches(&line).count(), refusals, "n{id}");
    }
}

// Section 5.4.

/// "Figure 8: A time sequence showing why a leader cannot determine commitment using log entries
/// from older terms." The entry "2" of the figure is a blank and a command here, 2@2 and 3@2, for a
/// leader of today begins with a blank.
mod figure_8 {
    use super::*;

    /// (a) "S1 is leader and partially replicates the log entry at index 2": to S2.
    fn a() -> Cluster {
        let mut cluster = Cluster::with(5, roles::one_entry_at_a_time());
        cluster.elect(1); // term 1: 1@1, everywhere
        while cluster.node(1).role() == Role::Leader {
            cluster.timeout(1);
            cluster.lose(None, None);
        }
        roles::silence(&mut cluster);
        cluster.timeout(1);
        cluster.deliver(None, None); // PreVote
        cluster.deliver(None, None); // the answers
        cluster.write_all(1);
        cluster.deliver(None, None); // RequestVote
        (2..=5).for_each(|id| cluster.write_all(id));
        cluster.deliver(None, None);
        [3, 4, 5].into_iter().for_each(|id| cluster.cut(id));
        assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Leader, 2));
        cluster.propose(1, 5000, None);
        cluster.settle();
        assert_eq!(cluster.node(1).log(), log(&[1, 2, 2]));
        assert_eq!(cluster.node(2).log(), log(&[1, 2, 2]));
        (3..=5).for_each(|id| assert_eq!(cluster.node(id).log(), log(&[1])));
        assert_eq!(cluster.node(1).commit(), 1);
        cluster.heal();
        cluster
    }

    /// (b) "S1 crashes; S5 is elected leader for term 3 with votes from S3, S4, and itself, and
    /// accepts a different entry at log index 2."
    fn b() -> Cluster {
        let mut cluster = a();
        cluster.crash(1);
        cluster.cut(2);
        roles::silence(&mut cluster);
        cluster.timeout(5);
        for _ in 0..4 {
            cluster.deliver(None, None);
            (3..=5).for_each(|id| cluster.write_all(id));
            if cluster.node(5).role() == Role::Leader {
                break;
            }
        }
        assert_eq!((cluster.node(5).role(), cluster.node(5).term()), (Role::Leader, 3));
        cluster.lose(None, None); // what it tells of its entry is lost
        cluster.write_all(5);
        assert_eq!(cluster.node(5).durable_log(), log(&[1, 3]));
        cluster.heal();
        cluster
    }

    /// (c) "S5 crashes; S1 restarts, is elected leader, and continues replication. At this point, the
    /// log entry from term 2 has been replicated on a majority of the servers, but it is not
    /// committed."
    fn c() -> Cluster {
        let mut cluster = b();
        cluster.crash(5);
        cluster.restart(1);
        assert_eq!(cluster.node(1).log(), log(&[1, 2, 2]));
        cluster.cut(4);
        for _ in 0..2 {
            roles::silence(&mut cluster);
            cluster.timeout(1); // the first time it only learns of term 3
            for _ in 0..3 {
                cluster.deliver(Some(1), None);
                (1..=3).for_each(|id| cluster.write_all(id));
                cluster.deliver(None, Some(1));
                cluster.write_all(1);
                if cluster.node(1).role() == Role::Leader {
                    break;
                }
            }
        }
        assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Leader, 4));
        assert_eq!(cluster.node(1).durable_log(), log(&[1, 2, 2, 4]));
        for _ in 0..10 {
            if cluster.node(1).state.matched(NodeId(3)) == Some(LogIndex(3)) {
                break;
            }
            cluster.deliver(Some(1), Some(3));
            cluster.write_all(3);
            cluster.deliver(Some(3), Some(1));
        }
        cluster
    }

    #[test]
    fn an_older_terms_entry_on_a_majority_is_not_committed() {
        let mut cluster = c();
        // S2 tells what it holds of the older term, and no more yet.
        cluster.input(1, matched(2, 4, 3));
        for id in 1..=3 {
            assert_eq!(cluster.node(id).log()[..3], log(&[1, 2, 2]), "S{id}");
        }
        let voters_with_it = [2, 3].map(|id| cluster.node(1).state.matched(NodeId(id)));
        assert_eq!(voters_with_it, [Some(LogIndex(3)); 2], "with S1 that is three of five");
        assert_eq!(cluster.node(1).commit(), 0, "restarted, and nothing of term 4 on a majority");
    }

    /// (d) "If S1 crashes as in (d), S5 could be elected leader (with votes from S2, S3, and S4) and
    /// overwrite the entry with its own entry from term 3."
    #[test]
    fn d_the_older_terms_entry_is_overwritten() {
        let mut cluster = c();
        cluster.input(1, matched(2, 4, 3));
        cluster.lose(Some(1), None); // 4@4 reaches nobody
        cluster.crash(1);
        cluster.restart(5);
        cluster.heal();
        for _ in 0..2 {
            roles::silence(&mut cluster);
            cluster.timeout(5); // the first time it only learns of term 4
            cluster.settle();
        }
        assert_eq!(cluster.node(5).role(), Role::Leader);
        assert_eq!(cluster.node(5).term(), 5);
        for id in 2..=5 {
            assert_eq!(cluster.node(id).log(), log(&[1, 3, 5]), "S{id}");
        }
        assert_eq!(cluster.node(5).commit(), 3);
    }

    /// (e) "However, if S1 replicates an entry from its current term on a majority of the servers
    /// before crashing, as in (e), then this entry is committed (S5 cannot win an election). At this
    /// point all preceding entries in the log are committed as well."
    #[test]
    fn e_with_an_entry_of_its_own_term_all_before_it_is_committed() {
        let mut cluster = c();
        cluster.settle(); // S2 and S3 take 4@4
        assert_eq!(cluster.node(1).commit(), 4);
        cluster.crash(1);
        cluster.restart(5);
        cluster.heal();
        for _ in 0..10 {
            roles::silence(&mut cluster);
            cluster.timeout(5);
            cluster.settle();
            assert_ne!(cluster.node(5).role(), Role::Leader, "S2 and S3 are more up-to-date");
        }
    }
}

/// "Raft never commits log entries from previous terms by counting replicas. Only log entries from
/// the leader's current term are committed by counting replicas; once an entry from the current term
/// has been committed in this way, then all prior entries are committed indirectly" (section 5.4.2).
#[test]
fn only_entries_of_the_current_term_are_committed_by_counting() {
    let mut cluster = roles::leader(4, &[1, 2, 2]);
    assert_eq!(cluster.input(1, matched(2, 4, 3)).commit, None);
    assert_eq!(cluster.input(1, matched(3, 4, 3)).commit, None, "3@2 is on all three");
    assert_eq!(cluster.input(1, matched(2, 4, 4)).commit, Some(LogIndex(4)), "4@4, and all before");
}

// Section 8.

/// "Raft handles this by having each leader commit a blank no-op entry into the log at the start of
/// its term".
#[test]
fn each_leader_appends_a_blank_entry_at_the_start_of_its_term() {
    let (cluster, effects) = roles::elected(5, &[1, 3]);
    let written = effects.write.expect("the blank entry");
    assert_eq!(written.entries.len(), 1);
    assert_eq!(written.entries[0].position, at(3, 5));
    assert_eq!(written.entries[0].payload, messages::Payload::Blank);
    assert_eq!(cluster.node(1).log(), log(&[1, 3, 5]));
}

/// "First, a leader must have the latest information on which entries are committed": no read before
/// the blank entry is. "Second, a leader must check whether it has been deposed before processing a
/// read-only request … by having the leader exchange heartbeat messages with a majority of the
/// cluster before responding".
#[test]
fn a_read_waits_for_the_blank_entry_and_for_a_majority_of_echoes() {
    let mut cluster = roles::leader(4, &[1, 2]); // round 1 is out, nobody has echoed
    let effects = cluster.read(1);
    assert_eq!((sends(&effects), effects.answers), (vec![], vec![]), "it knows of no commit");
    let effects = cluster.input(1, echo(2, 4, 1));
    assert_eq!(effects.answers, [], "the blank entry is not committed");
    let effects = cluster.input(1, matched(2, 4, 3));
    assert_eq!(effects.commit, Some(LogIndex(3)));
    assert_eq!(effects.answers, [], "who knows whether it still leads?");
    assert_eq!(starting("Heartbeat round=2", &sends(&effects)).len(), 2);
    let effects = cluster.input(1, echo(3, 4, 1));
    assert_eq!(effects.answers, [], "an echo of the round before the read");
    let effects = cluster.input(1, echo(3, 4, 2));
    assert_eq!(effects.answers, [(RequestId(1), Answer::ReadAt(LogIndex(3)))]);
}

/// Five servers: two echoes and the leader itself are a majority, one echo twice is not.
#[test]
fn a_read_counts_distinct_echoes() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.read(1);
    assert_eq!(cluster.input(1, echo(2, 1, 2)).answers, []);
    assert_eq!(cluster.input(1, echo(2, 1, 2)).answers, []);
    let effects = cluster.input(1, echo(3, 1, 2));
    assert_eq!(effects.answers, [(RequestId(1), Answer::ReadAt(LogIndex(1)))]);
}

// The thesis.

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
    let mut effects = Effects::default();
    while cluster.node(1).role() == Role::Leader {
        effects = cluster.timeout(1);
        cluster.lose(None, None);
    }
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

/// Nothing of an empty log: positions before the first entry.
#[test]
fn the_first_entry_follows_position_zero() {
    let mut cluster = Cluster::new(3);
    let effects = cluster.input(1, append(2, 1, LogPosition::ZERO, &[1], 0));
    assert_eq!(promises(&effects), ["@1 → n2 AppendEntriesReply matched=1"]);
}
