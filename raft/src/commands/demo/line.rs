//! What can be typed at the demonstration's prompt. Must never do anything: it only reads a line.

use raft::render::words;

/// One line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing, or a comment.
    Empty,
    /// For the cluster.
    Client(Vec<Vec<u8>>),
    /// For one node.
    At(usize, Vec<Vec<u8>>),
    /// The table of nodes.
    Status,
    /// Every node's last so many entries.
    Log(usize),
    /// SIGKILL.
    Kill(Target),
    /// Start again with its data.
    Restart(usize),
    /// SIGSTOP.
    Pause(Target),
    /// SIGCONT.
    Resume(usize),
    /// What can be typed.
    Help,
    /// The end.
    Quit,
}

/// A node, by its number or by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Node 1, 2, ...
    Node(usize),
    /// Whichever leads when the line runs.
    Leader,
}

/// The first words that are not the cluster's, for completion.
pub const WORDS: [&str; 9] =
    ["at", "help", "kill", "log", "pause", "quit", "restart", "resume", "status"];

/// Lines that are promised and not there yet.
const PLANNED: [&str; 8] =
    ["partition", "isolate", "slow", "heal", "load", "chaos", "verify", "why"];

/// How many entries `log` shows.
const LOG_ENTRIES: usize = 10;

/// What `help` prints.
pub const HELP: &str = "\
any command      incr hits · set a 1 · get a: to the cluster, as with redis-cli
at N COMMAND     asks node N
status           every node: role, term, commit, applied, last, process id
log [N]          every node's last N entries (10), committed ones marked with *
kill N|leader    SIGKILL; then how long there was no leader, and who leads
restart N        starts it again with its data
pause N|leader   SIGSTOP
resume N         SIGCONT
quit             stops all nodes and removes their folder (so does the end of the input)";

impl Line {
    /// Reads a line for a cluster of so many nodes. An error says what was expected.
    pub fn parse(line: &str, nodes: usize) -> Result<Line, String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(Line::Empty);
        }
        let (first, rest) = split_first(line);
        let first = first.to_ascii_lowercase();
        match first.as_str() {
            "at" => at(rest, nodes),
            "status" => alone(rest, Line::Status),
            "log" => log(rest),
            "kill" => Ok(Line::Kill(target(rest, nodes)?)),
            "pause" => Ok(Line::Pause(target(rest, nodes)?)),
            "restart" => Ok(Line::Restart(node(rest, nodes)?)),
            "resume" => Ok(Line::Resume(node(rest, nodes)?)),
            "help" => alone(rest, Line::Help),
            "quit" | "exit" => alone(rest, Line::Quit),
            planned if PLANNED.contains(&planned) => {
                Err("planned and not there yet; 'help' lists what is".to_owned())
            }
            _ => Ok(Line::Client(words(line)?)),
        }
    }
}

fn at(rest: &str, nodes: usize) -> Result<Line, String> {
    let (number, command) = split_first(rest);
    let number = node(number, nodes)?;
    if command.is_empty() {
        return Err("expected a node and a command, as in: at 2 get a".to_owned());
    }
    Ok(Line::At(number, words(command)?))
}

fn log(rest: &str) -> Result<Line, String> {
    match rest {
        "" => Ok(Line::Log(LOG_ENTRIES)),
        count => match count.parse() {
            Ok(count) if (1..=1000).contains(&count) => Ok(Line::Log(count)),
            _ => Err(format!("expected how many entries, 1 to 1000, not '{count}'")),
        },
    }
}

fn alone(rest: &str, line: Line) -> Result<Line, String> {
    match rest {
        "" => Ok(line),
        more => Err(format!("expected nothing more, not '{more}'")),
    }
}

fn target(text: &str, nodes: usize) -> Result<Target, String> {
    if text.eq_ignore_ascii_case("leader") {
        return Ok(Target::Leader);
    }
    node(text, nodes).map(Target::Node).map_err(|error| format!("{error}, or leader"))
}

fn node(text: &str, nodes: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=nodes).contains(&number) => Ok(number),
        _ => Err(format!("expected a node, 1 to {nodes}, not '{text}'")),
    }
}

fn split_first(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((first, rest)) => (first, rest.trim_start()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(words: &[&str]) -> Line {
        Line::Client(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }

    #[test]
    fn reads_every_line_of_the_contract() {
        for (text, line) in [
            ("", Line::Empty),
            ("  # a remark", Line::Empty),
            ("incr hits", client(&["incr", "hits"])),
            ("  set a 1 ", client(&["set", "a", "1"])),
            ("set a \"two words\"", client(&["set", "a", "two words"])),
            ("at 2 get a", Line::At(2, vec![b"get".to_vec(), b"a".to_vec()])),
            ("status", Line::Status),
            ("log", Line::Log(10)),
            ("log 3", Line::Log(3)),
            ("kill 3", Line::Kill(Target::Node(3))),
            ("KILL LEADER", Line::Kill(Target::Leader)),
            ("restart 1", Line::Restart(1)),
            ("pause 2", Line::Pause(Target::Node(2))),
            ("pause leader", Line::Pause(Target::Leader)),
            ("resume 2", Line::Resume(2)),
            ("help", Line::Help),
            ("quit", Line::Quit),
        ] {
            assert_eq!(Line::parse(text, 3), Ok(line), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (text, part) in [
            ("kill", "not ''"),
            ("kill 4", "1 to 3"),
            ("kill 0", "1 to 3"),
            ("restart leader", "expected a node, 1 to 3, not 'leader'"),
            ("at 2", "expected a node and a command"),
            ("at 9 get a", "1 to 3"),
            ("log many", "not 'many'"),
            ("log 0", "1 to 1000"),
            ("status now", "not 'now'"),
            ("set a \"open", "quote"),
        ] {
            let error = Line::parse(text, 3).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn says_that_planned_lines_are_not_there_yet() {
        for text in [
            "partition 1 | 2,3",
            "isolate leader",
            "slow 1 200ms",
            "heal",
            "load on",
            "chaos 30s",
            "verify",
            "why",
        ] {
            let error = Line::parse(text, 3).expect_err(text);
            assert!(error.contains("not there yet"), "{text:?}: {error}");
        }
    }
}
