//! The actor, one to three of them in virtual time: what becomes of a client's batch, whatever
//! happens to leaders, frames and clocks. The rules below are quoted from the contract (section 4)
//! and from the architecture's rules 9 and 10.

#[path = "server/bench.rs"]
mod bench;
#[path = "server/due.rs"]
mod due;

use bench::{Bench, command, query};
use bytes::Bytes;
use messages::{
    Content, Envelope, Forward, ForwardOutcome, ForwardReply, GroupId, LogIndex, NodeId,
    NotAppended, Operation, Payload, Term,
};
use servers::host::{Outcome, Token};
use servers::transport::Lane;

fn done(outcome: Option<&Outcome>) -> Vec<String> {
    match outcome {
        Some(Outcome::Done { replies, .. }) => {
            replies.iter().map(|reply| String::from_utf8(reply.to_vec()).unwrap()).collect()
        }
        other => panic!("not done: {other:?}"),
    }
}

/// "Commands of one connection take effect in order … Plain reads run at their place when the entry
/// is applied."
#[test]
fn a_batch_runs_in_its_order_with_the_reads_at_their_place() {
    let mut bench = Bench::elected(1);
    let before = bench.server(1).replica().log().last().index;
    let token =
        bench.submit(1, vec![query("x"), command("a"), query("y"), command("b"), query("z")]);
    bench.run_for(10);
    assert_eq!(done(bench.outcome(token)), ["x=0", "a#1", "y=1", "b#2", "z=2"]);
    let log = bench.server(1).replica().log();
    assert_eq!(log.last().index, before.next(), "a batch with a write becomes one log entry");
    let Payload::Command(items) = &log.entry(log.last().index).unwrap().payload else { panic!() };
    assert_eq!(items.len(), 2, "plain reads do not enter the log");
}

/// "A batch of only reads is one read-index read."
#[test]
fn reads_alone_leave_the_log_as_it_is() {
    let mut bench = Bench::elected(3);
    let before = bench.server(1).replica().log().last();
    let token = bench.submit(1, vec![query("x"), query("y")]);
    bench.run_for(10);
    assert_eq!(done(bench.outcome(token)), ["x=0", "y=0"]);
    assert_eq!(bench.server(1).replica().log().last(), before);
}

/// "A follower passes them to the leader and answers on the client's own connection."
#[test]
fn a_follower_passes_writes_and_reads_on() {
    let mut bench = Bench::elected(3);
    let write = bench.submit(2, vec![command("a"), query("x")]);
    bench.run_for(10);
    assert_eq!(done(bench.outcome(write)), ["a#1", "x=1"]);
    let read = bench.submit(3, vec![query("y")]);
    bench.run_for(10);
    assert_eq!(done(bench.outcome(read)), ["y=1"]);
    assert_eq!(bench.forwards_sent(), 2);
}

/// "The forwarder hands a copy to another leader only after 'not appended' for the copy before; no
/// reply: UNCERTAIN."
#[test]
fn silence_gives_no_second_copy_of_a_write_even_under_another_leader() {
    let mut bench = Bench::elected(3);
    bench.cut(2, 1);
    bench.cut(1, 2);
    bench.cut(1, 3);
    bench.cut(3, 1);
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(2_000);
    assert!(bench.leader_among(&[2, 3]).is_some(), "the others elected a leader");
    assert_eq!(bench.outcome(token), None, "nothing is certain yet");
    assert_eq!(bench.forwards_sent(), 1);
    bench.run_for(600);
    assert_eq!(bench.outcome(token), Some(&Outcome::Uncertain { position: None }));
}

/// "Read batches are exempt: sent again freely, never UNCERTAIN."
#[test]
fn a_read_is_sent_again_to_the_next_leader() {
    let mut bench = Bench::elected(3);
    for (from, to) in [(2, 1), (1, 2), (1, 3), (3, 1)] {
        bench.cut(from, to);
    }
    let token = bench.submit(2, vec![query("x")]);
    bench.run_for(2_000);
    assert_eq!(done(bench.outcome(token)), ["x=0"]);
}

