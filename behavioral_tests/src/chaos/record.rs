//! What a run leaves for people: the history and the faults, as text. Must never leave out an
//! operation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use linearizability::Event;
use linearizability::kv::Operation;

/// Writes a history, in the order of its beginnings: times in microseconds since the run began, the connection, what was
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
    let returned = event.returned.map_or("never".to_owned(), |time| (time / 1_000).to_string());
    // Writing to a string never fails.
    let _ = write!(text, "{:>12} {returned:>12} {:>5}  ", event.invoked / 1_000, event.process);
    let debug = |command| format!("{command:?}");
    let commands: Vec<String> = event.operation.commands.iter().map(debug).collect();
    let _ = match &event.operation.replies {
        Some(replies) => writeln!(text, "{} -> {replies:?}", commands.join("; ")),
        None => writeln!(text, "{} -> ?", commands.join("; ")),
    };
}
