//! What becomes of a session's batch, whatever happens to leaders and frames: the architecture's rule
//! 10, from which sessions are exempt, and the words of its section on exactly once.

#[path = "server/bench.rs"]
#[allow(dead_code, reason = "made for the tests of all batches")]
mod bench;

use bench::{Bench, command, query};
use bytes::Bytes;
use messages::{CommandNumber, ForwardOutcome, NotAppended, Operation, SessionId};
use servers::host::{Outcome, Token};
use servers::sessions::Answer;

fn once(session: u64, number: u64, text: &str) -> Operation {
    let command = Bytes::copy_from_slice(text.as_bytes());
    Operation::Session { session: SessionId(session), number: CommandNumber(number), command }
}

fn outcome(session: u64, number: u64) -> Operation {
    Operation::Outcome { session: SessionId(session), number: CommandNumber(number) }
}

/// The answers of a batch, those of sessions as text.
fn answers(bench: &Bench, token: Token) -> Vec<String> {
    let Some(Outcome::Done { replies, .. }) = bench.outcome(token) else {
        panic!("not done: {:?}", bench.outcome(token));
    };
    replies.iter().map(|reply| show(reply)).collect()
}

fn show(reply: &[u8]) -> String {
    match Answer::read(reply) {
        Some(Answer::Opened(SessionId(id))) => id.to_string(),
        Some(Answer::Reply(reply)) => String::from_utf8_lossy(reply).into_owned(),
        Some(other) => format!("{other:?}"),
        None => String::from_utf8_lossy(reply).into_owned(),
    }
}

/// A session, opened through the first node.
fn open(bench: &mut Bench) -> u64 {
    let token = bench.submit(1, vec![Operation::OpenSession]);
    bench.run_for(10);
    answers(bench, token)[0].parse().expect("an id")
}

fn assert_all_applied(bench: &Bench, nodes: u64, history: &[&str]) {
    for node in 1..=nodes {
        assert_eq!(bench.history(node), history, "node {node}");
        let (first, this) = (bench.server(1).sessions(), bench.server(node).sessions());
        assert_eq!(first.digest(), this.digest(), "node {node}");
    }
}

/// "id = stamp of its opening command: index × 1024 + place in the entry."
#[test]
fn an_id_is_the_stamp_of_what_opened_it() {
    let mut bench = Bench::elected(3);
    let index = bench.server(1).replica().log().last().index.0 + 1;
    let token = bench.submit(2, vec![Operation::OpenSession, query("x"), Operation::OpenSession]);
    bench.run_for(200);
    let ids = [index * 1024, index * 1024 + 1].map(|id| id.to_string());
    assert_eq!(answers(&bench, token), [&ids[0], "x=0", &ids[1]]);
    assert_all_applied(&bench, 3, &[]);
}

#[test]
fn a_command_of_a_session_is_applied_once_whichever_node_it_comes_by() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    let asks = vec![once(session, 1, "a"), query("x"), once(session, 2, "b"), outcome(session, 3)];
    for node in [2, 1, 3] {
        let token = bench.submit(node, asks.clone());
        bench.run_for(100);
        let seen = if node == 2 { "x=1" } else { "x=2" };
        assert_eq!(answers(&bench, token), ["a#1", seen, "b#2", "Closed"], "by node {node}");
    }
    bench.run_for(100);
    assert_all_applied(&bench, 3, &["a", "b"]);
}

/// "Forwarded requests of a session may be sent again over leader changes": with a plain write this
/// is UNCERTAIN, see `silence_gives_no_second_copy_of_a_write_even_under_another_leader`.
#[test]
fn a_copy_that_was_lost_with_its_leader_goes_to_the_next() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.isolate(1);
    let token = bench.submit(2, vec![once(session, 1, "a")]);
    bench.run_for(2_000);
    assert_eq!(answers(&bench, token), ["a#1"]);
    assert!(bench.forwards_sent() >= 1);
    bench.heal();
    bench.run_for(1_000);
    assert_all_applied(&bench, 3, &["a"]);
}

