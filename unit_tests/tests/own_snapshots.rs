//! A server's own snapshots, by the actor alone: a node that elects itself, and a keeper of files that
//! does one thing at a time, so that each order of what happens can be made.

#[path = "support/alone.rs"]
mod alone;
#[path = "support/keeping.rs"]
mod keeping;

use alone::Alone;
use keeping::at;

/// While a snapshot is under writing no other is begun, whatever else comes into place: two at a time
/// would leave the first one's file behind, unfinished.
#[test]
fn one_that_was_received_does_not_begin_its_own_anew() {
    let mut node = Alone::with_snapshot_bytes(400);
    node.apply(3);
    let own = node.taken().expect("the log has grown enough");
    let received = node.received(at(2, 1));
    node.kept(received);
    node.apply(3);
    assert_eq!(node.taken(), None, "one is under writing");
    let whole = node.write_out();
    assert_eq!(whole.meta.position, own);
    node.kept(whole);
    assert_eq!(node.server.snapshot().map(|snapshot| snapshot.position), Some(own));
    assert!(node.taken().is_some(), "the log has grown enough again");
}

/// What is wanted is taken whatever the log has grown by, once, and covers what was applied then.
#[test]
fn one_that_is_wanted_covers_what_was_applied_then() {
    let mut node = Alone::with_snapshot_bytes(1 << 30);
    node.apply(3);
    assert_eq!(node.taken(), None, "nobody wants one");
    let covered = node.server.want_snapshot().expect("something is applied");
    assert_eq!(covered, node.server.applied());
    node.turn();
    assert_eq!(node.taken().map(|position| position.index), Some(covered));
    let whole = node.write_out();
    assert_eq!(node.server.snapshot(), None, "it is not in place yet");
    node.kept(whole);
    assert_eq!(node.server.snapshot().map(|snapshot| snapshot.position.index), Some(covered));
    node.apply(3);
    assert_eq!(node.taken(), None, "nobody wants another");
}

/// While one is being taken that covers less, the next one waits for it, and is then taken.
#[test]
fn one_that_is_wanted_while_another_is_taken_comes_after_it() {
    let mut node = Alone::with_snapshot_bytes(1 << 30);
    node.apply(1);
    node.server.want_snapshot();
    node.turn();
    node.taken().expect("somebody wants one");
    node.apply(1);
    let covered = node.server.want_snapshot().expect("something is applied");
    node.turn();
    assert_eq!(node.taken(), None, "one is under writing");
    let whole = node.write_out();
    assert!(whole.meta.position.index < covered);
    node.kept(whole);
    assert_eq!(node.taken().map(|position| position.index), Some(covered));
}

/// Whoever wants one where all that is applied is covered gets none anew: neither by the one in place
/// nor by the one that is being taken.
#[test]
fn one_that_is_there_is_not_taken_again() {
    let mut node = Alone::with_snapshot_bytes(1 << 30);
    node.apply(1);
    let covered = node.server.want_snapshot();
    node.turn();
    node.taken().expect("somebody wants one");
    assert_eq!(node.server.want_snapshot(), covered, "the same again");
    let whole = node.write_out();
    node.kept(whole);
    assert_eq!(node.server.want_snapshot(), covered, "and now that it is in place");
    node.turn();
    assert_eq!(node.taken(), None);
}

/// Before anything is applied there is nothing that a snapshot could stand for.
#[test]
fn there_is_none_of_nothing() {
    let mut node = Alone::started(servers::server::Settings::default());
    assert_eq!(node.server.want_snapshot(), None);
    node.turn();
    assert_eq!(node.taken(), None);
}

/// "When the log kept for a receiver reaches four times what a snapshot is taken after, it goes": that is
/// the last snapshot's size, where it is larger than the setting.
#[test]
fn what_is_kept_for_followers_grows_with_the_snapshots() {
    let mut node = Alone::with_snapshot_bytes(20);
    let limits = |node: &Alone| {
        let usage = node.server.status().usage;
        (usage.since_snapshot.limit, usage.log.limit)
    };
    assert_eq!(limits(&node), (20, 80));
    node.apply(1);
    node.taken().expect("the log has grown enough");
    let whole = node.write_out();
    let size = whole.size;
    assert!(size > 20, "{size}");
    node.kept(whole);
    assert_eq!(limits(&node), (size, 4 * size));
}
