//! What clients are told.

use bytes::Bytes;
use messages::Operation;
use servers::host::Outcome;

use super::*;
use crate::clients::{Asked, check_outcome};

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
fn an_answer_shows_what_was_there_before_it_was_asked() {
    let mut checks = committed(&[entry(1, 1, 10), entry(2, 1, 20)]);
    assert_eq!(checks.length(), 2, "whether or not a client knows");
    let seen = answers(&[10, 20]);
    assert_eq!(check_outcome(&asked(vec![read()], 0), &done(&seen[..1]), &mut checks), Ok(()));
    assert_eq!(check_outcome(&asked(vec![write(20)], 1), &done(&seen[1..]), &mut checks), Ok(()));
    refuses(check_outcome(&asked(vec![read()], 2), &done(&seen[..1]), &mut checks), "stale");
    // Who is content with what a node has applied must see that.
    let content = |floor| Asked { stale: true, ..asked(vec![read()], floor) };
    assert_eq!(check_outcome(&content(1), &done(&seen[..1]), &mut checks), Ok(()));
    refuses(check_outcome(&content(2), &done(&seen[..1]), &mut checks), "stale");
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
