//! What sessions let take effect.

use messages::{CommandNumber, SessionId};

use super::*;

fn numbered(index: u64, number: u64) -> Entry {
    let (session, number) = (SessionId(1024), CommandNumber(number));
    let item = Item::Session { session, number, command: command(10) };
    Entry { payload: Payload::Command([item].into()), ..entry(index, 1, 0) }
}

fn opened() -> Entry {
    Entry { payload: Payload::Command([Item::OpenSession].into()), ..entry(1, 1, 0) }
}

/// A command of a session may stand in the log as often as it likes; under two numbers it would
/// take effect twice.
#[test]
fn a_number_takes_effect_once() {
    let checks = committed(&[opened(), numbered(2, 1), numbered(3, 1)]);
    assert_eq!(checks.length(), 1);
    let mut checks = nothing_yet();
    refuses(commit(&mut checks, &[opened(), numbered(2, 1), numbered(3, 2)]), "twice");
}

#[test]
fn what_was_closed_never_takes_effect() {
    let (session, number) = (SessionId(1024), CommandNumber(1));
    let asked = Item::Outcome { session, number };
    let asked = Entry { payload: Payload::Command([asked].into()), ..entry(2, 1, 0) };
    let mut checks = committed(&[opened(), asked, numbered(3, 1)]);
    assert_eq!(checks.length(), 0);
    assert_eq!(checks.on_refused(10), Ok(()));
    let mut checks = committed(&[opened(), numbered(2, 1)]);
    refuses(checks.on_refused(10), "committed, and refused");
}