#[test]
fn a_read_is_repeated_after_silence() {
    let mut bench = Bench::elected(3);
    bench.lose_next_forward();
    let token = bench.submit(2, vec![query("x")]);
    bench.run_for(190);
    assert_eq!(bench.outcome(token), None, "four heartbeats of 50 ms are not over");
    bench.run_for(30);
    assert_eq!(done(bench.outcome(token)), ["x=0"]);
    assert_eq!(bench.forwards_sent(), 2);
}

#[test]
fn a_read_without_a_quorum_ends_as_no_leader() {
    let mut bench = Bench::elected(3);
    bench.stop(1);
    bench.stop(3);
    let token = bench.submit(2, vec![query("x")]);
    bench.run_for(2_500);
    let expected = Outcome::NoLeader { waited: 2_500_000, heard: 1, members: 3 };
    assert_eq!(bench.outcome(token), Some(&expected));
}

/// "A read never gets UNCERTAIN", also when its last copy is out at the end of its time.
#[test]
fn a_read_that_the_leader_never_answers_ends_as_no_leader() {
    let mut bench = Bench::elected(3);
    bench.lose_forwards();
    let token = bench.submit(2, vec![query("x")]);
    bench.run_for(2_500);
    let Some(Outcome::NoLeader { waited: 2_500_000, heard, members: 3 }) = bench.outcome(token)
    else {
        panic!("{:?}", bench.outcome(token));
    };
    assert!(*heard >= 2, "the leader is heard all the time");
}

/// News of another leader sends a read on at once; silence need not be waited for.
#[test]
fn a_read_follows_the_leader_at_once() {
    let mut bench = Bench::elected(3);
    bench.lose_forwards();
    bench.submit(2, vec![query("x")]);
    bench.turn(2);
    assert_eq!(bench.last_forward().0.only_in, bench.server(1).replica().term());
    let next_term = bench.server(1).replica().term().next();
    bench.deliver_heartbeat(3, 2, next_term);
    bench.turn(2);
    assert_eq!(bench.forwards_sent(), 2);
    assert_eq!(bench.last_forward().0.only_in, next_term);
}

/// A request that a deposed leader gives back waits for nothing but the next turn.
#[test]
fn a_read_of_a_deposed_leader_is_passed_on_in_the_next_turn() {
    let mut bench = Bench::elected(3);
    bench.submit(1, vec![query("x")]);
    bench.turn(1);
    bench.deliver_heartbeat(3, 1, bench.server(1).replica().term().next());
    bench.turn(1);
    assert_eq!(bench.server(1).deadline(), Some(states::Time(0)), "at once");
    bench.turn(1);
    assert_eq!(bench.forwards_sent(), 1);
    assert!(!bench.server(1).has_more());
}

/// The same rule, from its other end: after "not appended" the copy goes to the next leader.
#[test]
fn a_refused_copy_goes_to_the_next_leader() {
    let mut bench = Bench::elected(3);
    bench.hold(2, 1);
    for (from, to) in [(1, 2), (1, 3), (3, 1)] {
        bench.cut(from, to);
    }
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(1_200);
    // Node 1 was deposed while the copy was under way.
    let leader = bench.leader_among(&[2, 3]).unwrap();
    assert_eq!(bench.forwards_sent(), 1);
    assert_eq!(bench.outcome(token), None);
    bench.heal();
    bench.run_for(200);
    assert_eq!(done(bench.outcome(token)), ["a#1"]);
    assert_eq!(bench.history(leader), ["a"]);
}

