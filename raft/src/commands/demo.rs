//! `raft demo`: a whole cluster in one command, each node a process of its own, and a prompt.
//! Nothing of it may outlive it (`local::guard`).

mod cuts;
mod line;
mod prompt;
mod session;
mod show;
mod trial;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::ops::ControlFlow;

use anyhow::Context;
use raft::exit::{self, Failure};
use raft::print;

use self::prompt::Prompt;
use self::session::{Answer, Session};
use super::local::cluster::Cluster;
use super::local::founding::{Founding, Pace};
use super::signals;
use crate::options;

/// The most nodes: more would teach nothing more.
const MOST_NODES: usize = 9;

/// Where lines come from.
enum Lines {
    Terminal,
    Script(Box<dyn BufRead>),
}

/// Runs the subcommand.
pub fn demo(options: options::Demo) -> anyhow::Result<()> {
    let nodes = u16::try_from(options.nodes).unwrap_or(0);
    if !(1..=MOST_NODES).contains(&options.nodes) {
        let text = format!("--nodes: expected 1 to {MOST_NODES}, not {}", options.nodes);
        return Err(Failure::new(exit::USAGE, text).into());
    }
    let lines = lines(&options)?;
    let pace = if options.slow { Pace::Slow } else { Pace::Usual };
    signals::end_at_first().context("cannot wait for signals")?;
    let transport = options.transport.unwrap_or_default();
    let founding = Founding { nodes, absent: 0, pace, transport, has_links: true, settings: &[] };
    let cluster = match &options.keep {
        Some(folder) => Cluster::start_in(folder, founding),
        None => Cluster::start(founding, None),
    };
    let mut session = Session::new(cluster?);
    let played = play(&mut session, lines);
    session.cluster.end()?;
    match played? {
        0 => Ok(()),
        _ => Err(Failure::quiet(exit::FAILED).into()),
    }
}

fn lines(options: &options::Demo) -> anyhow::Result<Lines> {
    if let Some(path) = &options.file {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(Lines::Script(Box::new(BufReader::new(file))));
    }
    if !options.lines.is_empty() {
        let text = options.lines.join("\n");
        return Ok(Lines::Script(Box::new(io::Cursor::new(text))));
    }
    if io::stdin().is_terminal() {
        return Ok(Lines::Terminal);
    }
    Ok(Lines::Script(Box::new(io::stdin().lock())))
}

/// Runs every line and returns how many failed.
fn play(session: &mut Session, lines: Lines) -> anyhow::Result<usize> {
    print::line(banner(session))?;
    match lines {
        Lines::Terminal => {
            let mut prompt = Prompt::new(session)?;
            while let Some(line) = prompt.line()? {
                if run(session, &line)?.is_break() {
                    break;
                }
            }
            Ok(0) // who types sees what failed
        }
        Lines::Script(script) => play_script(session, script),
    }
}

fn play_script(session: &mut Session, script: Box<dyn BufRead>) -> anyhow::Result<usize> {
    let mut failed = 0;
    for line in script.split(b'\n') {
        let line = line.context("cannot read the next line")?;
        match run(session, &String::from_utf8_lossy(&line))? {
            ControlFlow::Continue(true) => {}
            ControlFlow::Continue(false) => failed += 1,
            ControlFlow::Break(()) => break,
        }
    }
    Ok(failed)
}

/// Runs a line and prints its answer; whether it went well, or the end was asked for. An error is
/// one that ends the demonstration: nobody reads the answers.
fn run(session: &mut Session, line: &str) -> anyhow::Result<ControlFlow<(), bool>> {
    match session.run(line) {
        Ok(Answer::Quit) => return Ok(ControlFlow::Break(())),
        Ok(Answer::Text(text)) if text.is_empty() => {}
        Ok(Answer::Text(text)) => print::line(text)?,
        Ok(Answer::Refused(text)) => {
            print::line(text)?;
            return Ok(ControlFlow::Continue(false));
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error:#}", raft::render::plain(line.trim()));
            return Ok(ControlFlow::Continue(false));
        }
    }
    Ok(ControlFlow::Continue(true))
}

fn banner(session: &mut Session) -> String {
    let views = session.cluster.views();
    let mut lines = Vec::new();
    for (node, view) in session.cluster.nodes.iter().zip(views) {
        let role = view.map_or(show::why_silent(node).to_owned(), |view| view.role);
        let (number, address) = (node.number, &node.address);
        let pid = node.pid().unwrap_or_default();
        lines.push(format!("node {number}  {role:<13}  {address}  process {pid}"));
    }
    let address = &session.cluster.nodes[0].address;
    let port = address.rsplit(':').next().unwrap_or_default();
    lines.push(format!("redis-cli -p {port}"));
    lines.push("try: incr hits · kill leader · incr hits · help".to_owned());
    lines.join("\n")
}
