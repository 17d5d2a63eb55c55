//! What is told of a bad history: short enough to be read, with what is needed to look further.

use std::collections::BTreeSet;

use crate::object::Object;
use crate::{Event, Model};

/// Operations, or states, of a kind that are shown at most.
const SHOWN: usize = 6;
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
        "{count} of {} operations that returned can be put in order. After them the state can be:",
        object.returned()
    )];
    let mut states: Vec<String> = ids.iter().map(|id| describe_state(object.state(*id))).collect();
    states.sort();
    states.dedup();
    extend(&mut lines, states);
    lines.push(String::from("and none of these can come next there:"));
    let waiting: BTreeSet<(u64, usize)> = ids.iter().flat_map(|id| object.waiting(*id)).collect();
    extend(&mut lines, waiting.into_iter().map(|(_, event)| describe(event)));
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