/// "CLUSTERDOWN/TRYAGAIN only if no copy was handed out, or the last one was refused."
#[test]
fn a_copy_refused_as_busy_ends_as_busy() {
    let mut bench = Bench::elected(3);
    bench.stop(1);
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(1);
    let (_, number) = bench.last_forward();
    bench.deliver_reply(1, 2, number, ForwardOutcome::NotAppended(NotAppended::Busy));
    bench.run_for(1);
    assert_eq!(bench.outcome(token), Some(&Outcome::Busy));
}

/// "Frames arrive twice and late … a number not above: dropped without an answer."
#[test]
fn a_copy_takes_effect_once_however_often_it_arrives() {
    let mut bench = Bench::elected(3);
    bench.duplicate_frames();
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(200);
    assert_eq!(done(bench.outcome(token)), ["a#1"]);
    assert_eq!(bench.history(1), ["a"]);
}

#[test]
fn a_copy_that_was_overtaken_is_dropped_without_an_answer() {
    let mut bench = Bench::elected(3);
    let term = bench.server(1).replica().term();
    bench.deliver_forward(2, 1, 1 << 40, term, vec![command("new")]);
    bench.run_for(10);
    let replies = bench.forward_replies();
    bench.deliver_forward(2, 1, (1 << 40) - 1, term, vec![command("late")]);
    bench.run_for(10);
    assert_eq!(bench.history(1), ["new"]);
    assert_eq!(bench.forward_replies(), replies);
}

/// "It is appended only while the receiver leads that very term … another term: 'not appended',
/// number remembered."
#[test]
fn a_copy_for_another_term_is_refused_and_its_number_remembered() {
    let mut bench = Bench::elected(3);
    let term = bench.server(1).replica().term();
    bench.deliver_forward(2, 1, 1 << 40, Term(term.0 - 1), vec![command("old")]);
    bench.run_for(10);
    let refused = ForwardOutcome::NotAppended(NotAppended::NotLeader);
    assert_eq!(bench.forward_replies(), [(1 << 40, refused.clone())]);
    bench.deliver_forward(2, 1, 1 << 40, term, vec![command("again")]);
    bench.run_for(10);
    assert_eq!(bench.forward_replies(), [(1 << 40, refused)]);
    assert_eq!(bench.history(1), Vec::<String>::new());
}

/// A leader that restarts has forgotten which numbers it saw. Its "not appended" says nothing about
/// what it did in its boot before.
#[test]
fn a_refusal_by_a_later_boot_proves_nothing() {
    let mut bench = Bench::elected(3);
    bench.cut(1, 2);
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(5);
    assert_eq!(bench.history(1), ["a"], "appended and applied, the answer was lost");
    let (forward, _) = bench.last_forward();
    bench.restart(1);
    bench.heal();
    bench.deliver_forward(2, 1, forward.number, forward.only_in, forward.operations);
    bench.run_for(2_600);
    assert_eq!(bench.outcome(token), Some(&Outcome::Uncertain { position: None }));
    let leader = bench.leader_among(&[1, 2, 3]).unwrap();
    assert_eq!(bench.history(leader), ["a"]);
}

/// Numbers rise from boot to boot: what was meant for an earlier boot fits nothing of this one.
#[test]
fn an_answer_meant_for_an_earlier_boot_is_ignored() {
    let mut bench = Bench::elected(3);
    bench.cut(1, 2);
    bench.submit(2, vec![command("a")]);
    bench.run_for(5);
    let (_, first) = bench.last_forward();
    bench.heal();
    bench.restart(2);
    bench.run_for(200);
    bench.cut(1, 2);
    let token = bench.submit(2, vec![command("b")]);
    bench.run_for(5);
    let (_, second) = bench.last_forward();
    assert!(second > first);
    bench.deliver_reply(1, 2, first, ForwardOutcome::Done(vec![Bytes::from_static(b"a#1")]));
    bench.run_for(1);
    assert_eq!(bench.outcome(token), None);
}

