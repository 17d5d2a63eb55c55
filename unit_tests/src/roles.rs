//! n1 of three, in a given role and with a given log, as a real node gets there: entries come by
//! AppendEntries, terms by messages, votes by replies. What it sends to n2 and n3 is theirs to
//! ignore: the test speaks for them. Must never skip a step that a real node takes.

use messages::LogPosition;
use states::{Config, Effects, Role};

use crate::inputs::{append, at, pre_vote_reply, vote_reply};
use crate::{Cluster, inputs};

/// n1 follows n2 in `term`; its log holds an entry of each of `terms`, durably, committed up to
/// `commit`.
pub fn follower(term: u64, terms: &[u64], commit: u64) -> Cluster {
    let mut cluster = Cluster::new(3);
    follow(&mut cluster, 1, term, terms, commit);
    cluster
}

/// n1 asks whether it would be elected; its term and log are as given.
pub fn pre_candidate(term: u64, terms: &[u64]) -> Cluster {
    let mut cluster = follower(term, terms, 0);
    cluster.timeout(1);
    assert_eq!(cluster.node(1).role(), Role::PreCandidate);
    cluster.lose(None, None);
    cluster
}

/// n1 stands in `term`, which is on its way to the disk.
pub fn candidate_writing(term: u64, terms: &[u64]) -> Cluster {
    let mut cluster = pre_candidate(term - 1, terms);
    cluster.input(1, pre_vote_reply(2, term - 1, term, true));
    assert_eq!(cluster.node(1).role(), Role::Candidate);
    cluster
}

/// n1 stands in `term`; its own vote is durable and counted, the others' are not in.
pub fn candidate(term: u64, terms: &[u64]) -> Cluster {
    let mut cluster = candidate_writing(term, terms);
    cluster.write_all(1);
    cluster.lose(None, None);
    cluster
}

/// n1 has just been elected in `term`, by its own vote and n2's; its log is as given, with the blank
/// entry of its term behind. Also what it did in that turn.
pub fn elected(term: u64, terms: &[u64]) -> (Cluster, Effects) {
    let mut cluster = candidate(term, terms);
    let effects = cluster.input(1, vote_reply(2, term, term, true));
    assert_eq!(cluster.node(1).role(), Role::Leader);
    cluster.lose(None, None);
    (cluster, effects)
}

/// n1 leads `term`; its log, with the blank entry behind what is given, is durable on itself alone.
pub fn leader(term: u64, terms: &[u64]) -> Cluster {
    let (mut cluster, _) = elected(term, terms);
    cluster.write_all(1);
    cluster
}

/// The node takes these entries from a leader of `term` and writes them.
pub fn follow(cluster: &mut Cluster, node: u64, term: u64, terms: &[u64], commit: u64) {
    let from = if node == 2 { 1 } else { 2 };
    cluster.input(node, append(from, term, at(0, 0), terms, commit));
    cluster.write_all(node);
    cluster.lose(None, None);
    assert_eq!(cluster.node(node).log(), log(terms));
}

/// The positions of a log with an entry of each of these terms.
pub fn log(terms: &[u64]) -> Vec<LogPosition> {
    (1..).zip(terms).map(|(index, term)| at(index, *term)).collect()
}

/// Settings for tests that count bytes: entries travel one by one.
pub fn one_entry_at_a_time() -> Config {
    Config { append_bytes: 1, ..Config::default() }
}

/// Nobody answers this leader any more, until it steps down; also what it did in that turn.
pub fn step_down(cluster: &mut Cluster, leader: u64) -> Effects {
    for _ in 0..20 {
        let effects = cluster.timeout(leader);
        cluster.lose(None, None);
        if cluster.node(leader).role() == Role::Follower {
            return effects;
        }
    }
    panic!("n{leader} leads on, though nobody answers");
}

/// Time goes on until no follower hears a leader any more.
pub fn silence(cluster: &mut Cluster) {
    cluster.advance(Config::default().election);
}

/// A message of every kind, from n2 in `term`, that an honest node could send.
pub fn every_message(term: u64) -> Vec<states::Input> {
    vec![
        inputs::pre_vote(2, term, at(0, 0)),
        inputs::pre_vote_reply(2, term, term + 1, false),
        inputs::request_vote(2, term, at(0, 0)),
        inputs::vote_reply(2, term, term, false),
        inputs::append(2, term, at(0, 0), &[], 0),
        inputs::matched(2, term, 0),
        inputs::heartbeat(2, term, 1, 0),
        inputs::echo(2, term, 0),
    ]
}
