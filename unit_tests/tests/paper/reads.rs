//! Section 8: the blank entry, and reads without the log.

use crate::starting;
use messages::LogIndex;
use states::{Answer, RequestId};
use unit_tests::inputs::{at, echo, matched};
use unit_tests::notation::sends;
use unit_tests::roles::log;
use unit_tests::{Cluster, roles};

/// "Raft handles this by having each leader commit a blank no-op entry into the log at the start of
/// its term".
#[test]
fn each_leader_appends_a_blank_entry_at_the_start_of_its_term() {
    let (cluster, effects) = roles::elected(5, &[1, 3]);
    let written = effects.write.expect("the blank entry");
    assert_eq!(written.entries.len(), 1);
    assert_eq!(written.entries[0].position, at(3, 5));
    assert_eq!(written.entries[0].payload, messages::Payload::Blank);
    assert_eq!(cluster.node(1).log(), log(&[1, 3, 5]));
}

/// "First, a leader must have the latest information on which entries are committed": no read before
/// the blank entry is. "Second, a leader must check whether it has been deposed before processing a
/// read-only request … by having the leader exchange heartbeat messages with a majority of the
/// cluster before responding".
#[test]
fn a_read_waits_for_the_blank_entry_and_for_a_majority_of_echoes() {
    let mut cluster = roles::leader(4, &[1, 2]); // round 1 is out, nobody has echoed
    let effects = cluster.read(1);
    assert_eq!((sends(&effects), effects.answers), (vec![], vec![]), "it knows of no commit");
    let effects = cluster.input(1, echo(2, 4, 1));
    assert_eq!(effects.answers, [], "the blank entry is not committed");
    let effects = cluster.input(1, matched(2, 4, 3));
    assert_eq!(effects.commit, Some(LogIndex(3)));
    assert_eq!(effects.answers, [], "who knows whether it still leads?");
    let asked = starting("Heartbeat round=2", &sends(&effects)).len();
    assert_eq!(asked, 1, "with the leader a majority");
    let effects = cluster.input(1, echo(3, 4, 1));
    assert_eq!(effects.answers, [], "an echo of the round before the read");
    let effects = cluster.input(1, echo(3, 4, 2));
    assert_eq!(effects.answers, [(RequestId(1), Answer::ReadAt(LogIndex(3)))]);
}

/// Five servers: two echoes and the leader itself are a majority, one echo twice is not.
#[test]
fn a_read_counts_distinct_echoes() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.read(1);
    assert_eq!(cluster.input(1, echo(2, 1, 2)).answers, []);
    assert_eq!(cluster.input(1, echo(2, 1, 2)).answers, []);
    let effects = cluster.input(1, echo(3, 1, 2));
    assert_eq!(effects.answers, [(RequestId(1), Answer::ReadAt(LogIndex(1)))]);
}