#[test]
fn an_answer_of_the_wrong_length_or_sender_is_ignored() {
    let mut bench = Bench::elected(3);
    bench.stop(1);
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(1);
    let (_, number) = bench.last_forward();
    bench.deliver_reply(1, 2, number, ForwardOutcome::Done(vec![]));
    bench.deliver_reply(3, 2, number, ForwardOutcome::Done(vec![Bytes::new()]));
    bench.deliver_reply(3, 2, number, ForwardOutcome::NotAppended(NotAppended::Busy));
    bench.run_for(1);
    assert_eq!(bench.outcome(token), None);
}

#[test]
fn a_stranger_forwards_nothing() {
    let mut bench = Bench::elected(1);
    let term = bench.server(1).replica().term();
    bench.deliver_forward(9, 1, 1, term, vec![command("a")]);
    bench.run_for(10);
    assert_eq!(bench.history(1), Vec::<String>::new());
}

/// "Every request is answered within client.timeout, the wait for a leader included: one that
/// certainly was not appended gets CLUSTERDOWN."
#[test]
fn without_a_leader_a_write_ends_as_no_leader() {
    let mut bench = Bench::new(3);
    bench.stop(2);
    bench.stop(3);
    bench.run_for(1_000);
    let token = bench.submit(1, vec![command("a")]);
    bench.run_for(2_499);
    assert_eq!(bench.outcome(token), None);
    bench.run_for(1);
    let expected = Outcome::NoLeader { waited: 2_500_000, heard: 1, members: 3 };
    assert_eq!(bench.outcome(token), Some(&expected));
}

#[test]
fn a_batch_waits_for_a_leader() {
    let mut bench = Bench::new(3);
    let token = bench.submit(3, vec![command("a")]);
    bench.run_for(2_000);
    assert_eq!(done(bench.outcome(token)), ["a#1"]);
}

/// A batch that waited out its time in front of a sleeping process is not appended any more.
#[test]
fn a_batch_that_expired_before_its_turn_is_not_appended() {
    let mut bench = Bench::elected(1);
    let last = bench.server(1).replica().log().last();
    let arrived = bench.now_millis() - 2_500;
    let token = bench.submit_arrived(1, arrived, vec![command("a")]);
    bench.run_for(10);
    assert!(matches!(bench.outcome(token), Some(Outcome::NoLeader { .. })));
    assert_eq!(bench.server(1).replica().log().last(), last);
}

/// "A waiting request is answered 'not applied' only when another entry has been applied at its
/// index", and never with somebody else's result.
#[test]
fn a_replaced_entry_is_placed_again_and_never_answered_with_anothers_result() {
    let mut bench = Bench::elected(3);
    bench.isolate(1);
    let lost = bench.submit(1, vec![command("lost")]);
    bench.run_for(1);
    let index = bench.server(1).replica().log().last().index;
    bench.run_for(1_200);
    let leader = bench.leader_among(&[2, 3]).unwrap();
    // The new leader's blank entry takes that index, then comes another's command.
    let other = bench.submit(leader, vec![command("other")]);
    bench.run_for(50);
    assert_eq!(done(bench.outcome(other)), ["other#1"]);
    assert_eq!(bench.outcome(lost), None, "truncated is not dead");
    bench.heal();
    bench.run_for(500);
    let Some(Outcome::Done { replies, position }) = bench.outcome(lost) else {
        panic!("{:?}", bench.outcome(lost));
    };
    assert_eq!(replies, &[Bytes::from_static(b"lost#2")]);
    assert_eq!(*position, None, "done by another node");
    assert!(bench.server(1).replica().log().last().index > index);
    assert_eq!(bench.history(1), ["other", "lost"]);
}

