//! Tables: quorums, the log's accounts, a follower's progress as its leader sees it, and the log
//! clock. Expected values are counted by hand or by the definition, spelt out plainly.

use std::collections::BTreeSet;

use messages::{Entry, LogIndex, LogPosition, Message, NodeId, RequestVoteReply, Term};
use states::{Config, Effects, Input, Log, RequestId, Time, Turn, WallTime, WriteId, quorum};
use unit_tests::inputs::{at, entry, matched, mismatched, pre_vote_reply};
use unit_tests::notation::sends;
use unit_tests::{Cluster, Node, inputs, roles};

fn voters(count: u64) -> BTreeSet<NodeId> {
    (1..=count).map(NodeId).collect()
}

#[test]
fn a_majority_is_more_than_half() {
    let majorities = [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (8, 5), (9, 5)];
    for (count, majority) in majorities {
        assert_eq!(quorum::majority(count), majority, "of {count}");
        for agree in 0..=count as u64 {
            let has = quorum::has_majority(&voters(count as u64), |voter| voter.0 <= agree);
            assert_eq!(has, agree as usize >= majority, "{agree} of {count}");
            let strangers = quorum::has_majority(&voters(count as u64), |voter| voter.0 > 9);
            assert!(!strangers, "who does not vote does not count");
        }
    }
    assert!(!quorum::has_majority(&BTreeSet::new(), |_| true), "nobody decides nothing");
}

/// Any two majorities share a node: what all else rests on (paper, section 5.4.3).
#[test]
fn any_two_majorities_intersect() {
    for count in 1..=9_u32 {
        let is_majority = |set: &u32| set.count_ones() as usize >= quorum::majority(count as usize);
        let majorities: Vec<u32> = (0..1 << count).filter(is_majority).collect();
        assert!(majorities.iter().all(|a| majorities.iter().all(|b| a & b != 0)), "of {count}");
        assert!((0..1_u32 << count).any(|set| is_majority(&set)), "of {count}");
    }
}

/// The definition: the highest value such that more than half of the voters are at or above it.
#[test]
fn reached_is_what_more_than_half_have_reached() {
    let table: [(&[u64], u64); 12] = [
        (&[7], 7),
        (&[3, 9], 3),
        (&[5, 1, 9], 5),
        (&[9, 9, 1], 9),
        (&[0, 0, 9], 0),
        (&[1, 2, 3, 4], 2),
        (&[4, 4, 4, 0], 4),
        (&[1, 2, 3, 4, 5], 3),
        (&[5, 5, 0, 0, 5], 5),
        (&[1, 2, 3, 4, 5, 6], 3),
        (&[1, 2, 3, 4, 5, 6, 7, 8], 4),
        (&[9, 1, 8, 2, 7, 3, 6, 4, 5], 5),
    ];
    for (values, expected) in table {
        let value_of = |voter: NodeId| LogIndex(values[voter.0 as usize - 1]);
        let reached = quorum::reached(&voters(values.len() as u64), value_of);
        assert_eq!(reached, LogIndex(expected), "{values:?}");
    }
    assert_eq!(quorum::reached(&BTreeSet::new(), |_| LogIndex(9)), LogIndex(0));
}

fn a_log(terms: &[u64]) -> Log {
    Log::recovered(roles::log(terms).into_iter().map(|position| entry(position, 1)).collect())
}

#[test]
fn the_last_position_not_above_another() {
    let log = a_log(&[1, 1, 2, 2, 4, 4]);
    for (above, expected) in [
        (at(6, 4), at(6, 4)),
        (at(6, 3), at(4, 2)),
        (at(6, 2), at(4, 2)),
        (at(6, 1), at(2, 1)),
        (at(6, 0), LogPosition::ZERO),
        (at(5, 9), at(5, 4)),
        (at(3, 3), at(3, 2)),
        (at(1, 9), at(1, 1)),
        (at(0, 9), LogPosition::ZERO),
        (at(99, 9), at(6, 4)),
        (at(u64::MAX, u64::MAX), at(6, 4)),
    ] {
        assert_eq!(log.last_not_above(above), expected, "not above {above}");
    }
    assert_eq!(a_log(&[]).last_not_above(at(3, 3)), LogPosition::ZERO);
}

