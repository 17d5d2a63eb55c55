//! How a snapshot goes to a follower, by the leader's actor alone: in parts, resumed where it broke,
//! no faster than is set, given up without progress, and never in a term that this node does not lead.

#[path = "support/keeping.rs"]
mod keeping;
#[path = "support/leading.rs"]
mod leading;

use leading::{Leading, NEEDY, Wanted};
use servers::server::Settings;
use states::Decision;

/// Parts of 100 bytes, as many as are wanted.
fn quickly() -> Settings {
    Settings { snapshot_part: 100, snapshot_rate: 1 << 40, ..Settings::default() }
}

fn wanted(offset: u64, length: usize) -> Wanted {
    Wanted { offset, length }
}

/// The follower is asked how far it is; then parts are on their way up to a window of four, and each
/// that it takes makes room for another.
#[test]
fn parts_leave_in_order_a_few_at_a_time() {
    let mut leader = Leading::with_snapshot_of(650, quickly());
    let first = leader.sent.remove(0);
    assert_eq!((first.term, first.meta.position), (leader.term(), Leading::snapshot()));
    assert_eq!((first.size, first.offset, first.bytes.len()), (650, 0, 0));
    leader.has_taken(0);
    assert_eq!(leader.wanted, [0, 100, 200, 300].map(|offset| wanted(offset, 100)));
    leader.read_all();
    assert_eq!(leader.parts(), [0, 100, 200, 300].map(|offset| (offset, 100)));
    leader.has_taken(100);
    assert_eq!(leader.wanted, [wanted(400, 100)]);
    leader.has_taken(400);
    assert_eq!(leader.wanted, [wanted(400, 100), wanted(500, 100), wanted(600, 50)]);
    leader.read_all();
    assert_eq!(leader.parts(), [(400, 100), (500, 100), (600, 50)]);
    leader.has_taken(650);
    assert_eq!(leader.wanted, []);
}

/// "Resumed after a lost connection at the chunk where it broke": the follower says where that is.
#[test]
fn what_the_follower_has_is_not_sent_again() {
    let mut leader = Leading::with_snapshot_of(1_000, quickly());
    leader.has_taken(700);
    assert_eq!(leader.wanted, [700, 800, 900].map(|offset| wanted(offset, 100)));
    leader.read_all();
    leader.has_taken(200); // it was started again, and its disk had not all of it
    assert_eq!(leader.wanted, [200, 300, 400, 500].map(|offset| wanted(offset, 100)));
}

/// Parts that were lost on the way: after silence the follower is asked again, and gets them again.
#[test]
fn what_was_lost_is_sent_again() {
    let mut leader = Leading::with_snapshot_of(400, quickly());
    leader.has_taken(0);
    leader.read_all();
    leader.sent.clear();
    leader.pass(600);
    assert_eq!(leader.parts(), [(0, 0)], "how far is it?");
    leader.has_taken(200);
    assert_eq!(leader.wanted, [200, 300].map(|offset| wanted(offset, 100)));
}

/// "Throttled (bytes per second)".
#[test]
fn parts_leave_no_faster_than_is_set() {
    let settings = Settings { snapshot_rate: 1_000, ..quickly() };
    let mut leader = Leading::with_snapshot_of(10_000, settings);
    leader.has_taken(0);
    let mut taken = 0;
    for _ in 0..10 {
        leader.pass(100);
        taken += leader.wanted.iter().map(|part| part.length as u64).sum::<u64>();
        leader.read_all();
        leader.has_taken(taken);
    }
    assert!((900..=1_200).contains(&taken), "{taken} bytes in a second");
}

/// "No chunk acknowledged for 2 s releases the pin", and the follower is probed anew.
#[test]
fn who_takes_nothing_is_given_up() {
    let mut leader = Leading::with_snapshot_of(400, quickly());
    leader.has_taken(0);
    leader.read_all();
    leader.has_taken(100);
    leader.decisions.clear();
    leader.pass(1_900);
    assert!(!leader.decisions.contains(&Decision::SnapshotFailed(NEEDY)));
    leader.pass(200);
    assert!(leader.decisions.contains(&Decision::SnapshotFailed(NEEDY)));
}

/// Whoever takes a part every second goes on taking, however long it lasts.
#[test]
fn who_takes_something_is_not_given_up() {
    let mut leader = Leading::with_snapshot_of(1_000, quickly());
    leader.decisions.clear();
    for taken in (0..1_000).step_by(100) {
        leader.has_taken(taken);
        leader.pass(1_000);
        leader.read_all();
    }
    assert!(!leader.decisions.contains(&Decision::SnapshotFailed(NEEDY)));
}

/// A newer one took its place while parts were on their way.
#[test]
fn a_snapshot_that_is_gone_is_given_up() {
    let mut leader = Leading::with_snapshot_of(400, quickly());
    leader.has_taken(0);
    leader.sent.clear();
    leader.read(None);
    leader.turn();
    assert!(leader.decisions.contains(&Decision::SnapshotFailed(NEEDY)));
    leader.wanted.truncate(1);
    leader.read(Some(vec![7; 100])); // it was read before
    leader.turn();
    assert!(leader.sent.iter().all(|part| part.bytes.is_empty()), "{:?}", leader.sent);
}

/// A part is of the leader of its term. This one was read while the node led, and another leads since
/// the same turn: sent now it would name that one's term (the simulator's seed 63546).
#[test]
fn whoever_follows_sends_no_part_that_was_read_while_it_led() {
    let mut leader = Leading::with_snapshot_of(400, quickly());
    leader.has_taken(0);
    leader.sent.clear();
    let led = leader.term();
    leader.hear_new_leader();
    leader.read(Some(vec![7; 100]));
    leader.turn();
    assert!(leader.term() > led);
    assert_eq!(leader.sent, []);
}