/// A forwarded one that was replaced is refused, so that its own node may hand out another copy.
#[test]
fn a_forwarded_entry_that_was_replaced_is_refused() {
    let mut bench = Bench::elected(3);
    bench.cut(1, 2);
    bench.cut(1, 3);
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(2);
    assert_eq!(bench.server(1).replica().log().last().index, LogIndex(2), "appended");
    bench.isolate(1);
    bench.run_for(1_200);
    bench.heal();
    bench.run_for(500);
    assert_eq!(done(bench.outcome(token)), ["a#1"]);
    assert_eq!(bench.history(2), ["a"]);
}

/// "Stepping down changes nothing: it goes on waiting."
#[test]
fn an_entry_that_survives_its_leaders_fall_is_answered_with_its_own_result() {
    let mut bench = Bench::elected(3);
    // The entry reaches node 2, whose acknowledgement is lost with everything else of node 1.
    bench.cut(2, 1);
    bench.cut(3, 1);
    bench.cut(1, 3);
    let token = bench.submit(1, vec![command("a")]);
    bench.run_for(5);
    let position = bench.server(1).replica().log().last();
    assert!(bench.server(2).replica().log().holds(position));
    bench.isolate(1);
    bench.run_for(1_200);
    assert_eq!(bench.leader_among(&[2, 3]), Some(2), "only node 2's log is complete");
    bench.heal();
    bench.run_for(300);
    let Some(Outcome::Done { replies, position: at }) = bench.outcome(token) else {
        panic!("{:?}", bench.outcome(token));
    };
    assert_eq!(replies, &[Bytes::from_static(b"a#1")]);
    assert_eq!(*at, Some(position));
}

/// "UNCERTAIN INCR at 5@3 may or may not be applied."
#[test]
fn a_time_out_while_appended_names_the_position() {
    let mut bench = Bench::elected(3);
    bench.isolate(1);
    let token = bench.submit(1, vec![command("a")]);
    bench.run_for(1);
    let position = bench.server(1).replica().log().last();
    bench.run_for(2_499);
    assert_eq!(bench.outcome(token), Some(&Outcome::Uncertain { position: Some(position) }));
    // Late news of the entry finds nobody waiting.
    bench.heal();
    bench.run_for(500);
    assert_eq!(bench.replies_to(token), 1);
}

/// "READONLY allows local, possibly stale reads."
#[test]
fn a_stale_read_is_answered_by_a_node_alone() {
    let mut bench = Bench::elected(3);
    let write = bench.submit(1, vec![command("a")]);
    bench.run_for(100);
    done(bench.outcome(write));
    bench.isolate(3);
    let token = bench.submit_stale(3, vec![query("x")]);
    bench.run_for(1);
    assert_eq!(done(bench.outcome(token)), ["x=1"]);
}

/// Only reads can be stale: a write goes its usual way.
#[test]
fn a_stale_batch_with_a_write_is_passed_on() {
    let mut bench = Bench::elected(3);
    let token = bench.submit_stale(3, vec![command("a"), query("x")]);
    bench.run_for(10);
    assert_eq!(done(bench.outcome(token)), ["a#1", "x=1"]);
}

/// "An entry may be applied over several turns; no other read looks in between."
#[test]
fn a_long_entry_is_applied_over_several_turns_and_nothing_looks_in_between() {
    let mut bench = Bench::with_budget(1, 4);
    let batch: Vec<Operation> = (0..10).map(|number| command(&format!("c{number}"))).collect();
    let write = bench.submit(1, batch);
    bench.turn(1); // append
    bench.complete_writes(1);
    bench.turn(1); // commit, and the first four
    assert_eq!(bench.history(1).len(), 4);
    assert!(bench.server(1).has_more());
    assert_eq!(bench.server(1).deadline(), Some(states::Time(0)), "at once");
    let read = bench.submit_stale(1, vec![query("x")]);
    bench.turn(1);
    assert_eq!(bench.history(1).len(), 8);
    assert_eq!(bench.outcome(read), None, "an entry is half applied");
    assert_eq!(bench.outcome(write), None);
    bench.turn(1);
    assert_eq!(done(bench.outcome(write))[9], "c9#10");
    assert_eq!(done(bench.outcome(read)), ["x=10"]);
    assert!(!bench.server(1).has_more());
}