#[test]
fn a_log_holds_its_positions_and_zero() {
    let log = a_log(&[1, 1, 2]);
    for (position, holds) in [
        (at(0, 0), true),
        (at(1, 1), true),
        (at(3, 2), true),
        (at(3, 1), false),
        (at(4, 2), false),
        (at(0, 1), false),
        (at(u64::MAX, 2), false),
    ] {
        assert_eq!(log.holds(position), holds, "{position}");
    }
}

/// A slice is limited in bytes, but a single entry always goes. An entry here is 35 bytes: its
/// command of three, like `1@1`, and 32 for what surrounds it.
#[test]
fn a_slice_is_limited_in_bytes_and_never_empty() {
    let log = a_log(&[1, 1, 1, 1]);
    for (first, bytes, count) in [
        (1, 0, 1),
        (1, 34, 1),
        (1, 69, 1),
        (1, 70, 2),
        (1, 104, 2),
        (1, 105, 3),
        (1, usize::MAX, 4),
        (3, usize::MAX, 2),
        (4, 0, 1),
        (5, usize::MAX, 0),
        (99, 0, 0),
    ] {
        let slice: Vec<&Entry> = log.slice(LogIndex(first), bytes).collect();
        assert_eq!(slice.len(), count, "from {first}, {bytes} bytes");
        let starts_there = slice.first().is_none_or(|entry| entry.position.index.0 == first);
        assert!(starts_there);
    }
}

/// What a log counts as durable, step by step: `durable ≤ handed out ≤ last`, and an
/// acknowledgement counts only for entries that still stand as they were written.
#[test]
fn only_what_stands_as_it_was_written_is_durable() {
    enum Step {
        Append(LogPosition),
        Truncate(u64),
        /// A write of so many entries.
        HandOut(u64, usize),
        Written(u64),
    }
    use Step::*;
    let steps = [
        (Append(at(1, 1)), 0),
        (Append(at(2, 1)), 0),
        (HandOut(1, 2), 0),
        (Append(at(3, 1)), 0),
        (Written(1), 2),    // 3@1 was never handed out
        (HandOut(2, 1), 2), // 3@1
        (Append(at(4, 1)), 2),
        (HandOut(3, 1), 2), // 4@1
        (Truncate(3), 2),   // both are gone
        (Append(at(3, 2)), 2),
        (HandOut(4, 1), 2), // 3@2
        (Append(at(4, 2)), 2),
        (Written(2), 2),    // of what was 3@1
        (Written(3), 2),    // of what was 4@1
        (HandOut(5, 1), 2), // 4@2
        (Written(4), 3),
        (Written(4), 3), // again
        (Written(5), 4),
        (Truncate(2), 1), // what was durable is so no longer
        (Append(at(2, 3)), 1),
        (Append(at(3, 3)), 1),
        (Truncate(3), 1), // gone before it was handed out
        (Append(at(3, 4)), 1),
        (HandOut(6, 2), 1), // 2@3 3@4
        (HandOut(7, 0), 1), // a vote alone
        (Written(7), 3),    // and all before it
    ];
    let mut log = Log::default();
    for (number, (step, durable)) in steps.into_iter().enumerate() {
        match step {
            Append(position) => log.append(entry(position, 1)),
            Truncate(first) => log.truncate(LogIndex(first)),
            HandOut(id, count) => assert_eq!(log.hand_out(WriteId(id)).len(), count),
            Written(id) => log.written(WriteId(id)),
        }
        assert_eq!(log.durable(), LogIndex(durable), "after step {number}");
    }
}

