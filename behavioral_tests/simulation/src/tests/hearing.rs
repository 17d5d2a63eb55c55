//! Who hears a leader would vote for nobody else.

use messages::Boot;

use super::*;
use crate::hearing::Hearing;

/// Of a clock, microseconds.
const ELECTION: u64 = 300;

/// A node that heard A lead term two when its clock showed 1,000.
fn heard() -> Hearing {
    let mut hearing = Hearing::default();
    hearing.begin(Term(2), 1_000, ELECTION);
    hearing.on_leader(A, Boot(1), Term(2), 1_000);
    hearing
}

#[test]
fn who_hears_a_leader_grants_no_pre_vote() {
    let mut hearing = heard();
    assert_eq!(hearing.on_pre_vote_granted(B, Term(2)), Ok(()), "perhaps it heard it just after");
    hearing.begin(Term(2), 1_299, ELECTION);
    refuses(hearing.on_pre_vote_granted(B, Term(2)), "disturbed");
    hearing.begin(Term(2), 1_300, ELECTION);
    assert_eq!(hearing.on_pre_vote_granted(B, Term(2)), Ok(()), "an election timeout later");
}

#[test]
fn who_has_lost_its_leader_may_grant_one() {
    let mut hearing = heard();
    hearing.begin(Term(2), 1_100, ELECTION);
    hearing.on_lost(B);
    refuses(hearing.on_pre_vote_granted(B, Term(2)), "disturbed");
    hearing.on_lost(A);
    assert_eq!(hearing.on_pre_vote_granted(B, Term(2)), Ok(()), "the connection was lost");

    let mut hearing = heard();
    hearing.begin(Term(2), 1_100, ELECTION);
    hearing.on_frame(A, Boot(1));
    refuses(hearing.on_pre_vote_granted(B, Term(2)), "disturbed");
    hearing.on_frame(A, Boot(2));
    assert_eq!(hearing.on_pre_vote_granted(B, Term(2)), Ok(()), "it was started again");
}

#[test]
fn what_was_heard_in_another_term_says_nothing() {
    let mut hearing = heard();
    hearing.begin(Term(2), 1_100, ELECTION);
    assert_eq!(hearing.on_pre_vote_granted(B, Term(3)), Ok(()), "it came into a later term");
    hearing.begin(Term(3), 1_100, ELECTION);
    assert_eq!(hearing.on_pre_vote_granted(B, Term(3)), Ok(()));
    hearing.on_leader(B, Boot(1), Term(1), 1_100);
    hearing.begin(Term(2), 1_150, ELECTION);
    refuses(hearing.on_pre_vote_granted(B, Term(2)), "disturbed"); // an older leader's news
}