/// A batch that nobody waits for any longer is applied to its end all the same.
#[test]
fn a_time_out_inside_an_entry_does_not_stop_it() {
    let mut bench = Bench::with_budget(1, 4);
    let write = bench.submit(1, (0..12).map(|_| command("c")).collect());
    bench.turn(1);
    bench.complete_writes(1);
    bench.turn(1);
    assert_eq!(bench.history(1).len(), 4);
    bench.pass_time(2_500);
    bench.turn(1);
    assert!(matches!(bench.outcome(write), Some(Outcome::Uncertain { position: Some(_) })));
    let next = bench.submit(1, vec![command("d")]);
    bench.run_for(10);
    assert_eq!(bench.history(1).len(), 13);
    assert_eq!(done(bench.outcome(next)), ["d#13"]);
    assert_eq!(bench.replies_to(write), 1);
}

#[test]
fn the_deadline_is_the_earliest_of_rules_and_requests() {
    let mut bench = Bench::new(3);
    bench.stop(2);
    bench.stop(3);
    let alone = bench.server(1).deadline().unwrap();
    // Arrived long ago: its time ends before the election's.
    let arrived = bench.now_millis() - 2_400;
    bench.submit_arrived(1, arrived, vec![command("a")]);
    bench.turn(1);
    let with_request = bench.server(1).deadline().unwrap();
    assert!(with_request < alone);
    assert_eq!(with_request.0, (arrived + 2_500) * 1_000);
}

/// "Certainly not applied: too much waits already."
#[test]
fn batches_beyond_the_limit_are_refused() {
    let mut bench = Bench::with_waiting_bytes(3, 1_000);
    bench.isolate(1);
    let first = bench.submit(1, vec![command(&"a".repeat(600))]);
    let second = bench.submit(1, vec![command(&"b".repeat(600))]);
    bench.run_for(1);
    assert_eq!(bench.outcome(first), None);
    assert_eq!(bench.outcome(second), Some(&Outcome::Busy));
    bench.run_for(2_500);
    assert!(matches!(bench.outcome(first), Some(Outcome::Uncertain { .. })));
    let small = bench.submit(1, vec![command("s")]);
    let third = bench.submit(1, vec![command(&"c".repeat(600))]);
    bench.run_for(1);
    assert_eq!(bench.outcome(small), None);
    assert_eq!(bench.outcome(third), None, "what was answered no longer counts");
}

/// A frame that certainly never left was never handed out: the write may be tried again, but not in
/// a loop that spins.
#[test]
fn a_write_in_a_frame_that_never_left_is_tried_again_a_heartbeat_later() {
    let mut bench = Bench::elected(3);
    bench.refuse_to_send(2, 1);
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(49);
    assert_eq!(bench.forwards_sent(), 1, "not at once");
    bench.send_again(2, 1);
    bench.run_for(10);
    assert_eq!(done(bench.outcome(token)), ["a#1"]);
}

#[test]
fn a_write_that_never_left_ends_as_no_leader() {
    let mut bench = Bench::elected(3);
    bench.refuse_to_send(2, 1);
    let token = bench.submit(2, vec![command("a")]);
    bench.run_for(2_500);
    assert!(matches!(bench.outcome(token), Some(Outcome::NoLeader { members: 3, .. })));
    assert!(bench.forwards_sent() <= 51, "at most once a heartbeat: {}", bench.forwards_sent());
}

#[test]
fn a_stopping_server_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut bench = Bench::elected(3);
    let under_way = bench.submit(1, vec![command("a")]);
    bench.turn(1);
    bench.server_mut(1).stop();
    let late = bench.submit(1, vec![command("b")]);
    bench.turn(1);
    assert_eq!(bench.outcome(late), Some(&Outcome::Stopped));
    assert!(!bench.server(1).is_idle());
    bench.run_for(10);
    assert_eq!(done(bench.outcome(under_way)), ["a#1"]);
    assert!(bench.server(1).is_idle());
}

