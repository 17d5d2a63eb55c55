//! What a node shows from turn to turn.

use servers::status::Load;
use states::{Config, Role};

use super::*;
use crate::watch::{Seat, View, check_in_flight, check_load};

fn view(log: &Log, (term, commit, applied): (u64, u64, u64)) -> View<'_> {
    let (commit, applied) = (LogIndex(commit), LogIndex(applied));
    View { id: A, run: 1, role: Role::Leader, term: Term(term), log, commit, applied }
}

#[test]
fn what_may_only_rise_never_falls() {
    let log = log(&[]);
    let turn = |facts| {
        let mut seat = Seat::default();
        seat.on_turn(&view(&log, (2, 5, 3))).expect("a good beginning");
        seat.on_turn(&view(&log, facts))
    };
    assert_eq!(turn((2, 5, 3)), Ok(()));
    assert_eq!(turn((3, 6, 6)), Ok(()));
    refuses(turn((1, 5, 3)), "never falls");
    refuses(turn((2, 4, 3)), "never falls");
    refuses(turn((2, 5, 2)), "never falls");
    refuses(turn((2, 5, 6)), "never falls");
    let mut seat = Seat::default();
    seat.on_turn(&view(&log, (2, 5, 3))).expect("a good beginning");
    let again = View { run: 2, ..view(&log, (2, 0, 0)) };
    assert_eq!(seat.on_turn(&again), Ok(()), "what is committed is learnt again after a start");
}

/// One turn in office with `before`, then one with `after`, which writes `written`.
fn leads(
    before: &[Entry],
    after: &[Entry],
    written: &[Entry],
    limit: usize,
) -> Result<(), Violation> {
    let config = Config { uncommitted_bytes: limit, ..Config::default() };
    let mut seat = Seat::default();
    seat.on_turn(&view(&log(before), (2, 0, 0)))?;
    seat.on_leader(&view(&log(before), (2, 0, 0)), before.iter(), &config)?;
    seat.on_leader(&view(&log(after), (2, 0, 0)), written.iter(), &config)
}

#[test]
fn a_leaders_log_only_grows() {
    let [first, second, third] = [entry(1, 1, 10), entry(2, 2, 20), entry(3, 2, 30)];
    let before = [first.clone(), second.clone()];
    let after = [first.clone(), second.clone(), third.clone()];
    assert_eq!(leads(&before, &before, &[], 1 << 20), Ok(()));
    assert_eq!(leads(&before, &after, std::slice::from_ref(&third), 1 << 20), Ok(()));
    refuses(leads(&before, &before[..1], &[], 1 << 20), "append-only");
    refuses(leads(&before, &after, &after[1..], 1 << 20), "append-only");
    let other = [entry(1, 1, 11), entry(2, 1, 21)];
    refuses(leads(&before, &other, &[], 1 << 20), "append-only");
}

#[test]
fn a_leader_takes_no_more_than_may_be_uncommitted() {
    let before = [entry(1, 2, 10)];
    let after = [entry(1, 2, 10), entry(2, 2, 20)];
    let room = before[0].size() + after[1].payload.size();
    assert_eq!(leads(&before, &after, &after[1..], room), Ok(()));
    refuses(leads(&before, &after, &after[1..], room - 1), "bounds");
    assert_eq!(leads(&[], &after[..1], &after[..1], 1), Ok(()), "one goes whatever its size");
}

#[test]
fn what_waits_has_limits() {
    let load = Load { requests: 2, request_bytes: 100, proposals: 1, reads: 0, held: 0, copies: 1 };
    assert_eq!(check_load(A, &load, 100, (2, 3)), Ok(()));
    refuses(check_load(A, &load, 99, (2, 3)), "bounds");
    let one = Load { requests: 1, copies: 0, ..load };
    assert_eq!(check_load(A, &one, 99, (1, 3)), Ok(()), "one goes whatever its size");
    refuses(check_load(A, &Load { reads: 1, ..load }, 100, (2, 3)), "waits for nobody");
    refuses(check_load(A, &load, 100, (4, 3)), "waits for nobody");
}

#[test]
fn what_is_under_way_has_limits() {
    let config =
        Config { window_messages: 4, window_bytes: 100, append_bytes: 50, ..Config::default() };
    assert_eq!(check_in_flight(A, (4, 150), 10, &config), Ok(()));
    assert_eq!(check_in_flight(A, (1, 200), 100, &config), Ok(()), "a large entry goes alone");
    refuses(check_in_flight(A, (5, 150), 10, &config), "bounds");
    refuses(check_in_flight(A, (4, 151), 10, &config), "bounds");
}
