//! What must come before what, from times and connections alone.
//!
//! An operation that returned before another was invoked comes first. Along one connection the
//! operations that returned come in the order listed; so none of them can take effect before an
//! earlier one was invoked, nor after a later one returned, and their times are narrowed to that.

use std::collections::HashMap;

/// When an operation may take effect: not before `invoked`, not after `deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub invoked: u64,
    /// `None`: the outcome is unknown, and it may never take effect.
    pub deadline: Option<u64>,
}

/// The spans of a history's operations, narrowed along each connection. Each is given by its
/// process, when it was invoked, and when it returned.
pub fn spans(history: impl Iterator<Item = (u64, u64, Option<u64>)>) -> Vec<Span> {
    let (processes, mut spans): (Vec<u64>, Vec<Span>) =
        history.map(|(process, invoked, deadline)| (process, Span { invoked, deadline })).unzip();
    let mut begun: HashMap<u64, u64> = HashMap::new();
    for (process, span) in processes.iter().zip(&mut spans) {
        if span.deadline.is_some() {
            let latest = begun.entry(*process).or_insert(span.invoked);
            *latest = (*latest).max(span.invoked);
            span.invoked = *latest;
        }
    }
    let mut ended: HashMap<u64, u64> = HashMap::new();
    for (process, span) in processes.iter().zip(&mut spans).rev() {
        if let Some(returned) = span.deadline {
            let earliest = ended.entry(*process).or_insert(returned);
            *earliest = (*earliest).min(returned);
            span.deadline = Some(*earliest);
        }
    }
    spans
}