/// The copy was appended and its answer lost: the next copy gets it.
#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.cut(1, 2); // node 2 hears nothing of its leader, which hears and answers it
    let token = bench.submit(2, vec![once(session, 1, "a")]);
    bench.run_for(100);
    assert_eq!(bench.history(1), ["a"]);
    assert_eq!(bench.outcome(token), None);
    bench.heal();
    bench.run_for(2_000);
    assert_eq!(answers(&bench, token), ["a#1"]);
    assert_all_applied(&bench, 3, &["a"]);
}

/// Silence alone sends a batch of a session again, later than a read and each time later still.
#[test]
fn silence_sends_a_sessions_batch_again() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.lose_forwards();
    bench.submit(2, vec![once(session, 1, "a")]);
    let mut sent_after = Vec::new();
    for millis in 1..=2_500 {
        bench.run_for(1);
        if bench.forwards_sent() > sent_after.len() {
            sent_after.push(millis);
        }
    }
    assert_eq!(sent_after.len(), 3, "{sent_after:?}");
    let gaps: Vec<i32> = sent_after.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((395..=405).contains(&gaps[0]) && (795..=805).contains(&gaps[1]), "{gaps:?}");
}

/// Frames that come twice or late take effect once.
#[test]
fn frames_that_come_twice_count_once() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.duplicate_frames();
    bench.hold(2, 1);
    let token = bench.submit(2, vec![once(session, 1, "a")]);
    bench.run_for(900);
    bench.heal();
    bench.run_for(500);
    assert!(bench.forwards_sent() > 1);
    assert_eq!(answers(&bench, token), ["a#1"]);
    assert_eq!(bench.replies_to(token), 1);
    bench.run_for(500);
    assert_all_applied(&bench, 3, &["a"]);
}

/// "A batch appended under a leader that lost its term may be proposed again."
#[test]
fn what_a_deposed_leader_appended_is_proposed_again() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.isolate(1);
    // Time ends for these; nothing will be applied at the index of what comes behind them.
    for text in ["x", "y"] {
        bench.submit_arrived(1, bench.now_millis() - 1_500, vec![command(text)]);
        bench.turn(1);
    }
    let token = bench.submit(1, vec![once(session, 1, "a")]);
    bench.run_for(1_500);
    assert_eq!(bench.outcome(token), None);
    bench.heal();
    bench.run_for(900);
    assert_eq!(answers(&bench, token), ["a#1"]);
    assert_all_applied(&bench, 3, &["a"]);
}

/// Both copies are committed: the one that a deposed leader appended, and the one that it passed on.
#[test]
fn two_copies_in_the_log_take_effect_once() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    let token = bench.submit(2, vec![once(session, 1, "a")]);
    bench.run_for(10);
    let (forward, _) = bench.last_forward();
    assert_eq!(answers(&bench, token), ["a#1"]);
    let leader = bench.leader_among(&[1, 2, 3]).expect("a leader");
    bench.deliver_forward(3, leader, 1 << 40, forward.only_in, forward.operations);
    bench.run_for(100);
    let (_, last) = bench.forward_replies().pop().expect("an answer");
    let ForwardOutcome::Done(replies) = last else { panic!("{last:?}") };
    assert_eq!(show(&replies[0]), "a#1");
    let entries = bench.server(1).replica().log().last().index.0;
    assert!(entries >= 4, "blank, open and two copies");
    assert_all_applied(&bench, 3, &["a"]);
}

/// Nobody can say "not applied" of what was handed out once, whatever became of later copies.
#[test]
fn at_its_time_out_a_sessions_batch_is_uncertain_once_a_copy_was_out() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.lose_forwards();
    let token = bench.submit(2, vec![once(session, 1, "a")]);
    bench.run_for(1_000);
    bench.stop(1);
    bench.stop(3); // now there is nobody to place it with
    bench.run_for(1_499);
    assert_eq!(bench.outcome(token), None);
    bench.run_for(1);
    assert_eq!(bench.outcome(token), Some(&Outcome::Uncertain { position: None }));

    let token = bench.submit(2, vec![once(session, 2, "b")]);
    bench.run_for(2_500);
    let refused = matches!(bench.outcome(token), Some(Outcome::NoLeader { .. }));
    assert!(refused, "no copy of this one was out: {:?}", bench.outcome(token));
}

