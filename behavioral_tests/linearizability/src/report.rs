//! What is told of a bad history: short enough to be read, with what is needed to look further.

use std::collections::BTreeSet;

use crate::object::Object;
use crate::{Event, Model};

/// Operations, or states, of a kind that are shown at most.
const SHOWN: usize = 6;
/// How many operations before the end of the longest order states are looked for.
const NEAR: usize = 64;
/// Characters of one line at most.
const WIDTH: usize = 160;

/// Why an object's operations have no order. `describe` makes a line of a slot's `event`.
pub fn of_object<M: Model>(
    object: &Object<M>,
    describe: impl Fn(usize) -> String,
    describe_state: impl Fn(&M::State) -> String,
) -> String {
    let (count, ids) = object.furthest();
    let mut lines = vec![format!(
        "{count} of {} operations that returned can be put in order, no more. This one cannot:",
        object.returned()
    )];
    let waiting: BTreeSet<(u64, usize)> = ids.iter().flat_map(|id| object.waiting(*id)).collect();
    let mut waiting = waiting.into_iter().map(|(_, event)| event);
    let unplaced = waiting.next();
    extend(&mut lines, unplaced.map(&describe));
    lines.push(String::from("At the moments it could have taken effect, the state could be:"));
    let mut states: Vec<String> = (object.met_with(count.saturating_sub(NEAR), unplaced))
        .map(|id| describe_state(object.state(id)))
        .collect();
    states.sort();
    states.dedup();
    extend(&mut lines, states);
    let mut others = waiting.peekable();
    if others.peek().is_some() {
        lines.push(String::from("Nor could these come next after the longest order:"));
        extend(&mut lines, others.map(describe));
    }
    lines.join("\n")
}

/// One operation: its place in the history, who asked it, when, and what it was.
pub fn line<O>(history: &[Event<O>], event: usize, described: String) -> String {
    let Event { process, invoked, returned, .. } = &history[event];
    let returned = returned.map_or(String::from("never"), |returned| returned.to_string());
    format!("#{event} of process {process}, {invoked}..{returned}: {described}")
}

/// Adds the first of these lines, each indented and cut to a width, and how many more there are.
pub fn extend(lines: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    let mut more = more.into_iter();
    lines.extend(more.by_ref().take(SHOWN).map(|line| match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("  {}...", &line[..end]),
        None => format!("  {line}"),
    }));
    let left = more.count();
    if left > 0 {
        lines.push(format!("  and {left} more"));
    }
}
