//! One test for each rule of the paper (Ongaro, Ousterhout: "In Search of an Understandable Consensus
//! Algorithm", extended version) and of the thesis, named after the sentence that it verifies.
//! Expected values come from there, never from what the code does.

mod commitment;
mod elections;
mod figure_2;
mod reads;
mod replication;
mod thesis;

use messages::{NodeId, Term};
use states::{HardState, Role};
use unit_tests::{Cluster, roles};

fn hard_state(term: u64, vote: Option<u64>) -> HardState {
    HardState { term: Term(term), voted_for: vote.map(NodeId) }
}

fn starting<'a>(with: &str, lines: &'a [String]) -> Vec<&'a str> {
    lines.iter().map(String::as_str).filter(|line| line.contains(with)).collect()
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
