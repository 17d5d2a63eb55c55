//! Section 5.3, log replication, with Figure 7.

use crate::{hard_state, starting};
use messages::{LogIndex, NodeId};
use states::{Answer, Decision, RequestId, Role};
use unit_tests::inputs::{append, at, heartbeat, matched, mismatched, request_vote};
use unit_tests::notation::{sends, write};
use unit_tests::roles::log;
use unit_tests::{Cluster, roles};

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
