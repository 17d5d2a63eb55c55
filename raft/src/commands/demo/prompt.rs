//! The prompt of a demonstration on a terminal: history, completion, and role changes that print by
//! themselves above it.

use std::borrow::Cow;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, ExternalPrinter, Helper};

use super::line::WORDS;
use super::session::Session;
use crate::commands::local::view::View;

/// How often each node is asked for its role.
const POLL: Duration = Duration::from_millis(50);
/// Client commands worth completing.
const COMMANDS: [&str; 12] = [
    "append", "dbsize", "decr", "del", "exists", "get", "incr", "incrby", "info", "keys", "mget",
    "set",
];

/// A line editor whose history lasts as long as it.
#[derive(Debug)]
pub struct Prompt {
    editor: Editor<Words, MemHistory>,
}

impl Prompt {
    /// Prepares the terminal and begins to announce role changes.
    pub fn new(session: &Session) -> anyhow::Result<Prompt> {
        let settings = rustyline::Config::builder().auto_add_history(true).build();
        let mut editor =
            Editor::with_history(settings, MemHistory::new()).context("cannot use the terminal")?;
        editor.set_helper(Some(Words));
        for node in &session.cluster.nodes {
            // A terminal that cannot do it goes without.
            if let Ok(printer) = editor.create_external_printer() {
                let (number, address) = (node.number, node.address.clone());
                thread::spawn(move || announce(number, &address, printer));
            }
        }
        Ok(Prompt { editor })
    }

    /// The next line; `None` at Ctrl-C and Ctrl-D.
    pub fn line(&mut self) -> anyhow::Result<Option<String>> {
        match self.editor.readline("raft> ") {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(error).context("cannot read from the terminal"),
        }
    }
}

/// Prints each change of a node's role, until the terminal goes away.
fn announce(number: usize, address: &str, mut printer: impl ExternalPrinter) {
    let mut connection = None;
    let mut known: Option<View> = None;
    loop {
        if let Some(view) = View::ask(&mut connection, address) {
            if let Some(text) = change(number, known.as_ref(), &view)
                && printer.print(text).is_err()
            {
                return;
            }
            known = Some(view);
        }
        thread::sleep(POLL);
    }
}

fn change(number: usize, known: Option<&View>, view: &View) -> Option<String> {
    let known = known?;
    let became = known.role != view.role || (view.leads() && known.term != view.term);
    became.then(|| format!("node {number}: {} -> {}, term {}\n", known.role, view.role, view.term))
}

/// Completes first words, and the names of nodes.
#[derive(Debug)]
struct Words;

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(&line[..position]))
    }
}

fn candidates(typed: &str) -> (usize, Vec<String>) {
    let start = typed.rfind(' ').map_or(0, |space| space + 1);
    let known: &[&[&str]] = match typed[..start].trim() {
        "" => &[&WORDS, &COMMANDS],
        "kill" | "pause" | "isolate" | "slow" => &[&["leader"]],
        "load" => &[&["on", "off"]],
        _ => &[],
    };
    let known = known.iter().copied().flatten();
    let fitting = known.filter(|word| word.starts_with(&typed[start..]));
    (start, fitting.map(|word| format!("{word} ")).collect())
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Borrowed(hint)
    }
}

impl Validator for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(role: &str, term: u64) -> View {
        View { role: role.to_owned(), term, ..View::default() }
    }

    #[test]
    fn completes_words_and_the_leader() {
        assert_eq!(candidates("inc").1, ["incr ", "incrby "]);
        assert_eq!(candidates("kill l"), (5, vec!["leader ".to_owned()]));
        assert_eq!(candidates("isolate l"), (8, vec!["leader ".to_owned()]));
        assert_eq!(candidates("load o").1, ["on ", "off "]);
        assert_eq!(candidates("get l").1, [""; 0]);
    }

    #[test]
    fn announces_roles_and_new_terms_of_a_leader_only() {
        assert_eq!(change(2, None, &view("leader", 1)), None);
        assert_eq!(change(2, Some(&view("follower", 1)), &view("follower", 2)), None);
        let text = change(2, Some(&view("follower", 1)), &view("leader", 2));
        assert_eq!(text.as_deref(), Some("node 2: follower -> leader, term 2\n"));
        assert!(change(2, Some(&view("leader", 2)), &view("leader", 4)).is_some());
    }
}
