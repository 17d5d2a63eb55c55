//! What can be typed at the demonstration's prompt. Must never do anything: it only reads a line.

use std::collections::BTreeSet;
use std::time::Duration;

use raft::render::words;
use raft::units;

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
    /// Only nodes of the same group hear each other.
    Partition(Vec<Vec<usize>>),
    /// The others neither hear it nor are heard by it.
    Isolate(Target),
    /// All that it says and hears comes so much later.
    Slow(Target, Duration),
    /// Undoes what was done to links.
    Heal,
    /// Begins or ends counting in the background.
    Load(bool),
    /// Random faults under load.
    Chaos(Duration),
    /// Judges what clients saw.
    Verify,
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
pub const WORDS: [&str; 16] = [
    "at",
    "chaos",
    "heal",
    "help",
    "isolate",
    "kill",
    "load",
    "log",
    "partition",
    "pause",
    "quit",
    "restart",
    "resume",
    "slow",
    "status",
    "verify",
];

/// Lines that are promised and not there yet.
const PLANNED: [&str; 1] = ["why"];

/// The longest delay of a link.
const SLOWEST: Duration = Duration::from_secs(60);
/// The longest chaos.
const LONGEST_CHAOS: Duration = Duration::from_secs(24 * 3600);

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
partition A | B  as in partition 1 | 2,3: only nodes of one group hear each other
isolate N|leader cuts all its links
slow N 200ms     all that it says and hears comes later
heal             undoes these three; ends when all nodes are up to date
load on|off      counts in the background; then the rate and the longest gap
chaos 30s        random faults under load, then heals everything
verify           were all answers those of one copy of the data? Of the lines, load and chaos so far
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
            "partition" => Ok(Line::Partition(groups(rest, nodes)?)),
            "isolate" => Ok(Line::Isolate(target(rest, nodes)?)),
            "slow" => slow(rest, nodes),
            "heal" => alone(rest, Line::Heal),
            "load" => load(rest),
            "chaos" => Ok(Line::Chaos(duration(rest, LONGEST_CHAOS)?)),
            "verify" => alone(rest, Line::Verify),
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

/// Groups of nodes between bars; a node that is named nowhere is in none.
fn groups(text: &str, nodes: usize) -> Result<Vec<Vec<usize>>, String> {
    let mut named = BTreeSet::new();
    let mut groups = Vec::new();
    for group in text.split('|') {
        let names = group.split(|c: char| c == ',' || c.is_whitespace());
        let names = names.filter(|name| !name.is_empty());
        let group = names.map(|name| node(name, nodes)).collect::<Result<Vec<_>, _>>()?;
        if group.is_empty() {
            return Err("expected groups of nodes, as in: partition 1 | 2,3".to_owned());
        }
        if let Some(twice) = group.iter().find(|node| !named.insert(**node)) {
            return Err(format!("expected node {twice} in one group only"));
        }
        groups.push(group);
    }
    Ok(groups)
}

fn slow(rest: &str, nodes: usize) -> Result<Line, String> {
    let (number, delay) = split_first(rest);
    Ok(Line::Slow(target(number, nodes)?, duration(delay, SLOWEST)?))
}

fn load(rest: &str) -> Result<Line, String> {
    match rest.to_ascii_lowercase().as_str() {
        "on" => Ok(Line::Load(true)),
        "off" => Ok(Line::Load(false)),
        other => Err(format!("expected on or off, not '{other}'")),
    }
}

fn duration(text: &str, most: Duration) -> Result<Duration, String> {
    match units::duration(text) {
        Ok(duration) if duration <= most => Ok(duration),
        Ok(_) => Err(format!("expected at most {}, not '{text}'", units::duration_text(most))),
        Err(expected) => Err(format!("expected {expected}, not '{text}'")),
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
            ("partition 1 | 2,3", Line::Partition(vec![vec![1], vec![2, 3]])),
            ("partition 3,1|2", Line::Partition(vec![vec![3, 1], vec![2]])),
            ("partition 2 3", Line::Partition(vec![vec![2, 3]])),
            ("isolate 2", Line::Isolate(Target::Node(2))),
            ("isolate leader", Line::Isolate(Target::Leader)),
            ("slow 1 200ms", Line::Slow(Target::Node(1), Duration::from_millis(200))),
            ("heal", Line::Heal),
            ("load on", Line::Load(true)),
            ("load off", Line::Load(false)),
            ("chaos 30s", Line::Chaos(Duration::from_secs(30))),
            ("verify", Line::Verify),
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
            ("partition", "as in: partition 1 | 2,3"),
            ("partition 1 | | 2", "as in: partition 1 | 2,3"),
            ("partition 1 | 2,1", "node 1 in one group only"),
            ("partition 1 | 4", "1 to 3"),
            ("isolate", "1 to 3"),
            ("slow 1", "a duration"),
            ("slow 1 200", "a duration"),
            ("slow 1 2h", "at most 60s"),
            ("heal 1", "not '1'"),
            ("load", "on or off"),
            ("chaos", "a duration"),
            ("verify all", "not 'all'"),
        ] {
            let error = Line::parse(text, 3).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn says_that_planned_lines_are_not_there_yet() {
        let error = Line::parse("why", 3).expect_err("planned");
        assert!(error.contains("not there yet"), "{error}");
    }
}