/// A refusal of the second copy says nothing about the first.
#[test]
fn a_refusal_is_not_passed_on_when_an_earlier_copy_is_out() {
    for busy in [NotAppended::Busy, NotAppended::NotLeader] {
        let mut bench = Bench::elected(3);
        let session = open(&mut bench);
        bench.lose_forwards();
        let token = bench.submit(2, vec![once(session, 1, "a")]);
        bench.run_for(450);
        assert_eq!(bench.forwards_sent(), 2);
        let (_, number) = bench.last_forward();
        bench.deliver_reply(1, 2, number, ForwardOutcome::NotAppended(busy));
        bench.run_for(2_050);
        assert_eq!(bench.outcome(token), Some(&Outcome::Uncertain { position: None }), "{busy:?}");
    }
}

/// A node that stops says "not applied" of what nobody has; not of what somebody may have.
#[test]
fn a_stopping_node_promises_nothing_about_copies_that_are_out() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.lose_forwards();
    let sent = bench.submit(2, vec![once(session, 1, "a")]);
    bench.run_for(100);
    bench.stop(1);
    bench.stop(3);
    bench.run_for(1_000); // nobody leads
    let kept = bench.submit(2, vec![once(session, 2, "b")]);
    bench.run_for(1);
    bench.server_mut(2).stop();
    bench.turn(2);
    assert_eq!(bench.outcome(sent), Some(&Outcome::Uncertain { position: None }));
    assert_eq!(bench.outcome(kept), Some(&Outcome::Stopped));
}

/// "`RAFT.OUTCOME` is a log entry … a later copy is refused for ever": the copy that was held up
/// arrives after its outcome was told.
#[test]
fn what_was_told_as_not_applied_never_is() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.hold(2, 1);
    let held = bench.submit(2, vec![once(session, 1, "a")]);
    bench.turn(2);
    let asked = bench.submit(3, vec![outcome(session, 1)]);
    bench.run_for(200);
    assert_eq!(answers(&bench, asked), ["Closed"]);
    bench.heal();
    bench.run_for(1_000);
    assert_eq!(answers(&bench, held), ["Closed"]);
    assert_all_applied(&bench, 3, &[]);
}

/// An outcome is no read: it must reach a majority, and so cannot be told by a leader of the past.
#[test]
fn an_outcome_needs_the_log() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    let before = bench.server(1).replica().log().last().index;
    let asked = bench.submit(1, vec![outcome(session, 1)]);
    bench.run_for(100);
    assert_eq!(answers(&bench, asked), ["Closed"]);
    assert_eq!(bench.server(1).replica().log().last().index, before.next());
    bench.stop(2);
    bench.stop(3);
    let asked = bench.submit(1, vec![outcome(session, 2)]);
    bench.run_for(2_500);
    let uncertain = matches!(bench.outcome(asked), Some(Outcome::Uncertain { .. }));
    assert!(uncertain, "{:?}", bench.outcome(asked));
}

/// "All of this is judged at apply": a node that starts again judges as it did before.
#[test]
fn a_restarted_node_has_the_same_sessions() {
    let mut bench = Bench::elected(3);
    let session = open(&mut bench);
    bench.submit(1, vec![once(session, 2, "b"), outcome(session, 1), once(session, 70, "far")]);
    bench.run_for(100);
    bench.restart(2);
    bench.run_for(1_000);
    let token = bench.submit(2, vec![once(session, 1, "a"), once(session, 2, "b")]);
    bench.run_for(1_000);
    let too_high = "TooHigh { highest: CommandNumber(2) }";
    assert_eq!(answers(&bench, token), ["Closed", "b#1"]);
    let token = bench.submit(3, vec![once(session, 70, "far")]);
    bench.run_for(1_000);
    assert_eq!(answers(&bench, token), [too_high]);
    assert_all_applied(&bench, 3, &["b"]);
}

/// An entry of another version or a hostile peer may hold anything in any order.
#[test]
fn plain_commands_and_sessions_in_one_entry_do_no_harm() {
    let mut bench = Bench::elected(1);
    let session = open(&mut bench);
    let batch = vec![command("p"), once(session, 1, "a"), once(9, 0, "b"), outcome(0, u64::MAX)];
    let token = bench.submit(1, batch);
    bench.run_for(10);
    assert_eq!(answers(&bench, token), ["p#1", "a#2", "NoSession", "NoSession"]);
}