/// Another group's envelopes are none of this server's business.
#[test]
fn envelopes_of_another_group_are_ignored() {
    let mut bench = Bench::elected(1);
    let term = bench.server(1).replica().term();
    let forward = Forward { number: 1, only_in: term, operations: vec![command("a")] };
    let envelope = Envelope { group: GroupId(7), content: Content::Forward(forward) };
    bench.deliver(1, 1, vec![envelope]);
    bench.run_for(10);
    assert_eq!(bench.history(1), Vec::<String>::new());
}

/// Votes and acknowledgements leave with the write that they rest on, appends at once.
#[test]
fn promises_go_with_the_write_and_appends_beside_it() {
    let mut bench = Bench::elected(3);
    bench.submit(1, vec![command("a")]);
    bench.turn(1);
    let (sends, jobs) = bench.last_turn(1);
    let lanes: Vec<(NodeId, Lane)> = sends.iter().map(|(to, lane, _)| (*to, *lane)).collect();
    assert_eq!(lanes, [(NodeId(2), Lane::Log), (NodeId(3), Lane::Log)]);
    assert_eq!(jobs.len(), 1);
    assert!(jobs[0].write.is_some() && jobs[0].promises.is_empty());
    bench.turn(2);
    let (sends, jobs) = bench.last_turn(2);
    assert!(sends.is_empty(), "the acknowledgement waits for the disk: {sends:?}");
    assert!(jobs[0].write.is_some());
    assert_eq!(jobs[0].promises.len(), 1);
    assert_eq!(bench.server(2).replica().log().last().index, LogIndex(2));
}

/// A reply names the number it answers; the server is not confused by one that it never gave out.
#[test]
fn an_answer_to_nothing_is_ignored() {
    let mut bench = Bench::elected(1);
    let reply = ForwardReply { number: 77, outcome: ForwardOutcome::Done(vec![]) };
    let content = Content::ForwardReply(reply);
    bench.deliver(1, 1, vec![Envelope { group: GroupId(0), content }]);
    bench.run_for(1);
    assert_eq!(bench.outcome(Token(0)), None);
}

/// What does not fit a frame cannot be answered by way of another node: a read is refused at once, a
/// write that took effect is not called refused.
#[test]
fn replies_too_large_for_a_frame_are_not_passed_back() {
    let mut bench = Bench::elected(3);
    let large = "x".repeat(8 << 20);
    let read = bench.submit(2, vec![query(&large)]);
    let write = bench.submit(2, vec![command("a"), query(&large)]);
    bench.run_for(10);
    assert_eq!(bench.outcome(read), Some(&Outcome::Busy));
    bench.run_for(2_500);
    assert_eq!(bench.outcome(write), Some(&Outcome::Uncertain { position: None }));
    assert_eq!(bench.history(1), ["a"]);
}

/// Rule 7b: a frame of a newer boot of the leader is a hint that it leads no more, as a lost
/// connection is. Else nobody would ask before the election timeout, which is three times as long.
#[test]
fn a_leader_that_was_started_again_is_replaced_at_once() {
    let mut bench = Bench::elected(3);
    let term = bench.server(1).replica().term();
    for other in [2, 3] {
        bench.deliver(1, other, vec![]); // of the boot that leads
    }
    bench.run_for(10);
    assert_eq!(bench.leader_among(&[1, 2, 3]), Some(1));
    bench.restart(1);
    for other in [2, 3] {
        bench.deliver(1, other, vec![]);
    }
    bench.run_for(100);
    let new = bench.leader_among(&[2, 3]).expect("a leader");
    assert_eq!(bench.server(new).replica().term(), term.next());
}