/// n3's progress, as n1 sees it in term 5 with the log 1 1 2 2 4 4 and its blank 7@5: what comes
/// from n3, what goes to it at once, and how far it is known to match.
#[test]
fn progress() {
    let probe = |previous: &str, entries: &str| {
        vec![format!("@5 → n3 AppendEntries prev={previous} [{entries}] commit=0")]
    };
    let nothing = Vec::<String>::new;
    let stale = || mismatched(3, 5, 6, at(4, 2));
    let table = vec![
        (stale(), probe("4@2", "5@4 6@4 7@5"), 0),
        (stale(), nothing(), 0), // the same refusal again
        (mismatched(3, 5, 2, at(1, 1)), nothing(), 0), // of something never asked
        (matched(3, 5, 0), nothing(), 0), // says nothing
        (mismatched(3, 5, 4, at(9, 9)), probe("3@2", "4@2 5@4 6@4 7@5"), 0), // a lie, but a refusal
        (mismatched(3, 5, 3, at(0, 0)), probe("0@0", "1@1 2@1 3@2 4@2 5@4 6@4 7@5"), 0),
        (mismatched(3, 5, 0, at(0, 0)), nothing(), 0), // nobody can refuse zero
        (matched(3, 5, 7), nothing(), 7),
        (matched(3, 5, 5), nothing(), 7),              // late
        (mismatched(3, 5, 6, at(1, 1)), nothing(), 7), // late: it holds that by now
        (matched(3, 5, 8), nothing(), 7),              // beyond the log
    ];
    let mut cluster = roles::leader(5, &[1, 1, 2, 2, 4, 4]);
    for (number, (input, expected, known)) in table.into_iter().enumerate() {
        let effects = cluster.input(1, input);
        let sends: Vec<String> = sends(&effects).into_iter().filter(|s| s.contains("n3")).collect();
        assert_eq!(sends, expected, "step {number}");
        let matched = cluster.node(1).state.matched(NodeId(3));
        assert_eq!(matched, Some(LogIndex(known)), "step {number}");
    }
}

/// The window is limited in messages and in bytes, whichever is full first.
#[test]
fn the_window_is_limited_in_messages_and_bytes() {
    let bytes_in_flight = |messages, bytes, count: usize| {
        let config = Config {
            window_messages: messages,
            window_bytes: bytes,
            append_bytes: 1,
            ..Config::default()
        };
        let mut cluster = Cluster::with(3, config);
        cluster.elect(1);
        let appended = |effects: Effects| {
            let to_n3 = |send: &&(NodeId, Term, Message)| {
                send.0 == NodeId(3) && matches!(send.2, Message::AppendEntries(_))
            };
            effects.sends.iter().filter(to_n3).count()
        };
        (0..count).map(|_| appended(cluster.propose(1, 100, None))).sum::<usize>()
    };
    assert_eq!(bytes_in_flight(4, usize::MAX, 10), 4);
    assert_eq!(bytes_in_flight(16, usize::MAX, 10), 10);
    // An entry is 132 bytes: the third finds 264 in flight, the fourth 396.
    assert_eq!(bytes_in_flight(16, 300, 10), 3);
    assert_eq!(bytes_in_flight(16, 264, 10), 2);
    assert_eq!(bytes_in_flight(16, 1, 10), 1);
}

/// The log time of the blank entry of n1, elected with a log whose only entry was made at `last`; its
/// own wall clock shows `wall`, those of the others, whose votes just suffice, show `others`.
fn log_time_of_the_blank(last: u64, wall: u64, others: &[u64]) -> u64 {
    let (node, _) = elected(others.len() as u64 * 2 + 1, last, wall, others);
    node.replica.log().last_time().0
}

fn turn(node: &mut Node, now: u64, wall: u64, input: Input) -> Effects {
    let mut turn = Turn::new(Time(now), WallTime(wall));
    node.state = node.state.clone().step(&mut node.replica, &mut turn, input);
    node.state.finish(&mut node.replica, &mut turn);
    turn.effects
}

