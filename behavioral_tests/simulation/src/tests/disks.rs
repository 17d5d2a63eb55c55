//! What disks owe.

use messages::{
    AppendEntriesReply, AppendOutcome, Content, Message, RequestVote, RequestVoteReply,
};
use servers::storage::Recovered;
use states::{HardState, Write, WriteId};

use super::*;
use crate::promises::{Change, Promises};

fn batch(term: u64, vote: Option<NodeId>, entries: &[Entry]) -> Write {
    let hard_state = HardState { term: Term(term), voted_for: vote };
    Write { id: WriteId(1), hard_state, reset: None, entries: entries.to_vec() }
}

/// What a restart finds, without a snapshot.
fn found(hard_state: HardState, entries: &[Entry]) -> Recovered {
    Recovered { hard_state, snapshot: None, entries: entries.to_vec(), lost: Vec::new(), cut: None }
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
    let recover = |state, log: &[Entry]| written().on_recovered(A, &found(state, log)).map(drop);
    assert_eq!(recover(state, &first), Ok(()));
    assert_eq!(recover(state, &all), Ok(()));
    refuses(recover(state, &all[..2]), "forgot");
    refuses(recover(state, &[]), "forgot");
    let voted = HardState { term: Term(1), voted_for: Some(B) };
    refuses(recover(voted, &first), "forgot");
    let other = [entry(1, 1, 11)];
    refuses(recover(state, &other), "forgot");
}

#[test]
fn a_disk_at_rest_holds_what_it_owes() {
    let entries = [entry(1, 1, 10), entry(2, 1, 20)];
    let state = HardState { term: Term(1), voted_for: None };
    let mut promises = Promises::default();
    promises.on_staged(&batch(1, None, &entries));
    assert!(!promises.is_kept_by(&found(state, &entries)), "no sync has returned");
    promises.on_synced();
    assert!(promises.is_kept_by(&found(state, &entries)));
    assert!(!promises.is_kept_by(&found(state, &entries[..1])));
    let voted = HardState { term: Term(1), voted_for: Some(B) };
    assert!(!promises.is_kept_by(&found(voted, &entries)));
}

#[test]
fn a_disk_says_what_is_on_it() {
    let position = |index, term| LogPosition { term: Term(term), index: LogIndex(index) };
    let mut promises = Promises::default();
    promises.on_staged(&batch(1, None, &[entry(1, 1, 10), entry(2, 1, 20)]));
    let change = promises.on_synced();
    assert_eq!(change, Change { replaced: vec![], added: vec![position(1, 1), position(2, 1)] });
    promises.on_staged(&batch(2, Some(A), &[entry(2, 2, 21)]));
    assert_eq!(promises.term_at(LogIndex(2)), Some(Term(1)), "not yet");
    let change = promises.on_synced();
    assert_eq!(change, Change { replaced: vec![position(2, 1)], added: vec![position(2, 2)] });
    let terms = [0, 1, 2, 3].map(|index| promises.term_at(LogIndex(index)));
    assert_eq!(terms, [Some(Term(0)), Some(Term(1)), Some(Term(2)), None]);
    assert!(promises.elects(Term(2), A) && promises.elects(Term(1), B));
    assert!(!promises.elects(Term(2), B) && !promises.elects(Term(3), A));
}
