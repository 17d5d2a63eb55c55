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
    assert_eq!(node.server.status().snapshot.map(|(position, _)| position), Some(own));
    assert!(node.taken().is_some(), "the log has grown enough again");
}