fn elected(count: u64, last: u64, wall: u64, others: &[u64]) -> (Node, u64) {
    let (mut node, _) = Node::start(1, count, Config::default(), Time(0));
    let position = at(1, 1);
    let append = inputs::append_entries(2, 1, LogPosition::ZERO, vec![entry(position, last)], 0);
    turn(&mut node, 0, wall, append);
    let now = node.state.deadline().expect("a voter").0;
    turn(&mut node, now, wall, Input::Timeout);
    for voter in 2..=count {
        turn(&mut node, now, wall, pre_vote_reply(voter, 1, 2, true));
    }
    turn(&mut node, now, wall, Input::Written(WriteId(2)));
    for (voter, theirs) in (2..).zip(others) {
        let reply = RequestVoteReply { answers: Term(2), granted: true, wall: *theirs };
        turn(&mut node, now, wall, inputs::message(voter, 2, Message::RequestVoteReply(reply)));
    }
    assert_eq!(node.role(), states::Role::Leader);
    (node, now)
}

/// "The first entry of a term may step it forward to the median wall clock of a quorum": of those
/// who voted, and never back.
#[test]
fn the_first_entry_of_a_term_steps_log_time_to_the_voters_median() {
    for (last, wall, others, expected) in [
        (1, 5_000, &[5_000][..], 5_000),
        (9_000, 5_000, &[5_000], 9_000), // the log is ahead: it never falls
        (1, 9_000_000, &[5_000], 5_000), // of two, the lower: nobody alone moves it ahead
        (1, 5_000, &[9_000_000], 5_000),
        (1, 1, &[5_000, 9_000_000], 5_000), // of three, the one in the middle
        (1, 5_000, &[u64::MAX, 6_000], 6_000), // a voter's clock may be mad
        (1, 5_000, &[0, 6_000], 5_000),
    ] {
        let time = log_time_of_the_blank(last, wall, others);
        assert_eq!(time, expected, "last entry {last}, own {wall}, voters {others:?}");
    }
}

/// "Adds its own monotonic elapsed time, slewed to wall time by at most 1 %": one second after the
/// election, by how far the wall clock is off.
#[test]
fn log_time_follows_the_monotonic_clock_within_one_percent() {
    for (offset, advanced) in [
        (0_i64, 1_000_000),
        (5_000, 1_005_000),  // half a percent ahead: reached
        (-5_000, 995_000),   // behind
        (10_000, 1_010_000), // one percent: just reached
        (10_001, 1_010_000),
        (60_000_000, 1_010_000), // a minute ahead: one percent
        (-60_000_000, 990_000),
    ] {
        let wall = 100_000_000_u64;
        let (mut node, now) = elected(3, 1, wall, &[wall]);
        let start = node.replica.log().last_time().0;
        assert_eq!(start, wall);
        let later = wall.checked_add_signed(1_000_000 + offset).expect("a time");
        let propose = Input::Propose { id: RequestId(1), only_in: None, items: vec![] };
        turn(&mut node, now + 1_000_000, later, propose);
        let elapsed = node.replica.log().last_time().0 - start;
        assert_eq!(elapsed, advanced, "wall clock off by {offset} µs");
    }
}

/// A follower lets no log time fall: neither within a message nor against what it holds.
#[test]
fn log_time_never_falls_along_a_log() {
    let entries = |times: &[u64]| -> Vec<Entry> {
        (2..).zip(times).map(|(index, time)| entry(at(index, 1), *time)).collect()
    };
    for (times, taken) in [(&[7, 7][..], true), (&[7, 9], true), (&[6], false), (&[9, 8], false)] {
        let mut cluster = Cluster::new(3);
        let first = vec![entry(at(1, 1), 7)];
        cluster.input(1, inputs::append_entries(2, 1, LogPosition::ZERO, first, 0));
        cluster.input(1, inputs::append_entries(2, 1, at(1, 1), entries(times), 0));
        let last = if taken { 1 + times.len() as u64 } else { 1 };
        assert_eq!(cluster.node(1).log().len() as u64, last, "{times:?}");
    }
}
