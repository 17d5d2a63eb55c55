//! `raft cli`: a prompt against a running cluster, lines from stdin, or one command.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use raft::client::Reply;
use raft::cluster::{Cluster, ClusterError};
use raft::exit::{self, Failure};
use raft::numbered::Numbered;
use raft::{print, render};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Editor, Helper};

use crate::options;

/// The commands that the prompt completes.
const COMMANDS: &[&str] = &[
    "append",
    "client",
    "command",
    "config",
    "dbsize",
    "decr",
    "decrby",
    "del",
    "discard",
    "echo",
    "exec",
    "exists",
    "flushall",
    "flushdb",
    "get",
    "getdel",
    "getset",
    "hello",
    "help",
    "incr",
    "incrby",
    "info",
    "keys",
    "mget",
    "mset",
    "msetnx",
    "multi",
    "ping",
    "quit",
    "raft.do",
    "raft.outcome",
    "raft.session",
    "raft.snapshot",
    "raft.status",
    "readonly",
    "readwrite",
    "reset",
    "select",
    "set",
    "setnx",
    "strlen",
    "time",
    "type",
    "unwatch",
    "watch",
];

const HELP: &str = "Any Redis command, such as: set a 1 · get a · incr hits · keys * · info raft\n\
                    quit or Ctrl-D ends; the arrow keys go through older lines, Tab completes.";

/// Runs the subcommand.
pub fn cli(options: options::Cli) -> anyhow::Result<()> {
    let mut cluster = Numbered::new(Cluster::new(options.at.as_deref())?);
    if !options.command.is_empty() {
        one_command(&mut cluster, &options.command)
    } else if io::stdin().is_terminal() {
        prompt(&mut cluster)
    } else {
        lines(&mut cluster)
    }
}

fn one_command(cluster: &mut Numbered, words: &[String]) -> anyhow::Result<()> {
    let reply = cluster.call(words).map_err(|error| error.failure())?;
    print::line(render::reply(&reply))?;
    match reply {
        Reply::Error(error) if error.starts_with("CLUSTERDOWN") => {
            Err(Failure::quiet(exit::UNAVAILABLE).into())
        }
        Reply::Error(_) => Err(Failure::quiet(exit::FAILED).into()),
        _ => Ok(()),
    }
}

/// Every line of stdin; one that fails makes the exit code 1 and the rest still runs.
fn lines(cluster: &mut Numbered) -> anyhow::Result<()> {
    let mut failed = false;
    for line in io::stdin().lock().lines() {
        match answer(cluster, &line?)? {
            Ended::Well => (),
            Ended::Badly => failed = true,
            Ended::Quit => break,
        }
    }
    if failed { Err(Failure::quiet(exit::FAILED).into()) } else { Ok(()) }
}

/// What came of a line.
enum Ended {
    Well,
    Badly,
    Quit,
}

/// Runs a line and prints its answer. Only what makes going on senseless is an error.
fn answer(cluster: &mut Numbered, line: &str) -> anyhow::Result<Ended> {
    let words = match render::words(line) {
        Ok(words) => words,
        Err(wrong) => {
            complain(&wrong);
            return Ok(Ended::Badly);
        }
    };
    let Some(first) = words.first() else { return Ok(Ended::Well) };
    if first.eq_ignore_ascii_case(b"quit") || first.eq_ignore_ascii_case(b"exit") {
        return Ok(Ended::Quit);
    }
    match cluster.call(&words) {
        Ok(reply) => {
            print::line(render::reply(&reply))?;
            Ok(if matches!(reply, Reply::Error(_)) { Ended::Badly } else { Ended::Well })
        }
        Err(error @ ClusterError::Unreachable(_)) => Err(error.failure().into()),
        Err(error @ ClusterError::Unknown(..)) => {
            complain(&error.to_string());
            Ok(Ended::Badly)
        }
    }
}

fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "raft: {line}");
}

fn prompt(cluster: &mut Numbered) -> anyhow::Result<()> {
    let mut editor: Editor<Completion, FileHistory> = Editor::new()?;
    editor.set_helper(Some(Completion));
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    let ended = read_lines(&mut editor, cluster);
    if let Some(file) = &history {
        // A history that cannot be kept is no reason to fail.
        let _ = editor.save_history(file);
    }
    ended
}

fn read_lines(
    editor: &mut Editor<Completion, FileHistory>,
    cluster: &mut Numbered,
) -> anyhow::Result<()> {
    loop {
        let line = match editor.readline(&format!("{}> ", cluster.address())) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        editor.add_history_entry(&line)?;
        if line.trim().eq_ignore_ascii_case("help") {
            print::line(HELP)?;
            continue;
        }
        match answer(cluster, &line) {
            Ok(Ended::Quit) => return Ok(()),
            Ok(Ended::Well | Ended::Badly) => (),
            // At a prompt nodes may come back while somebody looks.
            Err(error) => match exit::verdict(&error) {
                (exit::UNAVAILABLE, Some(line)) => complain(&line),
                _ => return Err(error),
            },
        }
    }
}

fn history_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(".raft_history"))
}

/// Completes the first word of a line.
struct Completion;

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line[..position].to_ascii_lowercase();
        let fitting = COMMANDS.iter().filter(|command| command.starts_with(&typed));
        Ok((0, fitting.map(|command| format!("{command} ")).collect()))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}
