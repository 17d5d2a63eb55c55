//! What a run leaves for people: the history and the faults, as text. Must never leave out an
//! operation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use linearizability::Event;
use linearizability::kv::Operation;

/// Writes a history, in the order of its beginnings: times in microseconds, the connection, what was
/// asked and what was answered.
///
/// # Errors
/// The file cannot be written.
pub fn write_history(file: &Path, history: &[Event<Operation>]) -> Result<()> {
    let mut events: Vec<&Event<Operation>> = history.iter().collect();
    events.sort_by_key(|event| event.invoked);
    let mut text = String::from("# invoked µs  returned µs  connection  asked -> answered\n");
    for event in events {
        line(&mut text, event);
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn line(text: &mut String, event: &Event<Operation>) {
    let returned = event.returned.map_or("never".to_owned(), |time| time.to_string());
    // Writing to a string never fails.
    let _ = write!(text, "{:>12} {returned:>12} {:>5}  ", event.invoked, event.process);
    let debug = |command| format!("{command:?}");
    let commands: Vec<String> = event.operation.commands.iter().map(debug).collect();
    let _ = match &event.operation.replies {
        Some(replies) => writeln!(text, "{} -> {replies:?}", commands.join("; ")),
        None => writeln!(text, "{} -> ?", commands.join("; ")),
    };
}

/// The longest time in which no operation was acknowledged, and when it began.
pub fn longest_silence(history: &[Event<Operation>], end: u64) -> (Duration, Duration) {
    let answered = history.iter().filter(|event| event.operation.replies.is_some());
    let mut times: Vec<u64> = answered.filter_map(|event| event.returned).chain([0, end]).collect();
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
    let (gap, at) = gaps.max().unwrap_or_default();
    (Duration::from_micros(gap), Duration::from_micros(at))
}
