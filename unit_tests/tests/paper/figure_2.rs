//! Figure 2 and section 5.1: what is persistent, the two calls, the rules for all servers. The
//! answers are spelt as they leave: `@5` is the term that they carry.

use crate::{hard_state, in_role, starting};
use messages::{LogIndex, LogPosition, NodeId, Term};
use states::Role;
use unit_tests::inputs::{append, at, pre_vote, request_vote};
use unit_tests::notation::{promises, sends, write};
use unit_tests::roles::log;
use unit_tests::{Cluster, roles};

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

/// Nothing of an empty log: positions before the first entry.
#[test]
fn the_first_entry_follows_position_zero() {
    let mut cluster = Cluster::new(3);
    let effects = cluster.input(1, append(2, 1, LogPosition::ZERO, &[1], 0));
    assert_eq!(promises(&effects), ["@1 → n2 AppendEntriesReply matched=1"]);
}
