//! The checks themselves: each is shown a history that it must refuse, and its likeness that is
//! right.

use bytes::Bytes;
use messages::{
    AppendEntriesReply, AppendOutcome, Content, Entry, Item, LogIndex, LogPosition, LogTime,
    Message, NodeId, Operation, Payload, RequestVote, RequestVoteReply, Term,
};
use servers::host::Outcome;
use servers::machine::{Applied, StateMachine};
use states::{HardState, Log, Write, WriteId};

use crate::checks::{Checks, Violation};
use crate::clients::{Asked, check_outcome};
use crate::promises::Promises;
use crate::witness::Witness;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn command(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

/// An entry with one command.
fn entry(index: u64, term: u64, number: u64) -> Entry {
    Entry {
        position: LogPosition { term: Term(term), index: LogIndex(index) },
        time: LogTime(0),
        payload: Payload::Command([Item::Plain(command(number))].into()),
    }
}

fn log(entries: &[Entry]) -> Log {
    Log::recovered(entries.to_vec())
}

/// Checks that saw these entries committed.
fn committed(entries: &[Entry]) -> Checks<Count> {
    let mut checks = nothing_yet();
    commit(&mut checks, entries).expect("a good history");
    checks
}

fn commit(checks: &mut Checks<Count>, entries: &[Entry]) -> Result<(), Violation> {
    let term = entries.last().map_or(Term(1), |entry| entry.position.term);
    checks.on_commit(term, &log(entries), LogIndex(0), LogIndex(entries.len() as u64))
}

/// A machine that counts its commands.
#[derive(Default)]
struct Count(u64);

impl StateMachine for Count {
    fn apply(&mut self, _: Applied, _: &[u8], reply: &mut Vec<u8>) {
        self.0 += 1;
        reply.extend_from_slice(&self.0.to_le_bytes());
    }

    fn query(&self, _: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(&self.0.to_le_bytes());
    }

    fn digest(&self) -> u64 {
        self.0
    }
}

fn nothing_yet() -> Checks<Count> {
    Checks::new(Count::default())
}

/// What a machine with a witness answers after each of these commands.
fn answers(numbers: &[u64]) -> Vec<Bytes> {
    let mut machine = Witness::new(Count::default());
    let at = Applied { index: LogIndex(1), time: LogTime(0) };
    let mut answer = |number: &u64| {
        let mut reply = Vec::new();
        machine.apply(at, &command(*number), &mut reply);
        Bytes::from(reply)
    };
    numbers.iter().map(&mut answer).collect()
}

fn done(replies: &[Bytes]) -> Outcome {
    Outcome::Done { replies: replies.to_vec(), position: None }
}

fn asked(operations: Vec<Operation>, floor: u64) -> Asked {
    Asked { operations, stale: false, floor, moment: 0 }
}

fn write(number: u64) -> Operation {
    Operation::Command(command(number))
}

fn read() -> Operation {
    Operation::Query(Bytes::new())
}

#[track_caller]
fn refuses(verdict: Result<(), Violation>, word: &str) {
    let violation = verdict.expect_err("a bad history");
    assert!(violation.contains(word), "refused, but for another reason: {violation}");
}

#[test]
fn a_term_has_one_leader() {
    let mut checks = nothing_yet();
    assert_eq!(checks.on_leader((A, 1), Term(1), &log(&[])), Ok(()));
    assert_eq!(checks.on_leader((A, 1), Term(1), &log(&[])), Ok(()), "it still leads");
    assert_eq!(checks.on_leader((B, 1), Term(2), &log(&[])), Ok(()));
    refuses(checks.on_leader((B, 1), Term(1), &log(&[])), "election safety");
}

#[test]
fn a_node_that_started_again_does_not_lead_its_old_term() {
    let mut checks = nothing_yet();
    assert_eq!(checks.on_leader((A, 1), Term(1), &log(&[])), Ok(()));
    refuses(checks.on_leader((A, 2), Term(1), &log(&[])), "election safety");
}

#[test]
fn an_entry_says_one_thing() {
    let mut checks = nothing_yet();
    let first = [entry(1, 1, 10)];
    assert_eq!(checks.on_written(&log(&first), &first), Ok(()));
    assert_eq!(checks.on_written(&log(&first), &first), Ok(()), "on another node");
    let other_term = [entry(1, 2, 11)];
    assert_eq!(checks.on_written(&log(&other_term), &other_term), Ok(()));
    let other_payload = [entry(1, 1, 11)];
    refuses(checks.on_written(&log(&other_payload), &other_payload), "log matching");
}

#[test]
fn an_entry_follows_the_same_everywhere() {
    let mut checks = nothing_yet();
    let here = [entry(1, 1, 10), entry(2, 2, 20)];
    let there = [entry(1, 2, 11), entry(2, 2, 20)];
    assert_eq!(checks.on_written(&log(&here), &here[1..]), Ok(()));
    refuses(checks.on_written(&log(&there), &there[1..]), "log matching");
}

#[test]
fn nodes_commit_the_same() {
    let mut checks = committed(&[entry(1, 1, 10), entry(2, 1, 20)]);
    assert_eq!(commit(&mut checks, &[entry(1, 1, 10)]), Ok(()), "another node, behind");
    refuses(commit(&mut checks, &[entry(1, 2, 10)]), "state-machine safety");
    refuses(commit(&mut checks, &[entry(1, 1, 11)]), "state-machine safety");
    let beyond = checks.on_commit(Term(1), &log(&[]), LogIndex(0), LogIndex(1));
    refuses(beyond, "beyond the log");
}

#[test]
fn a_leader_holds_what_is_committed() {
    let entries = [entry(1, 1, 10), entry(2, 1, 20)];
    let mut checks = committed(&entries);
    assert_eq!(checks.on_leader((A, 1), Term(2), &log(&entries)), Ok(()));
    refuses(checks.on_leader((B, 1), Term(3), &log(&entries[..1])), "leader completeness");
    let replaced = [entry(1, 1, 10), entry(2, 2, 21)];
    refuses(checks.on_leader((B, 1), Term(4), &log(&replaced)), "leader completeness");
}

#[test]
fn a_leader_elected_late_lacks_what_later_terms_committed() {
    let first = entry(1, 1, 10);
    let mut checks = committed(std::slice::from_ref(&first));
    // Old entries that a later leader committed count from that leader's term on.
    let entries = [first.clone(), entry(2, 1, 20), entry(3, 4, 30)];
    assert_eq!(checks.on_commit(Term(4), &log(&entries), LogIndex(1), LogIndex(3)), Ok(()));
    assert_eq!(checks.on_leader((A, 1), Term(3), &log(&[first])), Ok(()));
    refuses(checks.on_leader((B, 1), Term(5), &log(&entries[..2])), "leader completeness");
    assert_eq!(checks.on_leader((B, 2), Term(6), &log(&entries)), Ok(()));
}

#[test]
fn a_command_takes_effect_once() {
    let mut checks = nothing_yet();
    refuses(commit(&mut checks, &[entry(1, 1, 10), entry(2, 1, 10)]), "twice");
}

#[test]
fn what_was_refused_never_happens() {
    let mut before = nothing_yet();
    assert_eq!(before.on_refused(10), Ok(()));
    assert_eq!(commit(&mut before, &[entry(1, 1, 11)]), Ok(()));
    let with_refused = [entry(1, 1, 11), entry(2, 1, 10)];
    refuses(before.on_commit(Term(1), &log(&with_refused), LogIndex(1), LogIndex(2)), "refused");

    let mut after = committed(&[entry(1, 1, 10)]);
    let outcome = Outcome::NoLeader { waited: 0, heard: 1, members: 3 };
    refuses(check_outcome(&asked(vec![write(10)], 0), &outcome, &mut after), "refused");
    assert_eq!(check_outcome(&asked(vec![write(11)], 0), &outcome, &mut after), Ok(()));
    refuses(check_outcome(&asked(vec![write(10)], 0), &Outcome::Busy, &mut after), "refused");
}

#[test]
fn an_answer_shows_what_was_known_before_it_was_asked() {
    let mut checks = committed(&[entry(1, 1, 10), entry(2, 1, 20)]);
    let seen = answers(&[10, 20]);
    assert_eq!(check_outcome(&asked(vec![read()], 0), &done(&seen[..1]), &mut checks), Ok(()));
    assert_eq!(checks.acknowledged(), 1);
    assert_eq!(check_outcome(&asked(vec![write(20)], 1), &done(&seen[1..]), &mut checks), Ok(()));
    assert_eq!(checks.acknowledged(), 2);
    refuses(check_outcome(&asked(vec![read()], 2), &done(&seen[..1]), &mut checks), "stale");
    let content = Asked { operations: vec![read()], stale: true, floor: 2, moment: 0 };
    assert_eq!(check_outcome(&content, &done(&seen[..1]), &mut checks), Ok(()));
    assert_eq!(checks.acknowledged(), 2, "an old answer teaches nothing");
}

#[test]
fn an_answer_shows_a_list_that_was() {
    let mut checks = committed(&[entry(1, 1, 10)]);
    let dreamt = answers(&[11]);
    let ahead = answers(&[10, 20]);
    refuses(check_outcome(&asked(vec![read()], 0), &done(&dreamt), &mut checks), "never was");
    refuses(check_outcome(&asked(vec![read()], 0), &done(&ahead[1..]), &mut checks), "never was");
}

#[test]
fn a_command_is_answered_with_its_own_place() {
    let mut checks = committed(&[entry(1, 1, 10), entry(2, 1, 20)]);
    let seen = answers(&[10, 20]);
    let batch = asked(vec![write(10)], 0);
    refuses(check_outcome(&batch, &done(&seen[1..]), &mut checks), "another's place");
    assert_eq!(check_outcome(&batch, &done(&seen[..1]), &mut checks), Ok(()));
    let lost = asked(vec![write(30)], 0);
    refuses(check_outcome(&lost, &done(&seen[1..]), &mut checks), "another's place");
}

#[test]
fn an_answer_is_the_machines() {
    let mut checks = committed(&[entry(1, 1, 10), entry(2, 1, 20)]);
    let seen = answers(&[10, 20]);
    let other = |reply: &Bytes| Bytes::from([&reply[..16], &7u64.to_le_bytes()].concat());
    let (first, second) = (other(&seen[0]), other(&seen[1]));
    refuses(check_outcome(&asked(vec![write(10)], 0), &done(&[first]), &mut checks), "reply");
    let read = asked(vec![read()], 0);
    refuses(check_outcome(&read, &done(&[second]), &mut checks), "another's reply");
    assert_eq!(check_outcome(&read, &done(&seen[1..]), &mut checks), Ok(()));
}

#[test]
fn a_batch_stays_in_one_piece() {
    let entries = [entry(1, 1, 10), entry(2, 1, 20), entry(3, 1, 30)];
    let mut checks = committed(&entries);
    let seen = answers(&[10, 20, 30]);
    let batch = asked(vec![write(10), read(), write(20)], 0);
    let whole = [seen[0].clone(), seen[0].clone(), seen[1].clone()];
    assert_eq!(check_outcome(&batch, &done(&whole), &mut checks), Ok(()));
    let torn = asked(vec![write(10), write(30)], 0);
    let between = [seen[0].clone(), seen[2].clone()];
    refuses(check_outcome(&torn, &done(&between), &mut checks), "one piece");
    let moving = asked(vec![read(), read()], 0);
    refuses(check_outcome(&moving, &done(&seen[..2]), &mut checks), "one piece");
    refuses(check_outcome(&batch, &done(&seen[..2]), &mut checks), "2 replies for 3");
}

#[test]
fn a_read_is_never_uncertain() {
    let mut checks = nothing_yet();
    let outcome = Outcome::Uncertain { position: None };
    assert_eq!(check_outcome(&asked(vec![read(), write(1)], 0), &outcome, &mut checks), Ok(()));
    refuses(check_outcome(&asked(vec![read()], 0), &outcome, &mut checks), "UNCERTAIN");
}

fn batch(term: u64, vote: Option<NodeId>, entries: &[Entry]) -> Write {
    let hard_state = HardState { term: Term(term), voted_for: vote };
    Write { id: WriteId(1), hard_state, entries: entries.to_vec() }
}

fn vote(term: u64) -> Content {
    let reply = RequestVoteReply { answers: Term(term), granted: true, wall: 0 };
    Content::Raft { term: Term(term), message: Message::RequestVoteReply(reply) }
}

fn acknowledgement(term: u64, index: u64) -> Content {
    let outcome = AppendOutcome::Matched(LogIndex(index));
    let message = Message::AppendEntriesReply(AppendEntriesReply { outcome });
    Content::Raft { term: Term(term), message }
}

#[test]
fn a_vote_leaves_when_it_is_durable() {
    let mut promises = Promises::default();
    promises.on_staged(&batch(3, Some(B), &[]));
    refuses(promises.on_sent(A, B, &vote(3)), "promise");
    promises.on_synced();
    assert_eq!(promises.on_sent(A, B, &vote(3)), Ok(()));
    assert_eq!(promises.on_sent(A, B, &vote(2)), Ok(()), "late, and over");
    refuses(promises.on_sent(A, NodeId(3), &vote(3)), "promise");
    refuses(promises.on_sent(A, B, &vote(4)), "promise");
    let message = Message::RequestVote(RequestVote { last: LogPosition::ZERO });
    let own = Content::Raft { term: Term(3), message };
    refuses(promises.on_sent(A, B, &own), "promise");
}

#[test]
fn an_acknowledgement_leaves_when_it_is_durable() {
    let mut promises = Promises::default();
    promises.on_staged(&batch(1, None, &[entry(1, 1, 10)]));
    promises.on_synced();
    promises.on_staged(&batch(1, None, &[entry(2, 1, 20)]));
    assert_eq!(promises.on_sent(A, B, &acknowledgement(1, 1)), Ok(()));
    refuses(promises.on_sent(A, B, &acknowledgement(1, 2)), "promise");
    promises.on_synced();
    assert_eq!(promises.on_sent(A, B, &acknowledgement(1, 2)), Ok(()));
    refuses(promises.on_sent(A, B, &acknowledgement(2, 2)), "promise");
}

#[test]
fn a_restart_finds_what_was_durable_and_no_batch_in_part() {
    let first = [entry(1, 1, 10)];
    let second = [entry(2, 1, 20), entry(3, 1, 30)];
    let all = [&first[..], &second[..]].concat();
    let state = HardState { term: Term(1), voted_for: None };
    let written = || {
        let mut promises = Promises::default();
        promises.on_staged(&batch(1, None, &first));
        promises.on_synced();
        promises.on_staged(&batch(1, None, &second));
        promises
    };
    assert_eq!(written().on_recovered(A, state, &first), Ok(()));
    assert_eq!(written().on_recovered(A, state, &all), Ok(()));
    refuses(written().on_recovered(A, state, &all[..2]), "forgot");
    refuses(written().on_recovered(A, state, &[]), "forgot");
    let voted = HardState { term: Term(1), voted_for: Some(B) };
    refuses(written().on_recovered(A, voted, &first), "forgot");
    let other = [entry(1, 1, 11)];
    refuses(written().on_recovered(A, state, &other), "forgot");
}
