//! The last events of the run on this thread, where a panic can still find them.

use std::cell::RefCell;
use std::collections::VecDeque;

/// How many are kept.
const KEPT: usize = 200;

thread_local! {
    static EVENTS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

/// Adds an event.
pub(crate) fn add(event: String) {
    EVENTS.with_borrow_mut(|events| {
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
    });
}

/// Takes all that are kept.
pub fn take() -> Vec<String> {
    EVENTS.take().into()
}
