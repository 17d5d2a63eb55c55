//! How the tools meet their command lines: help is no failure, and what is wrong ends as it does for
//! `raft`, before anything is built or started.

use std::process::{Command, Output};

use raft::exit::USAGE;

const TOOLS: [&str; 4] = [
    env!("CARGO_BIN_EXE_chaos"),
    env!("CARGO_BIN_EXE_mutations"),
    env!("CARGO_BIN_EXE_no_lost_counts"),
    env!("CARGO_BIN_EXE_simulate"),
];

fn run(tool: &str, word: &str) -> Output {
    Command::new(tool).arg(word).output().expect("it runs")
}

#[test]
fn help_tells_each_option_and_an_example() {
    for tool in TOOLS {
        let output = run(tool, "--help");
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0), "{tool}");
        assert!(text.contains("\nEXAMPLE"), "{text}");
        let bare = |line: &&str| line.trim_start().starts_with("--") && !line.trim().contains("  ");
        assert_eq!(text.lines().find(bare), None, "an option without a word about it");
    }
}

#[test]
fn the_help_of_a_tool_says_what_the_tool_is_for() {
    let help = |tool| String::from_utf8(run(tool, "--help").stdout).expect("text");
    let abouts = TOOLS.map(|tool| help(tool).lines().nth(1).unwrap_or_default().to_owned());
    for (number, about) in abouts.iter().enumerate() {
        assert!(!about.is_empty() && !abouts[..number].contains(about), "{abouts:#?}");
    }
}

#[test]
fn a_wrong_command_line_ends_as_that_of_raft() {
    for tool in TOOLS {
        let output = run(tool, "--nonsense");
        assert_eq!(output.status.code(), Some(USAGE.into()), "{tool}");
        assert!(output.stdout.is_empty(), "{tool}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--nonsense"), "{tool}");
    }
}
